import { CairnError } from '../../errors/error.ts'
import { listDirectory } from '../../linux/directories.ts'
import { tryStat } from '../../linux/file-status.ts'
import { makeDirectories, rename } from '../../linux/names.ts'
import { removeTree } from '../../linux/remove-tree.ts'
import { digestHex } from '../../oci/digest.ts'
import { readTextFile } from '../../linux/text-file.ts'
import { directoryPaths, directoryVersion, isDirectoryVersion } from './directory-source.ts'
import type { FileLocation } from '../image-location.ts'
import type { CopiedBlob, ImageTarget } from '../image-target.ts'
import { writeFileFrom } from './layout-target.ts'

/**
 * A directory as skopeo's `dir:` has it. All is written beside it first; then it takes the place of one that held an
 * image, of an empty one, or of none.
 */
export function openDirectoryTarget({ path: given }: FileLocation): ImageTarget {
  const path = given.replace(/\/+$/, '') || '/'
  const isThere = tryStat(path) !== undefined
  if (isThere && !isImageDirectory(path) && listDirectory(path).length > 0)
    throw new CairnError('ARCHIVE_INVALID', `${path} is neither empty nor a directory that holds an image`)
  const mark = `${process.pid}-${crypto.randomUUID().slice(0, 8)}`
  const scratch = `${path}.${mark}.tmp`
  makeDirectories(scratch)
  const pathOf = ({ descriptor, role }: CopiedBlob, isRoot: boolean): string => {
    if (isRoot) return `${scratch}/${directoryPaths.manifest}`
    const hex = digestHex(descriptor.digest)
    return `${scratch}/${role === 'manifest' || role === 'index' ? `${hex}.manifest.json` : hex}`
  }
  return {
    holdsIndexes: true,
    holdsReferrers: false,
    has: () => false,
    put: async (blob, bytes) => await writeFileFrom(pathOf(blob, false), bytes),
    commit: async ({ root, blobs }) => {
      const last = blobs.find(({ descriptor }) => descriptor.digest === root.digest)
      if (last !== undefined) rename(pathOf(last, false), pathOf(last, true))
      await writeFileFrom(`${scratch}/${directoryPaths.version}`, [new TextEncoder().encode(directoryVersion)])
      const old = `${path}.${mark}.old`
      if (isThere) rename(path, old)
      rename(scratch, path)
      removeTree(old)
    },
    [Symbol.dispose]: () => removeTree(scratch),
  }
}

/** Only what is surely such a directory may be replaced with all that is in it. */
function isImageDirectory(path: string): boolean {
  return isDirectoryVersion(readTextFile(`${path}/${directoryPaths.version}`) ?? '')
}
