import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { Manifest } from '../oci/manifest.ts'
import type { Reference } from '../oci/reference.ts'

/** An image of an archive whose blobs are in the store, all verified; not yet recorded. */
export interface VerifiedImage {
  /** A manifest or an index. */
  readonly target: Descriptor
  readonly imageId: Digest
  /** The target itself, or the manifests of the index that are in the archive. */
  readonly manifests: readonly { readonly descriptor: Descriptor; readonly manifest: Manifest }[]
  readonly isIndex: boolean
  /** With tags. */
  readonly references: readonly Reference[]
}
