import { listDirectory } from './directories.ts'
import { type FileStatus, tryLstat } from './file-status.ts'

/** Bytes of the files below `path`: several names of one file count once, and what vanishes meanwhile does not. */
export function treeSize(path: string): number {
  let size = 0
  const linked = new Set<string>()
  const waiting = [path]
  for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
    if (tryLstat(directory)?.type !== 'directory') continue
    for (const { name } of listDirectory(directory)) {
      const status = tryLstat(`${directory}/${name}`)
      if (status?.type === 'directory') waiting.push(`${directory}/${name}`)
      else if (status?.type === 'file' && (status.nlink === 1 || isNew(linked, status))) size += status.size
    }
  }
  return size
}

function isNew(known: Set<string>, { device, inode }: FileStatus): boolean {
  const before = known.size
  return known.add(`${device}:${inode}`).size > before
}
