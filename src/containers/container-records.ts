import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import type { Digest } from '../oci/digest.ts'
import { type Container, type ContainerRun, isActive, type RestartRecord } from './container.ts'
import {
  recordContainerEvent,
  recordNetworksLeft,
  recordVolumesMounted,
  recordVolumesUnmounted,
} from './container-events.ts'

interface Row extends Omit<Container, 'autoRemove' | 'settings' | 'run' | 'restart' | 'oomKilled'> {
  readonly autoRemove: number
  readonly settings: string
  readonly run: string | null
  readonly restart: string | null
  readonly oomKilled: number
}

const columns = `id, name, image_id AS imageId, snapshot, state, session, auto_remove AS autoRemove, settings,
  created_at AS createdAt, started_at AS startedAt, finished_at AS finishedAt, exit_code AS exitCode, error, run, restart,
  oom_killed AS oomKilled`

function fromRow(row: Row): Container {
  return {
    ...row,
    autoRemove: row.autoRemove !== 0,
    settings: JSON.parse(row.settings) as Container['settings'],
    run: row.run === null ? null : (JSON.parse(row.run) as Container['run']),
    restart: row.restart === null ? null : (JSON.parse(row.restart) as Container['restart']),
    oomKilled: row.oomKilled !== 0,
  }
}

