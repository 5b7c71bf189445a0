import { type LayerRecord, listRecentLayers } from '../../content/layer-records.ts'
import type { Lease } from '../../content/leases.ts'
import { listBlobSources } from '../../content/remote-blobs.ts'
import type { Store } from '../../content/store.ts'
import {
  annotatedTable,
  chunkedAnnotations,
  footerTable,
  largestFooter,
  type LayerPiece,
  readPieces,
  type TablePlace,
} from '../../layers/chunked/chunk-table.ts'
import { close, open, openFlags, pread } from '../../linux/files.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { layerCompression } from '../../oci/media-types.ts'
import { collect } from '../../streams/source.ts'
import type { BlobPieceBytes } from './download.ts'
import type { BlobPart, Repository } from './repository.ts'

export interface LayerPiecesOptions {
  readonly store: Store
  /** Protects the layers that pieces are taken from. */
  readonly lease: Lease
  readonly repository: Repository
}

/** Bytes `start` to `end` of the layer: at `position` of a blob of the store, or to be fetched. */
interface Run {
  readonly start: number
  end: number
  readonly from: { readonly digest: Digest; readonly position: number } | undefined
}

/** A smaller layer is fetched in less time than it takes to find out about it. */
const smallestLayer = 128 * 1024
/** Layers that are looked at, and tables that are read, to find pieces. */
const mostLayers = 200
const mostTables = 16
/** What is between two ranges that are fetched as one. */
const smallestGap = 16 * 1024
const mostRanges = 256
/** Ranges that are asked for before their turn comes. */
const rangesAhead = 4
/** Of a layer that is mostly to be fetched anyway, all is. */
const leastSaving = 0.1
const pieceSize = 1024 * 1024

/**
 * The bytes of a layer with a table of contents (zstd:chunked, eStargz) from `start` on, as far as they can be put together
 * of the pieces that layers in the store have and of ranges for the others. Gives nothing where that does not save
 * anything. What tables say is a guess that the caller checks by the digest of the whole. Throws as
 * {@link Repository.openRange}.
 */
export async function* layerPieces(
  blob: Descriptor,
  start: number,
  options: LayerPiecesOptions,
): AsyncGenerator<BlobPieceBytes> {
  const runs = await plan(blob, options)
  if (runs === undefined) return
  const rest = runs.filter(({ end }) => end > start).map((run) => runFrom(run, start))
  const ranges = new RangesAhead(
    blob,
    options.repository,
    rest.filter(({ from }) => from === undefined),
  )
  try {
    for (const run of rest) {
      if (run.from === undefined) yield* ranges.next()
      else yield* stored(options.store, run.from, run.end - run.start)
    }
  } finally {
    ranges.cancel()
  }
}

function runFrom(run: Run, start: number): Run {
  const skipped = Math.max(0, start - run.start)
  const { from } = run
  return {
    start: run.start + skipped,
    end: run.end,
    from: from === undefined ? undefined : { ...from, position: from.position + skipped },
  }
}

/** Where each byte of the layer comes from, in order; undefined where it is to be fetched as a whole. */
async function plan(blob: Descriptor, options: LayerPiecesOptions): Promise<readonly Run[] | undefined> {
  const { annotations = {}, mediaType, size } = blob
  const stargzDigest = annotations[chunkedAnnotations.stargzTableDigest]
  const isChunked = chunkedAnnotations.tablePosition in annotations
  const compression = layerCompression(mediaType)
  if (size < smallestLayer || compression === undefined || (!isChunked && stargzDigest === undefined)) return undefined
  const sources = await candidates(compression, blob, options)
  if (sources.length === 0) return undefined
  const place = isChunked ? annotatedTable(annotations, size) : await remoteStargzTable(blob, stargzDigest, options)
  const table = place === undefined ? undefined : await fetchRange(blob, place.start, place.end, options)
  const pieces = place === undefined || table === undefined ? undefined : await readPieces(table, place)
  if (place === undefined || pieces === undefined) return undefined
  const found = await findPieces(pieces, sources, place, options)
  const runs = runsOf(pieces, found, size)
  const missing = runs.reduce((sum, { start, end, from }) => (from === undefined ? sum + end - start : sum), 0)
  return missing > size * (1 - leastSaving) ? undefined : runs
}

interface Candidate {
  readonly digest: Digest
  readonly place: TablePlace
}

/** Layers of the store with tables, the likeliest to share pieces first: of the same repository, then of like size. */
async function candidates(
  compression: LayerRecord['compression'],
  blob: Descriptor,
  { store, lease, repository }: LayerPiecesOptions,
): Promise<readonly Candidate[]> {
  const { host, path } = repository.endpoint
  const rank = ({ digest, size }: LayerRecord): number =>
    (listBlobSources(store, digest, host).includes(path) ? 0 : 100) + Math.abs(Math.log2((size + 1) / blob.size))
  const layers = listRecentLayers(store, compression, mostLayers)
    .filter(({ size }) => size >= smallestLayer)
    .map((layer) => ({ layer, rank: rank(layer) }))
    .toSorted((a, b) => a.rank - b.rank)
  const found: Candidate[] = []
  for (const { layer } of layers) {
    if (found.length === mostTables) break
    const { digest, size } = layer
    if (digest === blob.digest || store.blobs.size(digest) !== size) continue
    const footer = await collect(store.blobs.open(digest, { start: Math.max(0, size - largestFooter) }), 1024, 'footer')
    const place = footerTable(footer, size)
    if (place !== undefined && lease.claim(digest)) found.push({ digest, place })
  }
  return found
}

