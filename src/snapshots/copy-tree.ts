import type { Tree, TreeEntry } from '../layers/tree.ts'
import { AT_FDCWD, close, open, openFlags, write } from '../linux/files.ts'
import {
  changeMode,
  changeModeAt,
  changeOwner,
  changeOwnerAt,
  linkAt,
  makeDirectoryAt,
  makeNodeAt,
  makeSymlinkAt,
  setTimes,
  setTimesAt,
} from '../linux/names.ts'
import { setXattr } from '../linux/xattrs.ts'

/**
 * Copies the directory `path` of `tree` with all below it to `target`, an empty directory of the host that nobody else
 * can write to yet: modes, owners, times, xattrs, hard links and devices as they are. Throws SystemCallError.
 */
export function copyTree(tree: Tree, path: string, target: string): void {
  const root = tree.lookup(path)
  if (root?.type !== 'directory') throw new TypeError(`not a directory of the tree: ${path}`)
  const linked = new Map<string, string>()
  copyChildren(tree, path === '/' ? '' : path, target, linked)
  dress(target, root)
}

function copyChildren(tree: Tree, directory: string, target: string, linked: Map<string, string>): void {
  for (const name of tree.list(directory === '' ? '/' : directory)) {
    const from = `${directory}/${name}`
    const to = `${target}/${name}`
    const entry = tree.lookup(from)
    if (entry === undefined) continue
    const earlier = entry.inode === undefined ? undefined : linked.get(entry.inode)
    if (earlier !== undefined) {
      linkAt(AT_FDCWD, earlier, AT_FDCWD, to)
      continue
    }
    make(tree, from, to, entry)
    if (entry.inode !== undefined && entry.type !== 'directory') linked.set(entry.inode, to)
    if (entry.type !== 'directory') continue
    copyChildren(tree, from, to, linked)
    // Its time last: making a child changes it.
    dress(to, entry)
  }
}

function make(tree: Tree, from: string, to: string, entry: TreeEntry): void {
  switch (entry.type) {
    case 'directory':
      return makeDirectoryAt(AT_FDCWD, to, 0o700)
    case 'file':
      return copyFile(tree, from, to, entry)
    case 'symlink':
      makeSymlinkAt(entry.linkname, AT_FDCWD, to)
      break
    default:
      makeNodeAt(AT_FDCWD, to, entry.type, 0o600, entry.devMajor, entry.devMinor)
  }
  dress(to, entry)
}

function copyFile(tree: Tree, from: string, to: string, entry: TreeEntry): void {
  const fd = open(to, openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_EXCL, 0o600)
  try {
    for (const chunk of tree.read(from)) write(fd, chunk, to)
    changeOwner(fd, entry.uid, entry.gid, to)
    for (const [name, value] of entry.xattrs) setXattr(to, name, value)
    changeMode(fd, entry.mode, to)
    setTimes(fd, entry.mtimeSeconds, entry.mtimeNanoseconds, to)
  } finally {
    close(fd)
  }
}

function dress(path: string, entry: TreeEntry): void {
  changeOwnerAt(AT_FDCWD, path, entry.uid, entry.gid)
  for (const [name, value] of entry.xattrs) setXattr(path, name, value)
  if (entry.type !== 'symlink') changeModeAt(AT_FDCWD, path, entry.mode)
  setTimesAt(AT_FDCWD, path, entry.mtimeSeconds, entry.mtimeNanoseconds)
}
