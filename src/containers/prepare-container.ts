import type { Store } from '../content/store.ts'
import type { Tree } from '../layers/tree.ts'
import { CairnError, isCairnError, reworded } from '../errors/error.ts'
import { stat, tryStat } from '../linux/file-status.ts'
import { AT_FDCWD } from '../linux/files.ts'
import { changeModeAt, makeDirectories } from '../linux/names.ts'
import { mountOverlay } from '../linux/overlay.ts'
import { removeTree } from '../linux/remove-tree.ts'
import { readTextFile, writeTextFile } from '../linux/text-file.ts'
import type { ProcessIdentity } from '../linux/processes.ts'
import { inInitialUserNamespace } from '../linux/user-namespace.ts'
import type { Digest } from '../oci/digest.ts'
import { hostPlatform } from '../oci/platform.ts'
import type { RuntimeSpec } from '../oci/runtime-spec.ts'
import { containerCapabilities, heldCapabilities } from '../runtime/capabilities.ts'
import { findEmulator, withEmulator } from '../runtime/emulation.ts'
import { runtimeLimit } from '../runtime/limits.ts'
import { type ContainerMount, containerSpec, type NamespaceJoin, type NamespaceJoins } from '../runtime/spec.ts'
import { parseSeccompProfile } from '../runtime/seccomp-profile.ts'
import { resolveUser } from '../runtime/user.ts'
import { accountFiles } from '../snapshots/account-files.ts'
import { mountPoints } from '../snapshots/mount-points.ts'
import type { Snapshots, WritableSnapshot } from '../snapshots/snapshots.ts'
import type { Container, ContainerSettings, MountSetting, NamespaceMode } from './container.ts'
import { allowedDevices, deviceThrottles, deviceWeights, parseDeviceRule } from './allowed-devices.ts'
import { checkExecutable } from './executable.ts'
import { hostDevices } from './host-devices.ts'
import { initMount, initPath } from './init-program.ts'
import { cgroupPath, containerDirectory } from './places.ts'
import { findRunningInit } from './init-process.ts'
import { linkedHosts, linkedVariables } from './links.ts'
import type { OpenNetwork } from './network.ts'
import { PinnedMounts } from './pinned-mounts.ts'
import { commandLine, processEnvironment } from './settings.ts'
import { mapFiles, type OpenUserNamespace } from './user-namespace.ts'
import { openVolume } from './volumes.ts'

/** A container that could be started. */
export interface PreparedContainer {
  readonly spec: RuntimeSpec
  /** Its directory for the runtime. */
  readonly bundle: string
  /** Mounts its root file system; in a mount namespace that this thread alone is in. */
  readonly mountRoot: () => void
  /** Takes away what `mountRoot` mounted besides that; where the namespace is there for longer than the container. */
  readonly unmountPins: () => void
}

/** What a container is prepared for. */
export interface PrepareOptions {
  readonly network: OpenNetwork
  /** Path of a cgroup of its own; where absent it gets one only if its limits need that. */
  readonly cgroup?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** Where its users are others than the machine's. */
  readonly userNamespace?: OpenUserNamespace | undefined
}

/**
 * Makes all that the runtime is to find: layers unpacked, volumes opened and filled, files of the network, places to
 * mount on. Throws USER_UNKNOWN, COMMAND_NOT_FOUND, COMMAND_NOT_EXECUTABLE, CONFIG_INVALID.
 */
