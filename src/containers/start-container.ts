import type { Store } from '../content/store.ts'
import type { Tree } from '../layers/tree.ts'
import { stat, tryStat } from '../linux/file-status.ts'
import { AT_FDCWD } from '../linux/files.ts'
import { enterPrivateMounts } from '../linux/mount-namespace.ts'
import { unmount } from '../linux/mounts.ts'
import { changeModeAt, makeDirectories } from '../linux/names.ts'
import { mountOverlay } from '../linux/overlay.ts'
import { readTextFile, writeTextFile } from '../linux/text-file.ts'
import type { Digest } from '../oci/digest.ts'
import type { RuntimeSpec } from '../oci/runtime-spec.ts'
import { containerCapabilities, heldCapabilities } from '../runtime/capabilities.ts'
import { runtimeLimit } from '../runtime/limits.ts'
import { hostsFile, resolverConfig } from '../runtime/network-files.ts'
import { run, type RunningContainer, type RunOptions } from '../runtime/run.ts'
import { terminalRuntime } from '../runtime/runtime.ts'
import { type ContainerMount, containerSpec } from '../runtime/spec.ts'
import { resolveUser } from '../runtime/user.ts'
import { accountFiles } from '../snapshots/account-files.ts'
import { mountPoints } from '../snapshots/mount-points.ts'
import type { Snapshots } from '../snapshots/snapshots.ts'
import type { Container, ContainerSettings, MountSetting } from './container.ts'
import type { NewContainer } from './create-container.ts'
import { checkExecutable } from './executable.ts'
import { hostDevices } from './host-devices.ts'
import { containerDirectory, runtimeStateDirectory } from './places.ts'
import { commandLine, processEnvironment } from './settings.ts'
import { openVolume } from './volumes.ts'

/** Where a container's input and output go; see runtime/run.ts. */
export type StartOptions = Pick<
  RunOptions,
  'stdin' | 'stdout' | 'stderr' | 'terminal' | 'signal' | 'forwardSignals' | 'runtime'
>

/** A container that runs, and its root file system. */
export interface StartedContainer extends RunningContainer {
  /** Takes the root file system out of this process's mounts; to be called when the container has ended. */
  readonly release: () => void
}

/**
 * Starts a container that createContainer() has made: mounts its root file system in this process's private mounts,
 * opens its volumes and hands it to the OCI runtime. Throws USER_UNKNOWN, and as mountOverlay() and run().
 */
export async function startContainer(
  store: Store,
  snapshots: Snapshots,
  { container, snapshot }: NewContainer,
  diffIds: readonly Digest[],
  options: StartOptions,
): Promise<StartedContainer> {
  const { settings } = container
  const layers = diffIds.map((diffId) => ({ diffId, directory: undefined }))
  const lowers = await snapshots.directories(layers, options.signal)
  const tree = await snapshots.tree(layers)
  const bundle = containerDirectory(store, container.id)
  makeDirectories(bundle, 0o700)
  const files = networkMounts(bundle, settings)
  const { mounts, fileTargets } = await openMounts(store, container, tree, options.signal)
  const spec = specOf(container, snapshot.merged, tree, [...files, ...mounts].toSorted(byDepth))
  const targets = spec.mounts.map(({ destination }) => destination)
  checkExecutable(tree, settings, targets)
  const points = mountPoints(tree, targets, `${bundle}/points`, fileTargets)
  // What / of the container looks like is told by its writable directory.
  changeModeAt(AT_FDCWD, snapshot.upper, tree.lookup('/')?.mode ?? 0o755)
  enterPrivateMounts()
  mountOverlay({
    lowers: points === undefined ? lowers : [points, ...lowers],
    upper: snapshot.upper,
    work: snapshot.work,
    target: snapshot.merged,
    nodev: !settings.privileged,
  })
  const release = (): void => void unmount(snapshot.merged, { lazy: true })
  try {
    const stateDirectory = runtimeStateDirectory(store)
    const running = run({
      ...options,
      ...(settings.tty && options.runtime === undefined ? terminalRuntime() : {}),
      id: container.id,
      spec,
      bundle,
      stateDirectory,
    })
    return { ...running, release }
  } catch (error) {
    release()
    throw error
  }
}

