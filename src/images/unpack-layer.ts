import type { LayerRecord } from '../content/layer-records.ts'
import type { ContentLimits } from '../content/limits.ts'
import { isCairnError } from '../errors/error.ts'
import { type ContentOrigin, type LayerSegment, SegmentedLayer } from '../layers/unpack/layer-segments.ts'
import { LayerUnpacker } from '../layers/unpack/layer-unpacker.ts'
import { type LayerDemand, type LayerScan, stackTree } from '../layers/trees/layer-tree.ts'
import type { LayerCompression } from '../oci/media-types.ts'
import { GrowingFile } from '../streams/growing-file.ts'
import type { TarHandler } from '../tar/decoder.ts'
import type { TarMember } from '../tar/member.ts'
import type { ImageLayer } from './image.ts'
import { type ScannedLayer, scanLayer, scanTar } from './layer-stack.ts'

/** What to do with a layer on its way in. */
export interface UnpackJob {
  readonly layer: ImageLayer
  /** An empty directory to unpack into for overlayfs, undefined where the layer is only to be examined. */
  readonly directory: string | undefined
  /** True for an image's lowest layer: there is nothing that it could rely on. */
  readonly isLowest: boolean
  readonly limits: ContentLimits
}

/** A layer that was read from its first to its last byte. */
export interface UnpackedLayer {
  readonly record: LayerRecord
  /** What it demands of the layers below, still to be checked. */
  readonly demands: readonly LayerDemand[]
  /**
   * `whole`: the directory is that of the layer. `needs-root`: but for the root directory, which the layer does not
   * describe. `none`: what it becomes depends on the layers below; the directory is to be thrown away.
   */
  readonly unpacked: 'whole' | 'needs-root' | 'none'
  /** Bytes that the directory takes on the disk, without files that are also in those of `linkedWith`. */
  readonly diskSize: number
  readonly linkedWith: readonly string[]
}

/** Where a layer is: a blob that may still be arriving, or what is there of it, compressed as it is. */
export type LayerPlace =
  | GrowingFile
  | { readonly compression: LayerCompression; readonly segments: readonly LayerSegment[] }

/** Does an {@link UnpackJob} with the layer's bytes, as they come, here or on another thread. */
export type UnpackLayer = (job: UnpackJob, place: LayerPlace) => Promise<UnpackedLayer>

/**
 * Examines a layer as scanLayer() does and unpacks it in the same pass, without waiting for the layers below. Where what
 * it becomes depends on those, it is examined only. Throws as scanLayer, and SystemCallError.
 */
export const unpackLayer: UnpackLayer = async (job, place) => {
  const { layer, directory, isLowest, limits } = job
  const name = `layer ${layer.descriptor.digest}`
  const segmented =
    place instanceof GrowingFile ? undefined : new SegmentedLayer(place.segments, name, limits.layerBytes)
  const read = (sink?: TarHandler): Promise<ScannedLayer> =>
    place instanceof GrowingFile
      ? scanLayer(layer, () => place.open(), limits, undefined, sink)
      : scanTar(layer, place.compression, (segmented as SegmentedLayer).open(), limits, undefined, sink)
  if (directory === undefined) {
    const { record, scan } = await read()
    return examined(record, scan)
  }
  const attempt = new UnpackAttempt(directory, isLowest, name, segmented)
  try {
    const { record, scan } = await read(attempt)
    const isDependent = scan.demands.length > 0 || (!isLowest && (attempt.removes || scan.tree.hides('/')))
    if (isDependent || !attempt.finish()) return examined(record, scan)
    const unpacked = scan.tree.isImplied('/') && !isLowest ? 'needs-root' : 'whole'
    return { ...examined(record, scan), unpacked, ...attempt.result }
  } finally {
    attempt.abort()
  }
}

function examined(record: LayerRecord, { demands }: LayerScan): UnpackedLayer {
  return { record, demands, unpacked: 'none', diskSize: 0, linkedWith: [] }
}

/** Unpacks until something turns up that cannot be unpacked without the layers below. */
class UnpackAttempt implements TarHandler {
  readonly #unpacker: LayerUnpacker
  #isOver = false
  /** Whether the layer removes something: what of that is not there below, its directory must not say. */
  removes = false

  constructor(directory: string, isLowest: boolean, name: string, origin: ContentOrigin | undefined) {
    this.#unpacker = new LayerUnpacker(directory, {
      mode: 'overlay',
      name,
      origin,
      ...(isLowest ? { lower: stackTree([]) } : {}),
    })
  }

  entry(member: TarMember): boolean {
    if (this.#isOver) return false
    const { path, type, devMajor, devMinor } = member.entry
    this.removes ||= /(?:^|\/)\.wh\./.test(path) || (type === 'character-device' && devMajor === 0 && devMinor === 0)
    try {
      return this.#unpacker.entry(member)
    } catch (error) {
      // With the layers below at hand it may be right; if it is wrong, unpacking it again says so.
      if (!isCairnError(error, 'TAR_INVALID') && !isCairnError(error, 'LAYER_UNSAFE')) throw error
      this.abort()
      return false
    }
  }

  content(bytes: Uint8Array, offset: number): void {
    if (!this.#isOver) this.#unpacker.content(bytes, offset)
  }

  end(): void {
    if (!this.#isOver) this.#unpacker.end()
  }

  /** True where all of it was unpacked. */
  finish(): boolean {
    if (this.#isOver) return false
    this.#isOver = true
    this.#unpacker.finish()
    return true
  }

  get result(): Pick<UnpackedLayer, 'diskSize' | 'linkedWith'> {
    const { diskSize, linkedWith } = this.#unpacker
    return { diskSize, linkedWith }
  }

  abort(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#unpacker.abort()
  }
}
