import { acquireLease } from '../content/leases.ts'
import { acquireLock } from '../content/lock.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { storedImage } from '../images/image.ts'
import { SystemCallError } from '../linux/errno.ts'
import { joinMountsOf, mountNamespace, processInMounts } from '../linux/mount-namespace.ts'
import { unmount } from '../linux/mounts.ts'
import { makeDirectories } from '../linux/names.ts'
import { inInitialUserNamespace } from '../linux/user-namespace.ts'
import type { TerminalSize } from '../linux/terminal.ts'
import type { RuntimeSpec } from '../oci/runtime-spec.ts'
import { cgroupLayout, removeCgroup, withHostCgroups } from '../runtime/cgroups.ts'
import { createMonitored, deleteMonitored, type MonitorOptions, startMonitored } from '../runtime/monitor.ts'
import { detectRuntime } from '../runtime/runtime.ts'
import { Snapshots, type WritableSnapshot } from '../snapshots/snapshots.ts'
import { processScope } from '../rootless/namespace-record.ts'
import { tellLinked } from './attach-network.ts'
import { recordBegun } from './attendants.ts'
import type { Container, ContainerRun, ContainerSettings, RestartRecord } from './container.ts'
import { claimContainer, getContainer, recordRun, recordStartFailure } from './container-records.ts'
import { discardContainer } from './discard-container.ts'
import { closeNetwork, openNetwork } from './network.ts'
import { ownCommand } from './own-command.ts'
import { cgroupPath, containerLock, logPath, monitoredRoot, runtimeStateDirectory } from './places.ts'
import { prepareContainer } from './prepare-container.ts'
import { settleContainer } from './settle-container.ts'
import { openUserNamespace } from './user-namespace.ts'

export interface MonitoredStart {
  /** Called when the container is there and before its command begins, with its bundle. */
  readonly attach?: (bundle: string) => Promise<void>
  /** What its terminal begins with, where it has one. */
  readonly terminalSize?: TerminalSize | undefined
  readonly signal?: AbortSignal
}

/**
 * Starts a container in the background, by its user's wish or, with `restart`, by its policy. Nothing happens where it
 * runs already. One that cannot be started says why in its record too.
 *
 * Throws CONTAINER_UNKNOWN, CONTAINER_STATE for a paused one, and as prepareContainer() and createMonitored().
 */
export async function startMonitoredContainer(
  store: Store,
  id: string,
  start: MonitoredStart = {},
  restart: RestartRecord = { count: 0, delay: 0 },
): Promise<void> {
  const { signal } = start
  settleContainer(store, id)
  using _lock = await acquireLock(store, containerLock(id), signal === undefined ? {} : { signal })
  const container = getContainer(store, id)
  if (container === undefined) throw new CairnError('CONTAINER_UNKNOWN', `No such container: ${id}`)
  if (container.state === 'paused')
    throw new CairnError('CONTAINER_STATE', 'cannot start a paused container, try unpause instead')
  if (container.state === 'running' || container.session !== null) return
  claimContainer(store, id)
  try {
    await launch(store, container, start, restart)
  } catch (error) {
    removeCgroup(cgroupPath(container))
    closeNetwork(store, id)
    const exitCode = error instanceof CairnError ? (error.exitCode ?? unstartable) : unstartable
    recordStartFailure(store, id, exitCode, error instanceof Error ? error.message : String(error))
    if (container.autoRemove) discardContainer(store, id, true)
    throw error
  }
}

/** docker's status of a container that could not be started for no fault of its command. */
const unstartable = 128

