import { constants, Database, type Statement } from 'bun:sqlite'
import { CairnError } from '../errors/error.ts'
import { SystemCallError } from '../linux/errno.ts'
import { tryLstat } from '../linux/file-status.ts'
import { type FreeSpace, freeSpace } from '../linux/free-space.ts'
import { close, fdatasync, open, openFlags, tryLock } from '../linux/files.ts'
import { recordLockHolder } from '../linux/record-locks.ts'
import { migrations } from './schema.ts'

/**
 * Milliseconds that a writer waits for other processes' transactions, which take well under 100: until the user is told
 * for whom, and in all.
 */
const patience = 1000
const longestWait = 60_000
/** Byte of the shared memory file that SQLite locks for writing, https://sqlite.org/walformat.html §2.3.2. */
const writeLockByte = 120
/** Pages after which the log is brought into the database, where it has to be kept short. */
const shortLog = 64

/** Bytes of a log that is left to the next process, which reads it in less time than one fsync takes. */
const longestLeftLog = 512 * 1024

/** Tells the user what is being waited for. */
type Tell = (message: string) => void

export type SqlValue = string | number | null

/**
 * The metadata database: SQLite in WAL mode, so readers never wait and writers queue. Statements are prepared on
 * first use and kept. Every failure is a CairnError: STORE_BUSY, DISK_FULL or STORE_UNUSABLE.
 */
export class MetadataDatabase {
  readonly path: string
  readonly #database: Database
  readonly #statements = new Map<string, Statement<unknown, SqlValue[]>>()
  readonly #tell: Tell
  /** Transactions of this process. */
  #commits = 0
  #hasRecorded = false
  /** What had been committed when the log was last brought to the disk. */
  #synced = ''

  private constructor(path: string, database: Database, tell: Tell) {
    this.path = path
    this.#database = database
    this.#tell = tell
  }

  /**
   * Opens the database at `path`, making and migrating it as needed. Any number of processes may do so at once.
   * `tell` is told whom a writer waits for, once that takes a second. Throws STORE_VERSION for one that a newer Cairn has
   * written.
   */
  static open(path: string, tell: Tell = () => {}): MetadataDatabase {
    return translated(path, tell, () => {
      const sqlite = new Database(path, { create: true, readwrite: true })
      try {
        sqlite.run(`PRAGMA busy_timeout = ${patience}; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON`)
        const version = userVersion(sqlite)
        if (version > migrations.length) throw newerSchema(path, version)
        if (version < migrations.length) migrate(sqlite, path)
        return new MetadataDatabase(path, sqlite, tell)
      } catch (error) {
        sqlite.close()
        throw error
      }
    })
  }

  /**
   * Opens the database at `path` on a file system where nothing can be written. Throws STORE_VERSION also for a schema
   * that is older, STORE_UNUSABLE where its log was never brought in.
   */
  static openReadOnly(path: string): MetadataDatabase {
    return translated(
      path,
      () => {},
      () => {
        // Nothing can change, so nothing needs locks or shared memory; but the log would not be looked at.
        const hasLog = (tryLstat(`${path}-wal`)?.size ?? 0) > 0
        const flags = constants.SQLITE_OPEN_READONLY | constants.SQLITE_OPEN_URI
        const name = encodeURI(path).replaceAll('?', '%3f').replaceAll('#', '%23')
        const sqlite = new Database(`file:${name}${hasLog ? '' : '?immutable=1'}`, flags)
        const version = userVersion(sqlite)
        if (version > migrations.length) throw newerSchema(path, version)
        if (version < migrations.length)
          throw new CairnError('STORE_VERSION', `${path} has schema version ${version}, of an older Cairn`, {
            hint: 'Its file system is mounted read-only. Once a command has run on it writable it can be read.',
          })
        return new MetadataDatabase(path, sqlite, () => {})
      },
    )
  }

