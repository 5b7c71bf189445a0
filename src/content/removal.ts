import { tryListDirectory } from '../linux/directories.ts'
import { tryLstat } from '../linux/file-status.ts'
import { makeDirectories, rename } from '../linux/names.ts'
import type { Store } from './store.ts'

/** Areas with a directory for each record, and what asks for the record. */
const records = {
  snapshots: 'SELECT 1 FROM snapshots WHERE id = ?',
  containers: 'SELECT 1 FROM containers WHERE id = ?',
  volumes: 'SELECT 1 FROM volumes WHERE name = ?',
} as const

export type RecordedArea = keyof typeof records

const label = 'removed-'

/**
 * Takes the directory `<area>/<name>` out of its place, to be called in the transaction that forgets its record. If that
 * transaction never ends well, whoever ends the session puts it back.
 *
 * @returns what is to be removed after the transaction, with all below it; undefined where there is no such directory
 */
export function moveDirectoryAway(store: Store, area: RecordedArea, name: string): string | undefined {
  const path = store.path(area, name)
  if (tryLstat(path) === undefined) return undefined
  const target = store.session.temporaryPath(label + area)
  makeDirectories(target, 0o700)
  rename(path, `${target}/${name}`)
  return target
}

/**
 * Puts back what was moved away below `directory`, that of a session which ends, and is still recorded: its transaction
 * was undone.
 */
export function putBack(store: Store, directory: string): void {
  for (const { name: entry } of tryListDirectory(directory)) {
    const area = Object.keys(records).find((one) => entry.endsWith(`-${label}${one}`)) as RecordedArea | undefined
    if (area === undefined) continue
    for (const { name } of tryListDirectory(`${directory}/${entry}`)) {
      const path = store.path(area, name)
      if (tryLstat(path) === undefined && store.database.one(records[area], name) !== undefined)
        rename(`${directory}/${entry}/${name}`, path)
    }
  }
}
