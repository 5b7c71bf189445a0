import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import type { Digest } from '../oci/digest.ts'
import type { Container } from './container.ts'
import { recordContainerEvent, recordVolumesUnmounted } from './container-events.ts'

interface Row extends Omit<Container, 'autoRemove' | 'settings'> {
  readonly autoRemove: number
  readonly settings: string
}

const columns = `id, name, image_id AS imageId, snapshot, state, session, auto_remove AS autoRemove, settings,
  created_at AS createdAt, started_at AS startedAt, finished_at AS finishedAt, exit_code AS exitCode, error`

function fromRow(row: Row): Container {
  return {
    ...row,
    autoRemove: row.autoRemove !== 0,
    settings: JSON.parse(row.settings) as Container['settings'],
  }
}

/** Records a new container. Its name must be free: see {@link getContainerByName}. */
export function insertContainer(store: Store, container: Container): void {
  store.database.run(
    'INSERT INTO containers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
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

/** Records that a container is not running any more. */
export function recordEnd(store: Store, id: string, { state, exitCode, error }: ContainerEnd): void {
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
    if (state === 'exited') recordDeath(store, container, exitCode, now)
  })
}

/** Records that a container that ran has ended, at `now`, in milliseconds since 1970. */
function recordDeath(store: Store, container: Container, exitCode: number, now: number): void {
  const seconds = Math.max(0, Math.trunc((now - (container.startedAt ?? now)) / 1000))
  recordVolumesUnmounted(store, container)
  recordContainerEvent(store, 'die', container, { execDuration: String(seconds), exitCode: String(exitCode) })
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

/** All containers, newest first. */
export function listContainerRecords(store: Store): Container[] {
  return store.database.all<Row>(`SELECT ${columns} FROM containers ORDER BY created_at DESC, id`).map(fromRow)
}

/**
 * The container that `text` means, as docker reads it: a whole ID, a name, else the beginning of just one ID. Throws
 * CONTAINER_UNKNOWN, CONTAINER_AMBIGUOUS.
 */
export function resolveContainer(store: Store, text: string): Container {
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
  const rows = store.database.all<{ containerId: string; state: string }>(
    "SELECT id AS containerId, state FROM containers WHERE image_id = ? ORDER BY state <> 'running', created_at",
    imageId,
  )
  return rows.map(({ containerId, state }) => ({ containerId, isRunning: state === 'running' }))
}
