import { layerNode } from '../../content/graph.ts'
import { type LayerRecord, listRecentLayers } from '../../content/layer-records.ts'
import type { Lease } from '../../content/leases.ts'
import { listBlobSources } from '../../content/remote-blobs.ts'
import { findSnapshot } from '../../content/snapshot-records.ts'
import type { Store } from '../../content/store.ts'
import {
  annotatedTable,
  chunkedAnnotations,
  footerTable,
  largestFooter,
  type LayerPiece,
  type LayerTable,
  readTable,
  type TablePlace,
} from '../../layers/chunked/chunk-table.ts'
import { cleanMemberPath } from '../../layers/member-path.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { type LayerCompression, layerCompression } from '../../oci/media-types.ts'
import { collect } from '../../streams/source.ts'
import type { Repository } from './repository.ts'

export interface LayerPlanOptions {
  readonly store: Store
  /** Protects the layers that pieces are taken from. */
  readonly lease: Lease
  readonly repository: Repository
}

/** Bytes `start` to `end` of the layer: at `position` of a blob of the store, or to be fetched. */
export interface LayerRun {
  readonly start: number
  end: number
  readonly from: { readonly digest: Digest; readonly position: number } | undefined
}

/** A file whose content is bytes `start` to `end` of the layer, unpacked, and stands at `path` of an unpacked layer. */
export interface UnpackedFile {
  readonly start: number
  readonly end: number
  readonly size: number
  readonly directory: string
  readonly path: string
}

/** Where the bytes of a layer may be had, as its table says and those of others. All of it is a guess. */
export interface LayerPlan {
  readonly compression: LayerCompression
  /** Each byte, in order. */
  readonly runs: readonly LayerRun[]
  /** In order. */
  readonly files: readonly UnpackedFile[]
}

/** A smaller layer is fetched in less time than it takes to find out about it. */
const smallestLayer = 128 * 1024
/** Layers that are looked at, and tables that are read, to find pieces. */
const mostLayers = 200
const mostTables = 16
/** What is between two ranges that are fetched as one. */
const smallestGap = 16 * 1024
const mostRanges = 256
/** So few bytes are fetched in less time than it takes to read one more table. */
const smallestGain = 64 * 1024
/** Of a layer that is mostly to be fetched anyway, all is. */
const leastSaving = 0.1
/** A smaller file is unpacked in the time that it takes to find it. Nor does any program mind that it has two names. */
const smallestFile = 16 * 1024

/**
 * Where the bytes of a layer with a table of contents (zstd:chunked, eStargz) come from: layers of the store that have
 * pieces of it, and ranges for the others. Undefined where that does not save anything. Throws as
 * {@link Repository.openRange}.
 */
export async function planLayer(blob: Descriptor, options: LayerPlanOptions): Promise<LayerPlan | undefined> {
  const { annotations = {}, mediaType, size } = blob
  const stargzDigest = annotations[chunkedAnnotations.stargzTableDigest]
  const isChunked = chunkedAnnotations.tablePosition in annotations
  const compression = layerCompression(mediaType)
  if (size < smallestLayer || compression === undefined || (!isChunked && stargzDigest === undefined)) return undefined
  const sources = await candidates(compression, blob, options)
  if (sources.length === 0) return undefined
  const place = isChunked ? annotatedTable(annotations, size) : await remoteStargzTable(blob, stargzDigest, options)
  const bytes = place === undefined ? undefined : await fetchRange(blob, place.start, place.end, options)
  const table = place === undefined || bytes === undefined ? undefined : await readTable(bytes, place)
  if (place === undefined || table === undefined) return undefined
  const found = await findPieces(table, sources, place, options)
  const runs = runsOf(table.pieces, found.pieces, size)
  const missing = runs.reduce((sum, { start, end, from }) => (from === undefined ? sum + end - start : sum), 0)
  return missing > size * (1 - leastSaving) ? undefined : { compression, runs, files: found.files }
}

interface Candidate {
  readonly digest: Digest
  readonly diffId: Digest
  readonly place: TablePlace
}

