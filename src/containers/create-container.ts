import { blobNode, layerNode, snapshotNode } from '../content/graph.ts'
import { getImageRecord } from '../content/image-records.ts'
import type { Lease } from '../content/leases.ts'
import { pin } from '../content/pins.ts'
import { finishSnapshot } from '../content/snapshot-records.ts'
import type { Store } from '../content/store.ts'
import { CairnError, isCairnError, reworded } from '../errors/error.ts'
import { unknownImage } from '../images/records/resolve-image.ts'
import type { Snapshots, WritableSnapshot } from '../snapshots/snapshots.ts'
import type { Container, ContainerSettings, MountSetting } from './container.ts'
import { recordContainerEvent } from './container-events.ts'
import { generateName, parseContainerName } from './container-name.ts'
import { getContainerByName, insertContainer, resolveContainer } from './container-records.ts'
import { linkSettings } from './links.ts'
import { parseVolumesFrom } from './mounts.ts'
import { containerOwner } from './places.ts'
import { type ContainerImage, type ContainerRequest, containerSettings, newId } from './settings.ts'
import { recordVolumes } from './volumes.ts'

/** A new container, still to be started by this very process. */
export interface NewContainer {
  readonly container: Container
  readonly snapshot: WritableSnapshot
}

/** How a new container is to run: in this very process, or with a monitor, started by whoever comes to it. */
export type ContainerManner = 'foreground' | 'monitored'

/**
 * Records a container, one of the foreground as running in this process, with its writable directory and its volumes: all at once, so that
 * from then on whatever happens to the process is found and set right by the next. One that goes when it ends keeps
 * the image by `lease` only.
 *
 * Throws NAME_IN_USE with docker's text, IMAGE_UNKNOWN where the image was removed meanwhile, and as
 * containerSettings().
 */
export function createContainer(
  store: Store,
  lease: Lease,
  snapshots: Snapshots,
  image: ContainerImage,
  request: ContainerRequest,
  manner: ContainerManner,
): NewContainer {
  const id = newId()
  const settings = withKnownContainers(
    store,
    containerSettings(id, image, request, mountsOf(store, request.volumesFrom)),
  )
  const wantedName = request.name === undefined ? undefined : parseContainerName(request.name)
  const isForeground = manner === 'foreground'
  if (wantedName !== undefined) checkNameFree(store, wantedName)
  // Recorded before it is made, on its own: whatever becomes of the transaction, somebody removes it.
  const snapshot = snapshots.prepare()
  try {
    return store.database.transaction(record)
  } catch (error) {
    snapshots.discard(snapshot)
    throw error
  }

  function record(): NewContainer {
    const name = freeName(store, wantedName)
    // As long as the image is recorded its blobs are there; from here on the lease or the pins keep them.
    if (getImageRecord(store, image.record) === undefined) throw unknownImage(image.name)
    lease.protect(blobNode(image.manifest), ...image.diffIds.map(layerNode))
    const now = Date.now()
    const container: Container = {
      id,
      name,
      imageId: image.imageId,
      snapshot: snapshot.id,
      state: isForeground ? 'running' : 'created',
      session: isForeground ? store.session.id : null,
      autoRemove: request.autoRemove,
      settings,
      createdAt: now,
      startedAt: isForeground ? now : null,
      finishedAt: null,
      exitCode: null,
      error: null,
      run: null,
      restart: null,
      oomKilled: false,
    }
    insertContainer(store, container)
    recordVolumes(
      store,
      id,
      settings.mounts.filter((mount) => mount.type === 'volume'),
    )
    recordContainerEvent(store, 'create', container)
    if (!isForeground || !request.autoRemove) {
      finishSnapshot(store, snapshot.id, { state: 'active' })
      pin(store, containerOwner(id), [blobNode(image.manifest), snapshotNode(snapshot.id)])
    }
    return { container, snapshot }
  }
}

function freeName(store: Store, wanted: string | undefined): string {
  if (wanted === undefined) return generateName((name) => getContainerByName(store, name) !== undefined)
  checkNameFree(store, wanted)
  return wanted
}

/** What `--volumes-from` brings: volumes and directories of the host, never filled from this image. Throws CONTAINER_UNKNOWN. */
function mountsOf(store: Store, sources: readonly string[] = []): MountSetting[] {
  return sources.flatMap((text) => {
    const { container, readonly } = parseVolumesFrom(text)
    return resolveContainer(store, container).settings.mounts.flatMap((mount): MountSetting[] => {
      if (mount.type === 'tmpfs') return []
      const own = { ...mount, readonly: mount.readonly || readonly }
      return [own.type === 'volume' ? { ...own, copy: false } : own]
    })
  })
}

/** Names of other containers become their IDs, which they keep. Throws CONTAINER_UNKNOWN. */
function withKnownContainers(store: Store, settings: ContainerSettings): ContainerSettings {
  const { pid, ipc, network } = settings
  const other = (mode: string, what: string): Container => joinedContainer(store, mode, what)
  const changed: { -readonly [Field in 'pid' | 'ipc' | 'network' | 'hostname']?: ContainerSettings[Field] } = {}
  if (pid?.startsWith('container:') === true) changed.pid = `container:${other(pid, 'failed to join PID namespace').id}`
  if (ipc?.startsWith('container:') === true) {
    const donor = other(ipc, 'failed to join IPC namespace')
    if (!/^(?:shareable|host|container:)/.test(donor.settings.ipc ?? ''))
      throw new CairnError(
        'CONFIG_INVALID',
        `failed to join IPC namespace: container ${donor.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
      )
    changed.ipc = `container:${donor.id}`
  }
  if (network.startsWith('container:')) {
    const donor = other(network, 'joining network namespace of container')
    changed.network = `container:${donor.id}`
    // The two have one name in the network, and so one /etc/hostname.
    changed.hostname = donor.settings.hostname
  }
  const links = linkSettings(store, settings, settings.links ?? [])
  return { ...settings, ...changed, ...(links.length === 0 ? {} : { links }) }
}

/** Throws CONTAINER_UNKNOWN. */
function joinedContainer(store: Store, mode: string, what: string): Container {
  try {
    return resolveContainer(store, mode.slice('container:'.length))
  } catch (error) {
    if (!isCairnError(error)) throw error
    throw reworded(error, `${what}: ${error.message}`)
  }
}

/** Throws NAME_IN_USE, in docker's words, where a container has the name. */
export function checkNameFree(store: Store, wanted: string): void {
  const taken = getContainerByName(store, wanted)
  if (taken === undefined) return
  throw new CairnError(
    'NAME_IN_USE',
    `Conflict. The container name "/${wanted}" is already in use by container "${taken.id}". ` +
      'You have to remove (or rename) that container to be able to reuse that name.',
    { hint: `Remove it with \`cairn rm ${wanted}\`, or give another --name.` },
  )
}
