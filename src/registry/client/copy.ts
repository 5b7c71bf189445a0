import { acquireLease, type Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { isCairnError } from '../../errors/error.ts'
import { preferredEntry } from '../../images/records/put-image.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import type { Digest } from '../../oci/digest.ts'
import type { ImageDocument } from '../../oci/image-index.ts'
import { isIndexType, isManifestType } from '../../oci/media-types.ts'
import { formatPlatform, type Platform } from '../../oci/platform.ts'
import { familiarName, familiarString, type Reference } from '../../oci/reference.ts'
import { CairnError } from '../../errors/error.ts'
import { type BlobContent, fileContent, storedContent } from './blob-content.ts'
import type { RegistryClient } from './connection.ts'
import { forgetDownload, keepDownload, type KeptDownload } from './kept-download.ts'
import { Repository } from './repository.ts'
import { firstOf, type ResolvedRemote, resolveRemote } from './resolve.ts'
import { TaskSlots } from './task-slots.ts'
import { uploadBlob } from './upload.ts'

export interface RemoteCopyOptions {
  readonly store: Store
  readonly client: RegistryClient
  readonly from: Reference
  /** With a tag, or the digest that the image has. */
  readonly to: Reference
  /** Of an image for several platforms, copy only this one. */
  readonly platform?: Platform | undefined
  readonly known?: KnownRemotes | undefined
}

/** What whoever copies many images knows before: it is not asked for again. */
export interface KnownRemotes {
  /** What `from` leads to; `to` does not lead there. */
  readonly source: ResolvedRemote
  /** Blobs that copies to this target brought or are bringing, each once. */
  readonly moved: Map<Digest, Promise<void>>
}

/** What a copy between registries did. */
export interface RemoteCopy {
  readonly target: Descriptor
  /** Blobs that were sent, and their bytes. */
  readonly written: { readonly blobs: number; readonly bytes: number }
}

const concurrentBlobs = 4
const deepestIndex = 4

/**
 * Copies an image from registry to registry, byte for byte, with all platforms and attestations. What the target has, or
 * can mount as it is the same registry, moves no bytes. What moves is verified by its digest and size; documents are
 * checked as a pull checks them. What a copy that broke off had fetched or sent is not moved again. Throws as
 * {@link Repository}, keepDownload() and uploadBlob(), and IMAGE_PLATFORM.
 */
export async function copyRemote(options: RemoteCopyOptions): Promise<RemoteCopy> {
  using lease = acquireLease(options.store)
  const source = options.known?.source ?? (await resolveRemote(options.client, options.from))
  return await new RegistryCopy(options, lease, source).run()
}

class RegistryCopy {
  readonly #options: RemoteCopyOptions
  readonly #lease: Lease
  readonly #source: ResolvedRemote
  readonly #target: Repository
  /** The source's repository where the target can mount from it. */
  readonly #mountable: string | undefined
  readonly #slots = new TaskSlots(concurrentBlobs)
  readonly #moved: Map<Digest, Promise<void>>
  readonly #written = { blobs: 0, bytes: 0 }

  constructor(options: RemoteCopyOptions, lease: Lease, source: ResolvedRemote) {
    this.#options = options
    this.#lease = lease
    this.#source = source
    this.#moved = options.known?.moved ?? new Map()
    const { client, to } = options
    const endpoint = client.hosts.endpointFor(to)
    const from = source.repositories[0].endpoint
    const isSame = from.host === endpoint.host && from.path !== endpoint.path
    this.#mountable = isSame ? from.path : undefined
    this.#target = new Repository(client, endpoint, {
      name: familiarName(to),
      isPush: true,
      alsoPull: isSame ? [from.path] : [],
    })
  }

  async run(): Promise<RemoteCopy> {
    const { platform, to, known } = this.#options
    const root = platform === undefined ? this.#source.descriptor : await this.#choose(platform)
    const tag = to.digest === undefined ? (to.tag ?? 'latest') : root.digest
    const there = known === undefined ? await this.#target.describe(tag) : undefined
    if (there?.digest !== root.digest) await this.#copyDocument(root, tag, 0)
    return { target: root, written: this.#written }
  }

  async #choose(platform: Platform): Promise<Descriptor> {
    const { descriptor } = this.#source
    const document = await this.#document(descriptor)
    const found = document.type === 'index' ? preferredEntry(document.value.manifests, platform) : descriptor
    if (found === undefined)
      throw new CairnError(
        'IMAGE_PLATFORM',
        `${familiarString(this.#options.from)} does not provide the platform ${formatPlatform(platform)}`,
      )
    const { digest, mediaType, size } = found
    return { digest, mediaType, size }
  }

  async #document({ digest, size, mediaType }: Descriptor): Promise<ImageDocument> {
    const found = await firstOf(this.#source.repositories, (repository) => repository.document(digest))
    if (found.descriptor.size !== size || found.descriptor.mediaType !== mediaType)
      throw new CairnError('MANIFEST_INVALID', `${digest} is not what leads to it says`)
    return found.document
  }

  /** Copies a document after all it leads to. */
  async #copyDocument(descriptor: Descriptor, reference: string, depth: number): Promise<void> {
    if (depth > deepestIndex)
      throw new CairnError('MANIFEST_INVALID', `indexes are nested more than ${deepestIndex} deep`)
    const document = await this.#document(descriptor)
    if (document.type === 'index') {
      for (const entry of document.value.manifests)
        if (isIndexType(entry.mediaType) || isManifestType(entry.mediaType))
          await this.#copyDocument(entry, entry.digest, depth + 1)
    } else {
      const results = await Promise.allSettled(
        [document.value.config, ...document.value.layers].map((blob) => this.#move(blob)),
      )
      const failed = results.find((result) => result.status === 'rejected')
      if (failed !== undefined) throw failed.reason
    }
    await this.#target.putDocument(reference, document.raw, descriptor.mediaType)
  }

  #move(blob: Descriptor): Promise<void> {
    const known = this.#moved.get(blob.digest)
    if (known !== undefined) return known
    const moved = this.#slots.run(() => this.#moveOne(blob))
    this.#moved.set(blob.digest, moved)
    moved.catch(() => this.#moved.delete(blob.digest))
    return moved
  }

  async #moveOne(blob: Descriptor): Promise<void> {
    const { store } = this.#options
    if (await this.#isThere(blob)) return forgetDownload(store, blob)
    if (store.blobs.size(blob.digest) === blob.size && this.#lease.claim(blob.digest)) {
      await this.#send(blob, storedContent(store, blob))
      return
    }
    const download = await this.#fetch(blob)
    if (download === undefined) return
    try {
      await this.#send(blob, fileContent(download.path, blob))
    } catch (error) {
      // Only what another attempt may get past is worth the space until then.
      download.end(!isCairnError(error) || error.kind === 'canceled' || error.kind === 'unavailable')
      throw error
    }
    download.end(false)
  }

  async #send(blob: Descriptor, content: BlobContent): Promise<void> {
    const { store } = this.#options
    await uploadBlob(content, { store, repository: this.#target, key: blob.digest, ...this.#pace })
    this.#written.blobs++
    this.#written.bytes += blob.size
  }

  /** Undefined for a layer that registries need not have (image-spec layer.md §non-distributable-layers), and this has not. */
  async #fetch(blob: Descriptor): Promise<KeptDownload | undefined> {
    const { repositories } = this.#source
    try {
      return await keepDownload(this.#options.store, blob, { repositories, ...this.#pace })
    } catch (error) {
      if (isCairnError(error, 'BLOB_UNKNOWN') && (blob.urls?.length ?? 0) > 0) return undefined
      throw error
    }
  }

  get #pace(): { readonly signal: AbortSignal; readonly firstPause?: number | undefined } {
    const { signal, firstPause } = this.#options.client.options
    return { signal, firstPause }
  }

  async #isThere({ digest }: Descriptor): Promise<boolean> {
    if (this.#mountable === undefined) return await this.#target.hasBlob(digest)
    try {
      if ((await this.#target.mountBlob(digest, this.#mountable)) === undefined) return true
    } catch (error) {
      if (!isCairnError(error) || error.kind === 'canceled' || error.kind === 'unavailable') throw error
    }
    return await this.#target.hasBlob(digest)
  }
}
