import { extractTree } from '../layers/unpack/extract-tree.ts'
import { packTree } from '../layers/pack/pack-tree.ts'
import type { Tree } from '../layers/tree.ts'
import { listDirectory } from '../linux/directories.ts'
import { errno, isErrno } from '../linux/errno.ts'
import { tryLstat } from '../linux/file-status.ts'
import { close, open, openFlags, tryLock } from '../linux/files.ts'
import { makeDirectories, rename } from '../linux/names.ts'
import { removeTree } from '../linux/remove-tree.ts'
import type { TarSink } from '../tar/writer.ts'

/** Writes all files of an image as one tar. With an epoch, in seconds, no file is newer. */
export function writeFilesArchive(tree: Tree, sink: TarSink, epoch: number | undefined): void {
  packTree(tree, '/', sink, { epoch })
}

/**
 * Puts the files of an image into a directory, owned by who runs this, over what is there; with `delete` nothing else
 * stays. They are made beside it first: what fails while they are made leaves the directory as it was, and what a writer
 * that was killed left there goes with the next one. Gives what could not be stored, one sentence each. Throws
 * SystemCallError, LAYER_UNSAFE.
 */
export function writeFilesDirectory(tree: Tree, directory: string, mode: 'copy' | 'delete'): readonly string[] {
  removeLeftovers(directory)
  const { path: scratch, lock } = makeScratch(directory)
  try {
    const skipped = extractTree(tree, '/', scratch, 'caller')
    const there = tryLstat(directory)
    if (there === undefined || (there.type === 'directory' && listDirectory(directory).length === 0))
      rename(scratch, directory)
    else mergeInto(scratch, directory, mode)
    return skipped
  } finally {
    removeTree(scratch)
    close(lock)
  }
}

/** A directory beside `directory`, locked for as long as it is written to. */
function makeScratch(directory: string): { readonly path: string; readonly lock: number } {
  for (;;) {
    const path = `${directory}.${process.pid}-${crypto.randomUUID().slice(0, 8)}.tmp`
    makeDirectories(path)
    const lock = tryOpenDirectory(path)
    if (lock === undefined) continue
    if (tryLock(lock, 'exclusive', path) && tryLstat(path) !== undefined) return { path, lock }
    // Another writer took it for one that was left behind.
    close(lock)
  }
}

function tryOpenDirectory(path: string): number | undefined {
  try {
    return open(path, openFlags.O_RDONLY | openFlags.O_DIRECTORY | openFlags.O_NOFOLLOW)
  } catch (error) {
    if (isErrno(error, errno.ENOENT, errno.ENOTDIR, errno.ELOOP)) return undefined
    throw error
  }
}

/** Removes directories beside `directory` that nobody writes to any more: their lock went with their writer. */
function removeLeftovers(directory: string): void {
  const slash = directory.lastIndexOf('/') + 1
  const [parent, name] = [directory.slice(0, slash), directory.slice(slash)]
  if (tryLstat(parent) === undefined) return
  for (const { name: other } of listDirectory(parent)) {
    if (!other.startsWith(`${name}.`) || !/^\.\d+-[0-9a-f]{8}\.tmp$/.test(other.slice(name.length))) continue
    const path = `${parent}${other}`
    const fd = tryOpenDirectory(path)
    if (fd === undefined) continue
    try {
      if (tryLock(fd, 'exclusive', path)) removeTree(path)
    } finally {
      close(fd)
    }
  }
}

/** Moves what is in `from` to `into`: directories are merged, everything else replaces what has its name. */
function mergeInto(from: string, into: string, mode: 'copy' | 'delete'): void {
  const names = listDirectory(from)
  if (mode === 'delete') {
    const kept = new Set(names.map(({ name }) => name))
    for (const { name } of listDirectory(into)) if (!kept.has(name)) removeTree(`${into}/${name}`)
  }
  for (const { name } of names) {
    const [source, target] = [`${from}/${name}`, `${into}/${name}`]
    const [now, before] = [tryLstat(source), tryLstat(target)]
    if (now?.type === 'directory' && before?.type === 'directory') {
      mergeInto(source, target, mode)
      continue
    }
    if (before !== undefined && (before.type === 'directory' || now?.type === 'directory')) removeTree(target)
    rename(source, target)
  }
}
