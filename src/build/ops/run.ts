import type { Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { type PackLayer, packUpper } from '../../layers/pack-upper.ts'
import type { Tree } from '../../layers/tree.ts'
import { enterPrivateMounts } from '../../linux/mount-namespace.ts'
import { AT_FDCWD } from '../../linux/files.ts'
import { unmount } from '../../linux/mounts.ts'
import { changeModeAt, makeDirectories } from '../../linux/names.ts'
import { mountOverlay, overlayObstacle } from '../../linux/overlay.ts'
import { removeTree } from '../../linux/remove-tree.ts'
import { writeTextFile } from '../../linux/text-file.ts'
import { hostsFile, resolverConfig } from '../../runtime/network-files.ts'
import { run } from '../../runtime/run.ts'
import { detectRuntime } from '../../runtime/runtime.ts'
import { type ContainerMount, containerSpec } from '../../runtime/spec.ts'
import { resolveUser } from '../../runtime/user.ts'
import { accountFiles } from '../../snapshots/account-files.ts'
import { mountPoints } from '../../snapshots/mount-points.ts'
import type { ByteSource } from '../../streams/source.ts'
import type { Snapshots, WritableSnapshot } from '../../snapshots/snapshots.ts'
import { adoptLayer } from '../adopt-layer.ts'
import type { SecretSource } from '../build-secrets.ts'
import type { BuildContexts } from '../context.ts'
import type { Op, RunOp } from '../graph.ts'
import { directoryLayer, type Filesystem, type Layer, type PackedLayer } from '../layer.ts'
import type { StepLog } from '../solve.ts'
import { RunMounts } from './run-mounts.ts'

/** What the user asked for about every RUN step of a build. */
export interface RunSettings {
  readonly secrets: ReadonlyMap<string, SecretSource>
  /** Bytes of /dev/shm. */
  readonly shmSize: number | undefined
  /** Writes layers beside the main thread; on it where undefined. */
  readonly packLayer: PackLayer | undefined
}

export interface RunEnvironment {
  readonly store: Store
  readonly lease: Lease
  readonly snapshots: Snapshots
  readonly contexts: BuildContexts
  readonly epoch: number | undefined
  readonly run: RunSettings
  readonly signal: AbortSignal
  readonly parent: Filesystem
  readonly sources: ReadonlyMap<Op, Filesystem>
  readonly log: StepLog
}

/** The name that the machine has in a RUN step, BuildKit's. */
const hostname = 'buildkitsandbox'

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
  try {
    await runContainer(op, environment, snapshot, tree, lowers)
  } catch (error) {
    snapshots.discard(snapshot)
    throw error
  }
  return directoryLayer(snapshot.upper, pack(environment, snapshot, lowers))
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

async function runContainer(
  op: RunOp,
  environment: RunEnvironment,
  snapshot: WritableSnapshot,
  tree: Tree,
  lowers: readonly string[],
): Promise<void> {
  const { store, signal, log } = environment
  const bundle = store.session.temporaryPath('run')
  makeDirectories(bundle, 0o700)
  enterPrivateMounts()
  const mounts = new RunMounts(op, environment, bundle)
  let mounted = false
  try {
    await mounts.open()
    const spec = stepSpec(op, environment, snapshot, tree, bundle, mounts)
    const points = mountPoints(
      tree,
      spec.mounts.map(({ destination }) => destination),
      `${bundle}/points`,
      mounts.fileTargets,
    )
    mountOverlay({
      lowers: points === undefined ? lowers : [points, ...lowers],
      upper: snapshot.upper,
      work: snapshot.work,
      target: snapshot.merged,
      nodev: true,
      // Never mounted as an upper again, and its tar is what is kept: no need to bring it to the disk.
      volatile: true,
    })
    mounted = true
    const container = run({
      id: snapshot.id,
      spec,
      bundle,
      stateDirectory: store.path('builds', 'run'),
      stdin: 'none',
      stdout: 'pipe',
      stderr: 'pipe',
      signal,
    })
    const [status] = await Promise.all([
      container.exited,
      forward(container.stdout, (data) => log.write(1, data)),
      forward(container.stderr, (data) => log.write(2, data)),
    ])
    if (status !== 0) throw failed(op, status)
  } catch (error) {
    // What the shell of an image without one says is a failed step like any other.
    if (error instanceof CairnError && (error.exitCode === 127 || error.exitCode === 126))
      throw new CairnError('STEP_FAILED', `${failed(op, error.exitCode).message}: ${error.message}`, { cause: error })
    throw error
  } finally {
    if (mounted) unmount(snapshot.merged, { lazy: true })
    mounts.close()
    removeTree(bundle)
  }
}

function failed(op: RunOp, status: number): CairnError {
  return new CairnError(
    'STEP_FAILED',
    `process ${JSON.stringify(op.args.join(' '))} did not complete successfully: exit code: ${status}`,
  )
}

async function forward(source: ByteSource | undefined, write: (data: Uint8Array) => void): Promise<void> {
  if (source === undefined) return
  for await (const chunk of source) write(new Uint8Array(chunk))
}

function stepSpec(
  op: RunOp,
  { run: settings }: RunEnvironment,
  snapshot: WritableSnapshot,
  tree: Tree,
  bundle: string,
  mounts: RunMounts,
): ReturnType<typeof containerSpec> {
  const user = resolveUser(op.user, accountFiles(tree))
  const hostNetwork = op.network !== 'none'
  const files = { resolvConf: `${bundle}/resolv.conf`, hosts: `${bundle}/hosts` }
  writeReadable(files.resolvConf, resolverConfig({ hostNetwork }), 0o644)
  writeReadable(files.hosts, hostsFile({ hostname, extraHosts: op.extraHosts }), 0o644)
  const scriptMounts: ContainerMount[] = []
  if (op.script !== undefined) {
    makeDirectories(`${bundle}/pipes`)
    changeModeAt(AT_FDCWD, `${bundle}/pipes`, 0o755)
    writeReadable(`${bundle}/pipes/${op.script.name}`, op.script.content, 0o755)
    scriptMounts.push({ type: 'bind', source: `${bundle}/pipes`, target: '/dev/pipes', readonly: true })
  }
  return containerSpec({
    rootfs: snapshot.merged,
    args: op.args,
    env: [...new Map([...op.proxyEnv, ...op.env, ...mounts.env])].map(([key, value]) => `${key}=${value}`),
    cwd: op.cwd,
    user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
    home: user.home,
    hostname,
    network: hostNetwork ? 'host' : 'none',
    networkFiles: files,
    mounts: [...mounts.mounts, ...scriptMounts],
    ...(settings.shmSize === undefined ? {} : { shmSize: settings.shmSize }),
  })
}

/** Writes a file that every user of the container reads, whatever the umask. */
function writeReadable(path: string, text: string, mode: number): void {
  writeTextFile(path, text, mode)
  changeModeAt(AT_FDCWD, path, mode)
}

/** Writes the layer's tar from the changes, beside whatever goes on. */
async function pack(
  { store, lease, snapshots, epoch, run: { packLayer } }: RunEnvironment,
  snapshot: WritableSnapshot,
  lowers: readonly string[],
): Promise<PackedLayer> {
  const target = store.session.temporaryPath('layer')
  const job = { upper: snapshot.upper, lowers: lowers.toReversed(), target, epoch }
  const packed = await adoptLayer(store, lease, target, packLayer === undefined ? packUpper(job) : await packLayer(job))
  snapshots.finish(snapshot, packed.diffId, packed.size)
  return packed
}
