import type { Store } from '../content/store.ts'
import { CairnError, reworded } from '../errors/error.ts'
import { tryStat } from '../linux/file-status.ts'
import { close, fdatasync, open, openFlags, write } from '../linux/files.ts'
import { makeDirectories, removeFile, rename } from '../linux/names.ts'
import { parentPath } from '../build/paths.ts'
import { pathOf } from './build-records.ts'
import type { BuildRecord } from './record.ts'
import { readItems, readRecord } from './record-reader.ts'

/**
 * Puts a record that was exported among those of the store, once all of it was read. `path` may be a pipe. Throws
 * RECORD_INVALID, RECORD_IN_USE, NOT_SUPPORTED, FILE_UNKNOWN.
 */
export async function importRecord(store: Store, path: string): Promise<BuildRecord> {
  const copy = store.session.temporaryPath('record')
  try {
    await copyFile(path, copy)
    const record = await readWhole(path, copy)
    const target = pathOf(store, record.createdAt, record.id)
    if (tryStat(target) !== undefined) throw new CairnError('RECORD_IN_USE', `build ${record.id} is there already`)
    makeDirectories(parentPath(target), 0o755)
    rename(copy, target)
    return record
  } finally {
    removeFile(copy)
  }
}

/** Readable by its owner only, as every record. */
async function copyFile(from: string, to: string): Promise<void> {
  const source = open(from, openFlags.O_RDONLY)
  const target = open(to, openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_EXCL, 0o600)
  try {
    for await (const bytes of Bun.file(source).stream()) write(target, bytes, to)
    fdatasync(target, to)
  } finally {
    close(target)
    close(source)
  }
}

/** Reads all of the copy; errors name the file that was given. */
async function readWhole(path: string, copy: string): Promise<BuildRecord> {
  try {
    const record = readRecord(copy)
    for await (const item of readItems(copy)) void item
    return record
  } catch (error) {
    throw error instanceof CairnError ? reworded(error, error.message.replace(copy, path)) : error
  }
}
