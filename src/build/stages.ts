import { CairnError } from '../errors/error.ts'
import { DockerfileError } from '../dockerfile/dockerfile-error.ts'
import type { Dockerfile, Instruction, SourceRange } from '../dockerfile/instruction.ts'
import { mountSource } from '../dockerfile/mount.ts'
import { parseTrigger } from '../dockerfile/parser.ts'
import { expandWord, expandWordDetailed, type WordOptions } from '../dockerfile/words.ts'
import { parsePlatform, type Platform } from '../oci/platform.ts'
import type { BaseImage, FileSource } from './graph.ts'
import type { StageState } from './stage-state.ts'
import { atRange, locate } from './step-error.ts'

export interface StageInstruction {
  readonly instruction: Instruction
  readonly onbuild: boolean
  readonly range: SourceRange
}

/**
 * One stage of the file, or an image that a COPY or a mount names (`declared` is false then). Links to other stages
 * are found once for the whole file; base image and state are filled in while planning.
 */
export class StageNode {
  readonly declared: boolean
  /** Stage name, lower case. */
  readonly name: string | undefined
  readonly baseName: string
  readonly platform: Platform | undefined
  readonly range: SourceRange
  readonly base: StageNode | undefined
  /** What to show in step titles. */
  title: string
  instructions: StageInstruction[]
  /** The stages and images that COPY --from and RUN --mount read, by the name written there. */
  readonly sources = new Map<string, StageNode>()
  image: BaseImage | undefined
  /** The `--build-context` that stands in place of the stage; its instructions are dropped then. */
  readonly replacedBy: string | undefined
  /** The `--build-context` whose files are the base. */
  context: string | undefined
  /** The base as steps show it, where a `--build-context` gave it. */
  contextTitle: string | undefined
  /** True once the base is known. */
  isResolved = false
  state: StageState | undefined
  #unfolded = false

  constructor(init: {
    declared: boolean
    name: string | undefined
    baseName: string
    platform: Platform | undefined
    range: SourceRange
    base: StageNode | undefined
    title: string
    instructions: StageInstruction[]
    replacedBy?: string | undefined
  }) {
    this.declared = init.declared
    this.name = init.name
    this.baseName = init.baseName
    this.platform = init.platform
    this.range = init.range
    this.base = init.base
    this.title = init.title
    this.instructions = init.instructions
    this.replacedBy = init.replacedBy
  }

  /** The files of the stage once it is planned; `label` is the name they were asked for by. */
  fileSource(label: string): FileSource | undefined {
    // Files that nothing is done to are read where they are.
    if (this.context !== undefined && this.instructions.length === 0) return { from: 'context', name: this.context }
    return this.state === undefined ? undefined : { from: 'op', op: this.state.tip, label }
  }

  /** How many numbered steps the stage has, FROM included. */
  stepCount(): number {
    if (!this.declared || this.replacedBy !== undefined) return 0
    const steps = this.instructions.filter(({ instruction }) =>
      ['RUN', 'COPY', 'ADD', 'WORKDIR'].includes(instruction.kind),
    ).length
    return steps + (this.base === undefined && this.baseName !== 'scratch' ? 1 : 0)
  }

