import { compareRanges } from '../../dockerfile/source-order.ts'
import type { Platform } from '../../oci/platform.ts'
import type { ProblemList } from '../step-error.ts'
import { Bases } from './bases.ts'
import type { PlanOptions } from './plan-options.ts'
import { reachableStages } from './reachable-stages.ts'
import type { StageGraph } from './stage-graph.ts'
import type { StageNode } from './stage-node.ts'

/**
 * Finds what the wanted stages, and those they need, stand on, until ONBUILD triggers bring nothing new. Gives all of
 * these stages. Throws for everything that cannot be found at a time at once.
 */
export async function resolveStages(
  graph: StageGraph,
  wanted: readonly StageNode[],
  options: PlanOptions,
  targetPlatform: Platform,
  problems: ProblemList,
): Promise<Set<StageNode>> {
  const bases = new Bases(options, targetPlatform)
  for (;;) {
    const reachable = reachableStages(options.dockerfile, wanted)
    const pending = [...reachable].filter((node) => node.base === undefined && !node.isResolved)
    const isComplete = await resolveBases(pending, bases, problems)
    for (const node of pending) tellBaseImage(node, options, targetPlatform)
    let grew = false
    if (isComplete)
      for (const node of reachable)
        if (problems.collect(node.range, () => graph.unfoldTriggers(node)) === true) grew = true
    problems.throwIfAny()
    if (!grew) return reachable
  }
}

/** Finds what `nodes` stand on, all at once. True where nothing is missing; what is joins `problems`. */
async function resolveBases(nodes: readonly StageNode[], bases: Bases, problems: ProblemList): Promise<boolean> {
  const failures = await Promise.all(
    nodes.map(async (node) => {
      try {
        await bases.resolve(node)
        return undefined
      } catch (error) {
        return { error, range: node.range }
      }
    }),
  )
  // One image is looked for once, and its absence told once, at the first stage that needs it.
  const told = new Set<unknown>()
  const inOrder = failures.filter((failure) => failure !== undefined)
  for (const { error, range } of inOrder.toSorted((a, b) => compareRanges(a.range, b.range))) {
    if (told.has(error)) continue
    told.add(error)
    problems.add(error, range)
  }
  return told.size === 0
}

function tellBaseImage(node: StageNode, { linter }: PlanOptions, targetPlatform: Platform): void {
  const { image, baseName: name } = node
  // The files of an image without layers suit every platform.
  if (image === undefined || (image.config.rootfs?.diff_ids ?? []).length === 0) return
  const expected = node.platform ?? targetPlatform
  linter?.tell('baseImage', { name, expected, actual: image.platform }, node)
}
