import { CairnError, isCairnError } from '../errors/error.ts'
import { SystemCallError, errno } from '../linux/errno.ts'
import { listDirectory } from '../linux/directories.ts'
import { fstat } from '../linux/file-status.ts'
import { freeSpace } from '../linux/free-space.ts'
import { close, fsync, open, openFlags, read, tryOpen, write } from '../linux/files.ts'
import { changeMode, changeOwner, makeDirectories, rename } from '../linux/names.ts'
import { layoutMarker, layoutPaths } from '../oci/layout.ts'
import { type BlobReader, blobReader } from './blobs.ts'
import { composedReader } from './composed-blobs.ts'
import { MetadataDatabase } from './database.ts'
import { type ContentLimits, defaultLimits } from './limits.ts'
import { putBack } from './removal.ts'
import { keepReserve, lendReserve, releaseReserve } from './reserve.ts'
import { beginSession, type Session } from './session.ts'

/**
 * The place of everything Cairn keeps on disk. Any number of processes may have it open at once. Opening does next
 * to nothing: the database and the session begin when they are first asked for.
 */
export interface Store extends Disposable {
  /** Absolute path. */
  readonly root: string
  readonly blobs: BlobReader
  /** What comes in may not pass these. */
  readonly limits: ContentLimits
  readonly database: MetadataDatabase
  /** This opening's own lock and temporary directory. */
  readonly session: Session
  /** What runs here, for those who wait for it: `cairn build`. */
  readonly command: string
  /** On a file system that is mounted read-only: nothing is recovered, protected or recorded, as nobody else can either. */
  readonly isReadOnly: boolean
  /** Tells the user, in one line without its end, what is being waited for. May be replaced. */
  tell: (message: string) => void
  /** Where `content` (the OCI layout of blobs), `snapshots`, `containers`, `cache`, `builds`, `registry`, `locks` and `tmp` are. */
  path(area: StoreArea, ...names: string[]): string
  /**
   * To be called before something is recorded that is broken without its blobs: brings the names of the blobs that came
   * in since the last call to the disk. Their bytes are there already.
   */
  settle(): void
  /** Notes that a file got a name in `directory`, for {@link settle}. */
  named(directory: string): void
  /** Ends the session, with what it left unfinished, and closes the database. */
  close(): void
  /**
   * As {@link close} for a process that is about to end, which leaves the database's log as it is: whoever closes the
   * database next brings it to the disk. Saves two fsyncs where nothing was recorded that a power failure must not undo.
   */
  leave(): void
  /** Does {@link leave} where that loses nothing and {@link close} elsewhere; true where the database was left. */
  leaveUnchanged(): boolean
}

export type StoreArea =
  | 'content'
  | 'snapshots'
  | 'containers'
  | 'volumes'
  | 'cache'
  | 'builds'
  | 'downloads'
  | 'registry'
  | 'locks'
  | 'tmp'

export interface StoreOptions {
  readonly limits?: ContentLimits
  readonly command?: string
  readonly tell?: (message: string) => void
  /** For a command that frees space: it may use what is reserved for that, so that it works on a full disk. */
  readonly isFreeing?: boolean
}

const version = '1'
const versionFile = 'version'
/** What may be in a directory that is being made a store by another process just now. */
const ownNames =
  /^(?:content|snapshots|containers|volumes|cache|builds|downloads|registry|rootless|locks|tmp|version|reserve|cairn\.db.*|lost\+found)$/
/** Never to be closed to others, even where they are empty. */
const everybodys: ReadonlySet<string> = new Set(['/', '/tmp', '/var/tmp', '/dev/shm'])

/**
 * Opens the store at `root`, making it where there is none. Throws STORE_UNUSABLE where it cannot be read and
 * written and STORE_VERSION where a newer Cairn made it.
 */
