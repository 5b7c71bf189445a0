import { CairnError } from '../../errors/error.ts'
import { listDirectory } from '../../linux/directories.ts'
import { fstat, tryStat } from '../../linux/file-status.ts'
import { close, fdatasync, fsync, open, openFlags, tryLock, write } from '../../linux/files.ts'
import { makeDirectories, removeFile, rename } from '../../linux/names.ts'
import { removeTree } from '../../linux/remove-tree.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type ImageIndex, parseIndex, serializeIndex } from '../../oci/image-index.ts'
import { checkLayoutMarker, layoutAnnotations, layoutBlobPath, layoutMarker, layoutPaths } from '../../oci/layout.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import type { ByteSource } from '../../streams/source.ts'
import { verified } from '../../streams/source.ts'
import { directoryFiles, readLayoutText } from './directory-files.ts'
import type { FileLocation } from '../image-location.ts'
import type { CopiedImage, ImageTarget } from '../image-target.ts'

/**
 * An OCI layout directory as a place for one more image; it is made where there is none. Blobs that are there are kept
 * if they are whole. index.json is replaced last, in one step; other images and what refers to them stay. One process
 * writes at a time (flock(2) on the directory): STORE_BUSY where another does; where the copy fails the blobs it brought are removed again.
 *
 * @param entries - what index.json is to have for the image, in place of one entry under the location's name
 */
export function openLayoutTarget({ path, name }: FileLocation, entries?: readonly Descriptor[]): ImageTarget {
  const made = tryStat(path) === undefined
  if (made) makeDirectories(path)
  let lock = -1
  try {
    lock = lockDirectory(path)
    removeScratches(path)
    return new LayoutTarget({ path, name, entries, lock, made, index: readLayout(path) })
  } catch (error) {
    // Without the lock the directory is another writer's.
    if (made && lock >= 0) removeTree(path)
    if (lock >= 0) close(lock)
    throw error
  }
}

const scratchPrefix = '.cairn-'

/** A directory for one writer of a layout, in which blobs are written until they are whole. It is not made yet. */
export function scratchIn(path: string): string {
  return `${path}/${scratchPrefix}${process.pid}-${crypto.randomUUID().slice(0, 8)}`
}

/** Removes what writers that were killed left of their scratches; for whoever holds the lock of the layout alone. */
export function removeScratches(path: string): void {
  for (const { name } of listDirectory(path)) if (name.startsWith(scratchPrefix)) removeTree(`${path}/${name}`)
}

const emptyIndex: ImageIndex = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] }

interface OpenLayout {
  readonly path: string
  readonly name: string | undefined
  readonly entries: readonly Descriptor[] | undefined
  readonly lock: number
  readonly made: boolean
  readonly index: ImageIndex | undefined
}

class LayoutTarget implements ImageTarget {
  readonly holdsIndexes = true
  readonly holdsReferrers = true
  readonly #path: string
  readonly #name: string | undefined
  readonly #entries: readonly Descriptor[] | undefined
  readonly #scratch: string
  readonly #made: boolean
  /** Undefined as long as there is no layout. */
  readonly #index: ImageIndex | undefined
  readonly #brought: string[] = []
  #lock: number
  #isDone = false

  constructor({ path, name, entries, lock, made, index }: OpenLayout) {
    this.#path = path
    this.#name = name
    this.#entries = entries
    this.#lock = lock
    this.#made = made
    this.#index = index
    this.#scratch = scratchIn(path)
  }

