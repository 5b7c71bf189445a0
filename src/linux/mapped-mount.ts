import { CairnError } from '../errors/error.ts'
import { errno } from './errno.ts'
import { close, open, openFlags } from './files.ts'
import { lastErrno, openLibc, ptr, stableBytes, types } from './libc.ts'
import { mountError } from './mounts.ts'
import { pathArgument, secondPathArgument } from './path-arguments.ts'

const { i32, i64, u64, ptr: pointer } = types

const libc = openLibc({
  syscall: { args: [i64, i32, pointer, i64, pointer, u64], returns: i64 },
})

/** System calls without a wrapper in older C libraries. Their numbers are the same on every architecture. */
const open_tree = 428
const move_mount = 429
const mount_setattr = 442

const OPEN_TREE_CLONE = 1
const OPEN_TREE_CLOEXEC = 0o2000000
const AT_RECURSIVE = 0x8000
const AT_EMPTY_PATH = 0x1000
const MOVE_MOUNT_F_EMPTY_PATH = 4
const MOUNT_ATTR_IDMAP = 0x10_0000n

/** struct mount_attr: what to set, what to clear, propagation, the user namespace. */
const attributes = stableBytes(32)
const words = new BigUint64Array(attributes.buffer)

/**
 * Makes the directory `source` appear at `target`, its files owned by those that the ids of a user namespace stand for outside: id
 * 0 on the disk is root of the namespace. Linux 5.12 and later, on file systems that can (ext4, xfs, btrfs, tmpfs). Mounts
 * below `source` do not come along. Throws NOT_SUPPORTED, SystemCallError, NOT_ROOT.
 *
 * @param userNamespace - descriptor of it
 */
export function bindMapped(source: string, target: string, userNamespace: number): void {
  const from = open(source, openFlags.O_PATH | openFlags.O_DIRECTORY)
  const tree = call(open_tree, from, pathArgument('', 'open_tree'), OPEN_TREE_CLONE | AT_EMPTY_PATH, null, 0)
  const failure = lastErrno()
  close(from)
  if (tree < 0) throw mountError('open_tree', failure, source)
  try {
    words.set([MOUNT_ATTR_IDMAP, 0n, 0n, BigInt(userNamespace)])
    if (call(mount_setattr, tree, pathArgument('', 'mount_setattr'), AT_EMPTY_PATH, ptr(attributes), 32) !== 0)
      throw mappingError(lastErrno(), source)
    moveMount(tree, target)
  } finally {
    close(tree)
  }
}

function mappingError(failure: number, source: string): CairnError {
  if (failure !== errno.EINVAL && failure !== errno.ENOSYS)
    return mountError('mount_setattr', failure, `${source} with the ids of a user namespace`)
  return new CairnError(
    'NOT_SUPPORTED',
    `the file system or kernel of this machine cannot show ${source} with other owners`,
    {
      hint: 'Linux 5.19 or newer can, on ext4, xfs, btrfs and tmpfs. Or run it with the users of the host: --userns host.',
    },
  )
}

/**
 * A mount of its own of the file or directory that a descriptor stands for, not attached anywhere yet. It is in the peer group of
 * the mount below, so what is mounted there later comes along where that is shared. Throws SystemCallError, NOT_ROOT.
 *
 * @returns a descriptor, to be closed
 */
export function cloneMount(from: number, name: string, { recursive }: { readonly recursive: boolean }): number {
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0)
  const tree = call(open_tree, from, pathArgument('', 'open_tree'), flags, null, 0)
  if (tree < 0) throw mountError('open_tree', lastErrno(), name)
  return tree
}

const AT_FDCWD = -100

/** Attaches what {@link cloneMount} gave at `target`, which is there and of the same kind. Throws SystemCallError, NOT_ROOT. */
export function moveMount(tree: number, target: string): void {
  const to = secondPathArgument(target, 'move_mount')
  const nothing = pathArgument('', 'move_mount')
  if (call(move_mount, tree, nothing, AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH) !== 0)
    throw mountError('move_mount', lastErrno(), target)
}

function call(...[number, fd, path, flags, data, size]: Parameters<typeof libc.syscall>): number {
  return Number(libc.syscall(number, fd, path, flags, data, size))
}
