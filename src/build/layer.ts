import type { Digest } from '../oci/digest.ts'

/** A layer whose tar is in the store. */
export interface PackedLayer {
  readonly diffId: Digest
  /** Bytes of the uncompressed tar. */
  readonly size: number
  /** Digest of what the layer holds without regard to times. */
  readonly contentDigest: Digest
  /** When the layer was first made, RFC 3339: what its history entry says. */
  readonly createdAt: string
}

/** One layer of a filesystem while it is being built on. */
export interface Layer {
  /** Set for a layer that was found in the store, and once `packed` is done. */
  readonly diffId: Digest | undefined
  /** Directory usable as an overlay lower, for a layer that a RUN step has just left. */
  readonly directory: string | undefined
  /** The layer's tar; may still be being written while later steps run. */
  packed(): Promise<PackedLayer>
}

/** A layer that is in the store. */
export function storedLayer(packed: PackedLayer): Layer {
  return { diffId: packed.diffId, directory: undefined, packed: () => Promise.resolve(packed) }
}

/** A layer of a base image: no part of it is new. */
export function baseLayer(diffId: Digest, size: number): Layer {
  return storedLayer({ diffId, size, contentDigest: diffId, createdAt: '' })
}

/** A directory left by a RUN step, whose tar `packing` is still writing. */
export function directoryLayer(directory: string, packing: Promise<PackedLayer>): Layer {
  let diffId: Digest | undefined
  packing.then(
    (packed) => (diffId = packed.diffId),
    // Whoever awaits packed() gets the failure.
    () => undefined,
  )
  return {
    get diffId() {
      return diffId
    },
    directory,
    packed: () => packing,
  }
}

/** A root filesystem: its layers from the lowest to the topmost. */
export type Filesystem = readonly Layer[]
