import { CairnError, reworded } from '../../errors/error.ts'
import { DockerfileError } from '../../dockerfile/dockerfile-error.ts'
import { extensionsHint } from '../../dockerfile/frontend.ts'
import type { Dockerfile, Instruction, SourceRange } from '../../dockerfile/instruction.ts'
import { mountSource } from '../../dockerfile/mount.ts'
import { parseTrigger } from '../../dockerfile/parser.ts'
import { withSuggestion } from '../../dockerfile/suggest.ts'
import { expandWord } from '../../dockerfile/words.ts'
import type { Platform } from '../../oci/platform.ts'
import { expandFrom, type FromScope } from './from-scope.ts'
import { type StageInstruction, StageNode } from './stage-node.ts'
import type { ProblemList } from '../step-error.ts'

/** What links between stages are made with. */
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

  /**
   * The stage that `--target` names, by name or number; the last one where it is undefined. Throws STAGE_UNKNOWN,
   * DOCKERFILE_INVALID for a file without stages.
   */
  target(name: string | undefined): StageNode {
    if (name === undefined) {
      const last = this.stages.at(-1)
      if (last === undefined) throw new CairnError('DOCKERFILE_INVALID', 'dockerfile contains no stages to build')
      return last
    }
    const found =
      this.#byName.get(name.toLowerCase()) ?? (/^\d+$/.test(name) ? this.#byIndex.get(Number(name)) : undefined)
    if (found !== undefined) return found
    const names = this.stages.map((node) => node.name).filter((one) => one !== undefined)
    throw new CairnError(
      'STAGE_UNKNOWN',
      withSuggestion(`target stage ${JSON.stringify(name)} could not be found`, name.toLowerCase(), names),
      {
        hint: names.length === 0 ? 'No stage of this Dockerfile has a name.' : `Its stages are: ${names.join(', ')}.`,
      },
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
