import { adoptLayer } from '../../build/adopt-layer.ts'
import { containerFiles } from '../../containers/container-files.ts'
import type { Container } from '../../containers/container.ts'
import { recordContainerEvent } from '../../containers/container-events.ts'
import { getContainer, resolveContainer } from '../../containers/container-records.ts'
import { pauseContainer } from '../../containers/pause-container.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import { withLease } from '../../content/leased-work.ts'
import type { Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { storedImage } from '../../images/image.ts'
import { type PutImage, putImage } from '../../images/records/put-image.ts'
import type { PackLayer } from '../../layers/pack/pack-upper.ts'
import { type ContainerConfig, type History, type ImageConfig, platformOf } from '../../oci/config.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { familiarString, type Reference, withDefaultTag } from '../../oci/reference.ts'
import { applyChanges } from '../images/image-changes.ts'

export interface CommitOptions {
  /** The name the image gets. */
  readonly reference: Reference | undefined
  readonly author: string
  /** The comment of the image's newest history entry. */
  readonly message: string
  /** Dockerfile instructions for the image's config. */
  readonly changes: readonly string[]
  /** Hold a running container's processes while its files are read. */
  readonly pause: boolean
  /** RFC 3339. */
  readonly created: string
  /** SOURCE_DATE_EPOCH in seconds: later times of files are set back to it. */
  readonly epoch: number | undefined
  readonly packLayer: PackLayer
  readonly signal: AbortSignal
}

/**
 * Makes an image of what a container changed, on top of the image it was made from, with the container's configuration.
 * What is mounted into the container is not part of it. A container that changed nothing gives no layer. Throws
 * CONTAINER_UNKNOWN, CONTAINER_AMBIGUOUS, DOCKERFILE_INVALID for a wrong change, FILE_CHANGED where a container that is
 * not paused writes a file while it is read; nothing is left of it then.
 */
export async function commitContainer(store: Store, name: string, options: CommitOptions): Promise<PutImage> {
  recoverContainers(store)
  const container = resolveContainer(store, name)
  try {
    return await withLease(store, (lease) => commit(store, lease, container, options))
  } catch (error) {
    if (getContainer(store, container.id) !== undefined) throw error
    const hint = 'It was removed while it was committed.'
    throw new CairnError('CONTAINER_UNKNOWN', `No such container: ${name}`, { cause: error, hint })
  }
}

async function commit(store: Store, lease: Lease, container: Container, options: CommitOptions): Promise<PutImage> {
  const { author, message, created } = options
  const files = await containerFiles(store, lease, container)
  const { image } = files
  const config = applyChanges(committedConfig(container), options.changes, platformOf(image))
  const { layers } = (await storedImage(store, container.settings.manifest).manifest()).value
  const added = await packChanges()
  const { author: _author, ...base } = image
  const put = await putImage(store, {
    config: {
      ...base,
      ...(author === '' ? {} : { author }),
      created,
      config,
      rootfs: { type: 'layers', diff_ids: [...image.rootfs.diff_ids, ...added.map(({ digest }) => digest)] },
      history: [
        ...wholeHistory(image),
        {
          created,
          ...(author === '' ? {} : { author }),
          created_by: (container.settings.config.Cmd ?? []).join(' '),
          ...(message === '' ? {} : { comment: message }),
          ...(added.length === 0 ? { empty_layer: true } : {}),
        },
      ],
    },
    layers: [...layers, ...added],
    tags: options.reference === undefined ? [] : [options.reference],
    lease,
  })
  recordContainerEvent(store, 'commit', container, {
    comment: message,
    imageID: put.imageId,
    imageRef: options.reference === undefined ? '' : familiarString(withDefaultTag(options.reference)),
  })
  return put

  async function packChanges(): Promise<Descriptor[]> {
    const target = store.session.temporaryPath('layer')
    const lowers = await files.lowers(options.signal)
    using _paused = options.pause ? pauseContainer(store, container) : undefined
    const written = await options.packLayer({ upper: files.upper, lowers, target, epoch: options.epoch })
    if (written.entries === 0) return []
    const { diffId, size } = await adoptLayer(store, lease, target, written)
    return [{ mediaType: mediaTypes.ociLayerTar, digest: diffId, size }]
  }
}

/** The history with an entry for each layer: those it leaves out are taken for the lowest. */
function wholeHistory({ history = [], rootfs }: ImageConfig): readonly History[] {
  const told = history.filter((entry) => entry.empty_layer !== true).length
  const untold = Math.max(0, rootfs.diff_ids.length - told)
  return [...Array.from({ length: untold }, () => ({})), ...history]
}

/** The container's configuration without variables that it was told to take away. */
function committedConfig({ settings }: Container): ContainerConfig {
  const { config } = settings
  return { ...config, Env: (config.Env ?? []).filter((variable) => variable.includes('=')) }
}
