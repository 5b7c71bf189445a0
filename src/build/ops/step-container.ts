import { CairnError, isCairnError, reworded } from '../../errors/error.ts'
import type { Tree } from '../../layers/tree.ts'
import { enterPrivateMounts } from '../../linux/mount-namespace.ts'
import { tryLstat, tryStat } from '../../linux/file-status.ts'
import { AT_FDCWD } from '../../linux/files.ts'
import { unmount } from '../../linux/mounts.ts'
import { changeModeAt, makeDirectories } from '../../linux/names.ts'
import { mountOverlay } from '../../linux/overlay.ts'
import { removeTree } from '../../linux/remove-tree.ts'
import { writeTextFile } from '../../linux/text-file.ts'
import { hostPlatform } from '../../oci/platform.ts'
import type { RuntimeSpec } from '../../oci/runtime-spec.ts'
import { withDevices } from '../../runtime/cdi-edits.ts'
import { findEmulator, withEmulator } from '../../runtime/emulation.ts'
import { insecureDevices } from '../../runtime/insecure-devices.ts'
import { runtimeLimit } from '../../runtime/limits.ts'
import { hostsFile, resolverConfig } from '../../runtime/network-files.ts'
import { run } from '../../runtime/run.ts'
import { terminalRuntime } from '../../runtime/runtime.ts'
import { type ContainerMount, containerSpec } from '../../runtime/spec.ts'
import { resolveUser } from '../../runtime/user.ts'
import { accountFiles } from '../../snapshots/account-files.ts'
import { mountPoints } from '../../snapshots/mount-points.ts'
import type { ByteSource } from '../../streams/source.ts'
import type { WritableSnapshot } from '../../snapshots/snapshots.ts'
import type { RunOp } from '../graph.ts'
import { rootedPath } from '../paths.ts'
import type { RunEnvironment } from './run.ts'
import { RunMounts } from './run-mounts.ts'

/** The root file system of a step. */
export interface StepFiles {
  readonly snapshot: WritableSnapshot
  /** What it starts from. */
  readonly tree: Tree
  readonly lowers: readonly string[]
}

/** What a command that ended badly fails with. */
export class StepFailure extends CairnError {
  readonly status: number

  /** `cause` says why the command did not even start. */
  constructor(op: RunOp, status: number, cause?: CairnError) {
    const reason = cause === undefined ? '' : `: ${cause.message}`
    super('STEP_FAILED', `${incomplete(op)}: exit code: ${status}${reason}`, { cause })
    this.status = status
  }
}

function incomplete({ args }: RunOp): string {
  return `process ${JSON.stringify(args.join(' '))} did not complete successfully`
}

/** Throws USER_UNKNOWN in BuildKit's words. */
function stepUser(op: RunOp, tree: Tree): ReturnType<typeof resolveUser> {
  try {
    return resolveUser(op.user, accountFiles(tree))
  } catch (error) {
    if (!isCairnError(error, 'USER_UNKNOWN')) throw error
    throw reworded(error, `${incomplete(op)}: ${error.message}`)
  }
}

/** The container of a RUN step with its mounts; dispose of it when it has run. */
export class StepContainer implements Disposable {
  readonly #op: RunOp
  readonly #environment: RunEnvironment
  readonly #id: string
  readonly #bundle: string
  readonly #undo: (() => void)[] = []
  #spec: RuntimeSpec | undefined

  private constructor(op: RunOp, environment: RunEnvironment, id: string) {
    this.#op = op
    this.#environment = environment
    this.#id = id
    this.#bundle = environment.store.session.temporaryPath('run')
  }

  /** Mounts everything. Throws what a mount that cannot be made throws; nothing is left mounted then. */
  static async open(op: RunOp, environment: RunEnvironment, files: StepFiles): Promise<StepContainer> {
    const container = new StepContainer(op, environment, files.snapshot.id)
    try {
      await container.#open(files)
      return container
    } catch (error) {
      container[Symbol.dispose]()
      throw error
    }
  }