export function openStore(root: string, options: StoreOptions = {}): Store {
  const absolute = absolutePath(root)
  try {
    const found = readVersion(absolute)
    if (found === undefined) initialize(absolute)
    else if (found !== version)
      throw new CairnError('STORE_VERSION', `${absolute} has store format ${JSON.stringify(found)}`, {
        hint: `This Cairn knows format ${version}. Upgrade it, or choose another CAIRN_ROOT.`,
      })
  } catch (error) {
    if (error instanceof SystemCallError) throw unusable(absolute, error)
    throw error
  }
  return new DiskStore(absolute, options)
}

/** Bytes below which a command that frees space keeps the database's log short. */
const scarce = 64 * 1024 * 1024

class DiskStore implements Store {
  readonly root: string
  readonly blobs: BlobReader
  readonly limits: ContentLimits
  readonly command: string
  readonly isReadOnly: boolean
  tell: (message: string) => void
  readonly #isFreeing: boolean
  /** Directories of blobs that got new names. */
  readonly #unsettled = new Set<string>()
  #isReserveFree = false
  #database: MetadataDatabase | undefined
  #session: Session | undefined
  #isClosed = false

  constructor(root: string, { limits = defaultLimits, command = 'cairn', tell, isFreeing = false }: StoreOptions) {
    this.root = root
    this.limits = limits
    this.command = command
    this.tell = tell ?? (() => {})
    this.#isFreeing = isFreeing
    this.isReadOnly = freeSpace(root).isReadOnly
    this.blobs = composedReader(blobReader(`${root}/content`), () => this.database)
  }

  get database(): MetadataDatabase {
    this.#checkOpen()
    this.#database ??= this.#openDatabase()
    return this.#database
  }

  get session(): Session {
    this.#checkOpen()
    try {
      this.#useReserve()
      this.#session ??= beginSession(`${this.root}/tmp`)
    } catch (error) {
      if (error instanceof SystemCallError) throw unusable(this.root, error)
      throw error
    }
    return this.#session
  }

  path(area: StoreArea, ...names: string[]): string {
    return [this.root, area, ...names].join('/')
  }

  named(directory: string): void {
    this.#unsettled.add(directory)
  }

  settle(): void {
    for (const directory of this.#unsettled) {
      const fd = open(directory, openFlags.O_RDONLY | openFlags.O_DIRECTORY)
      try {
        fsync(fd, directory)
      } finally {
        close(fd)
      }
    }
    this.#unsettled.clear()
  }

