import { type BlockCompressor, compress, compressionKey } from '../compression/compress.ts'
import { decompress } from '../compression/decompress.ts'
import { getLayerRecord, type LayerRecord, listLayerForms, putLayerRecord } from '../content/layer-records.ts'
import type { Lease } from '../content/leases.ts'
import { type CompressedLayer, getCompressedLayer, putCompressedLayer } from '../content/remote-blobs.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { chunkedKey, chunkedLayer } from '../layers/chunked/chunked-layer.ts'
import { estargzKey, estargzLayer } from '../layers/chunked/estargz-layer.ts'
import type { Digest } from '../oci/digest.ts'
import type { ByteSource } from '../streams/source.ts'
import type { ImageForm } from './output.ts'

export interface FormingOptions {
  readonly store: Store
  readonly lease: Lease
  /** Compresses blocks on threads; on this one if absent. */
  readonly compressor?: BlockCompressor | undefined
  readonly concurrency?: number | undefined
  readonly signal: AbortSignal
  /** Told of each layer that is compressed. */
  readonly onCompress?: (diffId: Digest) => void
}

/** A layer in one form, with what its descriptor is annotated with. Its diff ID is another one as eStargz. */
export interface FormedLayer extends Pick<LayerRecord, 'diffId' | 'digest' | 'size' | 'compression'> {
  readonly annotations?: Readonly<Record<string, string>>
}

type Format = Exclude<ImageForm['compression'], 'none' | undefined>

/**
 * A layer as `form` wants it, made where it is not there yet; without one, as the store has it. What a layer became once
 * it becomes again. Throws BLOB_UNKNOWN where the store has not the layer, CANCELED, and what writing throws.
 */
export async function formLayer(
  diffId: Digest,
  form: Pick<ImageForm, 'compression' | 'level'> | undefined,
  options: FormingOptions,
): Promise<FormedLayer> {
  const { store, lease } = options
  const forms = listLayerForms(store, diffId)
  const [first] = forms
  if (first === undefined) throw new CairnError('BLOB_UNKNOWN', `layer ${diffId} is not in the store`)
  const format = form?.compression
  if (form === undefined || format === undefined) return first
  if (format === 'none')
    return forms.find(({ compression }) => compression === 'none') ?? (await unpacked(first, options))
  const settings = settingsOf(format, form.level)
  const known = getCompressedLayer(store, diffId, settings)
  const there = known === undefined || !lease.claim(known.digest) ? undefined : getLayerRecord(store, known.digest)
  if (there !== undefined)
    return known?.annotations === undefined ? there : { ...there, annotations: known.annotations }
  options.onCompress?.(diffId)
  const made = await compressed(first, format, form.level, options)
  const compression = format === 'zstd:chunked' || format === 'zstd' ? 'zstd' : 'gzip'
  putLayerRecord(store, { ...made, compression })
  putCompressedLayer(store, diffId, settings, made)
  return { ...made, compression }
}

function settingsOf(format: Format, level: number | undefined): string {
  if (format === 'zstd:chunked') return chunkedKey(level)
  return format === 'estargz' ? estargzKey(level) : compressionKey({ format, level })
}

type MadeLayer = CompressedLayer & Pick<LayerRecord, 'diffId' | 'unpackedSize'>

async function compressed(
  layer: LayerRecord,
  format: Format,
  level: number | undefined,
  options: FormingOptions,
): Promise<MadeLayer> {
  const { compressor, concurrency } = options
  const settings = { level, compressor, concurrency }
  const content = contentOf(layer, options)
  const { diffId, unpackedSize } = layer
  if (format === 'zstd:chunked') {
    const { blob, result: annotations } = await ingestAll(chunkedLayer(content, settings), options)
    return { diffId, unpackedSize, ...blob, annotations }
  }
  if (format === 'estargz') {
    const { blob, result } = await ingestAll(estargzLayer(content, settings), options)
    return { ...blob, ...result }
  }
  return { diffId, unpackedSize, ...(await ingest(compress(content, { format, ...settings }), options)) }
}

/** Brings in what a generator yields; gives its result as well. */
async function ingestAll<Result>(
  pieces: AsyncGenerator<Uint8Array, Result>,
  options: FormingOptions,
): Promise<{ readonly blob: Pick<LayerRecord, 'digest' | 'size'>; readonly result: Result }> {
  let ended: { readonly result: Result } | undefined
  const blob = await ingest(
    (async function* () {
      ended = { result: yield* pieces }
    })(),
    options,
  )
  if (ended === undefined) throw new Error('a generator that was read to its end has no result')
  return { blob, result: ended.result }
}

async function unpacked(layer: LayerRecord, options: FormingOptions): Promise<FormedLayer> {
  const { diffId } = layer
  const blob = await ingest(contentOf(layer, options), options, { digest: diffId, size: layer.unpackedSize })
  putLayerRecord(options.store, { diffId, ...blob, compression: 'none', unpackedSize: blob.size })
  return { diffId, ...blob, compression: 'none' }
}

/** The uncompressed tar. */
function contentOf({ digest, compression }: LayerRecord, { store }: FormingOptions): ByteSource {
  const blob = store.blobs.open(digest)
  return compression === 'none' ? blob : decompress(blob)
}

async function ingest(
  bytes: ByteSource,
  { lease, signal }: FormingOptions,
  expected?: { readonly digest: Digest; readonly size: number },
): Promise<{ readonly digest: Digest; readonly size: number }> {
  const writer = lease.ingest(expected)
  try {
    for await (const piece of bytes) {
      signal.throwIfAborted()
      writer.write(piece)
    }
    return await writer.commit()
  } finally {
    writer.abort()
  }
}