  /** The first row, or undefined. The caller names the row's type and answers for it. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- a cast at every call would say less
  one<Row>(sql: string, ...values: SqlValue[]): Row | undefined {
    return translated(
      this.path,
      this.#tell,
      () => (this.#statement(sql).get(...values) ?? undefined) as Row | undefined,
    )
  }

  /** All rows. */
  all<Row>(sql: string, ...values: SqlValue[]): Row[] {
    return translated(this.path, this.#tell, () => this.#statement(sql).all(...values) as Row[])
  }

  /** Runs a statement and gives the number of rows it changed. */
  run(sql: string, ...values: SqlValue[]): number {
    this.#hasRecorded = true
    return this.runBriefly(sql, ...values)
  }

  /** As {@link run}, of what need not outlive this process, such as a lease: a power failure may undo it. */
  runBriefly(sql: string, ...values: SqlValue[]): number {
    if (!this.#database.inTransaction) this.#commits++
    return translated(this.path, this.#tell, () => this.#statement(sql).run(...values).changes)
  }

  /**
   * Runs `work` in one transaction that holds the write lock from its start, so what it reads stays true until it is
   * done. Rolls back when it throws. Within another transaction it is part of that one. `work` must not wait for
   * anything: other processes are waiting for it.
   */
  transaction<T>(work: () => T): T {
    if (this.#database.inTransaction) return work()
    this.runBriefly('BEGIN IMMEDIATE')
    try {
      const result = work()
      this.runBriefly('COMMIT')
      this.#commits++
      return result
    } catch (error) {
      if (this.#database.inTransaction) this.runBriefly('ROLLBACK')
      throw error
    }
  }

  /**
   * A text that changes whenever anything was committed, by this process or another. What was read under one such text
   * is still true while that stays the same.
   */
  get changeMark(): string {
    const others = this.one<{ data_version: number }>('PRAGMA data_version')?.data_version
    return `${others}:${this.#commits}`
  }

  /**
   * True where a process that ends had better close the database, which brings its log to the disk: it has recorded something,
   * or who opens the database next would have much to read again.
   */
  get hasToBeClosed(): boolean {
    return this.#hasRecorded || (tryLstat(`${this.path}-wal`)?.size ?? 0) > longestLeftLog
  }

  /**
   * Brings to the disk what any process has committed. Without it the last transactions may be undone by a power
   * failure: to be called before what they gave up is removed.
   */
  sync(): void {
    const mark = this.changeMark
    if (mark === this.#synced) return
    const path = `${this.path}-wal`
    if (tryLstat(path) === undefined) return
    const fd = open(path, openFlags.O_RDWR)
    try {
      fdatasync(fd, path)
    } finally {
      close(fd)
    }
    this.#synced = mark
  }

  /** Has the log brought into the database soon, so that it does not grow: for a disk with little space left. */
  keepLogShort(): void {
    this.one(`PRAGMA wal_autocheckpoint = ${shortLog}`)
  }

  close(): void {
    for (const statement of this.#statements.values()) statement.finalize()
    this.#statements.clear()
    this.#database.close()
  }

  #statement(sql: string): Statement<unknown, SqlValue[]> {
    const known = this.#statements.get(sql)
    if (known !== undefined) return known
    const statement = this.#database.prepare<unknown, SqlValue[]>(sql)
    this.#statements.set(sql, statement)
    return statement
  }
}

function userVersion(sqlite: Database): number {
  // A statement that is not finalized would keep the file open after close().
  using statement = sqlite.prepare<{ user_version: number }, []>('PRAGMA user_version')
  return statement.get()?.user_version ?? 0
}

/**
 * Brings the schema up to date. A file lock keeps others out meanwhile: SQLite does not wait for its own locks while
 * the journal mode changes.
 */
function migrate(sqlite: Database, path: string): void {
  const lock = open(`${path}.lock`, openFlags.O_RDWR | openFlags.O_CREAT, 0o644)
  try {
    waitForLock(lock, path)
    sqlite.run('PRAGMA journal_mode = WAL')
    sqlite.run('BEGIN IMMEDIATE')
    for (let version = userVersion(sqlite); version < migrations.length; version++) {
      sqlite.run(migrations[version] as string)
      sqlite.run(`PRAGMA user_version = ${version + 1}`)
    }
    sqlite.run('COMMIT')
  } finally {
    close(lock)
  }
}

function waitForLock(lock: number, path: string): void {
  const deadline = Date.now() + longestWait
  while (!tryLock(lock, 'exclusive', path)) {
    if (Date.now() > deadline) throw busy(path)
    Bun.sleepSync(2)
  }
}

function newerSchema(path: string, version: number): CairnError {
  return new CairnError('STORE_VERSION', `${path} has schema version ${version}, written by a newer Cairn`, {
    hint: `This Cairn knows versions up to ${migrations.length}. Upgrade it, or choose another CAIRN_ROOT.`,
  })
}

function busy(path: string, cause?: unknown): CairnError {
  const message = `${path} is locked by ${holderOf(path)} for more than ${longestWait / 1000} s`
  return new CairnError('STORE_BUSY', message, {
    cause,
    hint: 'Such a lock is held for milliseconds: that process is stopped, or the disk does not answer.',
  })
}

function holderOf(path: string): string {
  const pid = recordLockHolder(`${path}-shm`, writeLockByte)
  return pid === undefined ? 'another cairn process' : `another cairn process (${pid})`
}

/** Runs `work` until no other process keeps it from the database, with SQLite's errors told in Cairn's words. */
function translated<T>(path: string, tell: Tell, work: () => T): T {
  const began = performance.now()
  for (let isTold = false; ; isTold = true) {
    try {
      return work()
    } catch (error) {
      const code = sqliteCode(error)
      if (code === undefined) throw error
      if (!isBusy(code)) throw translate(path, code, error)
      if (performance.now() - began > longestWait) throw busy(path, error)
      if (!isTold) tell(`waiting for ${holderOf(path)} to release the database ${path}`)
    }
  }
}

function isBusy(code: string): boolean {
  return code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')
}

function sqliteCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || error.name !== 'SQLiteError') return undefined
  return 'code' in error && typeof error.code === 'string' ? error.code : ''
}

function translate(path: string, code: string, error: unknown): unknown {
  // SQLite tells of a full disk only where it writes, not where it makes files and shared memory.
  const isAboutSpace = code.startsWith('SQLITE_IOERR') || code.startsWith('SQLITE_CANTOPEN')
  if (code === 'SQLITE_FULL' || (isAboutSpace && isFull(path)))
    return new CairnError('DISK_FULL', `no space left on device for the metadata database ${path}`, { cause: error })
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB')
    return new CairnError('STORE_UNUSABLE', `the metadata database ${path} is damaged`, {
      cause: error,
      hint: '`cairn system check` tells what is wrong with it, and with --repair saves what can be read of it.',
    })
  if (code.startsWith('SQLITE_READONLY') || code.startsWith('SQLITE_CANTOPEN') || code === 'SQLITE_PERM')
    return new CairnError(
      'STORE_UNUSABLE',
      `the metadata database ${path} cannot be opened for writing${whyNot(path)}`,
      {
        cause: error,
        hint: 'The store must be writable by the user who runs cairn; set CAIRN_ROOT to one that is.',
      },
    )
  if (code.startsWith('SQLITE_IOERR'))
    return new CairnError('STORE_UNUSABLE', `the metadata database ${path} cannot be read or written (${code})`, {
      cause: error,
      hint: 'The store must be on a local file system that supports locks and shared memory maps.',
    })
  return error
}

function isFull(path: string): boolean {
  const space = spaceFor(path)
  return space?.bytes === 0 || space?.files === 0
}

function whyNot(path: string): string {
  return spaceFor(path)?.isReadOnly === true ? ': its file system is read-only' : ''
}

function spaceFor(path: string): FreeSpace | undefined {
  try {
    return freeSpace(path.slice(0, path.lastIndexOf('/')))
  } catch (error) {
    if (error instanceof SystemCallError) return undefined
    throw error
  }
}
