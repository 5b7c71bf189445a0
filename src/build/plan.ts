import { renderStepTitle } from './step-title.ts'
import { CairnError } from '../errors/error.ts'
import type { Dockerfile, Instruction, SourceRange } from '../dockerfile/instruction.ts'
import type { RunDevice } from '../dockerfile/device.ts'
import { compareRanges } from '../dockerfile/source-order.ts'
import { withSuggestion } from '../dockerfile/suggest.ts'
import { type WordOptions, expandWord } from '../dockerfile/words.ts'
import type { ImageConfig } from '../oci/config.ts'
import { normalizePlatform, type Platform } from '../oci/platform.ts'
import { Bases } from './bases.ts'
import type { BaseImage, BuildPlan, ExtraHost, Op, PlanWarning } from './graph.ts'
import { applyMetadata, type InstructionScope } from './ops/metadata.ts'
import { startStage } from './ops/base-plan.ts'
import { planCopy } from './ops/copy-plan.ts'
import { planRun } from './ops/run-plan.ts'
import { planWorkdir } from './ops/workdir-plan.ts'
import { findContext, type NamedContexts } from './named-contexts.ts'
import { isBuilderArgument, platformArguments, proxyEnvironment } from './platform-args.ts'
import { reachableStages, StageGraph, type StageNode } from './stages.ts'
import type { StageState } from './stage-state.ts'
import { ProblemList } from './step-error.ts'

export interface PlanOptions {
  readonly dockerfile: Dockerfile
  /** Stage name or number; the last stage where undefined. */
  readonly target: string | undefined
  /** `--all-stages`: every stage of the file is built; the image is still that of the target. */
  readonly allStages?: boolean
  /** `--build-arg`s that have a value. */
  readonly buildArgs: ReadonlyMap<string, string>
  readonly labels: ReadonlyMap<string, string>
  /** The platform to build for; undefined lets the base image decide, as docker does. */
  readonly platform: Platform | undefined
  readonly buildPlatform: Platform
  readonly network: 'default' | 'none' | 'host'
  readonly extraHosts: readonly ExtraHost[]
  /** Entitlements given with `--allow`. */
  readonly allow: ReadonlySet<string>
  readonly noCache: boolean
  /** Lower-case stage names whose steps are never taken from the cache. */
  readonly noCacheFilter: ReadonlySet<string>
  /** The CDI devices that a step asks for by their full names. Throws STEP_INVALID, also where they are not allowed. */
  readonly findDevices?: (devices: readonly RunDevice[]) => readonly string[]
  /** Stands for a secret's value in the key of a step; undefined where that is not to count. */
  readonly secretFingerprint?: (id: string) => string | undefined
  /** Finds a base image; called once for each distinct name and platform, concurrently. */
  readonly resolveImage: (reference: string, platform: Platform) => Promise<BaseImage>
  /** When the context is from, seconds since 1970, where it has a time of its own: what SOURCE_DATE_EPOCH=context is. */
  readonly contextTime?: (() => number | undefined) | undefined
  /** What `--build-context` gives in place of images and stages. */
  readonly namedContexts?: NamedContexts | undefined
}

/** What planning one stage's instructions needs besides the stage. */
export interface StagePlanner extends InstructionScope {
  readonly options: PlanOptions
  readonly node: StageNode
  readonly state: StageState
  readonly proxyEnv: ReadonlyMap<string, string>
  readonly ignoreCache: boolean
  /** The title of the stage's next step. */
  readonly title: (text: string, onbuild: boolean) => string
  /** Number and position for the next op. */
  readonly nextOp: () => { readonly id: number; readonly ordinal: number }
  /** Adds the op and makes it the tip of the stage. */
  readonly add: (op: Op) => void
}

/**
 * Turns a Dockerfile into the graph of ops that the target needs: stages are linked, base images resolved, ONBUILD
 * triggers unfolded, variables expanded. Stages the target does not reach cost nothing.
 *
 * Throws DockerfileError with the line for whatever is wrong, STAGE_UNKNOWN for an unknown target.
 */