async function remoteStargzTable(
  blob: Descriptor,
  digest: string | undefined,
  options: LayerPiecesOptions,
): Promise<TablePlace | undefined> {
  const footer = await fetchRange(blob, Math.max(0, blob.size - largestFooter), blob.size, options)
  const place = footer === undefined ? undefined : footerTable(footer, blob.size)
  if (place?.format !== 'estargz' || digest === undefined || !isDigest(digest)) return undefined
  return { ...place, digest }
}

async function fetchRange(
  blob: Descriptor,
  start: number,
  end: number,
  { repository }: LayerPiecesOptions,
): Promise<Uint8Array | undefined> {
  const part = await repository.openRange(blob, start, end)
  if (part === undefined) return undefined
  const bytes = await collect(part.body, end - start, 'table')
  return bytes.length === end - start ? bytes : undefined
}

type Found = ReadonlyMap<string, { readonly digest: Digest; readonly position: number }>

/** Where in the store the pieces are, by their keys. */
async function findPieces(
  pieces: readonly LayerPiece[],
  sources: readonly Candidate[],
  { format }: TablePlace,
  { store }: LayerPiecesOptions,
): Promise<Found> {
  const wanted = new Set(pieces.map(({ key }) => key))
  const found = new Map<string, { readonly digest: Digest; readonly position: number }>()
  for (const { digest, place } of sources) {
    if (found.size === wanted.size) break
    if (place.format !== format) continue
    const size = place.end - place.start
    const table = await collect(store.blobs.open(digest, place), size, 'table')
    for (const { key, start } of (await readPieces(table, place)) ?? [])
      if (wanted.has(key) && !found.has(key)) found.set(key, { digest, position: start })
  }
  return found
}

/** Pieces as runs, those next to each other in one; what little is between two ranges is fetched with them. */
function runsOf(pieces: readonly LayerPiece[], found: Found, size: number): readonly Run[] {
  const end = pieces.at(-1)?.end ?? 0
  const all = [
    ...pieces.map(({ start, end: until, key }): Run => ({ start, end: until, from: found.get(key) })),
    { start: end, end: size, from: undefined },
  ]
  for (let gap = smallestGap; ; gap *= 4) {
    const runs = joinedRuns(all, gap)
    if (runs.filter(({ from }) => from === undefined).length <= mostRanges) return runs
  }
}

function joinedRuns(pieces: readonly Run[], gap: number): readonly Run[] {
  const runs: Run[] = []
  for (const piece of pieces) {
    const last = runs.at(-1)
    const before = runs.at(-2)
    const isStored = last?.from !== undefined && piece.from !== undefined
    if (last === undefined || piece.end === piece.start) {
      if (last === undefined) runs.push({ ...piece })
    } else if (isStored && follows(last, piece)) last.end = piece.end
    else if (last.from === undefined && piece.from === undefined) last.end = piece.end
    else if (piece.from === undefined && before?.from === undefined && before !== undefined && lengthOf(last) <= gap) {
      runs.pop()
      before.end = piece.end
    } else runs.push({ ...piece })
  }
  return runs
}

function lengthOf({ start, end }: Run): number {
  return end - start
}

function follows(last: Run, { from }: Run): boolean {
  return last.from?.digest === from?.digest && (last.from?.position ?? 0) + lengthOf(last) === from?.position
}

async function* stored(
  store: Store,
  { digest, position }: { readonly digest: Digest; readonly position: number },
  size: number,
): AsyncGenerator<BlobPieceBytes> {
  const path = store.blobs.path(digest)
  const fd = open(path, openFlags.O_RDONLY)
  try {
    const buffer = new Uint8Array(new ArrayBuffer(Math.min(pieceSize, size)))
    for (let done = 0; done < size;) {
      const count = pread(fd, buffer.subarray(0, Math.min(buffer.length, size - done)), position + done, path)
      if (count === 0) throw new Error(`${path} became shorter while it was read`)
      done += count
      yield { bytes: buffer.subarray(0, count), isReceived: false }
    }
  } finally {
    close(fd)
  }
}

/** Ranges in their order, a few of which are asked for ahead. */
class RangesAhead {
  readonly #blob: Descriptor
  readonly #repository: Repository
  readonly #runs: readonly Run[]
  readonly #asked: Promise<BlobPart | undefined>[] = []
  #given = 0

  constructor(blob: Descriptor, repository: Repository, runs: readonly Run[]) {
    this.#blob = blob
    this.#repository = repository
    this.#runs = runs
  }

  async *next(): AsyncGenerator<BlobPieceBytes> {
    this.#ask()
    const { start, end } = this.#runs[this.#given] as Run
    const part = await this.#asked[this.#given++]
    if (part === undefined) throw new Error('the registry gives no ranges')
    let left = end - start
    for await (const bytes of part.body) {
      left -= bytes.length
      if (left < 0) throw new Error('the registry gives more than the range')
      yield { bytes, isReceived: true }
    }
    if (left > 0) throw new Error('the range ended early')
  }

  cancel(): void {
    const open = this.#asked.slice(this.#given)
    void Promise.allSettled(open).then((answers) => {
      for (const answer of answers) if (answer.status === 'fulfilled') answer.value?.cancel()
    })
  }

  #ask(): void {
    while (this.#asked.length < this.#runs.length && this.#asked.length < this.#given + rangesAhead) {
      const { start, end } = this.#runs[this.#asked.length] as Run
      const asked = this.#repository.openRange(this.#blob, start, end)
      // It may fail before its turn comes; the error surfaces there.
      asked.catch(() => {})
      this.#asked.push(asked)
    }
  }
}
