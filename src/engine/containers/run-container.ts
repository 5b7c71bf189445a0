import { acquireLease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import type { Container } from '../../containers/container.ts'
import { recordContainerEvent, recordVolumesMounted } from '../../containers/container-events.ts'
import type { ContainerEnd } from '../../containers/container-records.ts'
import { createContainer, type NewContainer } from '../../containers/create-container.ts'
import { endHeldContainer, removeTrees } from '../../containers/discard-container.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import type { ContainerImage, ContainerRequest } from '../../containers/settings.ts'
import { leaveNetworkLingering, watchLingering } from '../../containers/lingering-network.ts'
import { tidyNetworks } from '../../containers/network.ts'
import { startContainer, type StartedContainer, type StartOptions } from '../../containers/start-container.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import type { OciRuntime } from '../../runtime/runtime.ts'
import { type ContainerImageRequest, containerImage } from './container-image.ts'
import { Snapshots } from '../../snapshots/snapshots.ts'

/** Where a container's input and output go. */
export interface ContainerStreams extends Disposable {
  /** Opens them; called once, before the container is started. */
  open(): StartOptions
  /** Called when the container has them; settles when it has ended and all output has arrived. */
  attach(container: Pick<StartedContainer, 'exited'>): Promise<unknown>
}

export interface RunContainerOptions extends ContainerImageRequest {
  readonly request: ContainerRequest
  readonly streams: ContainerStreams
  /** The OCI runtime; the best one at hand if absent. */
  readonly runtime?: OciRuntime | undefined
  /** Told of the container once it exists, before it is started. */
  readonly onCreated?: (container: Container) => void
  /** Told of the container once it runs. */
  readonly onStarted?: (container: StartedContainer) => void
}

/**
 * Makes a container and runs it to its end in the foreground; gives the exit status of its command, 128 + n after
 * signal n. One that is not to be removed stays, with what it wrote, also when it could not be started.
 *
 * Throws IMAGE_UNKNOWN, IMAGE_PLATFORM, NAME_IN_USE, CONFIG_INVALID, USER_UNKNOWN, COMMAND_NOT_FOUND and
 * COMMAND_NOT_EXECUTABLE (with docker's exit statuses 127 and 126), CANCELED, and as run() of runtime.
 */
export async function runContainer(store: Store, options: RunContainerOptions): Promise<number> {
  recoverContainers(store)
  const image = await containerImage(store, options)
  using lease = acquireLease(store)
  const snapshots = new Snapshots(store, lease)
  const created = createContainer(store, lease, snapshots, image, options.request, 'foreground')
  const { id, autoRemove } = created.container
  let end: ContainerEnd = { state: 'created', exitCode: 125 }
  try {
    options.onCreated?.(created.container)
    const exitCode = await runToEnd(store, snapshots, created, image, options)
    end = { state: 'exited', exitCode }
    return exitCode
  } catch (error) {
    end = endByError(error)
    throw error
  } finally {
    const [away, lingers] = store.database.transaction(() => {
      lease.release()
      const isLeft = leaveNetworkLingering(store, id)
      return [endHeldContainer(store, id, end, autoRemove), isLeft]
    })
    removeTrees(away)
    if (lingers) watchLingering(store)
    else tidyNetworks(store)
  }
}

async function runToEnd(
  store: Store,
  snapshots: Snapshots,
  created: NewContainer,
  image: ContainerImage,
  { streams, runtime, onStarted }: RunContainerOptions,
): Promise<number> {
  using _streams = streams
  const options = { ...streams.open(), runtime }
  const started = await startContainer(store, snapshots, created, image.diffIds, options)
  try {
    recordStart(store, created.container)
    onStarted?.(started)
    const attached = streams.attach(started).catch(async (error: unknown) => {
      // Nobody reads it any more, so nobody is waiting for it.
      await started.kill('SIGKILL')
      throw error
    })
    const [ended, streamed] = await Promise.allSettled([started.exited, attached])
    // What asked for the end says with which status.
    if (ended.status === 'rejected') throw options.signal?.aborted === true ? options.signal.reason : ended.reason
    if (streamed.status === 'rejected') throw streamed.reason
    return ended.value
  } finally {
    started.release()
  }
}

function recordStart(store: Store, container: Container): void {
  store.database.transaction(() => {
    recordContainerEvent(store, 'attach', container)
    recordVolumesMounted(store, container)
    recordContainerEvent(store, 'start', container)
  })
}

const killedStatus = 137

/** One that was killed had run; any other error came before it could. */
function endByError(error: unknown): ContainerEnd {
  if (isCairnError(error, 'CANCELED')) return { state: 'exited', exitCode: killedStatus }
  const exitCode = error instanceof CairnError ? (error.exitCode ?? 125) : 125
  return { state: 'created', exitCode, error: error instanceof Error ? error.message : String(error) }
}
