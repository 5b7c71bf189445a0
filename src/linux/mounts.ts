import { CairnError } from '../errors/error.ts'
import { SystemCallError, errno } from './errno.ts'
import { lastErrno, openLibc, ptr, stableBytes, types } from './libc.ts'
import { mountFlagsOf } from './free-space.ts'
import { pathArgument, secondPathArgument } from './path-arguments.ts'
import { TextArgument } from './text-argument.ts'
import { inInitialUserNamespace } from './user-namespace.ts'

const { i32, i64, u64, ptr: pointer } = types

const libc = openLibc({
  mount: { args: [pointer, pointer, pointer, u64, pointer], returns: i32 },
  umount2: { args: [pointer, i32], returns: i32 },
  syscall: { args: [i64, i32, pointer, i32, pointer, u64], returns: i64 },
})

/** Flags of mount(2) and umount2(2). */
export const mountFlags = {
  MS_RDONLY: 0x1,
  MS_NOSUID: 0x2,
  MS_NODEV: 0x4,
  MS_NOEXEC: 0x8,
  MS_REMOUNT: 0x20,
  MS_BIND: 0x1000,
  MS_REC: 0x4000,
  MS_PRIVATE: 0x4_0000,
} as const

const MNT_DETACH = 0x2
const UMOUNT_NOFOLLOW = 0x8

const typeArgument = new TextArgument(32)
/** mount(2) reads one page of options. */
const dataArgument = new TextArgument(4096)

const { MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REC, MS_REMOUNT } = mountFlags

/** How {@link bindMount} mounts. */
export interface BindOptions {
  readonly readonly?: boolean
  /** Device files below the target cannot be opened. */
  readonly nodev?: boolean
  /** Mounts below `source` come along; `readonly` and `nodev` do not reach them. */
  readonly recursive?: boolean
}

/**
 * Makes `source`, a directory or file, appear at `target`, which must exist and be of the same kind. Throws
 * SystemCallError, NOT_ROOT.
 */
export function bindMount(source: string, target: string, options: BindOptions = {}): void {
  const bind = MS_BIND | (options.recursive === true ? MS_REC : 0)
  mount(source, target, undefined, bind, undefined, `${source} on ${target}`)
  const restrictions = (options.readonly === true ? MS_RDONLY : 0) | (options.nodev === true ? MS_NODEV : 0)
  if (restrictions === 0) return
  try {
    // A bind mount takes its flags only when it is mounted again.
    mount(undefined, target, undefined, MS_REMOUNT | MS_BIND | restrictions | keptFlags(target), undefined, target)
  } catch (error) {
    unmount(target, { lazy: true })
    throw error
  }
}

/** In a user namespace a mount of the machine keeps what the machine forbids in it, and whoever mounts it anew has to say so. */
function keptFlags(target: string): number {
  return inInitialUserNamespace() ? 0 : mountFlagsOf(target)
}

/** How {@link mountTmpfs} mounts. */
export interface TmpfsOptions {
  /** Upper bound in bytes; the kernel's default is half of the memory. */
  readonly size?: number
  /** Permission bits of its root, 0o755 by default. */
  readonly mode?: number
  /** Device files in it can be opened. */
  readonly devices?: boolean
}

/**
 * Mounts an empty file system in memory on the directory `target`; set-user-ID does nothing in it, nor do device files
 * unless asked for. Throws SystemCallError, NOT_ROOT.
 */
export function mountTmpfs(target: string, options: TmpfsOptions = {}): void {
  const size = options.size === undefined ? '' : `,size=${options.size}`
  const data = `mode=${(options.mode ?? 0o755).toString(8)}${size}`
  const flags = options.devices === true ? MS_NOSUID : MS_NOSUID | MS_NODEV
  mount('tmpfs', target, 'tmpfs', flags, data, `a tmpfs on ${target}`)
}

/** Mounts the cgroup v2 hierarchy on the directory `target`. Throws SystemCallError, NOT_ROOT. */
export function mountCgroup2(target: string): void {
  mount('cgroup2', target, 'cgroup2', MS_NOSUID | MS_NODEV | MS_NOEXEC, undefined, `cgroup2 on ${target}`)
}

/** How {@link unmount} unmounts. */
export interface UnmountOptions {
  /** Takes the mount out of the tree at once and lets it end when its last user is gone, instead of failing as busy. */
  readonly lazy?: boolean
}

/** Unmounts what is mounted on `target`. True when something was, false when `target` is no mount or not there. */
export function unmount(target: string, options: UnmountOptions = {}): boolean {
  const how = UMOUNT_NOFOLLOW | (options.lazy === true ? MNT_DETACH : 0)
  if (libc.umount2(pathArgument(target, 'umount'), how) === 0) return true
  const failure = lastErrno()
  if (failure === errno.EINVAL || failure === errno.ENOENT) return false
  throw mountError('umount', failure, target)
}

/** struct mount_attr, all of it 0: nothing to change. */
const noAttributes = stableBytes(32)
const mount_setattr = 442

/** True where the kernel has mount_setattr(2), Linux 5.12 and later. */
export function canChangeMountFlags(): boolean {
  return Number(libc.syscall(mount_setattr, -1, pathArgument('', 'mount_setattr'), 0, ptr(noAttributes), 32)) === 0
}

/**
 * mount(2) as it is. `subject` says in the error what was to be mounted. Throws SystemCallError, NOT_ROOT.
 *
 * @param data - options of the file system's own; must fit a page
 */
export function mount(
  source: string | undefined,
  target: string,
  type: string | undefined,
  flags: number,
  data: string | undefined,
  subject: string,
): void {
  const status = libc.mount(
    source === undefined ? null : pathArgument(source, 'mount'),
    secondPathArgument(target, 'mount'),
    type === undefined ? null : typeArgument.of(type, 'mount'),
    flags,
    data === undefined ? null : dataArgument.of(data, 'mount'),
  )
  if (status !== 0) throw mountError('mount', lastErrno(), subject)
}

/** The error of a failed mount call: EPERM means that this process may not mount at all. */
export function mountError(call: string, failure: number, subject: string): CairnError {
  if (failure === errno.EPERM) return notRoot(`${call} ${subject}`)
  return new SystemCallError(call, failure, subject)
}

/** What is said where mounting was refused: `what` was tried. */
export function notRoot(what: string): CairnError {
  return new CairnError('NOT_ROOT', `${what}: needs root (CAP_SYS_ADMIN)`, {
    hint: 'Run cairn as root, for example with sudo. Building a Dockerfile without RUN does not need it.',
  })
}