async function launch(
  store: Store,
  container: Container,
  { attach, terminalSize, signal }: MonitoredStart,
  restart: RestartRecord,
): Promise<void> {
  const { id, settings } = container
  using lease = acquireLease(store)
  const snapshots = new Snapshots(store, lease)
  const { value: image } = await storedImage(store, settings.manifest).config()
  const snapshot = snapshotOf(store, container)
  const cgroup = wantsCgroup(settings) ? cgroupPath(container) : undefined
  const { diff_ids: diffIds } = image.rootfs
  using userNamespace = openUserNamespace(container)
  using network = await openNetwork(store, container, userNamespace)
  const surroundings = { network, cgroup, signal, userNamespace }
  const prepared = await prepareContainer(store, snapshots, container, snapshot, diffIds, surroundings)
  const { bundle, mountRoot } = prepared
  const spec = withTerminalSize(prepared.spec, terminalSize)
  const runtime = settings.runtime === undefined ? undefined : detectRuntime(settings.runtime)
  const options: MonitorOptions = {
    id,
    spec,
    bundle,
    stateDirectory: runtimeStateDirectory(store),
    runtimeRoot: (name) => monitoredRoot(store, name),
    runtime,
    ...logOptions(store, container),
    stdin: settings.openStdin,
    // A terminal is left by its keys, which end no input.
    keepStdin: settings.tty || settings.stdinOnce !== true,
    exitCommand: ownCommand(store, 'container', 'cleanup', id),
    mountRoot: () => {
      makeDirectories(snapshot.merged)
      // What its monitor called to start it again still sees the mount of its last run.
      unmount(snapshot.merged, { lazy: true })
      mountRoot()
    },
  }
  const created = await createMonitored(options)
  const { monitor, init } = created
  const place = { scope: processScope(), mounts: home ?? null, cgroup: cgroup ?? null }
  const run: ContainerRun = { monitor, init, runtime: created.runtime, ...place }
  try {
    // Whoever finds that this process was killed can tell by it how far it came.
    recordRun(store, id, run)
    await attach?.(bundle)
    // Before what it writes has a time.
    const startedAt = Date.now()
    await startMonitored(created, options)
    recordBegun(store, container, run, restart, startedAt)
    tellLinked(store, container)
  } catch (error) {
    deleteMonitored(created.runtime, created.runtimeRoot, id)
    throw error
  }
}

function withTerminalSize(spec: RuntimeSpec, size: TerminalSize | undefined): RuntimeSpec {
  if (size === undefined || spec.process.terminal !== true) return spec
  return { ...spec, process: { ...spec.process, consoleSize: { height: size.rows, width: size.columns } } }
}

/** Every container with a monitor has a cgroup, unless this user or machine has none for the runtime that is asked for. */
function wantsCgroup({ runtime }: ContainerSettings): boolean {
  if (!inInitialUserNamespace()) return false
  const layout = withHostCgroups(() => cgroupLayout())
  return layout !== 'none' && !(layout === 'hybrid' && runtime === 'crun')
}

/** Where this process was before it mounted anything; what monitors call is somewhere else. */
const home = mountNamespace()

/**
 * Goes back to the mount namespace that the container was started from: this process was called by the container's
 * monitor, whose mounts are those of its last run, and what it starts would keep them. False where nobody is there any
 * more; {@link forgetMonitorMounts} then does what is left to do.
 */
export function leaveMonitorMounts({ run }: Container): boolean {
  const target = run?.mounts
  if (target === undefined || target === null || target === home) return true
  const process = processInMounts(target)
  if (process === undefined) return false
  try {
    joinMountsOf(process)
    return true
  } catch (error) {
    // It has just ended, or belongs to somebody else.
    if (!(error instanceof SystemCallError)) throw error
    return false
  }
}

/** Lets go of the root file system of a container that has ended, in this process's mounts. */
export function forgetMonitorMounts(store: Store, container: Container): void {
  unmount(snapshotOf(store, container).merged, { lazy: true })
}

/** The directories of a container's writable layer. */
export function snapshotOf(store: Store, { snapshot: id }: Container): WritableSnapshot {
  const path = (name: string): string => store.path('snapshots', id, name)
  return { id, upper: path('fs'), work: path('work'), merged: path('merged') }
}

function logOptions(store: Store, { id, settings }: Container): Pick<MonitorOptions, 'log' | 'logSize'> {
  const { driver, maxSize, maxFiles = 1 } = settings.log ?? {}
  if (driver === 'none') return {}
  // The monitor keeps nothing but the new file.
  return { log: logPath(store, id), ...(maxSize === undefined || maxFiles > 1 ? {} : { logSize: maxSize }) }
}