export async function planBuild(options: PlanOptions): Promise<BuildPlan> {
  const { dockerfile, buildArgs, buildPlatform } = options
  const targetPlatform = options.platform ?? buildPlatform
  const words: WordOptions = { escape: dockerfile.escape }
  const lastStage = dockerfile.stages.at(-1)
  const targetName = (options.target ?? lastStage?.from.name ?? '').toLowerCase()
  const problems = new ProblemList(dockerfile)
  const globalArgs = evaluateGlobalArgs(
    options,
    platformArguments(buildPlatform, targetPlatform, targetName === '' ? 'default' : targetName),
    words,
    problems,
  )
  problems.throwIfAny()
  const epoch = parseEpoch(
    buildArgs.get('SOURCE_DATE_EPOCH') ?? globalArgs.get('SOURCE_DATE_EPOCH'),
    options.contextTime,
  )

  const graph = new StageGraph(
    {
      dockerfile,
      globalArgs,
      words,
      findContext: (name, platform) => findContext(options.namedContexts, name, platform ?? targetPlatform),
    },
    problems,
  )
  problems.throwIfAny()
  const target = findTarget(graph, options.target)
  const wanted = options.allStages === true ? graph.stages : [target]
  const reachable = await resolveReachable(graph, wanted, options, targetPlatform, problems)

  const declared = new Set<string>(dockerfile.metaArgs.flatMap(({ args }) => args.map(({ key }) => key)))
  const ops: Op[] = []
  const proxyEnv = proxyEnvironment(buildArgs)
  const warnings: PlanWarning[] = []
  const stoodOn = new Set([...wanted, ...[...reachable].map(({ base }) => base)])
  const scope: StageScope = { stoodOn, options, ops, words, globalArgs, declared, proxyEnv, targetPlatform, problems }
  for (const node of graph.nodes) if (reachable.has(node)) planStage(node, scope)
  problems.throwIfAny()

  const unused = [...buildArgs.keys()].filter(
    (name) => !declared.has(name) && !globalArgs.has(name) && !isBuilderArgument(name),
  )
  if (unused.length > 0) warnings.push({ message: `One or more build-args [${unused.join(' ')}] were not consumed` })

  const state = target.state
  if (state === undefined) throw new Error('the target stage was not planned')
  return {
    ops,
    target: state.tip,
    wanted: wanted.flatMap(({ state: other }) => (other?.tip === undefined ? [] : [other.tip])),
    config: resultConfig(state, options, targetPlatform),
    inheritedHistory: state.inheritedHistory,
    platform: options.platform ?? state.platform,
    epoch,
    warnings,
  }
}

function evaluateGlobalArgs(
  options: PlanOptions,
  defaults: Map<string, string>,
  words: WordOptions,
  problems: ProblemList,
): Map<string, string> {
  const values = new Map<string, string>()
  for (const [key, value] of defaults) values.set(key, options.buildArgs.get(key) ?? value)
  for (const instruction of options.dockerfile.metaArgs) {
    for (const { key, value: fallback } of instruction.args) {
      let value = options.buildArgs.get(key)
      if (value === undefined && fallback !== undefined)
        value = problems.collect(instruction.range, () => expandWord(fallback, (name) => values.get(name), words))
      // An ARG without a value is still declared: it hides no platform argument but is known in stages.
      if (value !== undefined) values.set(key, value)
    }
  }
  return values
}

/**
 * SOURCE_DATE_EPOCH as whole seconds; empty counts as not given, and `context` as what `contextTime` gives. Throws USAGE
 * for anything else but a whole number.
 */
export function parseEpoch(text: string | undefined, contextTime?: () => number | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  if (text === 'context' && contextTime !== undefined) return contextTime()
  if (!/^\d{1,15}$/.test(text))
    throw new CairnError('USAGE', `invalid SOURCE_DATE_EPOCH: ${JSON.stringify(text)}`, {
      exitCode: 1,
      hint: 'Give seconds since 1970, for example SOURCE_DATE_EPOCH=$(git log -1 --format=%ct).',
    })
  return Number(text)
}

function findTarget(graph: StageGraph, target: string | undefined): StageNode {
  if (target === undefined) {
    const last = graph.stages.at(-1)
    if (last === undefined) throw new CairnError('DOCKERFILE_INVALID', 'dockerfile contains no stages to build')
    return last
  }
  const found = graph.find(target)
  if (found !== undefined) return found
  const names = graph.stages.map((node) => node.name).filter((name) => name !== undefined)
  throw new CairnError(
    'STAGE_UNKNOWN',
    withSuggestion(`target stage ${JSON.stringify(target)} could not be found`, target.toLowerCase(), names),
    {
      hint: names.length === 0 ? 'No stage of this Dockerfile has a name.' : `Its stages are: ${names.join(', ')}.`,
    },
  )
}

