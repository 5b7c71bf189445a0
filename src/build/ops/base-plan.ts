import { defaultPath } from '../../oci/config.ts'
import type { Platform } from '../../oci/platform.ts'
import type { CopyOp, Op } from '../graph.ts'
import type { StepNumbers } from '../plan/plan-stage.ts'
import type { StageNode } from '../plan/stage-node.ts'
import { StageState } from '../plan/stage-state.ts'

/** What planning the base of a stage needs besides the stage. */
export interface BasePlanner extends StepNumbers {
  readonly ops: Op[]
  /** The ops there are for images and contexts, by what they are: each is one op however many stages stand on it. */
  readonly bases: Map<string, Op>
  readonly platform: Platform
  readonly ignoreCache: string | undefined
  /** True when steps start from the stage's files, not only read them. */
  readonly isStoodOn: boolean
}

/** The state a stage starts with: that of the stage or image it is from. Adds the op for what no other stage has. */
export function startStage(node: StageNode, planner: BasePlanner): StageState {
  const { platform } = planner
  if (node.base?.state !== undefined) return StageState.fromStage(node.base.state)
  if (node.image !== undefined)
    return StageState.fromImage(node.image.config, node.image.platform, imageOp(node, planner))
  const state =
    node.replacedBy === undefined
      ? StageState.scratch(platform)
      : StageState.fromConfig({ Env: [`PATH=${defaultPath}`] }, platform)
  if (node.context !== undefined && (planner.isStoodOn || node.instructions.length > 0)) {
    state.tip = contextOp(node, node.context, planner)
    state.commit(`FROM ${node.replacedBy ?? node.baseName}`, true)
  }
  return state
}

function imageOp(node: StageNode, { ops, bases, platform, title, nextOp }: BasePlanner): Op | undefined {
  const { image } = node
  if (image === undefined || (image.config.rootfs?.diff_ids ?? []).length === 0) return undefined
  // The step counts in every stage, but an image is only one op.
  const position = nextOp()
  const shown = node.contextTitle ?? title(`FROM ${image.name}`, false)
  const identity = `image ${image.digest} ${image.name}`
  const same = bases.get(identity)
  if (same !== undefined) return same
  const base: Op = {
    kind: 'base',
    ...position,
    title: shown,
    text: `FROM ${node.baseName}`,
    stage: node.title,
    range: node.range,
    parent: undefined,
    platform,
    ignoreCache: undefined,
    image,
  }
  ops.push(base)
  bases.set(identity, base)
  return base
}

/** All files of a context as the first layer. */
function contextOp(node: StageNode, context: string, planner: BasePlanner): Op {
  const { ops, bases, platform, ignoreCache, nextOp } = planner
  const title = node.contextTitle ?? context
  const position = nextOp()
  const identity = `context ${title}`
  const same = bases.get(identity)
  if (same !== undefined) return same
  const op: CopyOp = {
    kind: 'copy',
    ...position,
    title,
    text: title,
    stage: node.title,
    range: node.range,
    parent: undefined,
    platform,
    ignoreCache,
    sources: [
      {
        kind: 'files',
        source: { from: 'context', name: context },
        pattern: '/',
        parents: false,
        optional: false,
        unpack: false,
      },
    ],
    destination: '/',
    chown: undefined,
    chmod: undefined,
    excludes: [],
    link: false,
  }
  ops.push(op)
  bases.set(identity, op)
  return op
}
