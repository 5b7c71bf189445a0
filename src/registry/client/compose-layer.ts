import { type BlobExtent, extentsOf, openExtents, putComposedBlob } from '../../content/composed-blobs.ts'
import { noteGarbage } from '../../content/garbage.ts'
import { blobNode } from '../../content/graph.ts'
import { getLayerRecord } from '../../content/layer-records.ts'
import type { Store } from '../../content/store.ts'
import { isCairnError } from '../../errors/error.ts'
import type { LayerPlace } from '../../images/unpack-layer.ts'
import type { FileRange, LayerSegment } from '../../layers/unpack/layer-segments.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, Digester, digestAlgorithm } from '../../oci/digest.ts'
import type { LayerCompression } from '../../oci/media-types.ts'
import { RangesAhead } from './layer-pieces.ts'
import type { LayerPlan, LayerPlanOptions, UnpackedFile } from './layer-plan.ts'

export interface ComposeOptions extends LayerPlanOptions {
  readonly signal: AbortSignal
  /** Told where the layer is, to be unpacked while its digest is checked; may turn out to be wrong. */
  readonly onPlace: (place: LayerPlace) => unknown
  /** Told how many bytes of the blob were checked. */
  readonly onBytes: (size: number) => void
}

/** A smaller blob is written as quickly. */
const smallestBlob = 1024 * 1024
/** What is there for a composed blob alone: at most so many bytes, and this part of it. */
const mostOwn = 16 * 1024 * 1024
const largestOwnPart = 0.25
const mostExtents = 4096
/** What a blob keeps of others and does not need: at most this part of it. */
const largestWaste = 0.5
/** Bytes that are hashed before others have their turn. */
const turn = 8 * 1024 * 1024

/**
 * Makes a layer's blob of pieces of blobs that are in the store, without writing them again: what is fetched, or taken from
 * another composed blob, becomes a blob that is there for this one alone. Its digest is checked before it is visible. Gives
 * the bytes that were fetched, or undefined where the blob cannot be had so, or did not turn out to be right. Throws
 * DISK_FULL and the reason of the signal.
 */
export async function composeLayer(
  blob: Descriptor,
  plan: LayerPlan,
  options: ComposeOptions,
): Promise<number | undefined> {
  const { store, lease, signal } = options
  const parts = partsOf(blob, plan, store)
  if (parts === undefined) return undefined
  let own: Digest | undefined
  try {
    own = await gatherOwn(blob, plan, parts, options)
    const extents = parts.map(({ digest = own as Digest, start, end }): BlobExtent => ({ digest, start, end }))
    options.onPlace({ compression: plan.compression, segments: segmentsOf(plan.files, extents, store) })
    if (await isRight(blob, extents, options)) {
      lease.protect(blobNode(blob.digest))
      const { digest, size } = blob
      putComposedBlob(store, { digest, size, extents, ownSize: ownSizeOf(parts) })
      return fetchedSize(plan)
    }
  } catch (error) {
    if (own !== undefined) noteGarbage(store, [blobNode(own)])
    signal.throwIfAborted()
    if (isCairnError(error, 'DISK_FULL')) throw error
    return undefined
  }
  noteGarbage(store, [blobNode(own)])
  return undefined
}

/** Part of the blob: in a blob that others have too, or in that of its own, which has no digest yet. */
interface Part {
  readonly digest: Digest | undefined
  readonly start: number
  end: number
  /** Where the bytes of its own come from. */
  readonly from: BlobExtent | 'range' | undefined
}

/** Undefined where composing the blob would not pay. */
function partsOf({ size }: Descriptor, { runs }: LayerPlan, store: Store): readonly Part[] | undefined {
  if (size < smallestBlob) return undefined
  const parts: Part[] = []
  const isLayer = memo((digest: Digest) => getLayerRecord(store, digest) !== undefined)
  let own = 0
  const addOwn = (length: number, from: BlobExtent | 'range'): void => {
    parts.push({ digest: undefined, start: own, end: own + length, from })
    own += length
  }
  for (const run of runs) {
    const length = run.end - run.start
    if (run.from === undefined) {
      if (length > 0) addOwn(length, 'range')
      continue
    }
    const { digest, position } = run.from
    for (const extent of extentsOf(store, { digest, start: position, end: position + length })) {
      const last = parts.at(-1)
      if (!isLayer(extent.digest)) addOwn(extent.end - extent.start, extent)
      else if (last?.digest === extent.digest && last.end === extent.start) last.end = extent.end
      else parts.push({ ...extent, from: undefined })
    }
  }
  const isWorthIt = own <= Math.min(mostOwn, size * largestOwnPart) && parts.length <= mostExtents
  return isWorthIt && wasteOf(parts, store) <= size * largestWaste ? parts : undefined
}

