import { type Container, isActive } from '../../../containers/container.ts'
import { listContainerRecords } from '../../../containers/container-records.ts'
import { containerOwner } from '../../../containers/places.ts'
import { listCacheMounts, removeCacheMount, tryHoldCacheMount } from '../../../content/cache-mounts.ts'
import { blobNode, snapshotNode } from '../../../content/graph.ts'
import { pin } from '../../../content/pins.ts'
import { moveDirectoryAway, type RecordedArea } from '../../../content/removal.ts'
import { seizeSession } from '../../../content/session.ts'
import { beginSnapshot, finishSnapshot } from '../../../content/snapshot-records.ts'
import type { Store, StoreArea } from '../../../content/store.ts'
import { tryListDirectory } from '../../../linux/directories.ts'
import { tryLstat } from '../../../linux/file-status.ts'
import { close, open, openFlags, tryLock } from '../../../linux/files.ts'
import { unmount } from '../../../linux/mounts.ts'
import { removeTree } from '../../../linux/remove-tree.ts'
import { readTextFile } from '../../../linux/text-file.ts'
import type { StoreProblem } from './problem.ts'

/**
 * Directories against the records: unpacked layers, containers, volumes, cache mounts, and what nobody has put away. To be
 * called in a transaction.
 */
export function checkDirectories(store: Store): StoreProblem[] {
  return [
    ...checkSnapshots(store),
    ...checkContainers(store),
    ...checkVolumes(store),
    ...checkCacheMounts(store),
    ...checkTemporary(store),
    ...checkLocks(store),
    ...checkMounts(store),
  ]
}

interface SnapshotRow {
  readonly id: string
  readonly diffId: string | null
  readonly state: string
}

function checkSnapshots(store: Store): StoreProblem[] {
  const rows = store.database.all<SnapshotRow>('SELECT id, diff_id AS diffId, state FROM snapshots')
  const known = new Set(rows.map(({ id }) => id))
  const containers = listContainerRecords(store)
  const used = new Set(containers.map(({ snapshot }) => snapshot))
  const isThere = (id: string): boolean => tryLstat(store.path('snapshots', id, 'fs')) !== undefined
  const problems = containers
    .filter(({ snapshot }) => !known.has(snapshot) && isThere(snapshot))
    .map((container) => unrecorded(store, container))
  for (const { id, diffId, state } of rows) {
    if (state === 'active' && !used.has(id))
      problems.push({
        area: 'leftovers',
        subject: `snapshots/${id}`,
        problem: 'it is kept for a container that is not there any more',
        remedy: 'Repairing removes it.',
        repair: () => removeSnapshot(store, id),
      })
    if (state !== 'committed' || isThere(id)) continue
    problems.push({
      area: 'layers',
      subject: diffId ?? id,
      problem: `the directory it was unpacked to (snapshots/${id}) is gone`,
      remedy: 'Repairing forgets it; the layer is unpacked again when it is needed.',
      repair: () => removeSnapshot(store, id),
    })
  }
  for (const { name } of tryListDirectory(store.path('snapshots')))
    if (!known.has(name) && !used.has(name))
      problems.push(stray(store, 'snapshots', name, 'a directory of no layer and no container'))
  return problems
}

/** Records again, and keeps, the directory that a container has written to. */
function unrecorded(store: Store, { id, name, snapshot, settings }: Container): StoreProblem {
  return {
    area: 'containers',
    subject: name === '' ? id.slice(0, 12) : name,
    problem: 'no record keeps what it has written',
    remedy: 'Repairing records it.',
    repair: () =>
      store.database.transaction(() => {
        beginSnapshot(store, snapshot)
        finishSnapshot(store, snapshot, { state: 'active' })
        pin(store, containerOwner(id), [blobNode(settings.manifest), snapshotNode(snapshot)])
      }),
  }
}

/** Removes a snapshot and what is recorded of it. */
export function removeSnapshot(store: Store, id: string): void {
  remove(store, 'snapshots', id, () => void store.database.run('DELETE FROM snapshots WHERE id = ?', id))
}

function checkContainers(store: Store): StoreProblem[] {
  const containers = listContainerRecords(store)
  const known = new Set(['run', ...containers.map(({ id }) => id)])
  const lost = containers.flatMap(({ id, name, snapshot, state }): StoreProblem[] => {
    if (isActive({ state }) || tryLstat(store.path('snapshots', snapshot, 'fs')) !== undefined) return []
    return [
      {
        area: 'containers',
        subject: name === '' ? id.slice(0, 12) : name,
        problem: 'what it has written is gone',
        remedy: `Remove it: cairn rm ${name === '' ? id.slice(0, 12) : name}`,
      },
    ]
  })
  const strays = tryListDirectory(store.path('containers'))
    .filter(({ name, type }) => type === 'directory' && /^[0-9a-f]{64}$/.test(name) && !known.has(name))
    .map(({ name }) => stray(store, 'containers', name, 'a directory of a container that is not there any more'))
  return [...lost, ...strays]
}

