import { resolvePath } from '../layers/trees/resolve-path.ts'
import type { Tree, TreeEntry } from '../layers/tree.ts'
import { tryLstat } from '../linux/file-status.ts'
import { open, openFlags, close, AT_FDCWD } from '../linux/files.ts'
import { changeModeAt, changeOwnerAt, makeDirectories, setTimesAt } from '../linux/names.ts'
import { setXattr } from '../linux/xattrs.ts'

/** Mounts on these are on files; all others of a container's own are on directories. */
const files = new Set(['/etc/resolv.conf', '/etc/hosts', '/etc/hostname'])

/** What a path is made to look like. */
type Looks = Pick<TreeEntry, 'mode' | 'uid' | 'gid'> & Partial<TreeEntry>

/** What the image lacks, with a mode that does not depend on the umask. */
const newDirectory: Looks = { mode: 0o755, uid: 0, gid: 0 }
const newFile: Looks = { mode: 0o644, uid: 0, gid: 0 }

/**
 * Makes a directory to stack on top of the image's layers that holds the places to mount on which the image lacks, so
 * that the runtime makes none in the step's own layer and nothing of them remains. Directories above them look as they
 * do in the image. Gives undefined where the image has all of them.
 *
 * @param fileTargets - targets besides the standard ones that a file is mounted on
 */
export function mountPoints(
  tree: Tree,
  targets: readonly string[],
  directory: string,
  fileTargets: ReadonlySet<string> = new Set(),
): string | undefined {
  const made: { path: string; like: Looks }[] = []
  for (const target of targets) {
    // Below /dev, /proc and /sys the runtime makes what it needs in the file systems it mounts there.
    if (/^\/(dev|proc|sys)\/./.test(target)) continue
    const path = resolvePath(tree, target, { followLast: true })
    if (path === '/' || tree.lookup(path) !== undefined) continue
    makeDirectories(directory)
    copyParents(tree, path.slice(0, path.lastIndexOf('/')), directory, made)
    const host = directory + path
    if (tryLstat(host) !== undefined) continue
    const isFile = files.has(target) || fileTargets.has(target)
    if (isFile) close(open(host, openFlags.O_WRONLY | openFlags.O_CREAT, 0o644))
    else makeDirectories(host)
    made.push({ path, like: isFile ? newFile : newDirectory })
  }
  if (made.length === 0) return undefined
  const root = tree.lookup('/')
  if (root !== undefined) made.push({ path: '', like: root })
  // Times last, deepest first: making an entry changes its directory's.
  for (const { path, like } of made.reverse()) dress(directory + path, like)
  return directory
}

function copyParents(tree: Tree, path: string, directory: string, made: { path: string; like: Looks }[]): void {
  let current = ''
  for (const part of path.split('/').filter((element) => element !== '')) {
    current += `/${part}`
    if (tryLstat(directory + current) !== undefined) continue
    makeDirectories(directory + current)
    made.push({ path: current, like: tree.lookup(current) ?? newDirectory })
  }
}

function dress(path: string, like: Looks): void {
  changeOwnerAt(AT_FDCWD, path, like.uid, like.gid)
  changeModeAt(AT_FDCWD, path, like.mode)
  for (const [name, value] of like.xattrs ?? []) setXattr(path, name, value)
  if (like.mtimeSeconds !== undefined) setTimesAt(AT_FDCWD, path, like.mtimeSeconds, like.mtimeNanoseconds ?? 0)
}
