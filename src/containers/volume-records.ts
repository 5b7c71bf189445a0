import { recordEvent } from '../content/events.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { AT_FDCWD } from '../linux/files.ts'
import { changeModeAt, makeDirectories } from '../linux/names.ts'
import { removeTrees } from './discard-container.ts'
import { checkVolumeName } from './mounts.ts'
import { newId } from './settings.ts'
import { moveAway } from './volumes.ts'

/** A volume: a directory that outlives containers. */
export interface Volume {
  readonly name: string
  /** It was made without a name of its own. */
  readonly isAnonymous: boolean
  readonly labels: Readonly<Record<string, string>>
  /** Milliseconds since 1970. */
  readonly createdAt: number
}

/** What a new volume is like. */
export interface NewVolume {
  /** One is made up where it is not given. */
  readonly name?: string | undefined
  readonly labels?: Readonly<Record<string, string>>
}

interface Row {
  readonly name: string
  readonly anonymous: number
  readonly labels: string
  readonly createdAt: number
}

const columns = 'name, anonymous, labels, created_at AS createdAt'
/** Docker's label of volumes without a name of their own. */
const anonymousLabel = 'com.docker.volume.anonymous'

/** All volumes, by name. */
export function listVolumes(store: Store): Volume[] {
  return store.database.all<Row>(`SELECT ${columns} FROM volumes ORDER BY name`).map(volumeOf)
}

/** The volume with this name. Throws VOLUME_UNKNOWN with docker's text. */
export function getVolume(store: Store, name: string): Volume {
  const row = store.database.one<Row>(`SELECT ${columns} FROM volumes WHERE name = ?`, name)
  if (row === undefined) throw new CairnError('VOLUME_UNKNOWN', `get ${name}: no such volume`)
  return volumeOf(row)
}

/** Where the files of a volume are. */
export function volumeDirectory(store: Store, { name }: Pick<Volume, 'name'>): string {
  return store.path('volumes', name, '_data')
}

/** IDs of the containers that were made with each volume, the oldest first. */
export function listVolumeUsers(store: Store): ReadonlyMap<string, readonly string[]> {
  const rows = store.database.all<{ volume: string; container: string }>(
    `SELECT volume, container FROM container_volumes JOIN containers ON id = container ORDER BY created_at, id`,
  )
  const groups = Map.groupBy(rows, ({ volume }) => volume)
  return new Map([...groups].map(([volume, users]) => [volume, users.map(({ container }) => container)]))
}

/** Makes a volume; one that has the name already is left as it is. Gives its name. Throws CONFIG_INVALID. */
export function createVolume(store: Store, { name: given, labels = {} }: NewVolume): string {
  const name = given ?? newId()
  if (given !== undefined) checkVolumeName(given)
  store.database.transaction(() => {
    const values = [name, given === undefined ? 1 : 0, JSON.stringify(labels), Date.now()]
    if (store.database.run('INSERT OR IGNORE INTO volumes VALUES (?, ?, ?, ?)', ...values) === 0) return
    recordEvent(store, 'volume', 'create', name, { driver: 'local' })
    const data = volumeDirectory(store, { name })
    makeDirectories(data)
    changeModeAt(AT_FDCWD, store.path('volumes', name), 0o711)
    changeModeAt(AT_FDCWD, data, 0o755)
  })
  return name
}

/**
 * Removes a volume with its files. Throws VOLUME_UNKNOWN; VOLUME_IN_USE where a container was made with it, running or
 * not.
 */
export function removeVolume(store: Store, name: string): void {
  const removed = store.database.transaction(() => {
    getVolume(store, name)
    const users = listVolumeUsers(store).get(name) ?? []
    if (users.length > 0)
      throw new CairnError('VOLUME_IN_USE', `remove ${name}: volume is in use - [${users.join(', ')}]`)
    store.database.run('DELETE FROM volumes WHERE name = ?', name)
    recordEvent(store, 'volume', 'destroy', name, { driver: 'local' })
    return moveAway(store, 'volumes', name)
  })
  removeTrees(removed)
}

function volumeOf({ name, anonymous, labels, createdAt }: Row): Volume {
  const isAnonymous = anonymous !== 0
  const own = JSON.parse(labels) as Record<string, string>
  return { name, isAnonymous, labels: isAnonymous ? { [anonymousLabel]: '', ...own } : own, createdAt }
}
