import { CairnError } from '../../errors/error.ts'
import { SystemCallError, errno } from '../../linux/errno.ts'
import { linkAt } from '../../linux/names.ts'
import { layerXattrs } from '../layer-xattrs.ts'
import { pathAt } from '../safe-root.ts'
import type { TreeEntry } from '../tree.ts'
import { isOverlayXattr } from '../whiteouts.ts'
import type { ContentOrigin, StoredFile } from './layer-segments.ts'

/** What a file of a layer is to have besides its content. */
export type FileMetadata = Pick<TreeEntry, 'mode' | 'uid' | 'gid' | 'mtimeSeconds' | 'mtimeNanoseconds' | 'xattrs'>

/**
 * Content that another layer's directory has as a file already: it is not written while it passes, and the file is used
 * in the end.
 */
export class StoredContent {
  readonly #origin: ContentOrigin | undefined
  /** Files that this layer has a link to: a second one would make two files of it one. */
  readonly #linked = new Set<string>()
  /** Directories of the layers that files are links to. */
  readonly roots = new Set<string>()
  #file: StoredFile | undefined
  #held = 0

  constructor(origin: ContentOrigin | undefined) {
    this.#origin = origin
  }

  /** Takes bytes at `offset` of the current member, of `size` bytes, where they are those of such a file; else false. */
  take(bytes: Uint8Array, offset: number, size: number): boolean {
    const file = this.#origin?.current
    const isNext =
      file?.status.size === size &&
      offset === this.#held &&
      file.position + bytes.byteOffset - file.bytes.byteOffset === offset &&
      (offset === 0 || file.fd === this.#file?.fd)
    if (isNext) {
      this.#file = file
      this.#held += bytes.length
    } else if (this.#held > 0) throw notTheFile()
    return isNext
  }

  /** The file whose content is all of that of the current member, which ends; undefined where it was written. */
  finish(size: number): StoredFile | undefined {
    const [file, held] = [this.#file, this.#held]
    this.#file = undefined
    this.#held = 0
    if (held > 0 && held < size) throw notTheFile()
    return file
  }

  /**
   * Makes the file `name` in `directory` another name of `file`, where that has the same metadata and may have one more
   * name; else false.
   */
  tryLink(file: StoredFile, metadata: FileMetadata, directory: number, name: string): boolean {
    const { status } = file
    const key = `${status.device}:${status.inode}`
    if (this.#linked.has(key) || !isDressed(file, metadata)) return false
    try {
      linkAt(file.directory, file.name, directory, name)
    } catch (error) {
      if (error instanceof SystemCallError && unlinkable.has(error.errno)) return false
      throw error
    }
    this.#linked.add(key)
    this.roots.add(file.root)
    return true
  }
}

/** Too many names, another file system, and what a user namespace or fs.protected_hardlinks forbids. */
const unlinkable: ReadonlySet<number> = new Set([errno.EMLINK, errno.EXDEV, errno.EPERM, errno.EACCES])

/** True where the file has all that the member is to have, and nothing else. */
function isDressed({ status, directory, name }: StoredFile, metadata: FileMetadata): boolean {
  const { mode, uid, gid, mtimeSeconds, mtimeNanoseconds } = metadata
  if (status.mode !== mode || status.uid !== uid || status.gid !== gid) return false
  if (status.mtimeSeconds !== mtimeSeconds || status.mtimeNanoseconds !== mtimeNanoseconds) return false
  const found = layerXattrs(pathAt(directory, name))
  const wanted = [...metadata.xattrs].filter(([attribute]) => !isOverlayXattr(attribute))
  return (
    found.size === wanted.length &&
    wanted.every(([attribute, value]) => {
      const own = found.get(attribute)
      return own !== undefined && Buffer.compare(own, value) === 0
    })
  )
}

function notTheFile(): CairnError {
  return new CairnError('TAR_INVALID', 'its content is not that of the file of another layer that it should be')
}
