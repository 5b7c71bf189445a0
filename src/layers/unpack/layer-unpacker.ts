import { CairnError, isCairnError, reworded } from '../../errors/error.ts'
import { SystemCallError, errno, isErrno } from '../../linux/errno.ts'
import { lstatAt, tryLstatAt } from '../../linux/file-status.ts'
import { close, copyContent, ftruncate, openAt, openFlags, pwrite } from '../../linux/files.ts'
import {
  changeMode,
  changeModeAt,
  changeOwner,
  changeOwnerAt,
  linkAt,
  makeNodeAt,
  makeSymlinkAt,
  setTimes,
  setTimesAt,
} from '../../linux/names.ts'
import { listXattrs, removeXattr, setXattr, setXattrOf } from '../../linux/xattrs.ts'
import { blocksOf } from '../../linux/tree-size.ts'
import type { TarHandler } from '../../tar/decoder.ts'
import type { TarEntry } from '../../tar/entry.ts'
import type { TarMember } from '../../tar/member.ts'
import type { ApplyOptions } from './apply-options.ts'
import { LayerDirectory } from './layer-directory.ts'
import type { StoredFile } from './layer-segments.ts'
import { type FileMetadata, StoredContent } from './stored-content.ts'
import { belongsInLayer } from '../layer-xattrs.ts'
import { baseName, cleanMemberPath, parentPath } from '../member-path.ts'
import { SafeRoot, pathAt } from '../safe-root.ts'
import type { Tree } from '../tree.ts'
import { isOverlayXattr, isWhiteoutDevice, markerIn, parseWhiteout } from '../whiteouts.ts'

/** The regular file that content is arriving for. */
interface OpenFile {
  /** Undefined until it is made: at the latest when it ends, as it may become another name of a file that is there. */
  fd: number | undefined
  readonly path: string
  readonly size: number
  readonly metadata: FileMetadata
  written: number
}

const skippedLimit = 100
const plainDirectory: FileMetadata = {
  mode: 0o755,
  uid: 0,
  gid: 0,
  mtimeSeconds: 0,
  mtimeNanoseconds: 0,
  xattrs: new Map(),
}

/**
 * Takes a layer's members from a tar decoder and makes them below one directory. Must be ended by {@link finish} or
 * {@link abort}. Throws LAYER_UNSAFE, TAR_INVALID or SystemCallError, each naming the member.
 */
export class LayerUnpacker implements TarHandler {
  /** What could not be stored, one sentence each, at most 100. */
  readonly skipped: string[] = []
  readonly #root: SafeRoot
  readonly #directory: LayerDirectory
  readonly #lower: Tree | undefined
  readonly #keepsOwners: boolean
  readonly #isOverlay: boolean
  readonly #name: string
  readonly #stored: StoredContent
  readonly #mayReuse: boolean
  /** Modes and times of directories: set last, as making what is in them needs the one and changes the other. */
  readonly #directories = new Map<string, FileMetadata>()
  /** Times of directories of the layers below, which making something in them changes. */
  readonly #keptTimes = new Map<string, readonly [seconds: number, nanoseconds: number]>()
  #file: OpenFile | undefined
  #entries = 0
  #size = 0