  close(): void {
    this.leave()
    this.#database?.close()
    this.#database = undefined
    // The database has let go of its log by now, which may have been what filled the disk.
    if (this.#isReserveFree) keepReserve(this.root)
  }

  leave(): void {
    if (this.#isClosed) return
    if (this.#session !== undefined) this.#endSession(this.#session)
    this.#isClosed = true
    if (this.#isReserveFree) keepReserve(this.root)
  }

  leaveUnchanged(): boolean {
    const isLeft = this.#database?.hasToBeClosed === false
    if (isLeft) this.leave()
    else this.close()
    return isLeft
  }

  #openDatabase(): MetadataDatabase {
    const path = `${this.root}/cairn.db`
    const tell = (message: string): void => this.tell(message)
    if (this.isReadOnly) return MetadataDatabase.openReadOnly(path)
    this.#useReserve()
    const database = this.#withLent(() => MetadataDatabase.open(path, tell))
    if (this.#isFreeing && freeSpace(this.root).bytes < scarce) database.keepLogShort()
    return database
  }

  /** Opens the database also on a full disk, so that what is there can be looked at. */
  #withLent<Result>(openIt: () => Result): Result {
    try {
      return openIt()
    } catch (error) {
      if (!isCairnError(error, 'DISK_FULL') || !lendReserve(this.root)) throw error
      this.#isReserveFree = true
      return openIt()
    }
  }

  #useReserve(): void {
    if (!this.#isFreeing || this.#isReserveFree || this.isReadOnly) return
    this.#isReserveFree = true
    releaseReserve(this.root)
  }

  /** What cannot be put away now, on a full disk for example, is left to recovery: it finds the session by its lock file. */
  #endSession(session: Session): void {
    const { id } = session
    try {
      if (this.#database !== undefined) putBack(this, session.directory)
      // Before anything is written: what is removed here may be what fills the disk.
      session.clear()
      this.#database?.runBriefly('DELETE FROM leases WHERE session = ?', id)
      if (this.#database?.one('SELECT id FROM snapshots WHERE session = ?', id) === undefined) return session.end()
    } catch (error) {
      if (!isCairnError(error)) throw error
    }
    session.abandon()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new Error(`the store at ${this.root} was closed`)
  }
}

function absolutePath(root: string): string {
  const path = root.startsWith('/') ? root : `${process.cwd()}/${root}`
  return path.length > 1 ? path.replace(/\/+$/, '') : path
}

/** The format the store has, or undefined where there is no store yet. */
function readVersion(root: string): string | undefined {
  const fd = tryOpen(`${root}/${versionFile}`, openFlags.O_RDONLY)
  if (fd === undefined) return undefined
  try {
    const bytes = new Uint8Array(new ArrayBuffer(64))
    return new TextDecoder().decode(bytes.subarray(0, read(fd, bytes, versionFile))).trim()
  } finally {
    close(fd)
  }
}

/** Makes a store. Others may be doing the same: each step does nothing where it was done, and the version comes last. */
function initialize(root: string): void {
  if (everybodys.has(root)) throw unfit(root, 'is a directory that all users share')
  makeDirectories(root, 0o700)
  const names = listDirectory(root)
  const foreign = names.find(({ name }) => !ownNames.test(name))
  if (foreign !== undefined) throw unfit(root, `is no Cairn store and not empty: it has ${foreign.name}`)
  claim(root, names.length === 0)
  for (const area of ['content/blobs/sha256', 'snapshots', 'locks', 'tmp']) makeDirectories(`${root}/${area}`, 0o755)
  const session = beginSession(`${root}/tmp`)
  try {
    writeFile(session, `${root}/content/${layoutPaths.marker}`, layoutMarker)
    keepReserve(root)
    writeFile(session, `${root}/${versionFile}`, `${version}\n`)
  } finally {
    session.end()
  }
}

/**
 * Makes the directory of a store its maker's alone, as it would have been made: a layer may have a program that runs as root for
 * whoever reaches it, and who can write the store decides what builds start from.
 */
function claim(root: string, isEmpty: boolean): void {
  const fd = open(root, openFlags.O_RDONLY | openFlags.O_DIRECTORY)
  try {
    const { uid, gid, mode } = fstat(fd)
    const user = process.geteuid?.() ?? uid
    if (uid !== user && !isEmpty) throw unfit(root, 'belongs to another user and is not empty')
    if (uid !== user) changeOwner(fd, user, gid, root)
    if ((mode & 0o077) !== 0) changeMode(fd, 0o700, root)
  } finally {
    close(fd)
  }
}

function unfit(root: string, why: string): CairnError {
  return new CairnError('STORE_UNUSABLE', `${root} ${why}`, { hint: 'Set CAIRN_ROOT to a directory of its own.' })
}

function writeFile(session: Session, path: string, text: string): void {
  const temporary = session.temporaryPath('file')
  const fd = open(temporary, openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_EXCL, 0o644)
  try {
    write(fd, new TextEncoder().encode(text), temporary)
    fsync(fd, temporary)
    rename(temporary, path)
  } finally {
    close(fd)
  }
}

function unusable(root: string, error: SystemCallError): CairnError {
  if (error.code === 'DISK_FULL') return error
  const reasons: Readonly<Record<number, string>> = {
    [errno.EROFS]: 'its file system is read-only',
    [errno.ENOTDIR]: 'it, or a part of its path, is not a directory',
    [errno.EEXIST]: 'it is not a directory',
    [errno.EACCES]: 'permission denied',
    [errno.EPERM]: 'permission denied',
  }
  const reason = reasons[error.errno] ?? error.message
  return new CairnError('STORE_UNUSABLE', `the store ${root} cannot be used: ${reason}`, {
    cause: error,
    hint: 'Set CAIRN_ROOT to a directory that you can write.',
  })
}
