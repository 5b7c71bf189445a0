import { cacheNode, link, type StoreNode } from './graph.ts'
import type { Store } from './store.ts'

/** What a build step with a certain key gave. `result` and `inputs` are JSON values, the build engine's business. */
export interface CacheRecord {
  readonly key: string
  readonly result: unknown
  readonly inputs: unknown
  /** Milliseconds since 1970. */
  readonly createdAt: number
  readonly usedAt: number
}

/** The key that one step of one Dockerfile had, and what it was made of. */
export interface BuildStepRecord {
  /** Names the step across builds. */
  readonly stepId: string
  readonly key: string
  readonly inputs: unknown
  readonly createdAt: number
}

interface CacheRow {
  readonly key: string
  readonly result: string
  readonly inputs: string
  readonly createdAt: number
  readonly usedAt: number
}

interface StepRow {
  readonly stepId: string
  readonly key: string
  readonly inputs: string
  readonly createdAt: number
}

const cacheColumns = 'key, result, inputs, created_at AS createdAt, used_at AS usedAt'
const stepColumns = 'step_id AS stepId, key, inputs, created_at AS createdAt'
/** A use is noted at most this often, in milliseconds, so that a build that changes nothing writes nothing. */
const useResolution = 60 * 60 * 1000
/** Builds of a step that are remembered. */
const stepsKept = 5

export function getCacheRecord(store: Store, key: string): CacheRecord | undefined {
  const row = store.database.one<CacheRow>(`SELECT ${cacheColumns} FROM cache_records WHERE key = ?`, key)
  return row === undefined ? undefined : cacheRecord(row)
}

/** The results that are recorded under any of `keys`. */
export function listCacheResults(store: Store, keys: readonly string[]): Omit<CacheRecord, 'inputs' | 'createdAt'>[] {
  const sql = 'SELECT key, result, used_at AS usedAt FROM cache_records WHERE key IN (SELECT value FROM json_each(?))'
  return store.database
    .all<Omit<CacheRow, 'inputs' | 'createdAt'>>(sql, JSON.stringify(keys))
    .map((row) => ({ ...row, result: JSON.parse(row.result) as unknown }))
}

/** Records a result, replacing an older one, and what it keeps from garbage collection (layers, blobs). */
export function putCacheRecord(
  store: Store,
  record: Pick<CacheRecord, 'key' | 'result' | 'inputs'>,
  keeps: readonly StoreNode[],
): void {
  const now = Date.now()
  const node = cacheNode(record.key)
  store.database.transaction(() => {
    store.database.run('DELETE FROM links WHERE parent = ?', node)
    store.database.run(
      `INSERT INTO cache_records VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (key) DO UPDATE SET
         result = excluded.result, inputs = excluded.inputs, created_at = excluded.created_at, used_at = excluded.used_at`,
      record.key,
      JSON.stringify(record.result),
      JSON.stringify(record.inputs),
      now,
      now,
    )
    link(store, node, keeps)
  })
}

/** Notes that records were used just now, unless that was noted within the last hour. */
export function touchCacheRecords(store: Store, records: readonly Pick<CacheRecord, 'key' | 'usedAt'>[]): void {
  const now = Date.now()
  const stale = records.filter(({ usedAt }) => now - usedAt > useResolution)
  if (stale.length === 0) return
  store.database.transaction(() => {
    for (const { key } of stale) store.database.run('UPDATE cache_records SET used_at = ? WHERE key = ?', now, key)
  })
}

/** All records, the one unused for longest first. */
export function listCacheRecords(store: Store): CacheRecord[] {
  return store.database
    .all<CacheRow>(`SELECT ${cacheColumns} FROM cache_records ORDER BY used_at, key`)
    .map(cacheRecord)
}

/** Forgets records; gives how many there were. What only they kept goes with the next garbage collection. */
export function deleteCacheRecords(store: Store, keys: readonly string[]): number {
  return store.database.transaction(() => {
    let count = 0
    for (const key of keys) {
      store.database.run('DELETE FROM links WHERE parent = ?', cacheNode(key))
      count += store.database.run('DELETE FROM cache_records WHERE key = ?', key)
    }
    return count
  })
}

/** The last build's record of a step, to explain a miss with. */
export function lastStepRecord(store: Store, stepId: string): BuildStepRecord | undefined {
  const row = store.database.one<StepRow>(
    `SELECT ${stepColumns} FROM build_steps WHERE step_id = ? ORDER BY created_at DESC, rowid DESC`,
    stepId,
  )
  return row === undefined ? undefined : { ...row, inputs: JSON.parse(row.inputs) as unknown }
}

/** The key of {@link lastStepRecord}. */
export function lastStepKey(store: Store, stepId: string): string | undefined {
  const sql = 'SELECT key FROM build_steps WHERE step_id = ? ORDER BY created_at DESC, rowid DESC'
  return store.database.one<{ key: string }>(sql, stepId)?.key
}

/** What is recorded of builds' steps, the newest first. */
export function listStepRecords(store: Store): BuildStepRecord[] {
  return store.database
    .all<StepRow>(`SELECT ${stepColumns} FROM build_steps ORDER BY created_at DESC, rowid DESC`)
    .map((row) => ({ ...row, inputs: JSON.parse(row.inputs) as unknown }))
}

/** Records a build of a step; does nothing where the last record has the same key. Older ones are forgotten by and by. */
export function putStepRecord(store: Store, step: Pick<BuildStepRecord, 'stepId' | 'key' | 'inputs'>): void {
  if (lastStepKey(store, step.stepId) === step.key) return
  store.database.transaction(() => {
    store.database.run(
      'INSERT INTO build_steps VALUES (?, ?, ?, ?)',
      step.stepId,
      step.key,
      JSON.stringify(step.inputs),
      Date.now(),
    )
    store.database.run(
      `DELETE FROM build_steps WHERE step_id = ?1 AND rowid NOT IN
         (SELECT rowid FROM build_steps WHERE step_id = ?1 ORDER BY created_at DESC, rowid DESC LIMIT ?2)`,
      step.stepId,
      stepsKept,
    )
  })
}

function cacheRecord(row: CacheRow): CacheRecord {
  return { ...row, result: JSON.parse(row.result) as unknown, inputs: JSON.parse(row.inputs) as unknown }
}