/** Layers of the store with tables, the likeliest to share pieces first: of the same repository, then of like size. */
async function candidates(
  compression: LayerRecord['compression'],
  blob: Descriptor,
  { store, lease, repository }: LayerPlanOptions,
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
    const { digest, diffId, size } = layer
    if (digest === blob.digest || store.blobs.size(digest) !== size) continue
    const footer = await collect(store.blobs.open(digest, { start: Math.max(0, size - largestFooter) }), 1024, 'footer')
    const place = footerTable(footer, size)
    if (place !== undefined && lease.claim(digest)) found.push({ digest, diffId, place })
  }
  return found
}

async function remoteStargzTable(
  blob: Descriptor,
  digest: string | undefined,
  options: LayerPlanOptions,
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
  { repository }: LayerPlanOptions,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const part = await repository.openRange(blob, start, end)
  if (part === undefined) return undefined
  const bytes = await collect(part.body, end - start, 'table')
  return bytes.length === end - start ? bytes : undefined
}

/** Where pieces are in the store, by their keys. */
type Found = ReadonlyMap<string, { readonly digest: Digest; readonly position: number }>

async function findPieces(
  table: LayerTable,
  sources: readonly Candidate[],
  { format }: TablePlace,
  { store, lease }: LayerPlanOptions,
): Promise<{ readonly pieces: Found; readonly files: readonly UnpackedFile[] }> {
  const wanted = new Map(table.pieces.map(({ key, start, end }) => [key, end - start]))
  const pieces = new Map<string, { readonly digest: Digest; readonly position: number }>()
  let missing = [...wanted.values()].reduce((sum, size) => sum + size, 0)
  const files = new FileSearch(table)
  for (const { digest, diffId, place } of sources) {
    if (missing <= smallestGain) break
    if (place.format !== format) continue
    const size = place.end - place.start
    const own = await readTable(await collect(store.blobs.open(digest, place), size, 'table'), place)
    if (own === undefined) continue
    for (const { key, start } of own.pieces) {
      const found = pieces.has(key) ? undefined : wanted.get(key)
      if (found === undefined) continue
      pieces.set(key, { digest, position: start })
      missing -= found
    }
    lease.protect(layerNode(diffId))
    const snapshot = findSnapshot(store, diffId)
    if (snapshot !== undefined) files.look(own, store.path('snapshots', snapshot.id, 'fs'))
  }
  return { pieces, files: files.found }
}

/** Looks for the files of a layer among those that are unpacked, by what they hash to; best of the same name. */
class FileSearch {
  readonly #table: LayerTable
  readonly #wanted: ReadonlySet<string>
  readonly #places = new Map<string, { readonly directory: string; readonly path: string }>()

  constructor(table: LayerTable) {
    this.#table = table
    this.#wanted = new Set(table.files.flatMap(({ digest, size }) => (size < smallestFile ? [] : [digest])))
  }

  look({ files }: LayerTable, directory: string): void {
    for (const { name, digest, size } of files) {
      const path = this.#wanted.has(digest) ? cleanMemberPath(name) : undefined
      if (path === undefined || path === '') continue
      for (const key of [`${size} ${digest}`, `${size} ${digest} ${name}`])
        if (!this.#places.has(key)) this.#places.set(key, { directory, path })
    }
  }

  get found(): readonly UnpackedFile[] {
    return this.#table.files.flatMap(({ name, digest, size, start, end }) => {
      const key = `${size} ${digest}`
      const place = this.#places.get(`${key} ${name}`) ?? this.#places.get(key)
      return place === undefined ? [] : [{ start, end, size, ...place }]
    })
  }
}

/** Pieces as runs, those next to each other in one; what little is between two ranges is fetched with them. */
function runsOf(pieces: readonly LayerPiece[], found: Found, size: number): readonly LayerRun[] {
  const end = pieces.at(-1)?.end ?? 0
  const all = [
    ...pieces.map(({ start, end: until, key }): LayerRun => ({ start, end: until, from: found.get(key) })),
    { start: end, end: size, from: undefined },
  ]
  for (let gap = smallestGap; ; gap *= 4) {
    const runs = joinedRuns(all, gap)
    if (runs.filter(({ from }) => from === undefined).length <= mostRanges) return runs
  }
}

function joinedRuns(pieces: readonly LayerRun[], gap: number): readonly LayerRun[] {
  const runs: LayerRun[] = []
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

function lengthOf({ start, end }: LayerRun): number {
  return end - start
}

function follows(last: LayerRun, { from }: LayerRun): boolean {
  return last.from?.digest === from?.digest && (last.from?.position ?? 0) + lengthOf(last) === from?.position
}
