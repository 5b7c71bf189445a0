import { renderStepTitle } from '../step-title.ts'
import { CairnError } from '../../errors/error.ts'
import type { IgnoreMatcher } from '../../dockerfile/ignore.ts'
import type { Dockerfile } from '../../dockerfile/instruction.ts'
import type { Linter } from '../../dockerfile/lint/linter.ts'
import type { RunDevice } from '../../dockerfile/device.ts'
import { compareRanges } from '../../dockerfile/source-order.ts'
import { withSuggestion } from '../../dockerfile/suggest.ts'
import type { WordOptions } from '../../dockerfile/words.ts'
import type { ImageConfig } from '../../oci/config.ts'
import { fixedTime } from '../../images/fixed-time.ts'
import { formatPlatform, normalizePlatform, type Platform } from '../../oci/platform.ts'
import { Bases } from './bases.ts'
import { evaluateGlobalArgs, tellDefaultBases } from './from-scope.ts'
import type { BaseImage, BuildPlan, ExtraHost, Op, PlanWarning } from '../graph.ts'
import { type InstructionLint, instructionLint } from './instruction-lint.ts'
import { applyMetadata, type DeclaredArgument, type InstructionScope } from '../ops/metadata.ts'
import { startStage } from '../ops/base-plan.ts'
import { type Outline, outlineOf } from './outline.ts'
import { planCopy } from '../ops/copy-plan.ts'
import { planRun } from '../ops/run-plan.ts'
import { planWorkdir } from '../ops/workdir-plan.ts'
import { parseEpoch } from '../epoch.ts'
import { findContext, type NamedContexts } from './named-contexts.ts'
import { isBuilderArgument, platformArguments, proxyEnvironment } from './platform-args.ts'
import { reachableStages, StageGraph, type StageInstruction, type StageNode } from './stages.ts'
import type { StageState } from './stage-state.ts'
import { ProblemList } from '../step-error.ts'

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
  /** `--no-cache`, or the flag that stands for it here. */
  readonly noCache: boolean | '--verify-reproducible'
  /** Lower-case stage names whose steps are never taken from the cache. */
  readonly noCacheFilter: ReadonlySet<string>
  /** The CDI devices that a step asks for by their full names. Throws STEP_INVALID, also where they are not allowed. */
  readonly findDevices?: (devices: readonly RunDevice[]) => readonly string[]
  /** Stands for a secret's value in the key of a step; undefined where that is not to count. */
  readonly secretFingerprint?: (id: string) => string | undefined
  /** Judges the Dockerfile as it is planned; what the text shows by itself it has been told. */
  readonly linter?: Linter | undefined
  /** What the ignore file excludes from the context. */
  readonly ignore?: IgnoreMatcher | undefined
  /** Of a build for several platforms: what was planned for others, which this joins. Titles then name platforms. */
  readonly joined?: JoinedPlans | undefined
  /** Finds a base image; called once for each distinct name and platform, concurrently. */
  readonly resolveImage: (reference: string, platform: Platform) => Promise<BaseImage>
  /** `--timestamps`: what depends on when and where a build runs has one time, unless `real`. */
  readonly timestamps?: 'fixed' | 'real' | undefined
  /** When the context is from, seconds since 1970, where it has a time of its own: what SOURCE_DATE_EPOCH=context is. */
  readonly contextTime?: (() => number | undefined) | undefined
  /** What `--build-context` gives in place of images and stages. */
  readonly namedContexts?: NamedContexts | undefined
}

/** The ops of several plans in one graph. */
export interface JoinedPlans {
  readonly ops: Op[]
  /** The ops of images and contexts, by what they are. */
  readonly bases: Map<string, Op>
}

/** A plan, and what the file says about it. */
export interface PlannedBuild extends BuildPlan {
  /** What the target can be given. */
  readonly outline: () => Outline
}

