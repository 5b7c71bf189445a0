import { decompress } from '../compression/decompress.ts'
import type { LayerRecord } from '../content/layer-records.ts'
import type { ContentLimits } from '../content/limits.ts'
import { CairnError, isCairnError } from '../errors/error.ts'
import { checkDemands, type LayerDemand, LayerScan, stackTree } from '../layers/trees/layer-tree.ts'
import type { LayerTree } from '../layers/tree.ts'
import { Digester, digestAlgorithm } from '../oci/digest.ts'
import type { ByteSource } from '../streams/source.ts'
import { TarDecoder, type TarHandler } from '../tar/decoder.ts'
import type { ImageLayer } from './image.ts'
import { detectCompression } from '../compression/detect.ts'
import type { LayerCompression } from '../oci/media-types.ts'

/** Opens a layer's blob from its beginning. */
export type OpenLayer = () => ByteSource

interface StackedLayer {
  readonly layer: ImageLayer
  readonly open: OpenLayer
  scan: LayerScan | undefined
  readonly demands?: readonly LayerDemand[]
  /** It was examined before, in whatever stack. */
  readonly isKnown?: boolean
}

/** What reading a layer told of it. */
export interface ScannedLayer {
  readonly record: LayerRecord
  readonly scan: LayerScan
}

/** Whether just these layers were found good one upon the other before. */
export type KnowsStack = (layers: readonly ImageLayer[]) => boolean

/**
 * The layers of one image on their way in, base first: each is read through once, and nothing of an image may be used
 * before {@link LayerStack.finish}. Digest and size of the blobs are the caller's to check.
 */
export class LayerStack {
  readonly #limits: ContentLimits
  readonly #knowsStack: KnowsStack
  readonly #layers: StackedLayer[] = []
  #unpacked = 0

  /** `knowsStack` spares reading layers again that are known in this very order. */
  constructor(limits: ContentLimits, knowsStack: KnowsStack) {
    this.#limits = limits
    this.#knowsStack = knowsStack
  }

