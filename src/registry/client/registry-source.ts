import { acquireLease } from '../../content/leases.ts'
import { getLayerRecord } from '../../content/layer-records.ts'
import type { Store } from '../../content/store.ts'
import type { ImageSource } from '../../images/image-source.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import type { Digest } from '../../oci/digest.ts'
import type { ImageDocument } from '../../oci/image-index.ts'
import { isIndexType, isManifestType } from '../../oci/media-types.ts'
import { familiarString, type Reference } from '../../oci/reference.ts'
import { GrowingFile } from '../../streams/growing-file.ts'
import type { ByteSource } from '../../streams/source.ts'
import type { RegistryClient } from './connection.ts'
import { keepDownload, type KeptDownload } from './kept-download.ts'
import { listReferrers } from './referrers.ts'
import type { Repository } from './repository.ts'
import { firstOf, resolveRemote } from './resolve.ts'
import { TaskSlots } from './task-slots.ts'

export interface RegistrySourceOptions {
  /** True where all of the image will be read: blobs are then fetched ahead, several at once. */
  readonly isRead?: boolean
}

/** More than any image has; others are not looked at. */
const mostReferrers = 1000
/** Blobs that are fetched at once. */
const concurrentDownloads = 4

/**
 * An image of a registry as a place to read from. Blobs that the store has are read there; others are fetched once, when
 * they are first read, into files that go with the process; where it is ended or fails they are there for another attempt.
 * Throws as resolveRemote().
 */
export async function openRegistrySource(
  store: Store,
  client: RegistryClient,
  reference: Reference,
  options: RegistrySourceOptions = {},
): Promise<ImageSource> {
  const { repositories, descriptor } = await resolveRemote(client, reference)
  const reader = new RemoteReader(store, client, repositories, options.isRead === true)
  reader.knows(descriptor)
  return {
    name: `docker://${familiarString(reference)}`,
    target: descriptor,
    references: reference.digest === undefined ? [reference] : [],
    size: (digest) => reader.size(digest),
    open: (blob) => reader.open(blob),
    examined: (layer) => getLayerRecord(store, layer),
    referrers: (subject) => reader.referrers(subject),
    [Symbol.dispose]: () => reader[Symbol.dispose](),
  }
}

class RemoteReader implements Disposable {
  readonly #store: Store
  readonly #client: RegistryClient
  readonly #repositories: readonly Repository[]
  readonly #readsAhead: boolean
  readonly #lease: ReturnType<typeof acquireLease>
  /** Of all that documents which were read lead to. */
  readonly #sizes = new Map<Digest, number>()
  readonly #documents = new Map<Digest, Promise<ImageDocument>>()
  readonly #files = new Map<Digest, Promise<string | undefined>>()
  readonly #slots = new TaskSlots(concurrentDownloads)
  readonly #downloads: KeptDownload[] = []
  #hasFailed = false

  constructor(store: Store, client: RegistryClient, repositories: readonly Repository[], readsAhead: boolean) {
    this.#store = store
    this.#client = client
    this.#repositories = repositories
    this.#readsAhead = readsAhead
    this.#lease = acquireLease(store)
  }

  knows({ digest, size }: Descriptor): void {
    this.#sizes.set(digest, size)
  }

  size(digest: Digest): number | undefined {
    return this.#sizes.get(digest)
  }

  async *open(blob: Descriptor): ByteSource {
    if (isIndexType(blob.mediaType) || isManifestType(blob.mediaType)) {
      yield (await this.#document(blob)).raw
      return
    }
    const file = await this.#file(blob)
    yield* file === undefined ? this.#store.blobs.open(blob.digest) : GrowingFile.whole(file, blob.size).open()
  }

  async referrers(subject: Digest): Promise<readonly Descriptor[]> {
    const found = await firstOf(this.#repositories, async (repository) => {
      const all: Descriptor[] = []
      for await (const descriptor of listReferrers(repository, subject)) {
        all.push(descriptor)
        if (all.length === mostReferrers) break
      }
      return all
    })
    for (const descriptor of found) this.knows(descriptor)
    return found
  }

  [Symbol.dispose](): void {
    const isForLater = this.#hasFailed || this.#client.options.signal.aborted
    for (const download of this.#downloads) download.end(isForLater)
    this.#lease.release()
  }

  #document(blob: Descriptor): Promise<ImageDocument> {
    let document = this.#documents.get(blob.digest)
    if (document === undefined) this.#documents.set(blob.digest, (document = this.#readDocument(blob)))
    return document
  }

  async #readDocument({ digest }: Descriptor): Promise<ImageDocument> {
    const { document } = await firstOf(this.#repositories, (repository) => repository.document(digest))
    const { value } = document
    const parts = 'manifests' in value ? value.manifests : [value.config, ...value.layers]
    for (const part of parts) this.knows(part)
    if (this.#readsAhead && document.type === 'manifest') for (const part of parts) this.#file(part).catch(() => {})
    return document
  }

  /** A file with the blob's bytes, which were verified; undefined where the store has the blob. */
  #file(blob: Descriptor): Promise<string | undefined> {
    let file = this.#files.get(blob.digest)
    if (file === undefined) this.#files.set(blob.digest, (file = this.#slots.run(() => this.#fetch(blob))))
    return file
  }

  async #fetch(blob: Descriptor): Promise<string | undefined> {
    const { signal, firstPause } = this.#client.options
    if (this.#store.blobs.size(blob.digest) === blob.size && this.#lease.claim(blob.digest)) return undefined
    try {
      const download = await keepDownload(this.#store, blob, {
        repositories: this.#repositories,
        signal,
        firstPause,
      })
      this.#downloads.push(download)
      return download.path
    } catch (error) {
      this.#hasFailed = true
      throw error
    }
  }
}
