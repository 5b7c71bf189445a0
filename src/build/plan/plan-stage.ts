import type { WordOptions } from '../../dockerfile/words.ts'
import { formatPlatform, type Platform } from '../../oci/platform.ts'
import type { SourceRange } from '../../dockerfile/instruction.ts'
import type { Op, OpBase } from '../graph.ts'
import { startStage } from '../ops/base-plan.ts'
import { planCopy } from '../ops/copy-plan.ts'
import { applyMetadata, type DeclaredArgument, type InstructionScope } from '../ops/metadata.ts'
import { planRun } from '../ops/run-plan.ts'
import { planWorkdir } from '../ops/workdir-plan.ts'
import type { ProblemList } from '../step-error.ts'
import { renderStepTitle } from '../step-title.ts'
import { instructionLint } from './instruction-lint.ts'
import type { PlanOptions } from './plan-options.ts'
import type { StageInstruction, StageNode } from './stage-node.ts'
import type { StageState } from './stage-state.ts'

/** What the stages of one plan have in common. */
export interface PlanScope {
  readonly options: PlanOptions
  /** Stages that others are built from, or that are the target. */
  readonly stoodOn: ReadonlySet<StageNode | undefined>
  /** Where the ops of all stages go. */
  readonly ops: Op[]
  /** The ops of images and contexts, see `BasePlanner`. */
  readonly bases: Map<string, Op>
  readonly words: WordOptions
  readonly globalArgs: ReadonlyMap<string, string>
  /** Gets the names of the stages' ARGs. */
  readonly declared: Set<string>
  readonly proxyEnv: ReadonlyMap<string, string>
  readonly targetPlatform: Platform
  readonly problems: ProblemList
}

/** The place that each next step of a stage has in what is shown, and in the graph. */
export interface StepNumbers {
  /** The title of the stage's next step. */
  readonly title: (text: string, onbuild: boolean) => string
  /** Number and position for the next op. */
  readonly nextOp: () => { readonly id: number; readonly ordinal: number }
}

/** What planning one instruction needs: its stage so far, and where its op goes. */
export interface StagePlanner extends InstructionScope {
  readonly options: PlanOptions
  readonly node: StageNode
  readonly state: StageState
  readonly proxyEnv: ReadonlyMap<string, string>
  /** What every op has, of the stage's next one: `text` is the expanded instruction. */
  readonly newOp: (text: string, onbuild: boolean, range: SourceRange) => OpBase
  /** Adds the op and makes it the tip of the stage. */
  readonly add: (op: Op) => void
}

/**
 * Plans a stage whose base is known: gives it a state, and adds the ops of its instructions. Its first problem is kept;
 * stages that are made of a stage with a problem are left out.
 */
export function planStage(node: StageNode, scope: PlanScope): void {
  if ([node.base, ...node.sources.values()].some((other) => other?.isBroken === true)) {
    node.isBroken = true
    return
  }
  const { options, ops, bases } = scope
  const platform = node.platform ?? scope.targetPlatform
  const ignoreCache = ignoringFlag(node, options)
  const numbers = stepNumbers(node, platform, scope)
  const isStoodOn = scope.stoodOn.has(node)
  const state = startStage(node, { ops, bases, platform, ignoreCache, isStoodOn, ...numbers })
  node.state = state
  if (node.base?.hasUnknownBase === true) node.hasUnknownBase = true
  const planner: InstructionlessPlanner = {
    options,
    node,
    state,
    words: scope.words,
    buildArgs: options.buildArgs,
    globalArgs: scope.globalArgs,
    proxyEnv: scope.proxyEnv,
    newOp: (text, onbuild, range) => ({
      ...numbers.nextOp(),
      title: numbers.title(text, onbuild),
      text,
      stage: node.title,
      range,
      parent: state.tip,
      platform: state.platform,
      ignoreCache,
    }),
    add: (op) => {
      ops.push(op)
      state.tip = op
    },
  }
  node.isBroken = !node.instructions.every((item) => planInstruction(planner, item, scope))
}

/** A planner of a stage before it is at an instruction. */
type InstructionlessPlanner = Omit<StagePlanner, keyof ReturnType<typeof instructionLint> | 'declare'>

/** The flag that forbids taking the stage's steps from the cache. */
function ignoringFlag({ name }: StageNode, { noCache, noCacheFilter }: PlanOptions): string | undefined {
  if (noCache !== false) return noCache === true ? '--no-cache' : noCache
  return name !== undefined && noCacheFilter.has(name) ? '--no-cache-filter' : undefined
}

function stepNumbers(node: StageNode, platform: Platform, { options, ops }: PlanScope): StepNumbers {
  const stage = options.joined === undefined ? node.title : `${formatPlatform(platform)} ${node.title}`.trimEnd()
  const total = node.stepCount()
  let step = 0
  let ordinal = 0
  return {
    title: (text, onbuild) => (total === 0 ? text : renderStepTitle({ stage, step: ++step, total, onbuild, text })),
    nextOp: () => ({ id: ops.length, ordinal: ordinal++ }),
  }
}

/** Plans one instruction. False where that failed: what is wrong joins the problems. */
function planInstruction(planner: InstructionlessPlanner, item: StageInstruction, scope: PlanScope): boolean {
  const { node, state } = planner
  const { instruction, range } = item
  const place = { range, check: instruction.check }
  const lint = instructionLint(planner.options.linter, state, scope.words, place, !node.hasUnknownBase)
  const declare = (argument: DeclaredArgument): void => {
    scope.declared.add(argument.name)
    node.outline.addArgument(argument, range)
  }
  const isPlanned = scope.problems.collect(range, () => {
    addInstruction({ ...planner, ...lint, declare }, item)
    return true
  })
  return isPlanned === true
}

function addInstruction(planner: StagePlanner, { instruction, onbuild, range }: StageInstruction): void {
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
