import { decompress } from '../compression/decompress.ts'
import { detectCompression } from '../compression/detect.ts'
import { getLayerRecord, type LayerRecord, putLayerRecord } from '../content/layer-records.ts'
import type { Lease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { type Digest, Digester, digestAlgorithm } from '../oci/digest.ts'
import type { LayerCompression } from '../oci/media-types.ts'
import type { ByteSource } from '../streams/source.ts'

/** What a layer may always unpack to, in bytes; beyond it the bound grows with the blob. */
const unpackedFloor = 16 * 1024 ** 3
/** gzip cannot expand by more than 1032. */
const largestExpansion = 1100

/** The most bytes that something compressed to `size` bytes may unpack to: a bound against decompression bombs. */
export function unpackedBound(size: number): number {
  return Math.max(unpackedFloor, size * largestExpansion)
}

/**
 * Makes sure that a layer blob of the store unpacks to `diffId`, and records it. The blob is read only if that is not
 * yet known. Throws BLOB_UNKNOWN where it is missing and BLOB_CORRUPT where its size or diff ID is another.
 */
export async function verifyLayer(store: Store, lease: Lease, layer: Descriptor, diffId: Digest): Promise<LayerRecord> {
  if (!lease.claim(layer.digest)) throw new CairnError('BLOB_UNKNOWN', `layer ${layer.digest} is not in the store`)
  const size = store.blobs.size(layer.digest)
  if (size !== layer.size)
    throw new CairnError('BLOB_CORRUPT', `layer ${layer.digest} has ${size} bytes, but its manifest says ${layer.size}`)
  const known = getLayerRecord(store, layer.digest)
  const record = known ?? (await identifyLayer(store, layer.digest, layer.size, digestAlgorithm(diffId)))
  if (record.diffId !== diffId)
    throw new CairnError(
      'BLOB_CORRUPT',
      `layer ${layer.digest} unpacks to ${record.diffId}, but its image config says ${diffId}`,
    )
  if (known === undefined) putLayerRecord(store, record)
  return record
}

async function identifyLayer(
  store: Store,
  digest: Digest,
  size: number,
  algorithm: 'sha256' | 'sha512',
): Promise<LayerRecord> {
  const compression = await compressionOf(store.blobs.open(digest, { end: 16 }))
  if (compression === 'bzip2' || compression === 'xz')
    throw new CairnError('MANIFEST_INVALID', `layer ${digest} is compressed with ${compression}, which no image may be`)
  if (compression === 'none' && algorithm === digestAlgorithm(digest))
    return { diffId: digest, digest, compression, size, unpackedSize: size }
  const digester = new Digester(algorithm)
  const options = { maxBytes: unpackedBound(size), name: `layer ${digest}` }
  for await (const bytes of decompress(store.blobs.open(digest), options)) digester.update(bytes)
  const unpackedSize = digester.size
  return { diffId: digester.digest(), digest, compression, size, unpackedSize }
}

/** How the bytes of a source are compressed, by what they begin with. */
export async function compressionOf(source: ByteSource): Promise<LayerCompression | 'bzip2' | 'xz'> {
  for await (const bytes of source) return detectCompression(bytes)
  return 'none'
}
