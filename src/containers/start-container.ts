import type { Store } from '../content/store.ts'
import { enterPrivateMounts } from '../linux/mount-namespace.ts'
import { unmount } from '../linux/mounts.ts'
import type { Digest } from '../oci/digest.ts'
import { run, type RunningContainer, type RunOptions } from '../runtime/run.ts'
import { terminalRuntime } from '../runtime/runtime.ts'
import type { Snapshots } from '../snapshots/snapshots.ts'
import type { NewContainer } from './create-container.ts'
import { openNetwork } from './network.ts'
import { runtimeStateDirectory } from './places.ts'
import { prepareContainer } from './prepare-container.ts'
import { openUserNamespace } from './user-namespace.ts'

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
 * Starts a container that createContainer() has made, in the foreground: mounts its root file system in this process's
 * private mounts, opens its volumes and hands it to the OCI runtime. Throws as prepareContainer(), mountOverlay() and
 * run().
 */
export async function startContainer(
  store: Store,
  snapshots: Snapshots,
  { container, snapshot }: NewContainer,
  diffIds: readonly Digest[],
  options: StartOptions,
): Promise<StartedContainer> {
  const { signal } = options
  using opened = new DisposableStack()
  const userNamespace = opened.use(openUserNamespace(container))
  const network = opened.use(await openNetwork(store, container, userNamespace))
  const surroundings = { network, signal, userNamespace }
  const prepared = await prepareContainer(store, snapshots, container, snapshot, diffIds, surroundings)
  const { spec, bundle, mountRoot } = prepared
  if (userNamespace === undefined) {
    enterPrivateMounts()
    mountRoot()
    opened.defer(() => void unmount(snapshot.merged, { lazy: true }))
    opened.defer(prepared.unmountPins)
  }
  const stateDirectory = runtimeStateDirectory(store)
  const needsTerminal = container.settings.tty && options.runtime === undefined
  const running = run({
    ...options,
    ...(needsTerminal && spec.linux.cgroupsPath === undefined ? terminalRuntime() : {}),
    ...(userNamespace === undefined ? {} : { mountRoot }),
    id: container.id,
    spec,
    bundle,
    stateDirectory,
  })
  // When the runtime has taken up what it was told of is not known.
  const kept = opened.move()
  return {
    ...running,
    release: () => {
      kept.dispose()
    },
  }
}