export async function prepareContainer(
  store: Store,
  snapshots: Snapshots,
  container: Container,
  snapshot: WritableSnapshot,
  diffIds: readonly Digest[],
  { network, cgroup, signal, userNamespace }: PrepareOptions,
): Promise<PreparedContainer> {
  const { settings } = container
  const layers = diffIds.map((diffId) => ({ diffId, directory: undefined }))
  const lowers = await snapshots.directories(layers, signal)
  const tree = await snapshots.tree(layers)
  const bundle = containerDirectory(store, container.id)
  makeDirectories(bundle, 0o700)
  const files = networkMounts(store, bundle, container, network)
  const pins = new PinnedMounts(`${bundle}/pinned`)
  const { mounts, fileTargets } = await openMounts(store, container, tree, pins, signal)
  const init = hasInit(settings) ? [initMount()] : []
  const allMounts = [...files, ...init, ...mounts].toSorted(byDepth)
  const ownSpec = specOf(store, container, snapshot.merged, tree, allMounts, network.runtime, cgroup)
  const spec = emulated(ownSpec, settings)
  const targets = spec.mounts.map(({ destination }) => destination)
  checkExecutable(tree, settings, targets)
  if (hasInit(settings)) fileTargets.add(initPath)
  // Those of an earlier run would not be made, and so not be stacked, again.
  removeTree(`${bundle}/points`)
  const points = mountPoints(tree, targets, `${bundle}/points`, fileTargets)
  // What / of the container looks like is told by its writable directory.
  changeModeAt(AT_FDCWD, snapshot.upper, tree.lookup('/')?.mode ?? 0o755)
  const mapped = userNamespace === undefined ? undefined : mapFiles(store, container, userNamespace)
  const pathOf = (path: string): string => mapped?.pathOf(path) ?? path
  const mountOwn = (): void => {
    mountOverlay({
      lowers: (points === undefined ? lowers : [points, ...lowers]).map(pathOf),
      upper: pathOf(snapshot.upper),
      work: pathOf(snapshot.work),
      target: mapped?.root ?? snapshot.merged,
      nodev: !settings.privileged,
    })
  }
  const mountRoot = (): void => {
    pins.attach()
    if (mapped === undefined) mountOwn()
    else mapped.mount(mountOwn)
  }
  return {
    spec: mapped === undefined ? spec : mapped.spec(withoutDevices(spec)),
    bundle,
    mountRoot,
    unmountPins: () => pins.detach(),
  }
}

/** Throws EMULATOR_MISSING. */
function emulated(spec: RuntimeSpec, { emulated: architecture }: ContainerSettings): RuntimeSpec {
  if (architecture === undefined) return spec
  const emulator = findEmulator(architecture, hostPlatform().architecture, process.env)
  if (emulator === undefined) return spec
  return withEmulator(withoutDevices(spec), emulator)
}

/** In a user namespace the runtimes bind the host's standard devices themselves, and runc not over one that is there. */
function withoutDevices(spec: RuntimeSpec): RuntimeSpec {
  const mounts = spec.mounts.filter(
    ({ type, source, destination }) =>
      type !== 'bind' || source !== destination || !destination.startsWith('/dev/') || destination === '/dev/shm',
  )
  return { ...spec, mounts }
}

interface OpenMounts {
  readonly mounts: readonly ContainerMount[]
  /** Targets that a file is mounted on. */
  readonly fileTargets: Set<string>
}

