import type { BlobIdentity } from '../content/blobs.ts'
import type { Lease } from '../content/leases.ts'
import { CairnError, isCairnError } from '../errors/error.ts'
import { directoryFiles, readLayoutText } from '../images/layouts/directory-files.ts'
import { removeScratches, scratchIn, withEntry, writeFileFrom } from '../images/layouts/layout-target.ts'
import { tryListDirectory } from '../linux/directories.ts'
import { tryStat } from '../linux/file-status.ts'
import { close, fsync, open, openFlags, tryLock } from '../linux/files.ts'
import { makeDirectories, removeFile, rename } from '../linux/names.ts'
import { removeTree } from '../linux/remove-tree.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import {
  type ImageDocument,
  type ImageIndex,
  parseImageDocument,
  parseIndex,
  serializeIndex,
} from '../oci/image-index.ts'
import { largestDocument } from '../oci/json-document.ts'
import type { Manifest } from '../oci/manifest.ts'
import { layoutAnnotations, layoutBlobPath, layoutMarker, layoutPaths } from '../oci/layout.ts'
import { isIndexType, isManifestType, mediaTypes } from '../oci/media-types.ts'
import type { BlobContent } from '../registry/client/blob-content.ts'
import { collect, verified } from '../streams/source.ts'
import type { CachePlace } from './cache-options.ts'
import type { CacheSource, CacheTarget } from './cache-places.ts'

type LocalPlace = Extract<CachePlace, { readonly type: 'local' }>

/** The cache in a directory: an OCI layout, or what BuildKit writes, whose `index.json` has tags all the same. */
export function localCacheSource({ path, tag, digest }: LocalPlace, lease: Lease): CacheSource {
  const files = directoryFiles(path)
  const fileOf = (blob: Pick<Descriptor, 'digest'>): NonNullable<ReturnType<typeof files.find>> => {
    const file = files.find(layoutBlobPath(blob.digest))
    if (file === undefined) throw new CairnError('BLOB_UNKNOWN', `${path} has no blob ${blob.digest}`)
    return file
  }
  const read = async (blob: Descriptor, limit: number): Promise<Uint8Array<ArrayBuffer>> => {
    if (blob.size > limit)
      throw new CairnError('LIMIT_EXCEEDED', `blob ${blob.digest} has ${blob.size} bytes, more than ${limit}`)
    return await collect(verified(fileOf(blob).read(), blob), limit, `blob ${blob.digest}`)
  }
  const document = async (descriptor: Descriptor): Promise<ImageDocument> =>
    parseImageDocument(await read(descriptor, largestDocument), descriptor.mediaType)
  return {
    roots: async () => {
      const text = readLayoutText(`${path}/${layoutPaths.index}`)
      if (text === undefined) return []
      const { value } = parseIndex(text)
      const found =
        digest === undefined ? entryOf(value, tag) : value.manifests.find((entry) => entry.digest === digest)
      return found === undefined ? [] : [await document(found)]
    },
    document,
    read,
    open: (blob) => Promise.resolve(verified(fileOf(blob).read(), blob)),
    fetch: async (blob) => {
      await fileOf(blob).store(lease, { digest: blob.digest, size: blob.size })
    },
  }
}

function entryOf({ manifests }: ImageIndex, tag: string): Descriptor | undefined {
  return manifests.find(({ annotations }) => annotations?.[layoutAnnotations.refName] === tag)
}

/**
 * A directory that a cache is written to, made where there is none. Several processes may write at once; with `reset`
 * blobs that no tag leads to are removed by the last of them. Throws ARCHIVE_INVALID for a directory that holds something
 * else.
 */
export function localCacheTarget({ path, tag }: LocalPlace, options: { readonly reset: boolean }): CacheTarget {
  makeDirectories(`${path}/${layoutPaths.blobs}`)
  const lock = open(path, openFlags.O_RDONLY | openFlags.O_DIRECTORY)
  try {
    // Alone where nobody else writes: what is there of other writers is of such that were killed.
    if (tryLock(lock, 'exclusive', path)) removeScratches(path)
    // Who removes anything holds it alone, and only for a moment.
    while (!tryLock(lock, 'shared', path)) Bun.sleepSync(20)
    return new LocalTarget(path, tag, lock, options.reset)
  } catch (error) {
    close(lock)
    throw error
  }
}

class LocalTarget implements CacheTarget {
  readonly #path: string
  readonly #tag: string
  readonly #reset: boolean
  readonly #scratch: string
  #lock: number

  constructor(path: string, tag: string, lock: number, reset: boolean) {
    this.#path = path
    this.#tag = tag
    this.#lock = lock
    this.#reset = reset
    this.#scratch = scratchIn(path)
  }

