import { expandWord, type WordOptions } from '../dockerfile/words.ts'
import type { History, ImageConfig, ContainerConfig } from '../oci/config.ts'
import type { Platform } from '../oci/platform.ts'
import type { Op } from './graph.ts'
import type { Place } from '../dockerfile/lint/rule.ts'

/** PATH of an image that sets none. */
export const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** The comment BuildKit leaves in history entries; tools recognise it. */
const historyComment = 'buildkit.dockerfile.v0'

export interface StageArgument {
  readonly key: string
  readonly value: string | undefined
}

/**
 * What is known at one point of a stage while it is planned: environment, arguments, configuration, history, and the
 * op whose filesystem the next instruction starts from.
 */
export class StageState {
  /** ENV and ARG in one list where the later line wins, as BuildKit keeps it. */
  readonly env: Map<string, string>
  readonly args: StageArgument[]
  readonly config: Mutable<ContainerConfig>
  readonly history: History[]
  readonly inheritedHistory: number
  author: string | undefined
  platform: Platform
  tip: Op | undefined
  /** Fields of the base image's configuration that Cairn does not know; kept in the result. */
  readonly base: ImageConfig | undefined
  readonly #argumentNames: Set<string>
  /** The last CMD, ENTRYPOINT and HEALTHCHECK of this very stage. */
  readonly latest = new Map<'CMD' | 'ENTRYPOINT' | 'HEALTHCHECK', Place>()
  /** A WORKDIR was in this stage or one it is built from; that of the base image does not count. */
  hasWorkdir = false
  /** The image's ENV, each name once, and where each stands. */
  readonly #imageEnv: string[]
  readonly #envPositions: Map<string, number>

  private constructor(init: {
    env: Map<string, string>
    args: StageArgument[]
    config: Mutable<ContainerConfig>
    history: History[]
    inheritedHistory: number
    author: string | undefined
    platform: Platform
    tip: Op | undefined
    base: ImageConfig | undefined
  }) {
    this.env = init.env
    this.args = init.args
    this.#argumentNames = new Set(init.args.map(({ key }) => key))
    this.config = init.config
    this.history = init.history
    this.inheritedHistory = init.inheritedHistory
    this.author = init.author
    this.platform = init.platform
    this.tip = init.tip
    this.base = init.base
    this.#imageEnv = [...(init.config.Env ?? [])]
    this.#envPositions = new Map(this.#imageEnv.map((entry, index) => [splitEnv(entry)[0], index]))
  }

  /** FROM scratch. */
  static scratch(platform: Platform): StageState {
    return new StageState({
      env: new Map([['PATH', defaultPath]]),
      args: [],
      config: { WorkingDir: '/', Env: [`PATH=${defaultPath}`] },
      history: [],
      inheritedHistory: 0,
      author: undefined,
      platform,
      tip: undefined,
      base: undefined,
    })
  }

  /** A configuration to which instructions are applied by themselves, as `import --change` does; nothing is added. */
  static fromConfig(given: ContainerConfig, platform: Platform): StageState {
    const config = withoutNulls(structuredClone(given))
    return new StageState({
      env: new Map((config.Env ?? []).map(splitEnv)),
      args: [],
      config,
      history: [],
      inheritedHistory: 0,
      author: undefined,
      platform,
      tip: undefined,
      base: undefined,
    })
  }

  /** FROM an image: everything is inherited but `created` and ONBUILD. */
  static fromImage(image: ImageConfig, platform: Platform, tip: Op | undefined): StageState {
    const config = withoutNulls(structuredClone(image.config ?? {}))
    delete config.OnBuild
    const env = new Map<string, string>()
    for (const entry of config.Env ?? []) {
      const [key, value] = splitEnv(entry)
      env.set(key, value)
    }
    if (!env.has('PATH')) {
      env.set('PATH', defaultPath)
      config.Env = [...(config.Env ?? []), `PATH=${defaultPath}`]
    }
    const history = [...(image.history ?? [])]
    return new StageState({
      env,
      args: [],
      config,
      history,
      inheritedHistory: history.length,
      author: image.author,
      platform,
      tip,
      base: image,
    })
  }

  /** FROM a stage of the same file: its ARGs come along too. */
  static fromStage(stage: StageState): StageState {
    const config: Mutable<ContainerConfig> = structuredClone(stage.config)
    delete config.OnBuild
    // What the image would bring counts anew: an ENV hides an ARG that came after it in the stage below.
    const env = new Map(stage.env)
    for (const entry of config.Env ?? []) env.set(...splitEnv(entry))
    const state = new StageState({
      env,
      args: [...stage.args],
      config,
      history: [...stage.history],
      inheritedHistory: stage.inheritedHistory,
      author: stage.author,
      platform: stage.platform,
      tip: stage.tip,
      base: stage.base,
    })
    state.hasWorkdir = stage.hasWorkdir
    return state
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
    this.setBuildEnv(key, value)
    const index = this.#envPositions.get(key)
    if (index === undefined) this.#envPositions.set(key, this.#imageEnv.push(`${key}=${value}`) - 1)
    else this.#imageEnv[index] = `${key}=${value}`
    this.config.Env = this.#imageEnv
  }

  /** Adds an ARG of this stage. */
  addArgument(argument: StageArgument): void {
    this.args.push(argument)
    this.#argumentNames.add(argument.key)
  }

  /** Names of all variables that have a value. */
  get variableNames(): Iterable<string> {
    return this.env.keys()
  }

  /** True when an ARG of this stage, or of those it is built from, has this name. */
  declares(name: string): boolean {
    return this.#argumentNames.has(name)
  }

  /** Sets labels of the image. */
  setLabels(pairs: Iterable<readonly [key: string, value: string]>): void {
    const labels = (this.config.Labels ??= {})
    // Not an assignment: a label may be called __proto__.
    for (const [key, value] of pairs)
      Object.defineProperty(labels, key, { value, enumerable: true, configurable: true, writable: true })
  }

  /** Sets a variable for RUN and expansion only, as ARG does. */
  setBuildEnv(key: string, value: string): void {
    this.env.delete(key)
    this.env.set(key, value)
  }

  /** Adds a history entry; its time is filled in when the image is written. */
  commit(createdBy: string, layer: boolean): void {
    this.history.push({ created_by: createdBy, comment: historyComment, ...(layer ? {} : { empty_layer: true }) })
  }

  /** `args` as Docker writes a RUN in history: the stage's ARGs with their current values in front. */
  runHistory(args: readonly string[]): string {
    const values = new Map<string, string>()
    for (const { key, value } of this.args) values.set(key, this.env.get(key) ?? value ?? '')
    const prefix = values.size === 0 ? [] : [`|${values.size}`, ...[...values].map(([key, value]) => `${key}=${value}`)]
    return ['RUN', ...prefix, ...args].join(' ')
  }
}

/** The config without fields that are null, which mean the same as absent ones. */
function withoutNulls(config: ContainerConfig): Mutable<ContainerConfig> {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== null)) as Mutable<ContainerConfig>
}

/** `KEY=value` as key and value; a missing `=` gives an empty value. */
function splitEnv(entry: string): [key: string, value: string] {
  const equals = entry.indexOf('=')
  return equals < 0 ? [entry, ''] : [entry.slice(0, equals), entry.slice(equals + 1)]
}
