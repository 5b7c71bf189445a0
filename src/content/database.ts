import { Database, type Statement } from 'bun:sqlite'
import { CairnError } from '../errors/error.ts'
import { close, open, openFlags, tryLock } from '../linux/files.ts'
import { migrations } from './schema.ts'

/** How long a writer waits for another process's transaction, in milliseconds. Transactions take well under 100. */
const busyTimeout = 10_000

export type SqlValue = string | number | null

/**
 * The metadata database: SQLite in WAL mode, so readers never wait and writers queue. Statements are prepared on
 * first use and kept. Every failure is a CairnError: STORE_BUSY, DISK_FULL or STORE_UNUSABLE.
 */
export class MetadataDatabase {
  readonly path: string
  readonly #database: Database
  readonly #statements = new Map<string, Statement<unknown, SqlValue[]>>()

  private constructor(path: string, database: Database) {
    this.path = path
    this.#database = database
  }

  /**
   * Opens the database at `path`, making and migrating it as needed. Any number of processes may do so at once.
   * Throws STORE_VERSION for one that a newer Cairn has written.
   */
  static open(path: string): MetadataDatabase {
    return translated(path, () => {
      const sqlite = new Database(path, { create: true, readwrite: true })
      try {
        sqlite.run(`PRAGMA busy_timeout = ${busyTimeout}; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON`)
        const version = userVersion(sqlite)
        if (version > migrations.length)
          throw new CairnError('STORE_VERSION', `${path} has schema version ${version}, written by a newer Cairn`, {
            hint: `This Cairn knows versions up to ${migrations.length}. Upgrade it, or choose another CAIRN_ROOT.`,
          })
        if (version < migrations.length) migrate(sqlite, path)
        return new MetadataDatabase(path, sqlite)
      } catch (error) {
        sqlite.close()
        throw error
      }
    })
  }

  /** The first row, or undefined. The caller names the row's type and answers for it. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- a cast at every call would say less
  one<Row>(sql: string, ...values: SqlValue[]): Row | undefined {
    return translated(this.path, () => (this.#statement(sql).get(...values) ?? undefined) as Row | undefined)
  }

  /** All rows. */
  all<Row>(sql: string, ...values: SqlValue[]): Row[] {
    return translated(this.path, () => this.#statement(sql).all(...values) as Row[])
  }

  /** Runs a statement and gives the number of rows it changed. */
  run(sql: string, ...values: SqlValue[]): number {
    return translated(this.path, () => this.#statement(sql).run(...values).changes)
  }

  /**
   * Runs `work` in one transaction that holds the write lock from its start, so what it reads stays true until it is
   * done. Rolls back when it throws. Within another transaction it is part of that one. `work` must not wait for
   * anything: other processes are waiting for it.
   */
  transaction<T>(work: () => T): T {
    if (this.#database.inTransaction) return work()
    this.run('BEGIN IMMEDIATE')
    try {
      const result = work()
      this.run('COMMIT')
      return result
    } catch (error) {
      if (this.#database.inTransaction) this.run('ROLLBACK')
      throw error
    }
  }

  /** A text that changes whenever anything was changed, by this process or another. */
  get changeMark(): string {
    const others = this.one<{ data_version: number }>('PRAGMA data_version')?.data_version
    const own = this.one<{ changes: number }>('SELECT total_changes() AS changes')?.changes
    return `${others}:${own}`
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
  const deadline = Date.now() + busyTimeout
  while (!tryLock(lock, 'exclusive', path)) {
    if (Date.now() > deadline) throw busy(path)
    Bun.sleepSync(2)
  }
}

function busy(path: string, cause?: unknown): CairnError {
  return new CairnError('STORE_BUSY', `${path} is locked by another process for more than ${busyTimeout / 1000} s`, {
    cause,
  })
}

/** Runs `work`, with SQLite's errors told in Cairn's words. */
function translated<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    const code = sqliteCode(error)
    if (code === undefined) throw error
    throw translate(path, code, error)
  }
}

function sqliteCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || error.name !== 'SQLiteError') return undefined
  return 'code' in error && typeof error.code === 'string' ? error.code : ''
}

function translate(path: string, code: string, error: unknown): unknown {
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) return busy(path, error)
  if (code === 'SQLITE_FULL')
    return new CairnError('DISK_FULL', `no space left on device for the metadata database ${path}`, { cause: error })
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB')
    return new CairnError('STORE_UNUSABLE', `the metadata database ${path} is damaged`, {
      cause: error,
      hint: 'Move it away to begin with an empty image list; the blobs beside it are not affected.',
    })
  if (code.startsWith('SQLITE_READONLY') || code.startsWith('SQLITE_CANTOPEN') || code === 'SQLITE_PERM')
    return new CairnError('STORE_UNUSABLE', `the metadata database ${path} cannot be opened for writing`, {
      cause: error,
      hint: 'The store must be writable by the user who runs cairn; set CAIRN_ROOT to one that is.',
    })
  if (code.startsWith('SQLITE_IOERR'))
    return new CairnError('STORE_UNUSABLE', `the metadata database ${path} cannot be read or written (${code})`, {
      cause: error,
      hint: 'The store must be on a local file system that supports locks and shared memory maps.',
    })
  return error
}