interface OpenMounts {
  readonly mounts: readonly ContainerMount[]
  /** Targets that a file is mounted on. */
  readonly fileTargets: ReadonlySet<string>
}

async function openMounts(
  store: Store,
  container: Container,
  tree: Tree,
  signal: AbortSignal | undefined,
): Promise<OpenMounts> {
  const fileTargets = new Set<string>()
  const mounts: ContainerMount[] = []
  for (const setting of container.settings.mounts) {
    const mount = await openMount(store, container, setting, tree, signal)
    if (mount.type === 'bind' && stat(mount.source).type !== 'directory') fileTargets.add(mount.target)
    mounts.push(mount)
  }
  return { mounts, fileTargets }
}

async function openMount(
  store: Store,
  { id }: Container,
  mount: MountSetting,
  tree: Tree,
  signal: AbortSignal | undefined,
): Promise<ContainerMount> {
  const { target, readonly } = mount
  switch (mount.type) {
    case 'tmpfs':
      return mount
    case 'volume':
      return { type: 'bind', source: await openVolume(store, id, mount, tree, signal), target, readonly }
    case 'bind':
      if (mount.createSource && tryStat(mount.source) === undefined) makeDirectories(mount.source)
      return { type: 'bind', source: mount.source, target, readonly, recursive: mount.recursive }
  }
}

/** Outer mounts before those inside them. */
function byDepth(a: ContainerMount, b: ContainerMount): number {
  return a.target.split('/').length - b.target.split('/').length
}

/**
 * The files that every container gets over those of its image, unless a mount asked for is there. On the host's own
 * network they are the host's.
 */
function networkMounts(bundle: string, settings: ContainerSettings): ContainerMount[] {
  const { network, hostname, extraHosts, dns } = settings
  const texts = {
    'resolv.conf': resolverConfig({ ...dns, hostNetwork: network !== 'none' }),
    hosts: network === 'host' ? hostsOfHost(extraHosts) : hostsFile({ hostname, extraHosts }),
    hostname: `${hostname}\n`,
  }
  const taken = new Set(settings.mounts.map(({ target }) => target))
  return Object.entries(texts).flatMap(([name, text]): ContainerMount[] => {
    const target = `/etc/${name}`
    if (taken.has(target)) return []
    const source = `${bundle}/${name}`
    writeTextFile(source, text, 0o644)
    // Whatever the umask: every user of the container reads it.
    changeModeAt(AT_FDCWD, source, 0o644)
    return [{ type: 'bind', source, target }]
  })
}

function hostsOfHost(extraHosts: ContainerSettings['extraHosts']): string {
  const text = readTextFile('/etc/hosts') ?? hostsFile({ hostname: 'localhost' })
  const lines = extraHosts.map(({ name, address }) => `${address}\t${name}\n`)
  return `${text.replace(/\n*$/, '\n')}${lines.join('')}`
}

function specOf({ settings }: Container, rootfs: string, tree: Tree, mounts: readonly ContainerMount[]): RuntimeSpec {
  const accounts = accountFiles(tree)
  const { config } = settings
  const user = resolveUser(config.User ?? '', accounts)
  const groups = settings.groups.map((group) => resolveUser(`0:${group}`, accounts).gid)
  const { privileged, capAdd, capDrop, shmSize } = settings
  return containerSpec({
    rootfs,
    readonlyRootfs: settings.readonlyRootfs,
    args: commandLine(config),
    env: processEnvironment(settings),
    cwd: config.WorkingDir ?? '/',
    user: { uid: user.uid, gid: user.gid, additionalGids: [...user.additionalGids, ...groups] },
    home: user.home,
    hostname: settings.hostname,
    terminal: settings.tty,
    capabilities: containerCapabilities({ add: capAdd, drop: capDrop, privileged }, heldCapabilities()),
    seccomp: settings.seccomp,
    privileged,
    noNewPrivileges: settings.noNewPrivileges,
    network: settings.network === 'none' ? 'none' : 'host',
    mounts,
    ...(shmSize === undefined ? {} : { shmSize }),
    ...(settings.ulimits.length === 0 ? {} : { rlimits: settings.ulimits.map(runtimeLimit) }),
    ...(privileged ? { devices: hostDevices() } : {}),
  })
}
