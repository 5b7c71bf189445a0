import { CairnError } from '../../errors/error.ts'
import type { Place } from '../../dockerfile/lint/rule.ts'
import { expandWord, type WordOptions } from '../../dockerfile/words.ts'
import { type ContainerConfig, defaultPath, type History, type ImageConfig } from '../../oci/config.ts'
import type { Platform } from '../../oci/platform.ts'
import { Environment } from './environment.ts'
import type { Op } from '../graph.ts'
import { StageArguments } from './stage-arguments.ts'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** The comment BuildKit leaves in history entries; tools recognise it. */
const historyComment = 'buildkit.dockerfile.v0'

/** Characters that the entries of a stage have together: a short file can make any number of them of a variable. */
const longestHistory = 256 * 1024 * 1024

/**
 * What is known at one point of a stage while it is planned: environment, arguments, configuration, history, and the
 * op whose filesystem the next instruction starts from.
 */
export class StageState {
  readonly env: Environment
  readonly #args: StageArguments
  /** All of it but ENV, which {@link imageConfig} adds. */
  readonly config: Mutable<Omit<ContainerConfig, 'Env'>>
  readonly #history: History[]
  readonly #below: StageState | undefined
  #historyLength: number
  readonly inheritedHistory: number
  author: string | undefined
  platform: Platform
  tip: Op | undefined
  /** Configuration of the base image, for what of it is kept beside `config`. */
  readonly base: ImageConfig | undefined
  /** The last CMD, ENTRYPOINT and HEALTHCHECK of this very stage. */
  readonly latest = new Map<'CMD' | 'ENTRYPOINT' | 'HEALTHCHECK', Place>()
  /** A WORKDIR was in this stage or one it is built from; that of the base image does not count. */
  hasWorkdir = false
  readonly #triggers: string[]

  private constructor(init: {
    env: Environment
    args?: StageArguments
    config: ContainerConfig
    history?: History[]
    below?: StageState
    inheritedHistory?: number
    author?: string | undefined
    platform: Platform
    tip?: Op | undefined
    base?: ImageConfig | undefined
  }) {
    const { Env: _env, ...config } = init.config
    this.env = init.env
    this.#args = init.args ?? StageArguments.none()
    this.config = config
    this.#triggers = [...(config.OnBuild ?? [])]
    this.#history = init.history ?? []
    this.#below = init.below
    this.#historyLength = init.below === undefined ? 0 : init.below.#historyLength
    this.inheritedHistory = init.inheritedHistory ?? 0
    this.author = init.author
    this.platform = init.platform
    this.tip = init.tip
    this.base = init.base
  }

  /** FROM scratch. */
  static scratch(platform: Platform): StageState {
    return new StageState({ env: Environment.of([`PATH=${defaultPath}`]), config: { WorkingDir: '/' }, platform })
  }

  /** A configuration to which instructions are applied by themselves, as `import --change` does; nothing is added. */
  static fromConfig(given: ContainerConfig, platform: Platform): StageState {
    const config = withoutNulls(structuredClone(given))
    return new StageState({ env: Environment.of(config.Env ?? []), config, platform })
  }

  /** FROM an image: everything is inherited but `created` and ONBUILD. */
  static fromImage(image: ImageConfig, platform: Platform, tip: Op | undefined): StageState {
    const config = withoutNulls(structuredClone(image.config ?? {}))
    delete config.OnBuild
    const env = Environment.of(config.Env ?? [])
    if (env.get('PATH') === undefined) env.setImage('PATH', defaultPath)
    const history = [...(image.history ?? [])]
    const { author } = image
    return new StageState({
      env,
      config,
      history,
      inheritedHistory: history.length,
      author,
      platform,
      tip,
      base: image,
    })
  }