  async has({ descriptor }: { readonly descriptor: Descriptor }): Promise<boolean> {
    const file = directoryFiles(this.#path).find(layoutBlobPath(descriptor.digest))
    if (file?.size !== descriptor.size) return false
    try {
      for await (const _ of verified(file.read(), descriptor));
      return true
    } catch (error) {
      // Damaged: the copy mends it.
      if (error instanceof CairnError && error.code === 'BLOB_CORRUPT') return false
      throw error
    }
  }

  async put({ descriptor }: { readonly descriptor: Descriptor }, bytes: ByteSource): Promise<void> {
    const target = `${this.#path}/${layoutBlobPath(descriptor.digest)}`
    const temporary = `${this.#scratch}/blob`
    makeDirectories(this.#scratch)
    await writeFileFrom(temporary, bytes)
    makeDirectories(target.slice(0, target.lastIndexOf('/')))
    if (tryStat(target) === undefined) this.#brought.push(target)
    rename(temporary, target)
  }

  async commit(image: CopiedImage): Promise<void> {
    makeDirectories(this.#scratch)
    makeDirectories(`${this.#path}/${layoutPaths.blobs}`)
    if (this.#index === undefined) await this.#replace(layoutPaths.marker, new TextEncoder().encode(layoutMarker))
    const before = this.#index ?? emptyIndex
    const entered =
      this.#entries === undefined ? withEntry(before, image.root, this.#name) : withEntries(before, this.#entries)
    const index = withReferrers(entered, image)
    await this.#replace(layoutPaths.index, serializeIndex(index))
    fsync(this.#lock, this.#path)
    this.#isDone = true
  }

  [Symbol.dispose](): void {
    if (this.#lock < 0) return
    removeTree(this.#scratch)
    if (!this.#isDone) for (const path of this.#brought) removeFile(path)
    if (!this.#isDone && this.#made) removeTree(this.#path)
    close(this.#lock)
    this.#lock = -1
  }

  async #replace(name: string, bytes: Uint8Array): Promise<void> {
    const temporary = `${this.#scratch}/${name}`
    await writeFileFrom(temporary, [bytes])
    rename(temporary, `${this.#path}/${name}`)
  }
}

/** Writes a new file and brings it to the disk. */
export async function writeFileFrom(path: string, bytes: ByteSource | Iterable<Uint8Array>): Promise<void> {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = openFlags
  const fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o644)
  try {
    for await (const piece of bytes) write(fd, piece, path)
    fdatasync(fd, path)
  } finally {
    close(fd)
  }
}

/** The index with an entry for `root` under `name`, which no other entry keeps. */
export function withEntry(index: ImageIndex, root: Descriptor, name: string | undefined): ImageIndex {
  const { annotations: _own, ...plain } = root
  const isKept = (entry: Descriptor): boolean => {
    const other = entry.annotations?.[layoutAnnotations.refName]
    // An entry without a name would be one more way to the same image.
    return name === undefined ? entry.digest !== root.digest : other !== name && (other ?? entry.digest) !== root.digest
  }
  const isListed = name === undefined && index.manifests.some(({ digest }) => digest === root.digest)
  if (isListed) return index
  const entry = name === undefined ? plain : { ...plain, annotations: { [layoutAnnotations.refName]: name } }
  return { ...index, manifests: [...index.manifests.filter(isKept), entry] }
}

/** The index with entries of one image, whose names no others keep. */
function withEntries(index: ImageIndex, entries: readonly Descriptor[]): ImageIndex {
  const { imageName, refName } = layoutAnnotations
  const nameOf = ({ annotations = {} }: Descriptor): string | undefined =>
    annotations[imageName] ?? annotations[refName]
  const names = new Set(entries.map(nameOf))
  const isKept = (entry: Descriptor): boolean => {
    const name = nameOf(entry)
    return name === undefined ? entries.every(({ digest }) => digest !== entry.digest) : !names.has(name)
  }
  return { ...index, manifests: [...index.manifests.filter(isKept), ...entries] }
}

/** The index with what refers to an image: such entries have no names. */
export function withReferrers(index: ImageIndex, { referrers = [] }: CopiedImage): ImageIndex {
  return referrers.reduce((all, { descriptor }) => withEntry(all, descriptor, undefined), index)
}

function lockDirectory(path: string): number {
  const fd = open(path, openFlags.O_RDONLY | openFlags.O_DIRECTORY)
  // A writer that failed removes the directory it made.
  if (tryLock(fd, 'exclusive', path) && isThere(fd, path)) return fd
  close(fd)
  throw new CairnError('STORE_BUSY', `${path} is being written by another process`)
}

/** Whether `path` still leads to the open directory. */
function isThere(fd: number, path: string): boolean {
  const [opened, there] = [fstat(fd), tryStat(path)]
  return there !== undefined && there.inode === opened.inode && there.device === opened.device
}

/** The layout's index; undefined for an empty directory, or one whose writer was killed, which may become one. */
function readLayout(path: string): ImageIndex | undefined {
  const marker = readLayoutText(`${path}/${layoutPaths.marker}`)
  const index = readLayoutText(`${path}/${layoutPaths.index}`)
  const isBegun = ({ name }: { readonly name: string }): boolean =>
    name === layoutPaths.blobs || name === layoutPaths.marker
  if (index === undefined && listDirectory(path).every(isBegun)) return undefined
  if (marker === undefined || index === undefined)
    throw new CairnError('ARCHIVE_INVALID', `${path} is neither empty nor an OCI image layout`)
  checkLayoutMarker(marker)
  return parseIndex(index).value
}