/** What is in a volume is the user's: a directory that no record tells of is recorded, never removed. */
function checkVolumes(store: Store): StoreProblem[] {
  const rows = store.database.all<{ name: string }>('SELECT name FROM volumes')
  const known = new Set(rows.map(({ name }) => name))
  return tryListDirectory(store.path('volumes')).flatMap(({ name, type }): StoreProblem[] => {
    if (type !== 'directory' || known.has(name)) return []
    return [
      {
        area: 'volumes',
        subject: name,
        problem: 'this volume is in no record, so no command knows it',
        remedy: 'Repairing records it.',
        repair: () =>
          void store.database.run(
            'INSERT OR IGNORE INTO volumes (name, anonymous, labels, created_at) VALUES (?, 0, ?, ?)',
            name,
            '{}',
            Date.now(),
          ),
      },
    ]
  })
}

function checkCacheMounts(store: Store): StoreProblem[] {
  const known = new Set(listCacheMounts(store).map(({ name }) => name))
  return tryListDirectory(store.path('cache', 'mounts')).flatMap(({ name }): StoreProblem[] => {
    const hasFiles = tryLstat(store.path('cache', 'mounts', name, 'fs'))?.type === 'directory'
    if (known.has(name) && hasFiles) return []
    return [
      {
        area: 'build cache',
        subject: `cache/mounts/${name}`,
        problem: hasFiles
          ? 'its record cannot be read, so no command lists or prunes this cache mount'
          : 'this cache mount has no files',
        remedy: 'Repairing removes it; a step that uses it begins with an empty one.',
        repair: () => {
          const held = tryHoldCacheMount(store, name)
          if (held === undefined) return
          try {
            removeCacheMount(store, held)
          } finally {
            held.lock.release()
          }
        },
      },
    ]
  })
}

/** What is left of dead processes although recovery has just run. */
function checkTemporary(store: Store): StoreProblem[] {
  const tmp = store.path('tmp')
  const ids = new Set(tryListDirectory(tmp).map(({ name }) => name.replace(/\.lock$/, '')))
  return [...ids].flatMap((id): StoreProblem[] => {
    if (store.isReadOnly || id === store.session.id) return []
    const dead = seizeSession(tmp, id)
    if (dead === undefined) return []
    dead.release()
    return [
      {
        area: 'leftovers',
        subject: `tmp/${id}`,
        problem: 'a process that was killed left it, and it could not be removed',
        remedy: 'Repairing tries again; what is mounted in it has to be unmounted first.',
        repair: () => seizeSession(tmp, id)?.remove(removeTree),
      },
    ]
  })
}

function checkLocks(store: Store): StoreProblem[] {
  if (store.isReadOnly) return []
  return tryListDirectory(store.path('locks')).flatMap(({ name }): StoreProblem[] => {
    const path = store.path('locks', name)
    return isHeld(path)
      ? []
      : [
          {
            area: 'leftovers',
            subject: `locks/${name}`,
            problem: 'nobody holds this lock file',
            remedy: 'Repairing removes it.',
            repair: () => removeTree(path),
          },
        ]
  })
}

function isHeld(path: string): boolean {
  if (tryLstat(path) === undefined) return true
  const fd = open(path, openFlags.O_RDWR)
  try {
    return !tryLock(fd, 'shared', path)
  } finally {
    close(fd)
  }
}

/** Cairn mounts in private namespaces only, so what is seen from here was mounted by somebody else, or got out. */
function checkMounts(store: Store): StoreProblem[] {
  const areas: StoreArea[] = ['snapshots', 'containers', 'builds', 'tmp']
  return (readTextFile('/proc/self/mountinfo') ?? '').split('\n').flatMap((line): StoreProblem[] => {
    const path = (line.split(' ')[4] ?? '').replaceAll('\\040', ' ')
    if (!areas.some((area) => path.startsWith(`${store.path(area)}/`))) return []
    return [
      {
        area: 'leftovers',
        subject: path.slice(store.root.length + 1),
        problem: 'something is mounted there, and no running command did that',
        remedy: 'Repairing unmounts it.',
        repair: () => void unmount(path, { lazy: true }),
      },
    ]
  })
}

function stray(store: Store, area: RecordedArea, name: string, what: string): StoreProblem {
  return {
    area: 'leftovers',
    subject: `${area}/${name}`,
    problem: what,
    remedy: 'Repairing removes it.',
    repair: () => remove(store, area, name),
  }
}

/** Takes a directory out of its place, with `forget` in one transaction, and removes it. */
function remove(store: Store, area: RecordedArea, name: string, forget: () => void = () => {}): void {
  const target = store.database.transaction(() => {
    forget()
    return moveDirectoryAway(store, area, name)
  })
  if (target !== undefined) removeTree(target)
}
