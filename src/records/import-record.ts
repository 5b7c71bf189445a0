import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { tryStat } from '../linux/file-status.ts'
import { openFileSink } from '../linux/file-sink.ts'
import { makeDirectories } from '../linux/names.ts'
import { parentPath } from '../build/paths.ts'
import { pathOf } from './build-records.ts'
import type { BuildRecord } from './record.ts'
import { readItems, readRecord } from './record-reader.ts'

/** Puts a record that was exported among those of the store, once all of it was read. Throws RECORD_INVALID, RECORD_IN_USE, FILE_UNKNOWN. */
export async function importRecord(store: Store, path: string): Promise<BuildRecord> {
  const record = readRecord(path)
  for await (const item of readItems(path)) void item
  const target = pathOf(store, record.createdAt, record.id)
  if (tryStat(target) !== undefined) throw new CairnError('RECORD_IN_USE', `build ${record.id} is there already`)
  makeDirectories(parentPath(target), 0o755)
  using file = openFileSink(target)
  for await (const bytes of Bun.file(path).stream()) file.write(bytes)
  file.commit()
  return record
}