/** Records a new container. Its name must be free: see {@link getContainerByName}. */
export function insertContainer(store: Store, container: Container): void {
  store.database.run(
    `INSERT INTO containers (id, name, image_id, snapshot, state, session, auto_remove, settings, created_at, started_at,
       finished_at, exit_code, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    container.id,
    container.name,
    container.imageId,
    container.snapshot,
    container.state,
    container.session,
    container.autoRemove ? 1 : 0,
    JSON.stringify(container.settings),
    container.createdAt,
    container.startedAt,
    container.finishedAt,
    container.exitCode,
    container.error,
  )
}

/** How a container that is no longer running came to its end. */
export interface ContainerEnd {
  /** `created` where it never started. */
  readonly state: 'created' | 'exited'
  readonly exitCode: number
  readonly error?: string
}

/** Records that a container is not running any more; `isDeath` where a process of it has ended just now. */
export function recordEnd(
  store: Store,
  id: string,
  { state, exitCode, error }: ContainerEnd,
  { isDeath = state === 'exited' }: { readonly isDeath?: boolean } = {},
): void {
  store.database.transaction(() => {
    const container = getContainer(store, id)
    if (container === undefined) return
    const now = Date.now()
    store.database.run(
      'UPDATE containers SET state = ?, session = NULL, finished_at = ?, exit_code = ?, error = ? WHERE id = ?',
      state,
      now,
      exitCode,
      error ?? null,
      id,
    )
    if (isDeath) recordDeath(store, container, exitCode, now)
  })
}

/** Records that a container that ran has ended, at `now`, in milliseconds since 1970. */
function recordDeath(store: Store, container: Container, exitCode: number, now: number): void {
  const seconds = Math.max(0, Math.trunc((now - (container.startedAt ?? now)) / 1000))
  recordNetworksLeft(store, container)
  recordVolumesUnmounted(store, container)
  recordContainerEvent(store, 'die', container, { execDuration: String(seconds), exitCode: String(exitCode) })
}

/** How a container with a monitor came to its end. */
export interface MonitoredEndRecord {
  /** `restarting` where it is to be started again. */
  readonly state: 'exited' | 'restarting'
  readonly exitCode: number
  /** Milliseconds since 1970. */
  readonly at: number
  readonly oomKilled: boolean
}

/** Records that a container with a monitor has ended. To be called with its lock held. */
export function recordMonitoredEnd(
  store: Store,
  id: string,
  { state, exitCode, at, oomKilled }: MonitoredEndRecord,
): void {
  store.database.transaction(() => {
    const container = getContainer(store, id)
    if (container === undefined) return
    store.database.run(
      'UPDATE containers SET state = ?, finished_at = ?, exit_code = ?, oom_killed = ? WHERE id = ?',
      state,
      at,
      exitCode,
      oomKilled ? 1 : 0,
      id,
    )
    if (oomKilled) recordContainerEvent(store, 'oom', container)
    recordDeath(store, container, exitCode, at)
  })
}

/** Records that this process is starting the container: it counts as failed to start when the process dies. */
export function claimContainer(store: Store, id: string): void {
  store.database.run('UPDATE containers SET session = ? WHERE id = ?', store.session.id, id)
}

/** Undoes {@link claimContainer}: the container is as it was. */
export function releaseClaim(store: Store, id: string): void {
  store.database.run('UPDATE containers SET session = NULL WHERE id = ?', id)
}

/** Records the processes of a container that is about to run. */
export function recordRun(store: Store, id: string, run: ContainerRun): void {
  store.database.run('UPDATE containers SET run = ? WHERE id = ?', JSON.stringify(run), id)
}

/** Records that a container runs, which this process has claimed; `at` is when it was started, in milliseconds since 1970. */
export function recordStarted(store: Store, id: string, restart: RestartRecord, at = Date.now()): void {
  store.database.transaction(() => {
    store.database.run(
      `UPDATE containers SET state = 'running', session = NULL, started_at = ?, exit_code = NULL, error = NULL,
         oom_killed = 0, restart = ? WHERE id = ?`,
      at,
      JSON.stringify(restart),
      id,
    )
    const container = getContainer(store, id)
    if (container === undefined) return
    recordVolumesMounted(store, container)
    recordContainerEvent(store, 'start', container)
  })
}

/** Records that a claimed container could not be started. */
export function recordStartFailure(store: Store, id: string, exitCode: number, error: string): void {
  store.database.run(
    `UPDATE containers SET state = CASE WHEN started_at IS NULL THEN 'created' ELSE 'exited' END, session = NULL,
       exit_code = ?, error = ? WHERE id = ?`,
    exitCode,
    error,
    id,
  )
}

/** Records what is known about starting a container again. */
export function recordRestart(store: Store, id: string, restart: RestartRecord): void {
  store.database.run('UPDATE containers SET restart = ? WHERE id = ?', JSON.stringify(restart), id)
}

/** Records that the user ended a container, whose restart policy has to leave it so. */
export function recordStopped(store: Store, id: string): void {
  store.database.run(
    `UPDATE containers SET restart = json_set(coalesce(restart, '{"count":0,"delay":0}'), '$.isStopped', json('true'))
     WHERE id = ?`,
    id,
  )
}

/** Records whether a container that goes when it ends is only ended to be started again, which forgets that. */
export function recordKept(store: Store, id: string, isKept: boolean): void {
  store.database.run(
    `UPDATE containers SET restart = json_set(coalesce(restart, '{"count":0,"delay":0}'), '$.isKept', json(?))
     WHERE id = ?`,
    JSON.stringify(isKept),
    id,
  )
}

/** Records that a container's processes are held, or let go again. */
export function recordPaused(store: Store, id: string, isPaused: boolean): void {
  store.database.transaction(() => {
    const state = isPaused ? 'paused' : 'running'
    store.database.run("UPDATE containers SET state = ? WHERE id = ? AND state IN ('running', 'paused')", state, id)
    const container = getContainer(store, id)
    if (container !== undefined) recordContainerEvent(store, isPaused ? 'pause' : 'unpause', container)
  })
}

/** Gives a container another name, which must be free. */
export function renameContainerRecord(store: Store, id: string, name: string): void {
  store.database.run('UPDATE containers SET name = ? WHERE id = ?', name, id)
}

/** Replaces what a container is started with. */
export function recordSettings(store: Store, id: string, settings: Container['settings']): void {
  store.database.run('UPDATE containers SET settings = ? WHERE id = ?', JSON.stringify(settings), id)
}

export function deleteContainerRecord(store: Store, id: string): void {
  store.database.run('DELETE FROM containers WHERE id = ?', id)
}

export function getContainer(store: Store, id: string): Container | undefined {
  const row = store.database.one<Row>(`SELECT ${columns} FROM containers WHERE id = ?`, id)
  return row === undefined ? undefined : fromRow(row)
}

export function getContainerByName(store: Store, name: string): Container | undefined {
  const row = store.database.one<Row>(`SELECT ${columns} FROM containers WHERE name = ?`, name)
  return row === undefined ? undefined : fromRow(row)
}

/** True while a container runs, or is to run again, or is just being started or ended. */
export function hasActiveContainers(store: Store): boolean {
  const active = "session IS NOT NULL OR state IN ('running', 'paused', 'restarting')"
  return store.database.one(`SELECT 1 FROM containers WHERE ${active} LIMIT 1`) !== undefined
}

/** All containers, newest first. */
export function listContainerRecords(store: Store): Container[] {
  return store.database.all<Row>(`SELECT ${columns} FROM containers ORDER BY created_at DESC, id`).map(fromRow)
}

/**
 * The container that `text` means, as docker reads it: a whole ID, a name, else the beginning of just one ID. Throws
 * CONTAINER_UNKNOWN, CONTAINER_AMBIGUOUS.
 */
export function resolveContainer(store: Store, text: string): Container {
  if (text === '') throw new CairnError('CONTAINER_UNKNOWN', 'invalid container name or ID: value is empty')
  const found = getContainer(store, text) ?? getContainerByName(store, text.replace(/^\//, ''))
  if (found !== undefined) return found
  const [first, second] = /^[0-9a-f]+$/.test(text) ? findByPrefix(store, text) : []
  if (second !== undefined)
    throw new CairnError('CONTAINER_AMBIGUOUS', `multiple IDs found with provided prefix: ${text}`, {
      hint: 'Give more characters of the ID.',
    })
  if (first === undefined) throw new CairnError('CONTAINER_UNKNOWN', `No such container: ${text}`)
  return first
}

function findByPrefix(store: Store, prefix: string): Container[] {
  // IDs are lower-case hex: 'g' sorts after all of them.
  return store.database
    .all<Row>(`SELECT ${columns} FROM containers WHERE id > ?1 AND id < ?1 || 'g' ORDER BY id LIMIT 2`, prefix)
    .map(fromRow)
}

/** A container made from an image. */
export interface ContainerUse {
  readonly containerId: string
  readonly isRunning: boolean
}

/** The containers that were made from the image, those that run first: what keeps it from being removed. */
export function containersOfImage(store: Store, imageId: Digest): ContainerUse[] {
  const rows = store.database.all<{ containerId: string; state: Container['state'] }>(
    `SELECT id AS containerId, state FROM containers WHERE image_id = ?
     ORDER BY state NOT IN ('running', 'paused', 'restarting'), created_at`,
    imageId,
  )
  return rows.map(({ containerId, state }) => ({ containerId, isRunning: isActive({ state }) }))
}