  constructor(root: string, options: ApplyOptions) {
    this.#root = new SafeRoot(root)
    this.#directory = new LayerDirectory(this.#root, options, {
      made: (path) => this.#describeParent(path),
      touched: (path, directory) => this.#keepTime(path, directory),
    })
    this.#isOverlay = options.mode === 'overlay'
    this.#lower = options.lower
    this.#keepsOwners = options.owners !== 'caller'
    this.#name = options.name ?? 'layer'
    this.#stored = new StoredContent(options.origin)
    this.#mayReuse = options.origin !== undefined
  }

  /** Members so far. */
  get entries(): number {
    return this.#entries
  }

  /** Bytes that it takes on the disk, in blocks, as far as members tell; without what other layers have, too. */
  get diskSize(): number {
    return this.#size + blocksOf(1) * this.#directories.size
  }

  /** Directories of other layers that have files of this one: each is one file with several names. */
  get linkedWith(): readonly string[] {
    return [...this.#stored.roots]
  }

  entry(member: TarMember): boolean {
    this.#entries++
    const { entry } = member
    try {
      return this.#make(entry)
    } catch (error) {
      throw this.#located(error, entry.path)
    }
  }

  content(bytes: Uint8Array, offset: number): void {
    const file = this.#file as OpenFile
    if (!this.#stored.take(bytes, offset, file.size)) this.#write(file, bytes, offset)
  }

  end(): void {
    const file = this.#file
    if (file === undefined) return
    try {
      const stored = this.#stored.finish(file.size)
      if (stored !== undefined && this.#tryLink(stored, file)) return
      const fd = this.#create(file)
      if (stored !== undefined) copyContent(stored.fd, fd, file.size, file.path)
      if (stored !== undefined) file.written = file.size
    } catch (error) {
      throw this.#located(error, file.path)
    } finally {
      this.#file = undefined
      if (file.fd !== undefined) this.#endFile(file, file.fd)
    }
  }

  /** Sets what was put off for directories and closes the root. */
  finish(): void {
    try {
      this.#directory.finish()
      for (const [path, time] of this.#keptTimes) if (!this.#directories.has(path)) this.#restoreTime(path, time)
      // Overlayfs shows the root of the topmost layer.
      if (this.#isOverlay && !this.#directories.has('')) this.#describeParent('')
      // Children before parents: a directory's own mode may forbid what is below it.
      const paths = [...this.#directories.keys()].sort().reverse()
      for (const path of paths) this.#finishDirectory(path, this.#directories.get(path) as FileMetadata)
    } finally {
      this.#root.close()
    }
  }

  /** Closes what is open. What was made stays: the caller removes the directory. */
  abort(): void {
    if (this.#file?.fd !== undefined) close(this.#file.fd)
    this.#file = undefined
    this.#root.close()
  }

  /** Makes one member; true when its content is wanted. */
  #make(entry: TarEntry): boolean {
    const path = cleanMemberPath(entry.path)
    if (path === undefined) throw unsafe('its path leads out of the layer')
    if (path === '') {
      this.#makeRoot(entry)
      return false
    }
    const marker = markerIn(path)
    if (marker === 'none' && !isWhiteoutDevice(entry)) return this.#makeEntry(path, entry)
    if (marker === 'none') this.#directory.whiteout(path)
    if (marker === 'last') this.#applyMarker(path)
    return false
  }

  #applyMarker(path: string): void {
    const parent = parentPath(path)
    const whiteout = parseWhiteout(baseName(path))
    if (whiteout?.kind === 'opaque') this.#directory.opaque(parent)
    if (whiteout?.kind === 'whiteout')
      this.#directory.whiteout(parent === '' ? whiteout.target : `${parent}/${whiteout.target}`)
  }

  #makeRoot(entry: TarEntry): void {
    if (entry.type !== 'directory') throw unsafe(`the root of a layer cannot be a ${entry.type}`)
    this.#setAttributes('', entry, false)
    this.#directories.set('', entry)
  }

  #makeEntry(path: string, entry: TarEntry): boolean {
    switch (entry.type) {
      case 'directory': {
        const isNew = this.#directory.makeDirectory(path, () => true)
        this.#setAttributes(path, entry, isNew)
        this.#directories.set(path, entry)
        return false
      }
      case 'file':
        this.#file = { fd: undefined, path, size: entry.size, metadata: entry, written: 0 }
        if (!this.#mayReuse) this.#create(this.#file)
        return true
      case 'hardlink':
        this.#makeHardlink(path, entry)
        return false
      case 'symlink':
        this.#directory.create(path, (directory, name) => makeSymlinkAt(entry.linkname, directory, name))
        this.#setAttributes(path, entry, true)
        this.#setTimes(path, entry)
        return false
      case 'fifo':
      case 'character-device':
      case 'block-device':
        this.#makeNode(path, entry.type, entry)
        return false
      default:
        return entry.type satisfies never
    }
  }

  #create(file: OpenFile): number {
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = openFlags
    file.fd ??= this.#directory.create(file.path, (directory, name) =>
      openAt(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600),
    )
    return file.fd
  }

  #write(file: OpenFile, bytes: Uint8Array, offset: number): void {
    pwrite(this.#create(file), bytes, offset, file.path)
    file.written = offset + bytes.length
  }

  /** Where owners are not those of the archive, files are the caller's own. */
  #tryLink(stored: StoredFile, { path, metadata }: OpenFile): boolean {
    return (
      this.#keepsOwners &&
      this.#directory.create(path, (directory, name) => this.#stored.tryLink(stored, metadata, directory, name))
    )
  }

  #endFile({ path, size, metadata, written }: OpenFile, fd: number): void {
    try {
      this.#size += blocksOf(Math.min(written, size))
      if (written < size) ftruncate(fd, size, path)
      if (this.#keepsOwners) changeOwner(fd, metadata.uid, metadata.gid, path)
      if (metadata.xattrs.size > 0)
        this.#setXattrs(path, metadata.xattrs, (name, value) => setXattrOf(fd, name, value, path))
      changeMode(fd, metadata.mode, path)
      setTimes(fd, metadata.mtimeSeconds, metadata.mtimeNanoseconds, path)
    } finally {
      close(fd)
    }
  }

  #makeNode(path: string, type: 'fifo' | 'character-device' | 'block-device', entry: TarEntry): void {
    try {
      this.#directory.create(path, (directory, name) =>
        makeNodeAt(directory, name, type, 0o600, entry.devMajor, entry.devMinor),
      )
    } catch (error) {
      const isForbidden = isErrno(error, errno.EPERM)
      if (type === 'fifo' || !isForbidden) throw error
      return this.#skip(`${path}: this user may not make device files`)
    }
    this.#setAttributes(path, entry, true)
    changeModeAt(this.#directory.parent(parentPath(path)), baseName(path), entry.mode)
    this.#setTimes(path, entry)
  }

  #makeHardlink(path: string, entry: TarEntry): void {
    const target = cleanMemberPath(entry.linkname)
    if (target === undefined || target === '') throw unsafe(`it is a hard link to ${entry.linkname}, out of the layer`)
    if (target === path) throw invalid('it is a hard link to itself')
    const directory = this.#root.directory(parentPath(target))
    const status = directory === undefined ? undefined : tryLstatAt(directory, baseName(target))
    if (status === undefined || isWhiteoutDevice({ ...status, devMajor: status.rdevMajor, devMinor: status.rdevMinor }))
      return this.#copyFromLower(path, target)
    if (status.type === 'directory') throw unsafe(`it is a hard link to ${entry.linkname}, a directory`)
    this.#directory.create(path, (at, name) => {
      const from = this.#root.directory(parentPath(target))
      if (from === undefined) throw invalid(`it is a hard link to ${entry.linkname}, which it replaces`)
      linkAt(from, baseName(target), at, name)
    })
  }

  /** A hard link to a file of a lower layer: this layer gets the file, as overlayfs would copy it up. */
  #copyFromLower(path: string, target: string): void {
    const lower = this.#lower
    const found = lower?.lookup(`/${target}`)
    if (lower === undefined || found === undefined || (found.type !== 'file' && found.type !== 'symlink'))
      throw invalid(`it is a hard link to ${target}, which is no file of the layer`)
    if (found.type === 'symlink') {
      this.#directory.create(path, (directory, name) => makeSymlinkAt(found.linkname, directory, name))
      this.#setAttributes(path, found, true)
      return this.#setTimes(path, found)
    }
    const file: OpenFile = { fd: undefined, path, size: found.size, metadata: found, written: 0 }
    const fd = this.#create(file)
    for (const bytes of lower.read(`/${target}`)) this.#write(file, bytes, file.written)
    this.#endFile(file, fd)
  }

  #describeParent(path: string): void {
    const found = this.#lower?.lookup(`/${path}`)
    const metadata = found?.type === 'directory' ? found : plainDirectory
    this.#setAttributes(path, metadata, true)
    this.#directories.set(path, metadata)
  }

  #keepTime(path: string, directory: number): void {
    const { mtimeSeconds, mtimeNanoseconds } = lstatAt(directory, '.')
    this.#keptTimes.set(path, [mtimeSeconds, mtimeNanoseconds])
  }

  #restoreTime(path: string, [seconds, nanoseconds]: readonly [number, number]): void {
    const directory = this.#root.directory(path)
    try {
      if (directory !== undefined) setTimesAt(directory, '.', seconds, nanoseconds)
    } catch (error) {
      // An ordinary user may write into a directory and yet not set its time.
      if (!isErrno(error, errno.EPERM)) throw error
    }
  }

  /** Owner and attributes of anything but a regular file. */
  #setAttributes(path: string, metadata: FileMetadata, isNew: boolean): void {
    const directory = this.#directory.parent(parentPath(path))
    const name = path === '' ? '.' : baseName(path)
    if (this.#keepsOwners) changeOwnerAt(directory, name, metadata.uid, metadata.gid)
    if (isNew && metadata.xattrs.size === 0) return
    const at = pathAt(directory, name)
    if (!isNew)
      for (const old of listXattrs(at)) if (belongsInLayer(old) && !metadata.xattrs.has(old)) removeXattr(at, old)
    this.#setXattrs(path, metadata.xattrs, (attribute, value) => setXattr(at, attribute, value))
  }

  #setXattrs(
    path: string,
    xattrs: ReadonlyMap<string, Uint8Array>,
    set: (name: string, value: Uint8Array) => void,
  ): void {
    for (const [name, value] of xattrs) {
      if (isOverlayXattr(name)) continue
      try {
        set(name, value)
      } catch (error) {
        if (!(error instanceof SystemCallError) || !unstorable.has(error.errno)) throw error
        this.#skip(`${path}: the attribute ${name} cannot be stored here (${error.message})`)
      }
    }
  }

  #setTimes(path: string, metadata: FileMetadata): void {
    const directory = this.#directory.parent(parentPath(path))
    setTimesAt(directory, baseName(path), metadata.mtimeSeconds, metadata.mtimeNanoseconds)
  }

  #finishDirectory(path: string, metadata: FileMetadata): void {
    const directory = this.#root.directory(parentPath(path))
    const name = path === '' ? '.' : baseName(path)
    // A later member may have replaced it.
    if (directory === undefined || tryLstatAt(directory, name)?.type !== 'directory') return
    changeModeAt(directory, name, metadata.mode)
    setTimesAt(directory, name, metadata.mtimeSeconds, metadata.mtimeNanoseconds)
  }

  #skip(sentence: string): void {
    if (this.skipped.length < skippedLimit) this.skipped.push(sentence)
  }

  #located(error: unknown, path: string): unknown {
    const where = `${this.#name}, ${JSON.stringify(path)}`
    if (error instanceof SystemCallError)
      return new SystemCallError(error.call, error.errno, `for ${where}`, { cause: error })
    return isCairnError(error) ? reworded(error, `${where}: ${error.message}`) : error
  }
}

const unstorable: ReadonlySet<number> = new Set([errno.EOPNOTSUPP, errno.EPERM, errno.EACCES])

function unsafe(reason: string): CairnError {
  return new CairnError('LAYER_UNSAFE', reason)
}

function invalid(reason: string): CairnError {
  return new CairnError('TAR_INVALID', reason)
}