  /** FROM a stage of the same file, which is planned and does not change any more: its ARGs come along too. */
  static fromStage(stage: StageState): StageState {
    const { OnBuild: _triggers, ...config } = stage.config
    // Only these three are changed in place.
    for (const field of ['Labels', 'ExposedPorts', 'Volumes'] as const) {
      const map = config[field]
      if (map !== undefined) Object.assign(config, { [field]: { ...map } })
    }
    const state = new StageState({
      env: stage.env.inherit(),
      args: stage.#args.inherit(!stage.env.hidesImage),
      config,
      below: stage,
      inheritedHistory: stage.inheritedHistory,
      author: stage.author,
      platform: stage.platform,
      tip: stage.tip,
      base: stage.base,
    })
    state.hasWorkdir = stage.hasWorkdir
    return state
  }

  /** The configuration of the image as it is at this point. */
  get imageConfig(): ContainerConfig {
    const entries = this.env.imageEntries
    return entries.length === 0 ? { ...this.config } : { ...this.config, Env: entries }
  }

  /** The history of the image: that of the base image first. */
  get history(): History[] {
    const parts = [this.#history]
    for (let below = this.#below; below !== undefined; below = below.#below) parts.push(below.#history)
    return parts.toReversed().flat()
  }

  /** Where relative paths start: WORKDIR, else the root. */
  get workdir(): string {
    const { WorkingDir: directory } = this.config
    return directory === undefined || directory === '' ? '/' : directory
  }

  /** The word with this stage's variables put in. */
  expand(word: string, options: WordOptions): string {
    return expandWord(word, (name) => this.env.get(name), options)
  }

  /** Sets an ENV variable: for RUN and expansion, and in the image. */
  setEnv(key: string, value: string): void {
    this.env.setImage(key, value)
    this.#args.onSet(key)
  }

  /** Declares an ARG. Its value is for RUN and expansion only; with `isHidden` it does not even get there. */
  declareArgument(key: string, value: string | undefined, isHidden: boolean): void {
    if (value !== undefined && !isHidden) this.env.setArgument(key, value)
    this.#args.declare(key, value, this.env)
  }

  /** Names of all variables that have a value. */
  get variableNames(): Iterable<string> {
    return this.env.names
  }

  /** True when an ARG of this stage, or of those it is built from, has this name. */
  declares(name: string): boolean {
    return this.#args.has(name)
  }

  /** Sets labels of the image. */
  setLabels(pairs: Iterable<readonly [key: string, value: string]>): void {
    addTo((this.config.Labels ??= {}), pairs)
  }

  /** Adds ports or volumes to the image. */
  addNames(field: 'ExposedPorts' | 'Volumes', names: readonly string[]): void {
    addTo(
      (this.config[field] ??= {}),
      names.map((name) => [name, {}]),
    )
  }

  /** Adds an ONBUILD trigger to the image. */
  addTrigger(expression: string): void {
    this.#triggers.push(expression)
    this.config.OnBuild = this.#triggers
  }

  /** Adds a history entry; its time is filled in when the image is written. Throws LIMIT_EXCEEDED. */
  commit(createdBy: string, layer: boolean): void {
    this.#historyLength += createdBy.length
    if (this.#historyLength > longestHistory)
      throw new CairnError('LIMIT_EXCEEDED', `the history of the stage is longer than ${longestHistory} characters`)
    this.#history.push({ created_by: createdBy, comment: historyComment, ...(layer ? {} : { empty_layer: true }) })
  }

  /** `args` as Docker writes a RUN in history: the stage's ARGs with their current values in front. */
  runHistory(args: readonly string[]): string {
    return `RUN ${this.#args.prefix(this.env)}${args.join(' ')}`
  }
}

/** Not by assignments: a label may be called __proto__. */
function addTo<Value>(
  map: Readonly<Record<string, Value>>,
  entries: Iterable<readonly [name: string, value: Value]>,
): void {
  for (const [name, value] of entries)
    Object.defineProperty(map, name, { value, enumerable: true, configurable: true, writable: true })
}

/** The config without fields that are null, which mean the same as absent ones. */
function withoutNulls(config: ContainerConfig): Mutable<ContainerConfig> {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== null)) as Mutable<ContainerConfig>
}