async function openMounts(
  store: Store,
  container: Container,
  tree: Tree,
  pins: PinnedMounts,
  signal: AbortSignal | undefined,
): Promise<OpenMounts> {
  const fileTargets = new Set<string>()
  const mounts: ContainerMount[] = []
  for (const setting of container.settings.mounts) {
    const mount = await openMount(store, container, setting, tree, pins, signal)
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
  pins: PinnedMounts,
  signal: AbortSignal | undefined,
): Promise<ContainerMount> {
  const { target, readonly } = mount
  switch (mount.type) {
    case 'tmpfs':
      return mount
    case 'volume': {
      const volume = await openVolume(store, id, mount, tree, signal)
      const source = mount.subpath === undefined ? volume : pins.pinInside(volume, mount.subpath)
      return { type: 'bind', source, target, readonly }
    }
    case 'bind':
      if (tryStat(mount.source) === undefined) {
        if (!mount.createSource)
          throw new CairnError(
            'CONFIG_INVALID',
            `invalid mount config for type "bind": bind source path does not exist: ${mount.source}`,
          )
        makeDirectories(mount.source)
      }
      return boundMount(mount, pins)
  }
}

/** Throws CONFIG_INVALID, NOT_SUPPORTED. */
function boundMount(mount: Extract<MountSetting, { type: 'bind' }>, pins: PinnedMounts): ContainerMount {
  const { source, target, readonly, recursive, propagation = 'rprivate', below } = mount
  const isPrivate = propagation === 'private' || propagation === 'rprivate'
  if (below === 'readonly' && !canRestrictBelow())
    throw new CairnError('NOT_SUPPORTED', 'read-only mounts below a mount need Linux 5.12: bind-recursive=readonly')
  return {
    type: 'bind',
    source: isPrivate ? source : pins.pinHost(source, propagation, recursive),
    target,
    readonly,
    recursive,
    // Nothing is below a file, and crun takes what is to be restricted below for a directory.
    deeplyReadonly: below !== 'writable' && canRestrictBelow() && tryStat(source)?.type === 'directory',
    propagation,
  }
}

/** True where mount_setattr(2) is there. */
function canRestrictBelow(): boolean {
  const [major = 0, minor = 0] = (readTextFile('/proc/sys/kernel/osrelease') ?? '').split('.').map(Number.parseFloat)
  return major > 5 || (major === 5 && minor >= 12)
}

/** Outer mounts before those inside them. */
function byDepth(a: ContainerMount, b: ContainerMount): number {
  return a.target.split('/').length - b.target.split('/').length
}

/** The files that every container gets over those of its image, unless a mount asked for is there. */
function networkMounts(store: Store, bundle: string, container: Container, { files }: OpenNetwork): ContainerMount[] {
  const { settings } = container
  const taken = new Set(settings.mounts.map(({ target }) => target))
  return (['resolv.conf', 'hosts', 'hostname'] as const).flatMap((file): ContainerMount[] => {
    const target = `/etc/${file}`
    if (taken.has(target)) return []
    if ('of' in files) return [{ type: 'bind', source: `${containerDirectory(store, files.of)}/${file}`, target }]
    const source = `${bundle}/${file}`
    writeTextFile(source, file === 'hosts' ? files.hosts + linkedHosts(store, container, 'strict') : files[file], 0o644)
    // Whatever the umask: every user of the container reads it.
    changeModeAt(AT_FDCWD, source, 0o644)
    return [{ type: 'bind', source, target }]
  })
}

function specOf(
  store: Store,
  container: Container,
  rootfs: string,
  tree: Tree,
  mounts: readonly ContainerMount[],
  network: OpenNetwork['runtime'],
  cgroup: string | undefined,
): RuntimeSpec {
  const { settings } = container
  const accounts = accountFiles(tree)
  const { config } = settings
  const user = resolveUser(config.User ?? '', accounts)
  const groups = settings.groups.map((group) => resolveUser(`0:${group}`, accounts).gid)
  const { privileged, capAdd, capDrop, shmSize, limits, oomScoreAdj, annotations } = settings
  const { devices: given, deviceRules, throttles, weightDevices } = settings
  const wantsDevices = (given ?? deviceRules) !== undefined && inInitialUserNamespace()
  const needsCgroup =
    (limits ?? throttles ?? weightDevices) !== undefined || wantsDevices || settings.writableCgroups === true
  const path = cgroup ?? (needsCgroup ? cgroupPath(container) : undefined)
  const command = commandLine(config)
  const sysctl = {
    ...settings.sysctls,
    ...(settings.domainname === undefined ? {} : { 'kernel.domainname': settings.domainname }),
  }
  const devices = privileged ? hostDevices() : allowedDevices(given ?? [])
  return containerSpec({
    rootfs,
    readonlyRootfs: settings.readonlyRootfs,
    args: hasInit(settings) ? [initPath, '--', ...command] : command,
    env: environmentOf(store, container),
    cwd: config.WorkingDir ?? '/',
    user: { uid: user.uid, gid: user.gid, additionalGids: [...user.additionalGids, ...groups] },
    home: user.home,
    hostname: settings.hostname,
    terminal: settings.tty,
    capabilities: containerCapabilities({ add: capAdd, drop: capDrop, privileged }, heldCapabilities()),
    seccomp: settings.seccompProfile === undefined ? settings.seccomp : parseSeccompProfile(settings.seccompProfile),
    ...(settings.apparmorProfile === undefined ? {} : { apparmorProfile: settings.apparmorProfile }),
    noShm: settings.ipc === 'none',
    privileged,
    unmasked: settings.unmasked === true,
    writableCgroups: settings.writableCgroups === true,
    noNewPrivileges: settings.noNewPrivileges,
    network,
    joins: namespaceJoins(store, settings),
    mounts,
    ...(shmSize === undefined ? {} : { shmSize }),
    ...(settings.ulimits.length === 0 ? {} : { rlimits: settings.ulimits.map(runtimeLimit) }),
    ...(devices.length === 0 ? {} : { devices }),
    ...(path === undefined
      ? {}
      : {
          cgroup: {
            path,
            ...limits,
            ...(throttles === undefined ? {} : { throttles: deviceThrottles(throttles) }),
            ...(weightDevices === undefined ? {} : { weightDevices: deviceWeights(weightDevices) }),
            deviceRules: (deviceRules ?? []).flatMap((rule) => parseDeviceRule(rule) ?? []),
          },
        }),
    ...(Object.keys(sysctl).length === 0 ? {} : { sysctl }),
    ...(oomScoreAdj === undefined ? {} : { oomScoreAdj }),
    ...(annotations === undefined ? {} : { annotations }),
  })
}

/** What links tell stands behind what is asked for. */
function environmentOf(store: Store, container: Container): string[] {
  const own = processEnvironment(container.settings)
  const nameOf = (variable: string): string => variable.slice(0, variable.indexOf('='))
  const names = new Set(own.map(nameOf))
  return [...own, ...linkedVariables(store, container, 'strict').filter((variable) => !names.has(nameOf(variable)))]
}

/** Only pid 1 of a namespace takes care of orphans; docker leaves it out elsewhere, too. */
function hasInit({ init, pid = 'private' }: ContainerSettings): boolean {
  return init === true && pid === 'private'
}

function namespaceJoins(store: Store, { pid, ipc, uts, cgroupns }: ContainerSettings): NamespaceJoins {
  const joins: { -readonly [Type in keyof NamespaceJoins]: NamespaceJoins[Type] } = {}
  const pidJoin = joinOf(store, pid, 'pid')
  const ipcJoin = ipc === 'none' || ipc === 'shareable' ? undefined : joinOf(store, ipc, 'ipc')
  if (pidJoin !== undefined) joins.pid = pidJoin
  if (ipcJoin !== undefined) joins.ipc = ipcJoin
  if (uts === 'host') joins.uts = 'host'
  if (cgroupns === 'host') joins.cgroup = 'host'
  return joins
}

function joinOf(store: Store, mode: NamespaceMode | undefined, type: 'pid' | 'ipc'): NamespaceJoin | undefined {
  if (mode === undefined || mode === 'private') return undefined
  if (mode === 'host') return 'host'
  return { path: `/proc/${joinedInit(store, mode.slice('container:'.length), type).pid}/ns/${type}` }
}

/** Throws CONTAINER_STOPPED, in docker's words. */
function joinedInit(store: Store, id: string, type: 'pid' | 'ipc'): ProcessIdentity {
  try {
    return findRunningInit(store, id)
  } catch (error) {
    if (!isCairnError(error)) throw error
    throw reworded(error, `failed to join ${type.toUpperCase()} namespace: ${error.message}`)
  }
}
