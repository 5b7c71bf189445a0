import { SystemCallError } from '../linux/errno.ts'
import { fstat } from '../linux/file-status.ts'
import { AT_FDCWD, close, openAt, openAt2, openFlags, resolveFlags } from '../linux/files.ts'
import { readText } from '../linux/text-file.ts'
import type { AccountFiles } from '../runtime/user.ts'

/** An account file larger than this is not one. Bytes. */
const largestAccountFile = 16 << 20

/** /etc/passwd and /etc/group as the process `pid` of a container sees them now; symlinks lead nowhere out of it. */
export function containerAccounts(pid: number): AccountFiles {
  const root = openAt(AT_FDCWD, `/proc/${pid}/root`, openFlags.O_PATH | openFlags.O_DIRECTORY)
  try {
    const passwd = readFileIn(root, 'etc/passwd')
    const group = readFileIn(root, 'etc/group')
    return { ...(passwd === undefined ? {} : { passwd }), ...(group === undefined ? {} : { group }) }
  } finally {
    close(root)
  }
}

function readFileIn(root: number, path: string): string | undefined {
  const flags = openFlags.O_RDONLY | openFlags.O_NONBLOCK
  const fd = openAt2(root, path, flags, resolveFlags.IN_ROOT | resolveFlags.NO_MAGICLINKS)
  if (fd < 0) return undefined
  try {
    const { type, size } = fstat(fd)
    return type === 'file' && size <= largestAccountFile ? readText(fd, largestAccountFile, path) : undefined
  } catch (error) {
    if (error instanceof SystemCallError) return undefined
    throw error
  } finally {
    close(fd)
  }
}
