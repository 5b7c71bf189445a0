import { compress, compressionKey } from '../compression/compress.ts'
import { decompress } from '../compression/decompress.ts'
import { getLayerRecord, type LayerRecord, putLayerRecord } from '../content/layer-records.ts'
import { type CompressedLayer, getCompressedLayer, putCompressedLayer } from '../content/remote-blobs.ts'
import { chunkedKey, chunkedLayer } from '../layers/chunked/chunked-layer.ts'
import { estargzKey, estargzLayer } from '../layers/chunked/estargz-layer.ts'
import type { Digest } from '../oci/digest.ts'
import type { ByteSource } from '../streams/source.ts'
import type { FormedLayer, FormingOptions } from './formed-layer.ts'
import type { ImageForm } from './output.ts'

type Form = Exclude<ImageForm['compression'], undefined>
type Format = Exclude<Form, 'none'>

/**
 * Makes `layer` anew in another form, or finds what it became when it was made before. Throws CANCELED, and what writing
 * throws.
 */
export async function makeForm(
  layer: LayerRecord,
  format: Form,
  level: number | undefined,
  options: FormingOptions,
): Promise<FormedLayer> {
  const { store, lease } = options
  const { diffId } = layer
  if (format === 'none') return await unpacked(layer, options)
  const settings = settingsOf(format, level)
  const known = getCompressedLayer(store, diffId, settings)
  const there = known === undefined || !lease.claim(known.digest) ? undefined : getLayerRecord(store, known.digest)
  if (there !== undefined)
    return known?.annotations === undefined ? there : { ...there, annotations: known.annotations }
  options.onCompress?.(diffId)
  const made = await compressed(layer, format, level, options)
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
