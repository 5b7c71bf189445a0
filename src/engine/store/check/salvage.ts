import { Database } from 'bun:sqlite'
import type { Store } from '../../../content/store.ts'
import { isImageConfigType } from '../../../images/image.ts'
import { recordIndex, recordManifest } from '../../../images/records/put-image.ts'
import { isCairnError } from '../../../errors/error.ts'
import { tryLstat } from '../../../linux/file-status.ts'
import { removeFile, rename } from '../../../linux/names.ts'
import { parseImageDocument } from '../../../oci/image-index.ts'
import { largestDocument } from '../../../oci/json-document.ts'
import { type FoundBlob, findBlobs } from './check-content.ts'
import { recordLayers } from './image-parts.ts'

/** Tables in the order in which their rows can be taken over. */
const tables = [
  'images',
  'tags',
  'layers',
  'snapshots',
  'links',
  'pins',
  'cache_records',
  'build_steps',
  'volumes',
  'containers',
  'container_volumes',
  'fetched_files',
  'manifests',
] as const
/** Rows that are read at once: where the file is damaged, so many are passed over. */
const chunk = 50

/** What became of a damaged database. */
export interface Salvage {
  /** Where it is now. */
  readonly movedTo: string
  /** Rows that could be taken over. */
  readonly rows: number
  /** Images whose manifests were found among the blobs and that no row told of; they have no names. */
  readonly images: number
}

/** Puts a damaged database aside, so that the next opening makes a new one. Nothing may have it open. */
export function putDatabaseAside(root: string): string {
  const path = `${root}/cairn.db`
  const movedTo = `${path}.damaged-${Date.now()}`
  rename(path, movedTo)
  for (const suffix of ['-wal', '-shm'])
    if (tryLstat(path + suffix) !== undefined) rename(path + suffix, movedTo + suffix)
  return movedTo
}

/**
 * Takes over what can be read of the database at `movedTo`, then records every image whose manifest is among the blobs and
 * which is whole, and then the names of images that were only found so.
 */
export async function salvage(store: Store, movedTo: string): Promise<Salvage> {
  const rows = takeOver(store, movedTo, tables)
  let images = 0
  for (const blob of findBlobs(store).blobs) if (await recordFound(store, blob)) images++
  return { movedTo, rows: rows + (images > 0 ? takeOver(store, movedTo, ['tags']) : 0), images }
}

function takeOver(store: Store, movedTo: string, names: readonly string[]): number {
  let old: Database
  try {
    old = new Database(movedTo, { readwrite: true, create: false })
  } catch {
    return 0
  }
  try {
    return names.reduce((total, table) => total + copyTable(store, old, table), 0)
  } finally {
    old.close()
    removeFile(`${movedTo}-shm`)
  }
}

function copyTable(store: Store, old: Database, table: string): number {
  const columns = store.database
    .all<{ name: string }>(`SELECT name FROM pragma_table_info('${table}')`)
    .map(({ name }) => name)
  let count = 0
  let failures = 0
  for (let offset = 0; failures < 3; offset += chunk) {
    const rows = attempt(() =>
      old
        .query<Record<string, string | number | null>, [number, number]>(`SELECT * FROM ${table} LIMIT ? OFFSET ?`)
        .all(chunk, offset),
    )
    if (rows === undefined) {
      failures++
      continue
    }
    if (rows.length === 0) break
    for (const row of rows) {
      const names = columns.filter((name) => name in row)
      const sql = `INSERT OR IGNORE INTO ${table} (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})`
      count += attempt(() => store.database.run(sql, ...names.map((name) => row[name] ?? null))) ?? 0
    }
  }
  return count
}

function attempt<Result>(work: () => Result): Result | undefined {
  try {
    return work()
  } catch {
    // Of a damaged page, or of a row that refers to one.
    return undefined
  }
}

/** Records a blob that is the manifest or index of a whole image and not known as one, nor as part of an index. */
async function recordFound(store: Store, { digest, size }: FoundBlob): Promise<boolean> {
  if (size > largestDocument) return false
  const known = store.database.one(
    'SELECT 1 FROM images WHERE digest = ?1 UNION SELECT 1 FROM links WHERE child = ?1',
    digest,
  )
  if (known !== undefined) return false
  try {
    const bytes = store.blobs.readAll(digest, largestDocument)
    if (bytes[0] !== 0x7b) return false
    const { mediaType } = JSON.parse(new TextDecoder().decode(bytes)) as { mediaType?: unknown }
    if (typeof mediaType !== 'string') return false
    const document = parseImageDocument(bytes, mediaType)
    const target = { mediaType, digest, size }
    if (document.type === 'index') {
      recordIndex(
        store,
        target,
        document.value.manifests.filter((entry) => store.blobs.has(entry.digest)),
        [],
      )
      return true
    }
    const { config, layers } = document.value
    if (![config, ...layers].every((blob) => store.blobs.size(blob.digest) === blob.size)) return false
    if (isImageConfigType(config.mediaType)) await recordLayers(store, digest)
    recordManifest(store, target, document.value, [])
    return true
  } catch (error) {
    if (isCairnError(error) || error instanceof SyntaxError) return false
    throw error
  }
}
