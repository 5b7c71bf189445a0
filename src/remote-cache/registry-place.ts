import type { BlobIdentity } from '../content/blobs.ts'
import type { Lease } from '../content/leases.ts'
import { putBlobSources } from '../content/remote-blobs.ts'
import type { Store } from '../content/store.ts'
import { CairnError, isCairnError } from '../errors/error.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import type { Manifest } from '../oci/manifest.ts'
import { familiarName, type Reference } from '../oci/reference.ts'
import type { BlobContent } from '../registry/client/blob-content.ts'
import type { RegistryClient } from '../registry/client/connection.ts'
import { downloadBlob } from '../registry/client/download.ts'
import { Repository } from '../registry/client/repository.ts'
import { firstOf } from '../registry/client/resolve.ts'
import { uploadBlob } from '../registry/client/upload.ts'
import { collect, verified } from '../streams/source.ts'
import type { CacheSource, CacheTarget } from './cache-places.ts'

export interface RegistryPlaceOptions {
  readonly store: Store
  readonly lease: Lease
  readonly client: RegistryClient
  readonly signal: AbortSignal
}

/** The cache, or the image with an inline cache, that a name means at its registry or a mirror of that. */
export function registryCacheSource(reference: Reference, options: RegistryPlaceOptions): CacheSource {
  const { store, lease, client, signal } = options
  const repositories = client
    .endpointsFor(reference)
    .map((endpoint) => new Repository(client, endpoint, { name: familiarName(reference) }))
  return {
    roots: async () => {
      try {
        return [(await firstOf(repositories, (one) => one.document(tagOf(reference)))).document]
      } catch (error) {
        if (isAbsence(error)) return []
        throw error
      }
    },
    document: async ({ digest }) => (await firstOf(repositories, (one) => one.document(digest))).document,
    read: async (blob, limit) => {
      if (blob.size > limit)
        throw new CairnError('LIMIT_EXCEEDED', `blob ${blob.digest} has ${blob.size} bytes, more than ${limit}`)
      return await firstOf(repositories, async (one) => {
        const { body } = await one.openBlob(blob)
        return await collect(verified(body, blob), limit, `blob ${blob.digest}`)
      })
    },
    open: async (blob) => await firstOf(repositories, async (one) => verified((await one.openBlob(blob)).body, blob)),
    fetch: async (blob) => {
      await downloadBlob(blob, { store, lease, repositories, signal })
      const [{ endpoint }] = repositories as [Repository]
      putBlobSources(store, [blob.digest], { host: endpoint.host, repository: endpoint.path })
    },
  }
}

/** What a tag leads to: a manifest or an index, itself among the digests. */
interface TagContent {
  readonly manifest: Manifest | undefined
  readonly digests: ReadonlySet<Digest>
}

/** A cache at a registry. What the tag leads to already is not asked for again. */
export function registryCacheTarget(reference: Reference, options: RegistryPlaceOptions): CacheTarget {
  return new RegistryTarget(reference, options)
}

class RegistryTarget implements CacheTarget {
  readonly #options: RegistryPlaceOptions
  readonly #repository: Repository
  readonly #tag: string
  #present: Promise<TagContent> | undefined

  constructor(reference: Reference, options: RegistryPlaceOptions) {
    this.#options = options
    const { client } = options
    const name = familiarName(reference)
    this.#repository = new Repository(client, client.hosts.endpointFor(reference), { name, isPush: true })
    this.#tag = tagOf(reference)
  }

  async has({ digest }: BlobIdentity): Promise<boolean> {
    if ((await this.#content()).digests.has(digest)) return true
    return await this.#repository.hasBlob(digest)
  }

  async put(content: BlobContent, key: string): Promise<BlobIdentity> {
    const { store, signal } = this.#options
    const { host, path } = this.#repository.endpoint
    const blob = await uploadBlob(content, { store, repository: this.#repository, signal, key, session: undefined })
    putBlobSources(store, [blob.digest], { host, repository: path })
    return blob
  }

  async putBytes(bytes: Uint8Array<ArrayBuffer>, digest: Digest): Promise<void> {
    const blob = { digest, size: bytes.length }
    if (await this.has(blob)) return
    await this.put(heldContent(bytes, digest), digest)
  }

  async current(): Promise<Manifest | undefined> {
    return (await this.#content()).manifest
  }

  async commit(manifest: Uint8Array<ArrayBuffer>, { digest, mediaType }: Descriptor): Promise<void> {
    if ((await this.#content()).digests.has(digest)) return
    await this.#repository.putDocument(this.#tag, manifest, mediaType)
  }

  [Symbol.dispose](): void {}

  #content(): Promise<TagContent> {
    return (this.#present ??= this.#find())
  }

  async #find(): Promise<TagContent> {
    try {
      const { document } = await this.#repository.document(this.#tag)
      if (document.type === 'index') return { manifest: undefined, digests: new Set([digestOf(document.raw)]) }
      const { config, layers } = document.value
      const digests = new Set([digestOf(document.raw), config.digest, ...layers.map(({ digest }) => digest)])
      return { manifest: document.value, digests }
    } catch (error) {
      // Whatever is there is replaced, so it need not be readable.
      if (isAbsence(error) || isCairnError(error, 'MANIFEST_INVALID'))
        return { manifest: undefined, digests: new Set() }
      throw error
    }
  }
}

/** Bytes held in memory. */
function heldContent(bytes: Uint8Array<ArrayBuffer>, digest: Digest): BlobContent {
  return {
    identity: { digest, size: bytes.length },
    file: undefined,
    // oxlint-disable-next-line typescript/require-await -- a source of bytes is asynchronous by type
    from: async function* from(start) {
      if (start < bytes.length) yield bytes.subarray(start)
    },
  }
}

function tagOf({ digest, tag }: Reference): string {
  return digest ?? tag ?? 'latest'
}

function isAbsence(error: unknown): boolean {
  return isCairnError(error, 'MANIFEST_UNKNOWN') || isCairnError(error, 'NAME_UNKNOWN')
}
