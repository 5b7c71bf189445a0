import type { Tree, TreeEntry } from '../../layers/tree.ts'
import { SystemCallError } from '../../linux/errno.ts'
import { close, openAt2, openFlags, read, resolveFlags } from '../../linux/files.ts'

/** Directories whose files the kernel makes up, or that are devices of the machine. */
const kernelDirectories = ['/proc', '/sys', '/dev']

/** Bytes of a file that the kernel makes up, at most. */
const largestFile = 4 << 20
const chunkSize = 64 << 10

/**
 * The files of a running container as they are copied from `source`: what the kernel shows in /proc, /sys and /dev comes along
 * only where it is asked for by name. A file there has no size before it is read, so it is read at once.
 *
 * @param root - descriptor of the container's root directory, of which `tree` is
 */
export function copiedTree(tree: Tree, root: number, source: string): Tree {
  const isWithin = (path: string, directory: string): boolean => path === directory || path.startsWith(`${directory}/`)
  const inKernel = kernelDirectories.find((directory) => isWithin(source, directory))
  if (inKernel === undefined)
    return { ...bound(tree), list: (path) => (kernelDirectories.includes(path) ? [] : tree.list(path)) }
  if (inKernel === '/dev') return tree
  const contents = new Map<string, Uint8Array>()
  const contentOf = (path: string): Uint8Array => {
    const content = contents.get(path) ?? readInside(root, path)
    contents.set(path, content)
    return content
  }
  return {
    list: (path) => tree.list(path),
    lookup: (path): TreeEntry | undefined => {
      const entry = tree.lookup(path)
      return entry?.type === 'file' ? { ...entry, size: contentOf(path).length } : entry
    },
    read: (path) => [contentOf(path)],
  }
}

/** By a descriptor, since the path is the container's: no symlink in it leads out. Throws SystemCallError. */
function readInside(root: number, path: string): Uint8Array {
  const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW } = openFlags
  const { IN_ROOT, NO_MAGICLINKS } = resolveFlags
  const fd = openAt2(root, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, IN_ROOT | NO_MAGICLINKS)
  if (fd < 0) throw new SystemCallError('openat2', -fd, path)
  try {
    const chunks: Uint8Array[] = []
    for (let length = 0; length < largestFile;) {
      const chunk = new Uint8Array(chunkSize)
      const count = read(fd, chunk, path)
      if (count === 0) break
      chunks.push(chunk.subarray(0, count))
      length += count
    }
    return Buffer.concat(chunks)
  } finally {
    close(fd)
  }
}

/** The methods of a tree, which may be those of a class. */
function bound(tree: Tree): Tree {
  return {
    lookup: (path) => tree.lookup(path),
    list: (path) => tree.list(path),
    read: (path) => tree.read(path),
  }
}
