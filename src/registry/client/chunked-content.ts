import { compressionKey } from '../../compression/compress.ts'
import type { BlobIdentity } from '../../content/blobs.ts'
import type { Store } from '../../content/store.ts'
import { chunkedKey, chunkedLayer, type LayerAnnotations } from '../../layers/chunked/chunked-layer.ts'
import { openFileSink } from '../../linux/file-sink.ts'
import { type Digest, Digester } from '../../oci/digest.ts'
import { type ByteSource, verified } from '../../streams/source.ts'
import type { LayerCompression } from './blob-content.ts'

/** What the bytes of a compressed layer depend on besides the layer: where two texts are equal, so are the bytes. */
export function layerCompressionKey(compression: LayerCompression): string {
  return compression.isChunked === true ? chunkedKey(compression.level) : compressionKey(compression)
}

/**
 * Writes a layer that the store keeps uncompressed as zstd:chunked to the file `path`, verified while it is read. Throws
 * BLOB_CORRUPT, and as chunkedLayer().
 */
export async function writeChunkedLayer(
  store: Store,
  layer: { readonly diffId: Digest; readonly size: number },
  compression: LayerCompression,
  path: string,
  onBytes: (size: number) => void,
): Promise<BlobIdentity & { readonly annotations: LayerAnnotations }> {
  const { diffId: digest, size } = layer
  const { level, compressor, concurrency } = compression
  const source = counted(verified(store.blobs.open(digest), { digest, size }), onBytes)
  const digester = new Digester()
  using file = openFileSink(path)
  const pieces = chunkedLayer(source, { level, compressor, concurrency })
  for (;;) {
    const { done, value } = await pieces.next()
    if (done === true) {
      file.commit()
      return { size: digester.size, digest: digester.digest(), annotations: value }
    }
    digester.update(value)
    file.write(value)
  }
}

async function* counted(source: ByteSource, onBytes: (size: number) => void): ByteSource {
  let size = 0
  for await (const bytes of source) {
    onBytes((size += bytes.length))
    yield bytes
  }
}
