import { CairnError } from '../../errors/error.ts'
import type { Dockerfile, SourceRange } from '../../dockerfile/instruction.ts'
import { atRange } from '../step-error.ts'
import type { StageNode } from './stage-node.ts'

/** `roots` and everything they are built from. Throws on stages that need each other. */
export function reachableStages(dockerfile: Dockerfile, roots: readonly StageNode[]): Set<StageNode> {
  const reachable = new Set<StageNode>()
  const path = new Set<StageNode>()
  interface Visit {
    readonly node: StageNode
    /** Where it was asked for. */
    readonly range: SourceRange
    readonly leave: boolean
  }
  const pending: Visit[] = roots.toReversed().map((node) => ({ node, range: node.range, leave: false }))
  for (let item = pending.pop(); item !== undefined; item = pending.pop()) {
    const { node, range, leave } = item
    if (leave) {
      path.delete(node)
      continue
    }
    if (path.has(node))
      throw atRange(
        new CairnError(
          'DOCKERFILE_INVALID',
          `circular dependency detected on stage: ${node.title === '' ? (node.name ?? 'stage-0') : node.title}`,
        ),
        dockerfile,
        range,
      )
    if (reachable.has(node)) continue
    reachable.add(node)
    path.add(node)
    pending.push({ node, range, leave: true })
    if (node.base !== undefined) pending.push({ node: node.base, range: node.range, leave: false })
    for (const [next, where] of node.sourceRanges) pending.push({ node: next, range: where, leave: false })
  }
  return reachable
}
