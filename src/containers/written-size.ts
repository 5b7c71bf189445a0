import type { Store } from '../content/store.ts'
import { tryListDirectory } from '../linux/directories.ts'
import { tryLstat } from '../linux/file-status.ts'
import { treeSize } from '../linux/tree-size.ts'
import type { Container } from './container.ts'
import { containerDirectory } from './places.ts'

/** Bytes of the files that a container has written or changed, each file once. A running one may change it meanwhile. */
export function writtenSize(store: Store, { snapshot }: Container): number {
  const seen = new Set<number | bigint>()
  let size = 0
  const waiting = [store.path('snapshots', snapshot, 'fs')]
  for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop())
    for (const { name } of tryListDirectory(directory)) {
      const path = `${directory}/${name}`
      const status = tryLstat(path)
      if (status?.type === 'directory') waiting.push(path)
      if (status?.type !== 'file' || seen.has(status.inode)) continue
      if (status.nlink > 1) seen.add(status.inode)
      size += status.size
    }
  return size
}

/** Bytes on the disk of all that a container has of its own. */
export function containerDiskSize(store: Store, { id, snapshot }: Pick<Container, 'id' | 'snapshot'>): number {
  return treeSize(store.path('snapshots', snapshot)) + treeSize(containerDirectory(store, id))
}
