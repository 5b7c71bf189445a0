import type { Digest } from '../../oci/digest.ts'
import type { TarLimits } from '../../tar/limits.ts'
import type { Tree } from '../tree.ts'
import type { ContentOrigin } from './layer-segments.ts'

export interface ApplyOptions {
  /**
   * `overlay`: the directory holds this layer alone, for overlayfs to stack: whiteouts become devices 0:0, opaque
   * directories get the attribute. `plain`: the directory holds the layers below, and whiteouts remove from it.
   */
  readonly mode: 'overlay' | 'plain'
  /** Fail with BLOB_CORRUPT unless the layer's bytes have this digest. */
  readonly diffId?: Digest | undefined
  /** Names the layer in errors. */
  readonly name?: string
  readonly limits?: Partial<TarLimits> | undefined
  /** `archive` needs the right to change owners (default); `caller` leaves all files to whoever runs. */
  readonly owners?: 'archive' | 'caller'
  /** The attribute that marks opaque directories: `user.…` for overlays mounted with userxattr. */
  readonly opaqueXattr?: 'trusted.overlay.opaque' | 'user.overlay.opaque'
  /**
   * The layers below, in `overlay` mode (an empty stackTree() for the lowest layer). With it, directories that the
   * layer needs but has no entry for get mode and owner from there, hard links may name files there, whiteouts of what
   * is not there are left out, and an opaque root, which overlayfs cannot mark, becomes whiteouts.
   */
  readonly lower?: Tree | undefined
  /** Tells of content that is a file of another layer's directory: where metadata is the same too, it gets one more name. */
  readonly origin?: ContentOrigin | undefined
}

export interface AppliedLayer {
  /** Digest of the uncompressed layer. */
  readonly diffId: Digest
  /** Bytes of the uncompressed layer. */
  readonly size: number
  /** Members, whiteouts included. */
  readonly entries: number
  /** What this machine or user could not store, one sentence each: attributes, device files in a user namespace. */
  readonly skipped: readonly string[]
}