  /**
   * Reads the next layer and checks that it unpacks to its diff ID, is a whole tar and has no member that would lead out
   * of the image. Throws BLOB_CORRUPT, COMPRESSION_INVALID, TAR_INVALID, LAYER_UNSAFE, LIMIT_EXCEEDED, and
   * MANIFEST_INVALID for a compression that images may not have.
   */
  async examine(layer: ImageLayer, open: OpenLayer): Promise<LayerRecord> {
    const { record, scan } = await scanLayer(layer, open, this.#limits)
    this.#count(record.unpackedSize)
    this.#layers.push({ layer, open, scan })
    return record
  }

  /**
   * The next layer is one that was examined before: it is read again where it stands on other layers than then, or a
   * layer above demands something of it.
   */
  addKnown(layer: ImageLayer, record: LayerRecord, open: OpenLayer): void {
    this.#count(record.unpackedSize)
    this.#layers.push({ layer, open, scan: undefined, isKnown: true })
  }

  /** The next layer was read as {@link scanLayer} does, elsewhere; `demands` are what it demands of the layers below. */
  addScanned(layer: ImageLayer, record: LayerRecord, demands: readonly LayerDemand[], open: OpenLayer): void {
    this.#count(record.unpackedSize)
    this.#layers.push({ layer, open, scan: undefined, demands })
  }

  /** Checks what the layers demand of those below them. Throws LAYER_UNSAFE or TAR_INVALID. */
  async finish(): Promise<void> {
    const height = this.#knownHeight()
    for (const [index, stacked] of this.#layers.entries()) {
      if (index < height) continue
      const demands = stacked.demands ?? (await this.#scanOf(stacked)).demands
      if (demands.length > 0) await this.#check(nameOf(stacked.layer), demands, index)
    }
  }

  /** How many of the lowest layers were found good together before. */
  #knownHeight(): number {
    const fresh = this.#layers.findIndex(({ isKnown = false }) => !isKnown)
    const known = this.#layers.slice(0, fresh < 0 ? undefined : fresh).map(({ layer }) => layer)
    while (known.length > 0 && !this.#knowsStack(known)) known.pop()
    return known.length
  }

  async #scanOf(stacked: StackedLayer): Promise<LayerScan> {
    stacked.scan ??= (await scanLayer(stacked.layer, stacked.open, this.#limits)).scan
    return stacked.scan
  }

  async #check(name: string, demands: readonly LayerDemand[], index: number): Promise<void> {
    const below: LayerTree[] = []
    for (const stacked of this.#layers.slice(0, index)) {
      below.push((await this.#scanOf(stacked)).tree)
    }
    checkDemands(name, demands, stackTree(below))
  }

  #count(unpacked: number): void {
    this.#unpacked += unpacked
    const { imageBytes } = this.#limits
    if (this.#unpacked > imageBytes)
      throw new CairnError('LIMIT_EXCEEDED', `the image's layers unpack to more than the limit of ${imageBytes} bytes`)
  }
}

/**
 * Reads one layer as {@link LayerStack.examine} does; what it demands of the layers below is left to be checked.
 * `observe` is told of the bytes it unpacks to as they pass, `sink` of the members, each of which was found good.
 */
export async function scanLayer(
  layer: ImageLayer,
  open: OpenLayer,
  limits: ContentLimits,
  observe?: (bytes: Uint8Array) => void,
  sink?: TarHandler,
): Promise<ScannedLayer> {
  const { layerBytes, ratio } = limits
  const name = nameOf(layer)
  const compression = await compressionOf(open())
  if (compression === 'bzip2' || compression === 'xz')
    throw new CairnError('MANIFEST_INVALID', `${name} is compressed with ${compression}, which no image may be`)
  const tar = decompress(open(), { name, maxBytes: layerBytes, maxRatio: ratio })
  return await scanTar(layer, compression, tar, limits, observe, sink)
}

/** As {@link scanLayer} with the layer's tar, which the caller has it unpack to and limits. */
export async function scanTar(
  layer: ImageLayer,
  compression: LayerCompression,
  bytesOfTar: ByteSource,
  { tar, absolutePaths }: ContentLimits,
  observe: (bytes: Uint8Array) => void = () => {},
  sink?: TarHandler,
): Promise<ScannedLayer> {
  const name = nameOf(layer)
  const digester = new Digester(digestAlgorithm(layer.diffId))
  const scan = new LayerScan({ name, absolutePaths })
  const decoder = new TarDecoder(sink === undefined ? scan : scannedFirst(scan, sink), tar, name)
  try {
    for await (const bytes of bytesOfTar) {
      digester.update(bytes)
      decoder.push(bytes)
      observe(bytes)
    }
    decoder.finish()
  } catch (error) {
    throw withLimitsHint(error)
  }
  const unpackedSize = digester.size
  const diffId = digester.digest()
  if (diffId !== layer.diffId)
    throw new CairnError('BLOB_CORRUPT', `${name} unpacks to ${diffId}, but its image config says ${layer.diffId}`)
  const { digest, size } = layer.descriptor
  return { record: { diffId, digest, compression, size, unpackedSize }, scan }
}

/** Members go to `sink` once `scan` has taken them. */
function scannedFirst(scan: LayerScan, sink: TarHandler): TarHandler {
  return {
    entry: (member) => {
      scan.entry(member)
      return sink.entry(member)
    },
    content: (bytes, offset) => sink.content(bytes, offset),
    end: () => sink.end(),
  }
}

/** The error of passing a limit says how to raise it; any other is given back as it is. */
export function withLimitsHint(error: unknown): unknown {
  if (!isCairnError(error, 'LIMIT_EXCEEDED') || error.hint !== undefined) return error
  const hint =
    'Where it is to be trusted, raise the limit by CAIRN_LIMITS: ratio, layer-bytes, image-bytes, entries, depth …'
  return new CairnError(error.code, error.message, { cause: error, hint })
}

/** How the bytes of a source are compressed, by what they begin with. */
export async function compressionOf(source: ByteSource): Promise<LayerCompression | 'bzip2' | 'xz'> {
  for await (const bytes of source) return detectCompression(bytes)
  return 'none'
}

function nameOf({ descriptor }: ImageLayer): string {
  return `layer ${descriptor.digest}`
}
