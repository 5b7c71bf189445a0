import { putLayerRecord } from '../content/layer-records.ts'
import type { Lease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
import type { WrittenLayer } from '../layers/pack/layer-writer.ts'
import type { PackedLayer } from './layer.ts'

/** Takes a layer's tar that was written to `path`, below the session's directory, into the store. */
export async function adoptLayer(
  store: Store,
  lease: Lease,
  path: string,
  written: WrittenLayer,
): Promise<PackedLayer> {
  const { diffId, size, contentDigest } = written
  await lease.adopt(path, { digest: diffId, size })
  putLayerRecord(store, { diffId, digest: diffId, compression: 'none', size, unpackedSize: size })
  return { diffId, size, contentDigest, createdAt: new Date().toISOString() }
}