/**
 * Finds what the wanted stages, and those they need, stand on, until ONBUILD triggers bring nothing new. Everything
 * that cannot be found at a time is told at once.
 */
async function resolveReachable(
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
    const failures = await Promise.all(
      pending.map(async (node) => {
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
    for (const failure of inOrder.toSorted((a, b) => compareRanges(a.range, b.range))) {
      if (told.has(failure.error)) continue
      told.add(failure.error)
      problems.add(failure.error, failure.range)
    }
    let grew = false
    if (told.size === 0)
      for (const node of reachable)
        if (problems.collect(node.range, () => graph.unfoldTriggers(node)) === true) grew = true
    problems.throwIfAny()
    if (!grew) return reachable
  }
}

interface StageScope {
  /** Stages that others are built from, or that are the target. */
  readonly stoodOn: ReadonlySet<StageNode | undefined>
  readonly options: PlanOptions
  readonly ops: Op[]
  readonly words: WordOptions
  readonly globalArgs: ReadonlyMap<string, string>
  readonly declared: Set<string>
  readonly proxyEnv: ReadonlyMap<string, string>
  readonly targetPlatform: Platform
  readonly problems: ProblemList
}

/** Plans one stage. Its first problem is kept; stages that are made of a stage with a problem are left out. */
function planStage(node: StageNode, scope: StageScope): void {
  const { options, ops, targetPlatform, problems } = scope
  if ([node.base, ...node.sources.values()].some((other) => other?.isBroken === true)) {
    node.isBroken = true
    return
  }
  const platform = node.platform ?? targetPlatform
  const total = node.stepCount()
  let step = 0
  let ordinal = 0
  const title = (text: string, onbuild: boolean): string => {
    if (total === 0) return text
    step += 1
    return renderStepTitle({ stage: node.title, step, total, onbuild, text })
  }
  const nextOp = (): { id: number; ordinal: number } => ({ id: ops.length, ordinal: ordinal++ })
  const ignoreCache = options.noCache || (node.name !== undefined && options.noCacheFilter.has(node.name))

  const isStoodOn = scope.stoodOn.has(node)
  const state = startStage(node, { ops, platform, ignoreCache, isStoodOn, title, nextOp })
  node.state = state

  const planner: StagePlanner = {
    options,
    node,
    state,
    words: scope.words,
    buildArgs: options.buildArgs,
    globalArgs: scope.globalArgs,
    declare: (name) => scope.declared.add(name),
    proxyEnv: scope.proxyEnv,
    ignoreCache,
    title,
    nextOp,
    add: (op) => {
      ops.push(op)
      state.tip = op
    },
  }
  for (const { instruction, onbuild, range } of node.instructions) {
    const isFine = problems.collect(range, () => {
      planInstruction(planner, instruction, onbuild, range)
      return true
    })
    if (isFine === true) continue
    node.isBroken = true
    return
  }
}

function planInstruction(planner: StagePlanner, instruction: Instruction, onbuild: boolean, range: SourceRange): void {
  switch (instruction.kind) {
    case 'RUN':
      return planRun(planner, instruction, onbuild, range)
    case 'COPY':
    case 'ADD':
      return planCopy(planner, instruction, onbuild, range)
    case 'WORKDIR':
      return planWorkdir(planner, instruction, onbuild, range)
    default:
      return applyMetadata(planner.state, instruction, planner)
  }
}

function resultConfig(state: StageState, options: PlanOptions, targetPlatform: Platform): ImageConfig {
  const { config, base, author } = state
  if (options.labels.size > 0) state.setLabels(options.labels)
  const platform = normalizePlatform(
    options.platform !== undefined || base === undefined
      ? targetPlatform
      : {
          os: base.os,
          architecture: base.architecture,
          ...(base.variant === undefined ? {} : { variant: base.variant }),
        },
  )
  const { created: _created, history: _history, rootfs: _rootfs, variant: _variant, ...kept } = base ?? {}
  return {
    ...kept,
    ...(author === undefined || author === '' ? {} : { author }),
    architecture: platform.architecture,
    os: platform.os,
    ...(platform.variant === undefined ? {} : { variant: platform.variant }),
    config,
    history: state.history,
    rootfs: { type: 'layers', diff_ids: [] },
  }
}