  async #open({ snapshot, tree, lowers }: StepFiles): Promise<void> {
    const bundle = this.#bundle
    makeDirectories(bundle, 0o700)
    this.#undo.push(() => removeTree(bundle))
    enterPrivateMounts()
    const mounts = new RunMounts(this.#op, this.#environment, tree, bundle)
    this.#undo.push(() => mounts.close())
    await mounts.open()
    const own = this.#withDevices(this.#specOf(snapshot, tree, mounts))
    const emulator = findEmulator(this.#op.platform.architecture, hostPlatform().architecture, process.env)
    const spec = emulator === undefined ? own : withEmulator(own, emulator)
    const points = mountPoints(
      tree,
      spec.mounts.map(({ destination }) => destination),
      `${bundle}/points`,
      fileTargets(spec),
    )
    mountOverlay({
      lowers: points === undefined ? lowers : [points, ...lowers],
      upper: snapshot.upper,
      work: snapshot.work,
      target: snapshot.merged,
      nodev: this.#op.security !== 'insecure',
      // Never mounted as an upper again, and its tar is what is kept: no need to bring it to the disk.
      volatile: true,
    })
    this.#undo.push(() => unmount(snapshot.merged, { lazy: true }))
    this.#spec = spec
  }

  [Symbol.dispose](): void {
    for (const undo of this.#undo.splice(0).reverse()) undo()
  }

  /** Runs the step's command. Throws STEP_FAILED with the command and its exit code, CANCELED. */
  async run(): Promise<void> {
    const { store, signal, log, run: settings } = this.#environment
    try {
      const container = run({
        id: this.#id,
        spec: this.#opened,
        bundle: this.#bundle,
        stateDirectory: store.path('builds', 'run'),
        stdin: 'none',
        stdout: 'pipe',
        stderr: 'pipe',
        readOutput: settings.readOutput,
        signal,
      })
      const [status] = await Promise.all([
        container.exited,
        forward(container.stdout, (data) => log.write(1, data)),
        forward(container.stderr, (data) => log.write(2, data)),
      ])
      if (status !== 0) throw new StepFailure(this.#op, status)
    } catch (error) {
      // What the shell of an image without one says is a failed step like any other.
      if (error instanceof CairnError && (error.exitCode === 127 || error.exitCode === 126))
        throw new StepFailure(this.#op, error.exitCode, error)
      throw error
    }
  }

  /**
   * Runs a shell in place of the step's command, on the terminal of this process. Resolves when it has ended, however
   * it did. Throws COMMAND_NOT_FOUND where the file system has none.
   */
  async runShell(signal: AbortSignal): Promise<void> {
    const spec = this.#opened
    const shell = ['/bin/bash', '/bin/sh'].find((path) => tryLstat(spec.root.path + path) !== undefined)
    const { process } = spec
    const { exited } = run({
      id: `${this.#id}-shell`,
      spec: {
        ...spec,
        process: {
          ...process,
          terminal: true,
          args: [shell ?? '/bin/sh'],
          env: process.env.some((entry) => entry.startsWith('TERM=')) ? process.env : [...process.env, 'TERM=xterm'],
        },
      },
      bundle: this.#bundle,
      stateDirectory: this.#environment.store.path('builds', 'run'),
      terminal: 'inherit',
      ...terminalRuntime(),
      signal,
    })
    await exited
  }

  get #opened(): RuntimeSpec {
    if (this.#spec === undefined) throw new Error('the container of the step is not open')
    return this.#spec
  }

  #withDevices(spec: RuntimeSpec): RuntimeSpec {
    const { devices } = this.#environment.run
    const wanted = this.#op.devices.map((name) => {
      const device = devices?.get(name)
      if (device === undefined) throw new CairnError('STEP_INVALID', `device ${name} is not registered`)
      return device
    })
    if (wanted.length === 0) return spec
    const directory = `${this.#bundle}/devices`
    const { spec: changed, isMounted } = withDevices(spec, wanted, directory)
    if (isMounted) this.#undo.push(() => unmount(directory, { lazy: true }))
    return changed
  }

  /** How the container is to be, but for its devices. */
  #specOf(snapshot: WritableSnapshot, tree: Tree, mounts: RunMounts): RuntimeSpec {
    const { run: settings } = this.#environment
    const user = stepUser(this.#op, tree)
    const hostNetwork = this.#op.network !== 'none'
    const files = { resolvConf: `${this.#bundle}/resolv.conf`, hosts: `${this.#bundle}/hosts` }
    writeReadable(files.resolvConf, resolverConfig({ hostNetwork }), 0o644)
    const { hostname, extraHosts } = this.#op
    writeReadable(files.hosts, hostsFile({ hostname, extraHosts, isBrief: true }), 0o644)
    const scriptMounts: ContainerMount[] = []
    if (this.#op.script !== undefined) {
      makeDirectories(`${this.#bundle}/pipes`)
      changeModeAt(AT_FDCWD, `${this.#bundle}/pipes`, 0o755)
      writeReadable(`${this.#bundle}/pipes/${this.#op.script.name}`, this.#op.script.content, 0o755)
      scriptMounts.push({ type: 'bind', source: `${this.#bundle}/pipes`, target: '/dev/pipes', readonly: true })
    }
    const insecure = this.#op.security === 'insecure'
    return containerSpec({
      rootfs: snapshot.merged,
      args: this.#op.args,
      env: [...new Map([...this.#op.proxyEnv, ...this.#op.env, ...mounts.env])].map(
        ([key, value]) => `${key}=${value}`,
      ),
      cwd: this.#op.cwd,
      user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
      home: user.home,
      hostname: this.#op.hostname,
      network: hostNetwork ? 'host' : 'none',
      networkFiles: files,
      mounts: [...mounts.mounts, ...scriptMounts],
      ...(insecure ? { privileged: true, ambientCapabilities: true, devices: insecureDevices() } : {}),
      ...(settings.shmSize === undefined ? {} : { shmSize: settings.shmSize }),
      ...(settings.rlimits === undefined ? {} : { rlimits: settings.rlimits.map(runtimeLimit) }),
      ...(settings.cgroupParent === undefined
        ? {}
        : { cgroup: { path: `${rootedPath(settings.cgroupParent).replace(/\/$/, '')}/cairn-${snapshot.id}` } }),
    })
  }
}

/** Where a bind mount of the spec puts something that is no directory. */
function fileTargets({ mounts }: RuntimeSpec): ReadonlySet<string> {
  const binds = mounts.filter(({ type, source = '' }) => type === 'bind' && tryStat(source)?.type !== 'directory')
  return new Set(binds.map(({ destination }) => destination))
}

async function forward(source: ByteSource | undefined, write: (data: Uint8Array) => void): Promise<void> {
  if (source === undefined) return
  for await (const chunk of source) write(new Uint8Array(chunk))
}

/** Writes a file that every user of the container reads, whatever the umask. */
function writeReadable(path: string, text: string, mode: number): void {
  writeTextFile(path, text, mode)
  changeModeAt(AT_FDCWD, path, mode)
}
