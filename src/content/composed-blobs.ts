import { CairnError } from '../errors/error.ts'
import { close, open, openFlags } from '../linux/files.ts'
import type { Digest } from '../oci/digest.ts'
import type { ByteSource } from '../streams/source.ts'
import { type BlobIdentity, type BlobReader, type ByteRange, checked, checkLimit, fill, hasDigest } from './blobs.ts'
import type { MetadataDatabase } from './database.ts'
import { blobNode, link } from './graph.ts'
import type { Store } from './store.ts'

/** Bytes of a blob that has a file: from `start`, up to and without `end`. */
export interface BlobExtent {
  readonly digest: Digest
  readonly start: number
  readonly end: number
}

/** A blob that is kept as pieces of others. */
export interface ComposedBlob extends BlobIdentity {
  /** Its bytes, in order. */
  readonly extents: readonly BlobExtent[]
  /** Bytes of the extents that are kept for this blob alone. */
  readonly ownSize: number
}

interface ComposedRow {
  readonly size: number
  readonly extents: string
}

/**
 * Blobs of files and composed ones, alike for who reads them. A blob that has a file is read from it. The database is
 * asked only where there is none.
 */
export function composedReader(files: BlobReader, database: () => MetadataDatabase): BlobReader {
  const find = (digest: Digest): ComposedRow | undefined =>
    files.has(digest)
      ? undefined
      : database().one<ComposedRow>('SELECT size, extents FROM composed_blobs WHERE digest = ?', digest)
  const size = (digest: Digest): number | undefined => files.size(digest) ?? sizeOf(files, find(digest))
  async function* openBlob(digest: Digest, range?: ByteRange): ByteSource {
    const row = find(digest)
    yield* row === undefined ? files.open(digest, range) : openExtents(files, parseExtents(row.extents), range)
  }
  return {
    path: (digest) => files.path(digest),
    file: (digest) => files.file(digest),
    size,
    open: openBlob,
    has: (digest) => size(digest) !== undefined,
    isWhole: async (digest) => {
      const row = find(digest)
      return row === undefined ? await files.isWhole(digest) : await hasDigest(openBlob(digest), digest)
    },
    readAll: (digest, limit) => {
      const row = find(digest)
      return row === undefined ? files.readAll(digest, limit) : readWhole(files, digest, row, limit)
    },
  }
}

/** The bytes of `extents`, or a range of them, one after the other. Fails with BLOB_UNKNOWN. */
export async function* openExtents(
  files: BlobReader,
  extents: readonly BlobExtent[],
  { start: first = 0, end: last = Infinity }: ByteRange = {},
): ByteSource {
  let position = 0
  for (const { digest, start, end } of extents) {
    const from = start + Math.max(0, first - position)
    const to = Math.min(end, start + last - position)
    position += end - start
    if (from < to) yield* files.open(digest, { start: from, end: to })
  }
}

/** Bytes `start` to `end` of a blob as pieces of blobs that have files: of itself where it has one. */
export function extentsOf(store: Store, { digest, start, end }: BlobExtent): readonly BlobExtent[] {
  const row = store.database.one<ComposedRow>('SELECT size, extents FROM composed_blobs WHERE digest = ?', digest)
  if (row === undefined || store.blobs.file(digest) !== undefined) return [{ digest, start, end }]
  let position = 0
  return parseExtents(row.extents).flatMap((extent) => {
    const from = extent.start + Math.max(0, start - position)
    const to = Math.min(extent.end, extent.start + end - position)
    position += extent.end - extent.start
    return from < to ? [{ digest: extent.digest, start: from, end: to }] : []
  })
}

/**
 * Makes a composed blob visible, whose bytes the caller found to be what its digest says, and has it keep what it is made
 * of: that is protected by a lease of the caller's, as is the blob.
 */
export function putComposedBlob(store: Store, { digest, size, extents, ownSize }: ComposedBlob): void {
  const sources = [...new Set(extents.map((extent) => extent.digest))]
  const numbers = new Map(sources.map((source, index) => [source, index]))
  const text = JSON.stringify([
    sources,
    extents.flatMap((extent) => [numbers.get(extent.digest) as number, extent.start, extent.end]),
  ])
  store.database.transaction(() => {
    for (const source of sources)
      if (store.blobs.file(source) === undefined)
        throw new CairnError('BLOB_UNKNOWN', `blob ${source}, of which ${digest} is made, is not in the store`)
    store.database.run('INSERT OR REPLACE INTO composed_blobs VALUES (?, ?, ?, ?)', digest, size, ownSize, text)
    link(store, blobNode(digest), sources.map(blobNode))
  })
}

/** All composed blobs. */
export function listComposedBlobs(store: Store): readonly Digest[] {
  return store.database.all<{ digest: Digest }>('SELECT digest FROM composed_blobs').map(({ digest }) => digest)
}

/** Diff IDs of layers whose blobs are composed, each with one that it is composed of. */
export function listComposedLayers(store: Store): readonly { readonly layer: Digest; readonly source: Digest }[] {
  return store.database.all(
    `SELECT layers.diff_id AS layer, sources.diff_id AS source
     FROM composed_blobs JOIN layers USING (digest) JOIN links ON parent = composed_blobs.digest
     JOIN layers AS sources ON sources.digest = child`,
  )
}

/** Forgets what a blob is composed of. Its links are the caller's to remove. */
export function deleteComposedBlob({ database }: Store, digest: Digest): void {
  database.run('DELETE FROM composed_blobs WHERE digest = ?', digest)
}

function parseExtents(text: string): readonly BlobExtent[] {
  const [sources, numbers] = JSON.parse(text) as [Digest[], number[]]
  const extents: BlobExtent[] = []
  for (let at = 0; at < numbers.length; at += 3) {
    const [source, start, end] = numbers.slice(at, at + 3) as [number, number, number]
    extents.push({ digest: sources[source] as Digest, start, end })
  }
  return extents
}

/** Undefined where a file is gone or too short that it is made of: then the blob is not there. */
function sizeOf(files: BlobReader, row: ComposedRow | undefined): number | undefined {
  if (row === undefined) return undefined
  const needed = new Map<Digest, number>()
  for (const { digest, end } of parseExtents(row.extents)) needed.set(digest, Math.max(end, needed.get(digest) ?? 0))
  for (const [digest, end] of needed) if ((files.size(digest) ?? -1) < end) return undefined
  return row.size
}

function readWhole(files: BlobReader, digest: Digest, row: ComposedRow, limit: number): Uint8Array<ArrayBuffer> {
  checkLimit(digest, row.size, limit)
  const bytes = new Uint8Array(new ArrayBuffer(row.size))
  let position = 0
  for (const { digest: source, start, end } of parseExtents(row.extents)) {
    const path = files.path(source)
    const fd = open(path, openFlags.O_RDONLY | openFlags.O_NOFOLLOW)
    try {
      fill(bytes.subarray(position, (position += end - start)), fd, start, path)
    } finally {
      close(fd)
    }
  }
  return checked(bytes, digest)
}
