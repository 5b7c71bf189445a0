import { CairnError } from '../../errors/error.ts'
import { type Digest, digestHex, digestOf } from '../../oci/digest.ts'
import { parseJsonDocument } from '../../oci/json-document.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import type { ArchiveFile } from '../archives/archive-file.ts'
import { directoryFiles } from './directory-files.ts'
import type { FileLocation } from '../image-location.ts'
import { type ImageSource, missingBlob } from '../image-source.ts'
import { documentOf } from './layout-source.ts'

/** Names in a directory as skopeo's `dir:` has it; blobs stand beside them under the hex of their digest. */
export const directoryPaths = { manifest: 'manifest.json', version: 'version' } as const

/** Content of the `version` file. */
export const directoryVersion = 'Directory Transport Version: 1.1\n'

/** True for the content of the `version` file of such a directory. */
export function isDirectoryVersion(text: string): boolean {
  return /^Directory Transport Version: 1\.\d+\s*$/.test(text)
}

/** Opens the image of a `dir:` directory. Throws ARCHIVE_INVALID for what is none. */
export async function openDirectorySource(location: FileLocation, name: string): Promise<ImageSource> {
  const files = directoryFiles(location.path)
  const version = new TextDecoder().decode(await documentOf(files, directoryPaths.version, name))
  if (!isDirectoryVersion(version))
    throw new CairnError('ARCHIVE_INVALID', `${name}: version is ${JSON.stringify(version.slice(0, 80))}, not 1.x`)
  const raw = await documentOf(files, directoryPaths.manifest, name)
  const target = { mediaType: typeOf(raw), digest: digestOf(raw), size: raw.length }
  const find = (digest: Digest): ArchiveFile | undefined => {
    if (digest === target.digest) return files.find(directoryPaths.manifest)
    return files.find(digestHex(digest)) ?? files.find(`${digestHex(digest)}.manifest.json`)
  }
  return {
    name,
    target,
    references: [],
    size: (digest) => find(digest)?.size,
    open: ({ digest }) => {
      const file = find(digest)
      if (file === undefined) throw missingBlob(name, digest)
      return file.read()
    },
    examined: () => undefined,
    [Symbol.dispose]: () => {},
  }
}

/** The media type of a document that no descriptor speaks of: its own, else what its fields say. */
function typeOf(raw: Uint8Array): string {
  const { value } = parseJsonDocument(raw, { name: 'manifest.json', code: 'MANIFEST_INVALID' })
  if (typeof value['mediaType'] === 'string') return value['mediaType']
  return value['manifests'] === undefined ? mediaTypes.ociManifest : mediaTypes.ociIndex
}
