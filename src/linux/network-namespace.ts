import { SystemCallError } from './errno.ts'
import { close, open, openFlags } from './files.ts'
import { lastErrno, openLibc, types } from './libc.ts'
import { readLink } from './names.ts'

const { i32 } = types

const libc = openLibc({
  unshare: { args: [i32], returns: i32 },
  setns: { args: [i32, i32], returns: i32 },
})

const CLONE_NEWNET = 0x4000_0000
const own = '/proc/thread-self/ns/net'

/**
 * Makes a network namespace; gives a descriptor of it. It is there as long as the descriptor, or a process in it.
 * Throws SystemCallError, EPERM without CAP_SYS_ADMIN.
 */
export function makeNetworkNamespace(): number {
  return comingBack(() => {
    if (libc.unshare(CLONE_NEWNET) !== 0) throw new SystemCallError('unshare', lastErrno(), 'the network namespace')
    return open(own, openFlags.O_RDONLY)
  })
}

/**
 * Calls `work` with this thread in a network namespace, then brings it back. Children that it starts stay there. `work`
 * must be synchronous. Throws SystemCallError.
 */
export function inNetworkNamespace<Result>(namespace: number, work: () => Result): Result {
  return comingBack(() => {
    if (libc.setns(namespace, CLONE_NEWNET) !== 0)
      throw new SystemCallError('setns', lastErrno(), 'into a network namespace')
    return work()
  })
}

/** Moves the calling thread into the network namespace at `path` for good. What is open stays where it was opened. Throws SystemCallError. */
export function joinNetworkNamespace(path: string): void {
  const namespace = open(path, openFlags.O_RDONLY)
  try {
    if (libc.setns(namespace, CLONE_NEWNET) !== 0) throw new SystemCallError('setns', lastErrno(), path)
  } finally {
    close(namespace)
  }
}

function comingBack<Result>(work: () => Result): Result {
  const home = open(own, openFlags.O_RDONLY)
  try {
    return work()
  } finally {
    const isBack = libc.setns(home, CLONE_NEWNET) === 0
    const failure = lastErrno()
    close(home)
    // oxlint-disable-next-line no-unsafe-finally -- nothing may go on in the wrong namespace
    if (!isBack) throw new SystemCallError('setns', failure, 'back to the network namespace of this process')
  }
}

/** Identity of the network namespace that this thread is in. */
export function networkNamespace(): string {
  return readLink(own)
}
