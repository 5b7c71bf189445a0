import type { BlobIdentity } from '../content/blobs.ts'
import type { Lease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { close, open, openFlags, write } from '../linux/files.ts'
import { removeFile } from '../linux/names.ts'
import { type Descriptor, isJsonObject } from '../oci/descriptor.ts'
import { type Digest, Digester, digestOf } from '../oci/digest.ts'
import { type ImageDocument, parseImageDocument } from '../oci/image-index.ts'
import { parseJsonDocument } from '../oci/json-document.ts'
import { mediaTypes } from '../oci/media-types.ts'
import type { BlobContent } from '../registry/client/blob-content.ts'
import { type ByteSource, collect, verified } from '../streams/source.ts'
import { buildkitConfigType } from './buildkit-cache.ts'
import { largestCacheConfig } from './cache-document.ts'
import type { CacheSource, CacheTarget } from './cache-places.ts'

/**
 * Where a cache is blobs by their digests, and a document by the cache's name that says which steps they are of. The
 * document is BuildKit's, of cache/remotecache/s3 and gha; the manifest of Cairn's own cache is one more field of it,
 * which BuildKit passes over.
 */
export interface CacheObjects {
  /** Blobs that are written at once. */
  readonly parallelism?: number
  /** The documents by this name, the nearest first: a service may keep one for each branch. */
  documents(): Promise<readonly Uint8Array<ArrayBuffer>[]>
  replaceDocument(bytes: Uint8Array<ArrayBuffer>): Promise<void>
  /** True where the blob is there, which then is to stay. */
  has(blob: BlobIdentity): Promise<boolean>
  /** The bytes of a blob from `start` on; undefined where it is not there. */
  open(digest: Digest, start: number): Promise<ReadableStream<Uint8Array> | undefined>
  put(blob: BlobIdentity, data: Blob): Promise<void>
}

/** The field of a document that has the manifest of Cairn's cache. */
const ownField = 'cairn.cache.v1'
/** How often a download that broke off is gone on with. */
const mostResumptions = 4

/** A cache that consists of objects. */
export function objectCacheSource(objects: CacheObjects, lease: Lease): CacheSource {
  // The configs of BuildKit's documents are the documents themselves.
  const held = new Map<Digest, Uint8Array<ArrayBuffer>>()
  const read = (blob: Descriptor): ByteSource => verified(wholeBlob(objects, blob), blob)
  return {
    roots: async () =>
      (await objects.documents()).map((bytes) => {
        if (bytes.length > largestCacheConfig)
          throw new CairnError('LIMIT_EXCEEDED', `the document of the cache has ${bytes.length} bytes`)
        held.set(digestOf(bytes), bytes)
        return rootOf(bytes)
      }),
    document: ({ digest }) =>
      Promise.reject(new CairnError('CACHE_INVALID', `the cache leads to a document ${digest}, which it cannot have`)),
    read: async (blob, limit) => {
      const there = held.get(blob.digest)
      if (there !== undefined) return there
      if (blob.size > limit)
        throw new CairnError('LIMIT_EXCEEDED', `blob ${blob.digest} has ${blob.size} bytes, more than ${limit}`)
      return await collect(read(blob), limit, `blob ${blob.digest}`)
    },
    open: (blob) => Promise.resolve(read(blob)),
    fetch: async (blob) => {
      const { digest, size } = blob
      if (lease.claim(digest)) return
      const ingest = lease.ingest({ digest, size })
      try {
        for await (const bytes of wholeBlob(objects, blob)) ingest.write(bytes)
        await ingest.commit()
      } finally {
        ingest.abort()
      }
    },
  }
}

/** The bytes of a blob, gone on with where the connection breaks off. */
async function* wholeBlob(objects: CacheObjects, { digest, size }: BlobIdentity): ByteSource {
  let position = 0
  for (let attempt = 0; ; attempt++) {
    const body = await objects.open(digest, position)
    if (body === undefined) throw new CairnError('BLOB_UNKNOWN', `the cache has no blob ${digest}`)
    try {
      for await (const bytes of body) {
        position += bytes.length
        yield bytes
      }
      return
    } catch (error) {
      if (error instanceof CairnError) throw error
      if (attempt === mostResumptions || position >= size)
        throw new CairnError('NETWORK', `blob ${digest} of the cache breaks off`, { cause: error })
      await Bun.sleep(100 * 2 ** attempt)
    }
  }
}

/** The manifest in a document; for one of BuildKit's that which it would have in a registry. Throws CACHE_INVALID. */
function rootOf(bytes: Uint8Array<ArrayBuffer>): ImageDocument {
  const { value } = parseJsonDocument(bytes, { name: 'cache', code: 'CACHE_INVALID' }, largestCacheConfig)
  const own = value[ownField]
  if (own !== undefined) return parseImageDocument(JSON.stringify(own), mediaTypes.ociManifest)
  const layers = Array.isArray(value['layers']) ? value['layers'] : []
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: buildkitConfigType, digest: digestOf(bytes), size: bytes.length },
    layers: layers.map((layer, index) => describedLayer(layer, `layers[${index}]`)),
  }
  return parseImageDocument(JSON.stringify(manifest), mediaTypes.ociManifest)
}

function describedLayer(layer: unknown, where: string): Readonly<Record<string, unknown>> {
  const annotations = isJsonObject(layer) ? layer['annotations'] : undefined
  if (!isJsonObject(layer) || !isJsonObject(annotations))
    throw new CairnError('CACHE_INVALID', `cache: ${where} has no annotations`)
  const { mediaType, size, diffID } = annotations
  const digest = layer['blob']
  return { mediaType, digest, size, annotations: { 'containerd.io/uncompressed': diffID } }
}

/** Writes a cache as objects. What is compressed on the way is put aside first: only then it has a name. */
export function objectCacheTarget(objects: CacheObjects, store: Store): CacheTarget {
  const put = async (blob: BlobIdentity, data: Blob): Promise<void> => {
    if (!(await objects.has(blob))) await objects.put(blob, data)
  }
  return {
    ...(objects.parallelism === undefined ? {} : { parallelism: objects.parallelism }),
    holdsDocument: true,
    has: (blob) => objects.has(blob),
    put: async (content) => {
      const { identity, file } = content
      if (identity !== undefined && file !== undefined) {
        await objects.put(identity, Bun.file(file))
        return identity
      }
      const path = store.session.temporaryPath('cache')
      try {
        const blob = await writeAside(content, path)
        await put(blob, Bun.file(path))
        return blob
      } finally {
        removeFile(path)
      }
    },
    putBytes: async (bytes, digest) => await put({ digest, size: bytes.length }, new Blob([bytes])),
    commit: async (manifest, _descriptor, document) => {
      const own: unknown = JSON.parse(new TextDecoder().decode(manifest))
      await objects.replaceDocument(new TextEncoder().encode(JSON.stringify({ ...document, [ownField]: own })))
    },
    [Symbol.dispose]: () => {},
  }
}

async function writeAside(content: BlobContent, path: string): Promise<BlobIdentity> {
  const digester = new Digester()
  const fd = open(path, openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_EXCL, 0o600)
  try {
    for await (const bytes of content.from(0)) {
      digester.update(bytes)
      write(fd, bytes, path)
    }
  } finally {
    close(fd)
  }
  return { digest: digester.digest(), size: digester.size }
}
