import { CairnError } from '../errors/error.ts'
import { type Digest, digestAlgorithm, digestHex } from './digest.ts'
import { parseJsonDocument } from './json-document.ts'

/** Names in a directory or archive laid out by image-spec image-layout.md. */
export const layoutPaths = { marker: 'oci-layout', index: 'index.json', blobs: 'blobs' } as const

/** Content of the `oci-layout` file. */
export const layoutMarker = '{"imageLayoutVersion":"1.0.0"}'

/** Annotations of the entries of a layout's `index.json`. */
export const layoutAnnotations = {
  /** A tag, or any name by image-spec annotations.md. */
  refName: 'org.opencontainers.image.ref.name',
  /** The full reference, as containerd and docker write it. */
  imageName: 'io.containerd.image.name',
} as const

/** `blobs/sha256/<hex>`: where a layout keeps a blob. */
export function layoutBlobPath(digest: Digest): string {
  return `${layoutPaths.blobs}/${digestAlgorithm(digest)}/${digestHex(digest)}`
}

/** Checks the content of an `oci-layout` file. Throws ARCHIVE_INVALID unless it says version 1.x. */
export function checkLayoutMarker(input: Uint8Array | string): void {
  const { value } = parseJsonDocument(input, { name: layoutPaths.marker, code: 'ARCHIVE_INVALID' }, 64 * 1024)
  const version = value['imageLayoutVersion']
  if (typeof version !== 'string' || !/^1\.\d+\.\d+$/.test(version))
    throw new CairnError(
      'ARCHIVE_INVALID',
      `oci-layout gives imageLayoutVersion ${JSON.stringify(version) ?? 'nothing'}, not 1.0.0`,
    )
}
