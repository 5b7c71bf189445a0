import { CairnError } from '../../errors/error.ts'
import type { Linter } from '../../dockerfile/lint/linter.ts'
import { fixedTime } from '../../images/fixed-time.ts'
import type { Platform } from '../../oci/platform.ts'
import { parseEpoch } from '../epoch.ts'
import type { BuildPlan, Op, PlanWarning } from '../graph.ts'
import { ProblemList } from '../step-error.ts'
import { evaluateGlobalArgs, type FromScope, tellDefaultBases } from './from-scope.ts'
import { findContext } from './named-contexts.ts'
import { type Outline, outlineOf } from './outline.ts'
import type { PlanOptions } from './plan-options.ts'
import { planStage } from './plan-stage.ts'
import { isBuilderArgument, platformArguments, proxyEnvironment } from './platform-args.ts'
import { resolveStages } from './resolve-stages.ts'
import { StageGraph } from './stage-graph.ts'
import { targetConfig } from './target-config.ts'

/** A plan, and what the file says about it. */
export interface PlannedBuild extends BuildPlan {
  /** What the target can be given. */
  readonly outline: () => Outline
}

/**
 * Turns a Dockerfile into the graph of ops that the target needs. Stages the target does not reach cost nothing.
 *
 * 1. The ARGs before the first FROM get their values (`from-scope.ts`).
 * 2. Each FROM becomes a node of a graph of stages; what COPY --from and mounts name links them (`stage-graph.ts`).
 * 3. For the nodes that the target reaches, base images are found and their ONBUILD triggers put in front of the
 *    instructions (`resolve-stages.ts`).
 * 4. Stage by stage, with what is known at each point of one (`stage-state.ts`), instructions become ops or change the
 *    configuration (`plan-stage.ts`, which calls `ops/*-plan.ts`).
 * 5. What the last instruction of the target leaves is the image's configuration (`target-config.ts`).
 *
 * Throws DockerfileError with the line for whatever is wrong, STAGE_UNKNOWN for an unknown target, DOCKERFILE_INVALID
 * where the file asks for an error (`# check=error=true`) and the linter found something.
 */
export async function planBuild(given: PlanOptions): Promise<PlannedBuild> {
  const options = withEpoch(given)
  const { dockerfile, buildArgs } = options
  const targetPlatform = options.platform ?? options.buildPlatform
  const problems = new ProblemList(dockerfile)

  const platformArgs = givenPlatformArguments(options, targetPlatform)
  const fromScope = globalScope(options, platformArgs, problems)
  problems.throwIfAny()
  const { globalArgs, words } = fromScope
  const givenEpoch = buildArgs.get('SOURCE_DATE_EPOCH') ?? globalArgs.get('SOURCE_DATE_EPOCH')
  const epoch = parseEpoch(givenEpoch, options.contextTime)

  const contextFor = (name: string, platform = targetPlatform): string | undefined =>
    findContext(options.namedContexts, name, platform)
  const graph = new StageGraph({ ...fromScope, dockerfile, findContext: contextFor }, problems)
  problems.throwIfAny()
  const target = graph.target(options.target)
  const wanted = options.allStages === true ? graph.stages : [target]
  const reachable = await resolveStages(graph, wanted, options, targetPlatform, problems)

  const { ops, bases } = options.joined ?? { ops: [], bases: new Map<string, Op>() }
  const first = ops.length
  const declared = new Set(fromScope.known)
  const stoodOn = new Set([...wanted, ...[...reachable].map(({ base }) => base)])
  const proxyEnv = proxyEnvironment(buildArgs)
  const scope = { options, stoodOn, ops, bases, words, globalArgs, declared, proxyEnv, targetPlatform, problems }
  for (const node of graph.nodes) if (reachable.has(node)) planStage(node, scope)
  problems.throwIfAny()
  throwViolations(options.linter)

  const { state } = target
  if (state === undefined) throw new Error('the target stage was not planned')
  return {
    ops: ops.slice(first),
    target: state.tip,
    wanted: wanted.flatMap(({ state: other }) => (other?.tip === undefined ? [] : [other.tip])),
    config: targetConfig(state, options, targetPlatform),
    inheritedHistory: state.inheritedHistory,
    platform: options.platform ?? state.platform,
    epoch,
    fixedTime: options.timestamps === 'real' ? undefined : (epoch ?? fixedTime),
    warnings: unusedArguments(buildArgs, declared),
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

/** Platform arguments, of which a `--build-arg` may give another value. */
function givenPlatformArguments(options: PlanOptions, targetPlatform: Platform): ReadonlyMap<string, string> {
  const { dockerfile, buildArgs, buildPlatform } = options
  const targetName = options.target ?? dockerfile.stages.at(-1)?.from.name ?? ''
  const args = platformArguments(buildPlatform, targetPlatform, targetName === '' ? 'default' : targetName)
  for (const [key, value] of args) args.set(key, buildArgs.get(key) ?? value)
  return args
}

/** What FROM instructions know. What is wrong with the ARGs before the first of them joins `problems`. */
function globalScope(
  { dockerfile, buildArgs, linter }: PlanOptions,
  platformArgs: ReadonlyMap<string, string>,
  problems: ProblemList,
): FromScope {
  const words = { escape: dockerfile.escape }
  if (linter !== undefined) tellDefaultBases(dockerfile, platformArgs, words, linter)
  const globalArgs = evaluateGlobalArgs(dockerfile, buildArgs, platformArgs, words, problems)
  const names = dockerfile.metaArgs.flatMap(({ args }) => args.map(({ key }) => key))
  return { globalArgs, known: new Set([...names, ...globalArgs.keys()]), words, linter }
}

/** Fails where the file asks for that when the linter found something. */
function throwViolations(linter: Linter | undefined): void {
  const violated = linter?.errors ?? []
  if (violated.length > 0)
    throw new CairnError('DOCKERFILE_INVALID', `lint violation found for rules: ${violated.join(', ')}`, {
      hint: '# check=error=true makes warnings errors; # check=skip=RULE above an instruction takes it out.',
    })
}

function unusedArguments(buildArgs: ReadonlyMap<string, string>, declared: ReadonlySet<string>): PlanWarning[] {
  const unused = [...buildArgs.keys()].filter((name) => !declared.has(name) && !isBuilderArgument(name))
  return unused.length === 0 ? [] : [{ message: `One or more build-args [${unused.join(' ')}] were not consumed` }]
}
