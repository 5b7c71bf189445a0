import { acquireLease } from '../../content/leases.ts'
import { recover } from '../../content/recovery.ts'
import type { Store } from '../../content/store.ts'
import { unpackLayer } from '../../images/unpack-layer.ts'
import type { Platform } from '../../oci/platform.ts'
import {
  familiarName,
  familiarString,
  formatReference,
  pinned,
  type Reference,
  withoutTag,
  withTag,
} from '../../oci/reference.ts'
import type { TransferListener } from '../../progress/transfer-events.ts'
import { type PulledImage, pullImage as pull } from '../../registry/client/pull.ts'
import type { LayerPullOptions } from '../../registry/client/pull-layer.ts'
import { Repository } from '../../registry/client/repository.ts'
import { type RegistryAccess, registryClient } from '../registry/registry-access.ts'
import { UnpackThreads } from '../threads/unpack-threads.ts'

export interface PullImageOptions {
  readonly access: RegistryAccess
  /** Of an image for several platforms, the one to bring; this machine's if absent. */
  readonly platform?: Platform | undefined
  /** Brings every platform. */
  readonly isComplete?: boolean
  /** Leaves the tag to the image that has it here. */
  readonly isTagLeft?: boolean
  readonly listener?: TransferListener
  /** Starts a thread; without it layers are unpacked on this one. */
  readonly startWorker?: (() => Worker) | undefined
}

/** Who unpacks layers, and is told of them before. */
type Unpacking = Pick<LayerPullOptions, 'unpack' | 'expect'>

/** Pulls one image, told as docker tells it. Throws as pullImage() of the registry client. */
export async function pullImage(store: Store, text: Reference, options: PullImageOptions): Promise<PulledImage> {
  const reference = pinned(text)
  const { listener = () => {} } = options
  recover(store)
  return await withUnpacking(options, async (unpacking) => {
    const pulled = await pullOne(store, reference, options, unpacking)
    listener({ id: undefined, text: `Digest: ${pulled.target.digest}` })
    const news = pulled.isNew ? 'Downloaded newer image for' : 'Image is up to date for'
    listener({ id: undefined, text: `Status: ${news} ${familiarString(reference)}` })
    return pulled
  })
}

/** Pulls every tag of a repository. Throws as {@link pullImage}; what came before the failure stays. */
export async function pullAllTags(store: Store, repository: Reference, options: PullImageOptions): Promise<void> {
  const { listener = () => {} } = options
  recover(store)
  const client = registryClient(options.access)
  const bare = withoutTag(repository)
  const source = new Repository(client, client.hosts.endpointFor(bare), { name: familiarName(bare) })
  await withUnpacking(options, async (unpacking) => {
    let hasNews = false
    for await (const tag of source.tags()) {
      const pulled = await pullOne(store, withTag(bare, tag), options, unpacking)
      hasNews ||= pulled.isNew
      listener({ id: undefined, text: `Digest: ${pulled.target.digest}` })
    }
    const news = hasNews ? 'Downloaded newer image for' : 'Image is up to date for'
    listener({ id: undefined, text: `Status: ${news} ${familiarName(bare)}` })
    listener({ id: undefined, text: formatReference(bare) })
  })
}

async function pullOne(
  store: Store,
  reference: Reference,
  { access, platform, isComplete, isTagLeft, listener }: PullImageOptions,
  unpacking: Unpacking,
): Promise<PulledImage> {
  using lease = acquireLease(store)
  return await pull({
    store,
    lease,
    client: registryClient(access),
    reference,
    platform,
    ...unpacking,
    signal: access.signal,
    isComplete,
    isTagLeft,
    listener,
  })
}

async function withUnpacking<Result>(
  { startWorker }: PullImageOptions,
  work: (unpacking: Unpacking) => Promise<Result>,
): Promise<Result> {
  if (startWorker === undefined) return await work({ unpack: unpackLayer })
  using threads = new UnpackThreads(startWorker)
  return await work({ unpack: threads.unpackLayer, expect: threads.expect })
}