/** What planning one stage's instructions needs besides the stage. */
export interface StagePlanner extends InstructionScope {
  readonly options: PlanOptions
  readonly node: StageNode
  readonly state: StageState
  readonly proxyEnv: ReadonlyMap<string, string>
  readonly ignoreCache: string | undefined
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
 * Throws DockerfileError with the line for whatever is wrong, STAGE_UNKNOWN for an unknown target, DOCKERFILE_INVALID
 * where the file asks for an error (`# check=error=true`) and the linter found something.
 */
export async function planBuild(given: PlanOptions): Promise<PlannedBuild> {
  const options = withEpoch(given)
  const { dockerfile, buildArgs, buildPlatform, linter } = options
  const targetPlatform = options.platform ?? buildPlatform
  const words: WordOptions = { escape: dockerfile.escape }
  const lastStage = dockerfile.stages.at(-1)
  const targetName = options.target ?? lastStage?.from.name ?? ''
  const problems = new ProblemList(dockerfile)
  const platformArgs = platformArguments(buildPlatform, targetPlatform, targetName === '' ? 'default' : targetName)
  for (const key of platformArgs.keys()) platformArgs.set(key, buildArgs.get(key) ?? platformArgs.get(key) ?? '')
  if (linter !== undefined) tellDefaultBases(dockerfile, platformArgs, words, linter)
  const globalArgs = evaluateGlobalArgs(dockerfile, buildArgs, platformArgs, words, problems)
  problems.throwIfAny()
  const epoch = parseEpoch(
    buildArgs.get('SOURCE_DATE_EPOCH') ?? globalArgs.get('SOURCE_DATE_EPOCH'),
    options.contextTime,
  )

  const declared = new Set<string>(dockerfile.metaArgs.flatMap(({ args }) => args.map(({ key }) => key)))
  const graph = new StageGraph(
    {
      dockerfile,
      globalArgs,
      known: new Set([...declared, ...globalArgs.keys()]),
      words,
      linter,
      findContext: (name, platform) => findContext(options.namedContexts, name, platform ?? targetPlatform),
    },
    problems,
  )
  problems.throwIfAny()
  const target = findTarget(graph, options.target)
  const wanted = options.allStages === true ? graph.stages : [target]
  const reachable = await resolveReachable(graph, wanted, options, targetPlatform, problems)

  const { ops, bases } = options.joined ?? { ops: [], bases: new Map<string, Op>() }
  const first = ops.length
  const proxyEnv = proxyEnvironment(buildArgs)
  const warnings: PlanWarning[] = []
  const stoodOn = new Set([...wanted, ...[...reachable].map(({ base }) => base)])
  const scope: StageScope = {
    stoodOn,
    options,
    ops,
    bases,
    words,
    globalArgs,
    declared,
    proxyEnv,
    targetPlatform,
    problems,
  }
  for (const node of graph.nodes) if (reachable.has(node)) planStage(node, scope)
  problems.throwIfAny()

  const unused = [...buildArgs.keys()].filter(
    (name) => !declared.has(name) && !globalArgs.has(name) && !isBuilderArgument(name),
  )
  if (unused.length > 0) warnings.push({ message: `One or more build-args [${unused.join(' ')}] were not consumed` })

  const violated = linter?.errors ?? []
  if (violated.length > 0)
    throw new CairnError('DOCKERFILE_INVALID', `lint violation found for rules: ${violated.join(', ')}`, {
      hint: '# check=error=true makes warnings errors; # check=skip=RULE above an instruction takes it out.',
    })

  const state = target.state
  if (state === undefined) throw new Error('the target stage was not planned')
  return {
    ops: ops.slice(first),
    target: state.tip,
    wanted: wanted.flatMap(({ state: other }) => (other?.tip === undefined ? [] : [other.tip])),
    config: resultConfig(state, options, targetPlatform),
    inheritedHistory: state.inheritedHistory,
    platform: options.platform ?? state.platform,
    epoch,
    fixedTime: options.timestamps === 'real' ? undefined : (epoch ?? fixedTime),
    warnings,
    outline: () => outlineOf(dockerfile, target, { buildArgs, platformArgs, words }),
  }
}

/** With the build argument SOURCE_DATE_EPOCH as the number that it stands for, as steps that declare it see it. */
function withEpoch(options: PlanOptions): PlanOptions {
  const { buildArgs, contextTime } = options
  const text = buildArgs.get('SOURCE_DATE_EPOCH')
  if (text !== 'context' && text !== 'git') return options
  const epoch = parseEpoch(text, contextTime)
  return {
    ...options,
    buildArgs: new Map([...buildArgs, ['SOURCE_DATE_EPOCH', epoch === undefined ? '' : String(epoch)]]),
  }
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
    for (const node of pending) tellBaseImage(node, options, targetPlatform)
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

function tellBaseImage(node: StageNode, { linter }: PlanOptions, targetPlatform: Platform): void {
  const { image, baseName: name } = node
  // The files of an image without layers suit every platform.
  if (image === undefined || (image.config.rootfs?.diff_ids ?? []).length === 0) return
  const expected = node.platform ?? targetPlatform
  linter?.tell('baseImage', { name, expected, actual: image.platform }, node)
}

interface StageScope {
  /** Stages that others are built from, or that are the target. */
  readonly stoodOn: ReadonlySet<StageNode | undefined>
  readonly options: PlanOptions
  readonly ops: Op[]
  /** The ops of images and contexts, see `BasePlanner`. */
  readonly bases: Map<string, Op>
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
    const stage = options.joined === undefined ? node.title : `${formatPlatform(platform)} ${node.title}`.trimEnd()
    return renderStepTitle({ stage, step, total, onbuild, text })
  }
  const nextOp = (): { id: number; ordinal: number } => ({ id: ops.length, ordinal: ordinal++ })
  const isFiltered = node.name !== undefined && options.noCacheFilter.has(node.name)
  const isRenewed = options.noCache === true ? '--no-cache' : options.noCache
  const ignoreCache = isRenewed || (isFiltered ? '--no-cache-filter' : undefined)

  const isStoodOn = scope.stoodOn.has(node)
  const state = startStage(node, { ops, bases: scope.bases, platform, ignoreCache, isStoodOn, title, nextOp })
  node.state = state

  const planner: Omit<StagePlanner, keyof InstructionLint | 'declare'> = {
    options,
    node,
    state,
    words: scope.words,
    buildArgs: options.buildArgs,
    globalArgs: scope.globalArgs,
    proxyEnv: scope.proxyEnv,
    ignoreCache,
    title,
    nextOp,
    add: (op) => {
      ops.push(op)
      state.tip = op
    },
  }
  if (node.base?.hasUnknownBase === true) node.hasUnknownBase = true
  for (const item of node.instructions) {
    const { check } = item.instruction
    const place = { range: item.range, ...(check === undefined ? {} : { check }) }
    const lint = instructionLint(options.linter, state, scope.words, place, !node.hasUnknownBase)
    const declare = (argument: DeclaredArgument): void => {
      scope.declared.add(argument.name)
      node.outline.addArgument(argument, item.range)
    }
    const isFine = problems.collect(item.range, () => {
      planInstruction({ ...planner, ...lint, declare }, item)
      return true
    })
    if (isFine === true) continue
    node.isBroken = true
    return
  }
}

function planInstruction(planner: StagePlanner, { instruction, onbuild, range }: StageInstruction): void {
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
  const { base, author } = state
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
    config: state.imageConfig,
    history: state.history,
    rootfs: { type: 'layers', diff_ids: [] },
  }
}
