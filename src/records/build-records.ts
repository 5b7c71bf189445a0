import type { Store } from '../content/store.ts'
import { CairnError, isCairnError } from '../errors/error.ts'
import { tryListDirectory } from '../linux/directories.ts'
import { tryStat } from '../linux/file-status.ts'
import { makeDirectories, removeFile } from '../linux/names.ts'
import type { BuildRecord, RecordHeader } from './record.ts'
import { isBeingWritten, readItems, readRecord } from './record-reader.ts'
import { RecordWriter } from './record-writer.ts'

/** Records that are kept; older ones go when a build ends. */
const recordsKept = 100
/** Bytes of records that are kept, the newest in any case. */
const bytesKept = 2 * 1024 ** 3

/** A record and where it is. */
export interface StoredRecord extends BuildRecord {
  readonly path: string
  /** Bytes on disk. */
  readonly size: number
}

/** Begins the record of a build. Throws SystemCallError. */
export function beginRecord(
  store: Store,
  header: Omit<RecordHeader, 'id'>,
): { readonly id: string; readonly writer: RecordWriter } {
  const id = newId()
  makeDirectories(directory(store), 0o755)
  const temporary = store.session.temporaryPath('record')
  return { id, writer: new RecordWriter(pathOf(store, header.createdAt, id), temporary, { id, ...header }) }
}

/** All records, the newest first. What cannot be read is left out. */
export function listRecords(store: Store): StoredRecord[] {
  return recordPaths(store).flatMap((path) => tryRead(path) ?? [])
}

/**
 * The record that `text` means: an id or the beginning of one, `^N` for the Nth before the newest; nothing for the
 * newest. Throws RECORD_UNKNOWN, RECORD_AMBIGUOUS, RECORD_INVALID, NOT_SUPPORTED.
 */
export function findRecord(store: Store, text = ''): StoredRecord {
  for (;;) {
    const path = findPath(store, text)
    try {
      return read(path)
    } catch (error) {
      // Removed since it was found: there may be another.
      if (!isCairnError(error, 'RECORD_UNKNOWN')) throw error
    }
  }
}

/** Ids that an ambiguous one stands for are named up to so many. */
const idsNamed = 5

function findPath(store: Store, text: string): string {
  const paths = recordPaths(store)
  const offset = text === '' ? 0 : /^\^(\d{1,6})$/.exec(text)?.[1]
  if (offset !== undefined) {
    const path = paths[Number(offset)]
    if (path !== undefined) return path
    throw new CairnError(
      'RECORD_UNKNOWN',
      text === '' ? 'no build was recorded yet' : `no build record with offset ${offset}`,
    )
  }
  const found = paths.filter((path) => idOf(path).startsWith(text))
  const [path] = found
  if (path === undefined)
    throw new CairnError('RECORD_UNKNOWN', `no such build record: ${text}`, { hint: 'See `cairn builds ls`.' })
  if (found.length > 1) {
    const named = found.slice(0, idsNamed).map(idOf).join(', ')
    throw new CairnError('RECORD_AMBIGUOUS', `several build records begin with ${text}`, {
      hint: `They are ${named}${found.length > idsNamed ? ` and ${found.length - idsNamed} more` : ''}.`,
    })
  }
  return path
}

/**
 * Records that cannot be read, and why. With `quick` only how they begin and end is looked at. What is still written,
 * goes meanwhile, or is empty as its build was killed when it began, is none of them. Throws the reason of the signal.
 */
export async function damagedRecords(
  store: Store,
  quick: boolean,
  signal: AbortSignal,
): Promise<{ readonly path: string; readonly problem: string }[]> {
  const damaged: { path: string; problem: string }[] = []
  for (const path of recordPaths(store)) {
    signal.throwIfAborted()
    try {
      readRecord(path)
      if (!quick) for await (const _item of readItems(path)) signal.throwIfAborted()
    } catch (error) {
      if (!isCairnError(error, 'RECORD_INVALID')) {
        if (tryStat(path) === undefined || isCairnError(error, 'NOT_SUPPORTED')) continue
        throw error
      }
      if (tryStat(path)?.size !== 0) damaged.push({ path, problem: error.message })
    }
  }
  return damaged
}

/**
 * Removes the record that `text` means, as for {@link findRecord}, be it damaged, and gives its id. Throws RECORD_UNKNOWN,
 * RECORD_AMBIGUOUS, RECORD_IN_USE while its build runs.
 */
export function removeRecord(store: Store, text: string): string {
  const path = findPath(store, text)
  const id = idOf(path)
  if (isRunning(path)) throw new CairnError('RECORD_IN_USE', `build ${id} is running`)
  removeFile(path)
  return id
}

/** Removes all records but those of builds that run. */
export function removeAllRecords(store: Store): void {
  for (const path of recordPaths(store)) if (!isRunning(path)) removeFile(path)
}

/** False too for a record that another process has removed. */
function isRunning(path: string): boolean {
  try {
    return isBeingWritten(path)
  } catch (error) {
    if (isCairnError(error, 'RECORD_UNKNOWN')) return false
    throw error
  }
}

/**
 * Removes the oldest records where there are more than are kept. `added` is the size of the newest: only a large one can be
 * what makes them too many bytes.
 */
export function trimRecords(store: Store, added: number): void {
  const paths = recordPaths(store)
  let kept = Math.min(paths.length, recordsKept)
  if (added > bytesKept / recordsKept) {
    const sizes = paths.slice(0, kept).map((path) => tryStat(path)?.size ?? 0)
    for (let bytes = sum(sizes); bytes > bytesKept && kept > 1; kept--) bytes -= sizes[kept - 1] ?? 0
  }
  for (const path of paths.slice(kept)) if (!isRunning(path)) removeFile(path)
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

/** Where a record with this id that was begun then is to lie. */
export function pathOf(store: Store, createdAt: number, id: string): string {
  return `${directory(store)}/${String(createdAt).padStart(15, '0')}-${id}`
}

function directory(store: Store): string {
  return store.path('builds', 'records')
}

/** The newest first. */
function recordPaths(store: Store): string[] {
  return tryListDirectory(directory(store))
    .map(({ name }) => name)
    .filter((name) => /^\d{15}-[a-z0-9]{25}$/.test(name))
    .sort()
    .reverse()
    .map((name) => `${directory(store)}/${name}`)
}

function idOf(path: string): string {
  return path.slice(path.lastIndexOf('-') + 1)
}

function read(path: string): StoredRecord {
  return { ...readRecord(path), path, size: tryStat(path)?.size ?? 0 }
}

/** Undefined for one that another process removes at the moment, or that is no record. */
function tryRead(path: string): StoredRecord | undefined {
  try {
    return read(path)
  } catch (error) {
    if (error instanceof CairnError) return undefined
    throw error
  }
}

function newId(): string {
  const letters = 'abcdefghijklmnopqrstuvwxyz0123456789'
  return Array.from(crypto.getRandomValues(new Uint8Array(25)), (byte) => letters[byte % letters.length]).join('')
}
