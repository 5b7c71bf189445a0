import { CairnError, type ErrorDetails } from '../errors/error.ts'

/** Numbers of errno(3) that Cairn tells apart; the same on every Linux architecture Bun runs on. */
export const errno = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  EMLINK: 31,
  EPIPE: 32,
  ERANGE: 34,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENODATA: 61,
  EOVERFLOW: 75,
  EOPNOTSUPP: 95,
  EDQUOT: 122,
} as const

export type ErrnoName = keyof typeof errno

const names = new Map<number, ErrnoName>(Object.entries(errno).map(([name, number]) => [number, name as ErrnoName]))

/** `ENOENT` for 2; `errno 200` for a number without a name here. */
export function errnoName(number: number): string {
  return names.get(number) ?? `errno ${number}`
}

/** A system call that failed, as an error that names the call, the path and the reason. */
export class SystemCallError extends CairnError {
  readonly errno: number
  readonly call: string

  constructor(call: string, number: number, subject = '', details: ErrorDetails = {}) {
    const hint = details.hint ?? shortageHint(errnoName(number))
    super(codeFor(number), `${call}${subject === '' ? '' : ` ${subject}`}: ${describe(number)}`, { ...details, hint })
    this.errno = number
    this.call = call
  }
}

/** True for a system call that failed with one of `numbers`. */
export function isErrno(error: unknown, ...numbers: readonly number[]): error is SystemCallError {
  return error instanceof SystemCallError && numbers.includes(error.errno)
}

function codeFor(number: number): 'DISK_FULL' | 'FILE_UNKNOWN' | 'PERMISSION_DENIED' | 'SYSTEM_CALL' {
  if (number === errno.ENOSPC || number === errno.EDQUOT) return 'DISK_FULL'
  if (number === errno.ENOENT) return 'FILE_UNKNOWN'
  if (number === errno.EPERM || number === errno.EACCES) return 'PERMISSION_DENIED'
  return 'SYSTEM_CALL'
}

const shortages: Readonly<Record<string, string>> = {
  EAGAIN: 'Too many processes run: see ulimit -u, and the limit of processes of the cgroup or service.',
  ENOMEM: 'There is too little memory left: see ulimit -v, and the memory limit of the cgroup or service.',
  EMFILE: 'A process may have too few files open here: raise the limit with ulimit -n 4096.',
  ENFILE: 'Too many files are open on this machine.',
  EFBIG: 'Files may not get as large here: see ulimit -f, and what the file system holds.',
}

/** What to do where the machine or a limit gives no more, by the name of the error; undefined for all others. */
export function shortageHint(name: string): string | undefined {
  return Object.hasOwn(shortages, name) ? shortages[name] : undefined
}

const texts: Partial<Record<ErrnoName, string>> = {
  EPERM: 'operation not permitted',
  ENOENT: 'no such file or directory',
  EIO: 'input/output error',
  EAGAIN: 'resource temporarily unavailable',
  ENOMEM: 'cannot allocate memory',
  EACCES: 'permission denied',
  EBUSY: 'device or resource busy',
  EEXIST: 'file exists',
  ENODEV: 'no such device',
  ENOTDIR: 'not a directory',
  EISDIR: 'is a directory',
  EINVAL: 'invalid argument',
  ENFILE: 'too many open files in system',
  EMFILE: 'too many open files',
  EFBIG: 'file too large',
  ENOSPC: 'no space left on device',
  EROFS: 'read-only file system',
  ENAMETOOLONG: 'file name too long',
  ELOOP: 'too many levels of symbolic links',
  EDQUOT: 'disk quota exceeded',
  EOPNOTSUPP: 'operation not supported',
}

function describe(number: number): string {
  const name = names.get(number)
  return name === undefined ? `errno ${number}` : (texts[name] ?? name)
}