  /**
   * Puts the ONBUILD triggers of the base image, or of the stage this one is built from, in front of the stage's own
   * instructions. Nothing is built from an image that is only read, so its triggers do not fire. True when a trigger
   * reads a stage or image that the file had not named here before.
   */
  unfoldTriggers(nodes: StageNode[]): boolean {
    if (this.#unfolded || !this.declared || this.replacedBy !== undefined) return false
    this.#unfolded = true
    const triggers = [...(this.image?.config.config?.OnBuild ?? [])]
    for (const { instruction } of this.base?.instructions ?? [])
      if (instruction.kind === 'ONBUILD') triggers.push(instruction.expression)
    if (triggers.length === 0) return false
    const before = this.sources.size
    const unfolded = triggers.map((text): StageInstruction => {
      return { instruction: readTrigger(text), onbuild: true, range: this.range }
    })
    this.instructions = [...unfolded, ...this.instructions]
    for (const item of unfolded) linkSources(this, item, nodes)
    return this.sources.size > before
  }
}

/** A trigger's text stands in no file: what is wrong with it is told where it fires. */
function readTrigger(text: string): Instruction {
  try {
    return parseTrigger(text)
  } catch (error) {
    if (!(error instanceof DockerfileError)) throw error
    const message = error.problems.map((problem) => problem.message).join('; ')
    throw new CairnError('DOCKERFILE_INVALID', `ONBUILD trigger ${JSON.stringify(text)}: ${message}`, { cause: error })
  }
}

/**
 * The stages of a file with the links between them. `findContext` says which `--build-context` there is for a name, on
 * a platform where the stage has one: it takes the place of the whole stage of that name.
 */
export function linkStages(
  dockerfile: Dockerfile,
  globalArgs: ReadonlyMap<string, string>,
  words: WordOptions,
  findContext: (name: string, platform: Platform | undefined) => string | undefined,
): StageNode[] {
  const nodes: StageNode[] = []
  const lookup = (name: string): string | undefined => globalArgs.get(name)
  for (const { from, index, instructions } of dockerfile.stages) {
    locate(dockerfile, from.range, () => {
      const baseName = expandWord(from.image, lookup, words)
      if (baseName === '') throw new CairnError('DOCKERFILE_INVALID', `base name (${from.image}) should not be blank`)
      const platform = from.platform === undefined ? undefined : stagePlatform(from.platform, lookup, words)
      const replacedBy = from.name === undefined ? undefined : findContext(from.name, platform)
      const base = replacedBy === undefined ? nodes.findLast((node) => node.name === baseName.toLowerCase()) : undefined
      const own = replacedBy === undefined ? instructions : []
      nodes.push(
        new StageNode({
          declared: true,
          name: from.name,
          baseName,
          platform,
          range: from.range,
          base,
          title: from.name ?? `stage-${index}`,
          instructions: own.map((instruction) => ({ instruction, onbuild: false, range: instruction.range })),
          replacedBy,
        }),
      )
    })
  }
  for (const node of nodes.slice()) {
    for (const item of node.instructions) locate(dockerfile, item.range, () => linkSources(node, item, nodes))
  }
  // A file of one stage needs no stage name in its step titles, not even a given one.
  if (nodes.length === 1 && nodes[0] !== undefined) nodes[0].title = ''
  return nodes
}

function stagePlatform(text: string, lookup: (name: string) => string | undefined, words: WordOptions): Platform {
  const { result } = expandWordDetailed(text, lookup, words)
  if (result === '') throw new CairnError('DOCKERFILE_INVALID', `empty platform value from expression ${text}`)
  return parsePlatform(result)
}

function linkSources(node: StageNode, { instruction, range }: StageInstruction, nodes: StageNode[]): void {
  if (instruction.kind === 'COPY' && instruction.from !== undefined)
    linkSource(node, instruction.from, range, nodes, true)
  if (instruction.kind === 'RUN') {
    for (const mount of instruction.mounts) {
      const from = mountSource(mount)
      if (from !== undefined) linkSource(node, from, range, nodes, false)
    }
  }
}

function linkSource(node: StageNode, from: string, range: SourceRange, nodes: StageNode[], allowIndex: boolean): void {
  if (node.sources.has(from)) return
  if (/(^|[^\\])\$/.test(from))
    throw new CairnError(
      'DOCKERFILE_INVALID',
      'variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround',
    )
  const declared = nodes.filter((candidate) => candidate.declared)
  let source: StageNode | undefined
  if (allowIndex && /^\d+$/.test(from)) {
    source = declared[Number(from)]
    if (source === undefined) throw new CairnError('DOCKERFILE_INVALID', `invalid stage index ${from}`)
  } else {
    source = declared.findLast((candidate) => candidate.name === from.toLowerCase())
  }
  if (source === undefined) {
    source = new StageNode({
      declared: false,
      name: undefined,
      baseName: from,
      platform: undefined,
      range,
      base: undefined,
      title: '',
      instructions: [],
    })
    // In front, so that it is planned before every stage that reads it.
    nodes.unshift(source)
  }
  node.sources.set(from, source)
}

/** The target and everything it is built from. Throws on stages that need each other. */
export function reachableStages(dockerfile: Dockerfile, target: StageNode): Set<StageNode> {
  const reachable = new Set<StageNode>()
  const path = new Set<StageNode>()
  const pending: { node: StageNode; leave: boolean }[] = [{ node: target, leave: false }]
  for (let item = pending.pop(); item !== undefined; item = pending.pop()) {
    const { node, leave } = item
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
        node.range,
      )
    if (reachable.has(node)) continue
    reachable.add(node)
    path.add(node)
    pending.push({ node, leave: true })
    for (const next of [...(node.base === undefined ? [] : [node.base]), ...node.sources.values()])
      pending.push({ node: next, leave: false })
  }
  return reachable
}