  has({ digest, size }: BlobIdentity): Promise<boolean> {
    return Promise.resolve(tryStat(`${this.#path}/${layoutBlobPath(digest)}`)?.size === size)
  }

  async put(content: BlobContent): Promise<BlobIdentity> {
    const temporary = `${this.#scratch}/${crypto.randomUUID()}`
    makeDirectories(this.#scratch)
    await writeFileFrom(temporary, content.from(0))
    const { identity } = content
    if (identity === undefined) throw new Error('a blob that was read to its end has no digest')
    if (tryStat(temporary)?.size !== identity.size)
      throw new CairnError('BLOB_CORRUPT', `blob ${identity.digest} is damaged on disk: it is not as long as it was`)
    this.#place(temporary, identity.digest)
    return identity
  }

  async putBytes(bytes: Uint8Array<ArrayBuffer>, digest: Digest): Promise<void> {
    const temporary = `${this.#scratch}/${crypto.randomUUID()}`
    makeDirectories(this.#scratch)
    await writeFileFrom(temporary, [bytes])
    this.#place(temporary, digest)
  }

  async current(): Promise<Manifest | undefined> {
    try {
      const text = readLayoutText(`${this.#path}/${layoutPaths.index}`)
      const entry = text === undefined ? undefined : entryOf(parseIndex(text).value, this.#tag)
      const file = entry === undefined ? undefined : directoryFiles(this.#path).find(layoutBlobPath(entry.digest))
      if (entry === undefined || file === undefined) return undefined
      const raw = await collect(verified(file.read(), entry), largestDocument, entry.digest)
      const document = parseImageDocument(raw, entry.mediaType)
      return document.type === 'manifest' ? document.value : undefined
    } catch (error) {
      // Whatever is there is replaced, so it need not be readable.
      if (isCairnError(error)) return undefined
      throw error
    }
  }

  async commit(manifest: Uint8Array<ArrayBuffer>, descriptor: Descriptor): Promise<void> {
    await this.putBytes(manifest, descriptor.digest)
    const index = open(`${this.#path}/.lock`, openFlags.O_RDWR | openFlags.O_CREAT, 0o644)
    try {
      while (!tryLock(index, 'exclusive', this.#path)) await Bun.sleep(10)
      const text = readLayoutText(`${this.#path}/${layoutPaths.index}`)
      const before: ImageIndex =
        text === undefined
          ? { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] }
          : parseIndex(text).value
      await this.#replace(layoutPaths.marker, new TextEncoder().encode(layoutMarker))
      await this.#replace(layoutPaths.index, serializeIndex(withEntry(before, descriptor, this.#tag)))
      fsync(this.#lock, this.#path)
      if (this.#reset && tryLock(this.#lock, 'exclusive', this.#path)) await this.#removeUnused()
    } finally {
      close(index)
    }
  }

  [Symbol.dispose](): void {
    if (this.#lock < 0) return
    removeTree(this.#scratch)
    close(this.#lock)
    this.#lock = -1
  }

  #place(temporary: string, digest: Digest): void {
    const target = `${this.#path}/${layoutBlobPath(digest)}`
    makeDirectories(target.slice(0, target.lastIndexOf('/')))
    rename(temporary, target)
  }

  async #replace(name: string, bytes: Uint8Array): Promise<void> {
    const temporary = `${this.#scratch}/${name}`
    await writeFileFrom(temporary, [bytes])
    rename(temporary, `${this.#path}/${name}`)
  }

  /** Removes the blobs that nothing in `index.json` leads to. Only blobs have names of digests there. */
  async #removeUnused(): Promise<void> {
    const used = new Set<string>()
    const index = parseIndex(readLayoutText(`${this.#path}/${layoutPaths.index}`) ?? '').value
    const pending = [...index.manifests]
    const files = directoryFiles(this.#path)
    for (let entry = pending.pop(); entry !== undefined; entry = pending.pop()) {
      const name = layoutBlobPath(entry.digest)
      if (used.has(name)) continue
      used.add(name)
      if (!isIndexType(entry.mediaType) && !isManifestType(entry.mediaType)) continue
      const file = files.find(name)
      if (file === undefined) continue
      const raw = await collect(verified(file.read(), entry), largestDocument, name)
      const { value } = parseImageDocument(raw, entry.mediaType)
      pending.push(...('manifests' in value ? value.manifests : [value.config, ...value.layers]))
    }
    for (const algorithm of ['sha256', 'sha512'])
      for (const { name } of tryListDirectory(`${this.#path}/${layoutPaths.blobs}/${algorithm}`)) {
        const path = `${layoutPaths.blobs}/${algorithm}/${name}`
        if (/^[0-9a-f]{64,128}$/.test(name) && !used.has(path)) removeFile(`${this.#path}/${path}`)
      }
  }
}
