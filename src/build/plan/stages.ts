import { CairnError, reworded } from '../../errors/error.ts'
import { DockerfileError } from '../../dockerfile/dockerfile-error.ts'
import { extensionsHint } from '../../dockerfile/frontend.ts'
import type { CheckOptions, Dockerfile, Instruction, SourceRange } from '../../dockerfile/instruction.ts'
import { mountSource } from '../../dockerfile/mount.ts'
import { parseTrigger } from '../../dockerfile/parser.ts'
import { expandWord } from '../../dockerfile/words.ts'
import type { Platform } from '../../oci/platform.ts'
import { expandFrom, type FromScope } from './from-scope.ts'
import type { BaseImage, FileSource } from '../graph.ts'
import { StageOutline } from './outline.ts'
import type { StageState } from './stage-state.ts'
import { atRange, type ProblemList } from '../step-error.ts'

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
  /** The `# check=` above the stage's FROM. */
  readonly check?: CheckOptions
  readonly base: StageNode | undefined
  /** What to show in step titles. */
  title: string
  instructions: StageInstruction[]
  /** The stages and images that COPY --from and RUN --mount read, by the name written there. */
  readonly sources = new Map<string, StageNode>()
  /** Where each of them was first named. */
  readonly sourceRanges = new Map<StageNode, SourceRange>()
  image: BaseImage | undefined
  /** The `--build-context` that stands in place of the stage; its instructions are dropped then. */
  readonly replacedBy: string | undefined
  /** The `--build-context` whose files are the base. */
  context: string | undefined
  /** The base as steps show it, where a `--build-context` gave it. */
  contextTitle: string | undefined
  /** True once the base is known. */
  isResolved = false
  /** True where the base image is only a stand-in: then its variables are not known. */
  hasUnknownBase = false
  /** What is known of it for an outline. */
  readonly outline = new StageOutline()
  state: StageState | undefined
  /** True when one of its instructions, or of what it is made of, could not be planned. */
  isBroken = false
  /** True once the ONBUILD triggers of its base stand in front of its instructions. */
  isUnfolded = false

  constructor(init: {
    declared: boolean
    name: string | undefined
    baseName: string
    platform: Platform | undefined
    range: SourceRange
    base: StageNode | undefined
    title: string
    instructions: StageInstruction[]
    check?: CheckOptions | undefined
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
    if (init.check !== undefined) this.check = init.check
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
}

/** A trigger's text stands in no file: what is wrong with it is told where it fires. */
function readTrigger(text: string, dockerfile: Dockerfile): Instruction {
  try {
    return parseTrigger(text, dockerfile)
  } catch (error) {
    if (!(error instanceof DockerfileError)) throw error
    const message = error.problems.map((problem) => problem.message).join('; ')
    throw reworded(error, `ONBUILD trigger ${JSON.stringify(text)}: ${message}`)
  }
}

export interface LinkOptions extends FromScope {
  readonly dockerfile: Dockerfile
  /**
   * The `--build-context` there is for a name, on a platform where the stage has one: it takes the place of the whole
   * stage of that name.
   */
  readonly findContext: (name: string, platform: Platform | undefined) => string | undefined
}

/** The stages of a file, the images that it only reads from, and the links between them. */
export class StageGraph {
  /** In the order of the file, without those that could not be read. */
  readonly stages: StageNode[] = []
  readonly #images = new Map<string, StageNode>()
  readonly #byName = new Map<string, StageNode>()
  readonly #byIndex = new Map<number, StageNode>()
  readonly #options: LinkOptions

  /** What is wrong with names and platforms joins `problems`. */
  constructor(options: LinkOptions, problems: ProblemList) {
    this.#options = options
    const { dockerfile } = options
    for (const stage of dockerfile.stages) problems.collect(stage.from.range, () => this.#addStage(stage))
    for (const node of this.stages)
      for (const item of node.instructions) problems.collect(item.range, () => this.#linkSources(node, item))
    // A file of one stage needs no stage name in its step titles, not even a given one.
    if (this.stages.length === 1 && this.#images.size === 0 && this.stages[0] !== undefined) this.stages[0].title = ''
  }

  /** All of them in an order in which each can be planned after what it is made from. */
  get nodes(): readonly StageNode[] {
    return [...this.#images.values(), ...this.stages]
  }

  /** The stage that `--target` names, by name or number. */
  find(target: string): StageNode | undefined {
    return (
      this.#byName.get(target.toLowerCase()) ?? (/^\d+$/.test(target) ? this.#byIndex.get(Number(target)) : undefined)
    )
  }

  /**
   * Puts the ONBUILD triggers of the base image, or of the stage `node` is built from, in front of the stage's own
   * instructions. Nothing is built from an image that is only read, so its triggers do not fire. True when a trigger
   * reads a stage or image that the file had not named here before.
   */
  unfoldTriggers(node: StageNode): boolean {
    if (node.isUnfolded || !node.declared || node.replacedBy !== undefined) return false
    node.isUnfolded = true
    const triggers = [...(node.image?.config.config?.OnBuild ?? [])]
    for (const { instruction } of node.base?.instructions ?? [])
      if (instruction.kind === 'ONBUILD') triggers.push(instruction.expression)
    if (triggers.length === 0) return false
    const before = node.sources.size
    const unfolded = triggers.map((text): StageInstruction => {
      return { instruction: readTrigger(text, this.#options.dockerfile), onbuild: true, range: node.range }
    })
    node.instructions = [...unfolded, ...node.instructions]
    for (const item of unfolded) this.#linkSources(node, item)
    return node.sources.size > before
  }

  #addStage({ from, index, instructions }: Dockerfile['stages'][number]): void {
    const { baseName, platform, used } = expandFrom(from, this.#options)
    const replacedBy = from.name === undefined ? undefined : this.#options.findContext(from.name, platform)
    const own = replacedBy === undefined ? instructions : []
    const node = new StageNode({
      declared: true,
      name: from.name,
      baseName,
      platform,
      range: from.range,
      check: from.check,
      base: replacedBy === undefined ? this.#byName.get(baseName.toLowerCase()) : undefined,
      title: from.name ?? `stage-${index}`,
      instructions: own.map((instruction) => ({ instruction, onbuild: false, range: instruction.range })),
      replacedBy,
    })
    for (const name of used) node.outline.used.add(name)
    this.stages.push(node)
    this.#byIndex.set(index, node)
    if (from.name !== undefined) this.#byName.set(from.name, node)
  }

  #linkSources(node: StageNode, { instruction, range }: StageInstruction): void {
    if (instruction.kind === 'COPY' && instruction.from !== undefined)
      this.#linkSource(node, instruction.from, range, true)
    if (instruction.kind === 'RUN') {
      for (const mount of instruction.mounts) {
        const from = mountSource(mount)
        if (from !== undefined) this.#linkSource(node, from, range, false)
      }
    }
  }

  #linkSource(node: StageNode, from: string, range: SourceRange, allowIndex: boolean): void {
    if (node.sources.has(from)) return
    const name = this.#sourceName(from)
    const isIndex = allowIndex && /^\d+$/.test(name)
    const stage = isIndex ? this.#byIndex.get(Number(name)) : this.#byName.get(name.toLowerCase())
    if (isIndex && stage === undefined) throw new CairnError('DOCKERFILE_INVALID', `invalid stage index ${name}`)
    const source = stage ?? this.#image(name, range)
    node.sources.set(from, source)
    if (!node.sourceRanges.has(source)) node.sourceRanges.set(source, range)
  }

  /** The stage or image that a `from` names. With extensions it may hold variables, which FROM would see too. */
  #sourceName(from: string): string {
    const { dockerfile, words, globalArgs } = this.#options
    if (!/(^|[^\\])\$/.test(from)) return from
    if (!dockerfile.extensions)
      throw new CairnError(
        'DOCKERFILE_INVALID',
        'variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround',
        { hint: extensionsHint },
      )
    const name = expandWord(from, (variable) => globalArgs.get(variable), words)
    if (name === '')
      throw new CairnError('DOCKERFILE_INVALID', `from (${from}) should not be blank`, {
        hint: 'Only ARGs before the first FROM have a value here.',
      })
    return name
  }

  /** An image that is only read: one node for all who read it. */
  #image(name: string, range: SourceRange): StageNode {
    const known = this.#images.get(name)
    if (known !== undefined) return known
    const image = new StageNode({
      declared: false,
      name: undefined,
      baseName: name,
      platform: undefined,
      range,
      base: undefined,
      title: '',
      instructions: [],
    })
    this.#images.set(name, image)
    return image
  }
}

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
