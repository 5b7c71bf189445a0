import { listDirectory } from './directories.ts'
import { tryLstat } from './file-status.ts'

/** Bytes of the files below `path`; hard links count each time, and what vanishes meanwhile does not. */
export function treeSize(path: string): number {
  let size = 0
  const waiting = [path]
  for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
    if (tryLstat(directory)?.type !== 'directory') continue
    for (const { name } of listDirectory(directory)) {
      const status = tryLstat(`${directory}/${name}`)
      if (status?.type === 'directory') waiting.push(`${directory}/${name}`)
      else if (status?.type === 'file') size += status.size
    }
  }
  return size
}