function memo<Key, Value>(make: (key: Key) => Value): (key: Key) => Value {
  const made = new Map<Key, Value>()
  return (key) => {
    if (!made.has(key)) made.set(key, make(key))
    return made.get(key) as Value
  }
}

function wasteOf(parts: readonly Part[], store: Store): number {
  const unused = new Map<Digest, number>()
  for (const { digest, start, end } of parts)
    if (digest !== undefined)
      unused.set(digest, (unused.get(digest) ?? store.blobs.size(digest) ?? Infinity) - (end - start))
  return [...unused.values()].reduce((sum, bytes) => sum + Math.max(0, bytes), 0)
}

function ownSizeOf(parts: readonly Part[]): number {
  return parts.reduce((sum, { digest, start, end }) => (digest === undefined ? sum + end - start : sum), 0)
}

function fetchedSize({ runs }: LayerPlan): number {
  return runs.reduce((sum, { from, start, end }) => (from === undefined ? sum + end - start : sum), 0)
}

/** Fetches and copies what no other blob has; gives the blob that it becomes. */
async function gatherOwn(
  blob: Descriptor,
  { runs }: LayerPlan,
  parts: readonly Part[],
  { store, lease, repository, signal }: ComposeOptions,
): Promise<Digest> {
  const ranges = new RangesAhead(
    blob,
    repository,
    runs.filter(({ start, end }) => end > start),
  )
  const ingest = lease.ingest({ size: ownSizeOf(parts) })
  try {
    for (const { from } of parts) {
      if (from === undefined) continue
      const source = from === 'range' ? ranges.next() : openExtents(store.blobs, [from])
      for await (const piece of source) {
        signal.throwIfAborted()
        ingest.write(piece instanceof Uint8Array ? piece : piece.bytes)
      }
    }
    return (await ingest.commit()).digest
  } finally {
    ranges.cancel()
    ingest.abort()
  }
}

async function isRight(
  { digest }: Descriptor,
  extents: readonly BlobExtent[],
  { store, signal, onBytes }: ComposeOptions,
): Promise<boolean> {
  const digester = new Digester(digestAlgorithm(digest))
  let next = turn
  for await (const bytes of openExtents(store.blobs, extents)) {
    digester.update(bytes)
    if (digester.size < next) continue
    onBytes(digester.size)
    next = digester.size + turn
    await Bun.sleep(0)
    signal.throwIfAborted()
  }
  return digester.digest() === digest
}

/** The layer's tar: files that are unpacked already, and between them what is compressed. */
function segmentsOf(
  files: readonly UnpackedFile[],
  extents: readonly BlobExtent[],
  store: Store,
): readonly LayerSegment[] {
  const segments: LayerSegment[] = []
  const blob = new ExtentCursor(extents, store)
  for (const { start, end, size, directory, path } of files) {
    if (start < blob.position) continue
    const ranges = blob.to(start)
    if (ranges.length > 0) segments.push({ kind: 'compressed', ranges })
    segments.push({ kind: 'file', directory, path, size })
    blob.to(end)
  }
  const rest = blob.to(Infinity)
  return rest.length > 0 ? [...segments, { kind: 'compressed', ranges: rest }] : segments
}

/** Goes through a composed blob from its beginning to its end. */
class ExtentCursor {
  position = 0
  readonly #extents: readonly BlobExtent[]
  readonly #store: Store
  #index = 0
  /** Bytes of the current extent that were passed. */
  #done = 0

  constructor(extents: readonly BlobExtent[], store: Store) {
    this.#extents = extents
    this.#store = store
  }

  /** The bytes up to `end` of the blob. */
  to(end: number): readonly FileRange[] {
    const ranges: FileRange[] = []
    for (let extent = this.#extents[this.#index]; extent !== undefined && this.position < end;) {
      const start = extent.start + this.#done
      const count = Math.min(extent.end - start, end - this.position)
      ranges.push({ path: this.#store.blobs.path(extent.digest), start, end: start + count })
      this.position += count
      this.#done += count
      if (extent.start + this.#done < extent.end) break
      this.#done = 0
      extent = this.#extents[++this.#index]
    }
    return ranges
  }
}

/** Where a composed blob of the store is, to be unpacked. */
export function composedPlace(store: Store, { digest, size }: Descriptor, compression: LayerCompression): LayerPlace {
  const extents = extentsOf(store, { digest, start: 0, end: size })
  return { compression, segments: segmentsOf([], extents, store) }
}
