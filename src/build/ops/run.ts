import type { Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { type PackLayer, packUpper } from '../../layers/pack/pack-upper.ts'
import { settleTimes, type TimeRule } from '../../layers/pack/settle-times.ts'
import { lstat } from '../../linux/file-status.ts'
import { AT_FDCWD } from '../../linux/files.ts'
import { setTimesAt } from '../../linux/names.ts'
import { overlayObstacle } from '../../linux/overlay.ts'
import type { RuntimeLimit } from '../../oci/runtime-spec.ts'
import type { DeviceRegistry } from '../../runtime/cdi.ts'
import type { OutputReader } from '../../runtime/run.ts'
import { detectRuntime } from '../../runtime/runtime.ts'
import type { Snapshots, WritableSnapshot } from '../../snapshots/snapshots.ts'
import type { SshAgent } from '../../ssh/agent.ts'
import { adoptLayer } from '../adopt-layer.ts'
import type { SecretSource } from '../build-secrets.ts'
import type { BuildContexts } from '../context/context.ts'
import type { Op, RunOp } from '../graph.ts'
import type { Trial } from '../trial.ts'
import { directoryLayer, type Filesystem, type Layer, type PackedLayer } from '../layer.ts'
import type { StepLog } from '../running-step.ts'
import { StepContainer, StepFailure, type StepFiles } from './step-container.ts'

/** What the user asked for about every RUN step of a build. */
export interface RunSettings {
  /** Where what the steps leave goes that is not to be kept; undefined where it is. */
  readonly trial?: Trial | undefined
  readonly secrets: ReadonlyMap<string, SecretSource>
  /** `--ssh`: agents by id. */
  readonly agents?: ReadonlyMap<string, SshAgent>
  /** Bytes of /dev/shm. */
  readonly shmSize: number | undefined
  /** `--ulimit`. */
  readonly rlimits?: readonly RuntimeLimit[]
  /** `--cgroup-parent`: the cgroup that a step gets one of its own below. */
  readonly cgroupParent?: string
  /** The CDI devices of this machine; without them a step gets none. */
  readonly devices?: DeviceRegistry
  /** Writes layers beside the main thread; on it where undefined. */
  readonly packLayer: PackLayer | undefined
  /** Reads what steps write beside the main thread; on it where undefined. */
  readonly readOutput?: OutputReader | undefined
}

export interface RunEnvironment {
  readonly store: Store
  readonly lease: Lease
  readonly snapshots: Snapshots
  readonly contexts: BuildContexts
  /** The Dockerfile's name, as errors have it. */
  readonly dockerfile: string
  readonly epoch: number | undefined
  /** Undefined where times are real, see `BuildPlan`. */
  readonly fixedTime: number | undefined
  readonly run: RunSettings
  readonly signal: AbortSignal
  readonly parent: Filesystem
  readonly sources: ReadonlyMap<Op, Filesystem>
  readonly log: StepLog
}

/**
 * Runs a RUN step in a container on an overlay of the layers below. What it changed becomes the layer's directory at
 * once; its tar is written while the build goes on. Throws STEP_FAILED with the command and its exit code, CANCELED.
 */
export async function runStep(op: RunOp, environment: RunEnvironment): Promise<Layer> {
  const { snapshots, parent, signal, store } = environment
  checkMachine(store)
  const tree = await snapshots.tree(parent)
  const lowers = await snapshots.directories(parent, signal)
  signal.throwIfAborted()
  const snapshot = snapshots.prepare(tree)
  // By the clock of the file system, which lags a little behind the machine's.
  const started = lstat(snapshot.upper).mtimeSeconds
  // The root of the file system is that of the upper directory, which nobody below has dated.
  if (environment.fixedTime !== undefined) setTimesAt(AT_FDCWD, snapshot.upper, environment.fixedTime, 0)
  try {
    await runCommand(op, environment, { snapshot, tree, lowers })
    const rule = timeRule(environment, started)
    if (rule !== undefined) settleTimes(snapshot.upper, rule)
  } catch (error) {
    snapshots.discard(snapshot)
    throw error
  }
  environment.run.trial?.leftovers.defer(() => snapshots.discard(snapshot))
  return directoryLayer(snapshot.upper, pack(environment, snapshot, lowers))
}

/**
 * Which times of a step's files are set back, and to what: all since it started, and all after the epoch. Archives that
 * the step itself packs and unpacks round times down, zip to even seconds.
 */
function timeRule({ epoch, fixedTime }: RunEnvironment, started: number): TimeRule | undefined {
  if (fixedTime === undefined) return epoch === undefined ? undefined : { from: epoch + 1, to: epoch }
  const from = started - (started % 2)
  return { from: epoch === undefined ? from : Math.min(from, epoch + 1), to: fixedTime }
}

/** Runs the step's command to its end; nothing is mounted then. */
async function runCommand(op: RunOp, environment: RunEnvironment, files: StepFiles): Promise<void> {
  const { log } = environment
  using container = await StepContainer.open(op, environment, files)
  try {
    await container.run()
  } catch (error) {
    if (error instanceof StepFailure)
      await log.failed?.({ error, status: error.status, openShell: (signal) => container.runShell(signal) })
    throw error
  }
}

/** Says what is missing before anything is unpacked for the step. */
function checkMachine(store: Store): void {
  if (process.geteuid?.() !== 0)
    throw new CairnError('NOT_ROOT', 'a RUN step needs root to make its container', {
      hint: 'Run cairn as root, for example with sudo. A Dockerfile without RUN builds as any user.',
    })
  detectRuntime()
  const obstacle = overlayObstacle(store.session.directory)
  if (obstacle !== undefined) throw obstacle
}

/** Writes the layer's tar from the changes, beside whatever goes on. */
async function pack(
  { store, lease, snapshots, epoch, run: { packLayer, trial } }: RunEnvironment,
  snapshot: WritableSnapshot,
  lowers: readonly string[],
): Promise<PackedLayer> {
  const target = store.session.temporaryPath('layer')
  const job = { upper: snapshot.upper, lowers: lowers.toReversed(), target, epoch }
  const packed = await adoptLayer(store, lease, target, packLayer === undefined ? packUpper(job) : await packLayer(job))
  if (trial === undefined) snapshots.finish(snapshot, packed.diffId)
  return packed
}
