import { tryListDirectory } from './directories.ts'
import { type FileStatus, tryLstat } from './file-status.ts'

/**
 * Bytes on the disk of what is at `path` with all below it, as du(1) tells them: whole blocks, directories too. Several
 * names of one file count once, and what vanishes meanwhile does not. Files of `linked` were counted; those that have
 * several names are noted there.
 */
export function treeSize(path: string, linked = new Set<string>()): number {
  let size = 0
  const waiting = [path]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const status = tryLstat(next)
    if (status === undefined) continue
    if (status.type === 'directory') {
      size += status.allocated
      for (const { name } of tryListDirectory(next)) waiting.push(`${next}/${name}`)
    } else if (status.nlink === 1 || isNew(linked, status)) size += status.allocated
  }
  return size
}

/** Bytes that a file of `size` bytes takes on the disk, in blocks of 4 KiB: close enough without looking at it. */
export function blocksOf(size: number): number {
  return Math.ceil(size / 4096) * 4096
}

function isNew(known: Set<string>, { device, inode }: FileStatus): boolean {
  const before = known.size
  return known.add(`${device}:${inode}`).size > before
}
