import { tryStat } from './file-status.ts'
import { readTextFile } from './text-file.ts'

/** `1: POSIX  ADVISORY  WRITE 1234 fe:00:5678 120 EOF` */
const writeLock = /^\d+: POSIX +\S+ +WRITE +(\d+) \S+:(\d+) (\d+) (\d+|EOF)$/

/**
 * The process that holds a write lock of fcntl(2) on byte `offset` of the file at `path`, as /proc/locks tells it;
 * undefined where nobody does, where it is in another PID namespace, and without /proc.
 */
export function recordLockHolder(path: string, offset: number): number | undefined {
  const inode = String(tryStat(path)?.inode)
  for (const line of (readTextFile('/proc/locks') ?? '').split('\n')) {
    const [, pid, file, start, end] = writeLock.exec(line) ?? []
    if (file !== inode || Number(start) > offset || (end !== 'EOF' && Number(end) < offset)) continue
    if (Number(pid) > 0) return Number(pid)
  }
  return undefined
}
