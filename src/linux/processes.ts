import { errno, SystemCallError } from './errno.ts'
import { close } from './files.ts'
import { lastErrno, openLibc, types } from './libc.ts'
import { readTextFile } from './text-file.ts'

const { i32, u32, i64, ptr: pointer } = types

const libc = openLibc({
  kill: { args: [i32, i32], returns: i32 },
  waitpid: { args: [i32, pointer, i32], returns: i32 },
  syscall: { args: [i64, i32, i32, pointer, u32], returns: i64 },
})

/** System calls without a wrapper in older C libraries; the same numbers on every architecture. */
const pidfd_send_signal = 424
const pidfd_open = 434
const pidfd_getfd = 438

/** A process that is not mistaken for a later one with the same number. */
export interface ProcessIdentity {
  readonly pid: number
  /** Clock ticks between boot and its start: field 22 of proc_pid_stat(5). */
  readonly startTime: number
}

/** What proc_pid_stat(5) tells of a process. */
export interface ProcessStatus {
  readonly parent: number
  readonly startTime: number
  /** It has ended and waits for its parent to take note of that. */
  readonly isZombie: boolean
}

/** The process `pid`; undefined when there is none. A zombie still counts. */
export function processStatus(pid: number): ProcessStatus | undefined {
  const text = readTextFile(`/proc/${pid}/stat`)
  // The name in parentheses may hold spaces and parentheses; a letter for the state and numbers follow it.
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ')
  if (fields === undefined) return undefined
  const isZombie = fields[0] === 'Z' || fields[0] === 'X'
  return { parent: Number(fields[1]), startTime: Number(fields[19]), isZombie }
}

/** This process. */
export function ownIdentity(): ProcessIdentity {
  const { pid } = process
  return { pid, startTime: processStatus(pid)?.startTime ?? 0 }
}

/** True while the process can still do something: it is there and no zombie. */
export function isRunning({ pid, startTime }: ProcessIdentity): boolean {
  const status = processStatus(pid)
  return status?.startTime === startTime && !status.isZombie
}

/** True while the process is there. */
export function isAlive({ pid, startTime }: ProcessIdentity): boolean {
  return processStatus(pid)?.startTime === startTime
}

/**
 * Sends signal number `signal` to exactly this process. False when it is gone. Throws SystemCallError, EPERM among
 * others.
 */
export function signalProcess(identity: ProcessIdentity, signal: number): boolean {
  const fd = Number(libc.syscall(pidfd_open, identity.pid, 0, null, 0))
  if (fd < 0) return goneOrThrow('pidfd_open', identity)
  try {
    // From here the descriptor stands for one process, whatever becomes of the number.
    if (!isAlive(identity)) return false
    return (
      Number(libc.syscall(pidfd_send_signal, fd, signal, null, 0)) === 0 || goneOrThrow('pidfd_send_signal', identity)
    )
  } finally {
    close(fd)
  }
}

/**
 * Sends signal number `signal` to a process that leads a group, and to the rest of that group. False when it is gone. Throws
 * SystemCallError, EPERM among others.
 */
export function signalGroup(leader: ProcessIdentity, signal: number): boolean {
  // While its leader is there, no other group has that number.
  return isAlive(leader) && (libc.kill(-leader.pid, signal) === 0 || goneOrThrow('kill', leader))
}

/**
 * A file descriptor of another process as one of ours. Undefined when the process or its descriptor is gone. Throws
 * SystemCallError, EPERM where this process could not trace the other.
 */
export function duplicateDescriptor(pid: number, descriptor: number): number | undefined {
  const fd = Number(libc.syscall(pidfd_open, pid, 0, null, 0))
  if (fd < 0) return goneOrThrow('pidfd_open', { pid }) || undefined
  try {
    const copy = Number(libc.syscall(pidfd_getfd, fd, descriptor, null, 0))
    if (copy >= 0) return copy
    return lastErrno() === errno.EBADF ? undefined : goneOrThrow('pidfd_getfd', { pid }) || undefined
  } finally {
    close(fd)
  }
}

function goneOrThrow(call: string, { pid }: { readonly pid: number }): false {
  const failure = lastErrno()
  if (failure === errno.ESRCH || failure === errno.EINVAL) return false
  throw new SystemCallError(call, failure, `process ${pid}`)
}

/** Waits for a process that was killed, where it is a child of this one that nobody else waits for. */
export function reapProcess(pid: number): void {
  while (libc.waitpid(pid, null, 0) < 0 && lastErrno() === errno.EINTR);
}
