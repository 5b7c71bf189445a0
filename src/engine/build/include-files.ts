import { childPath, rootedPath, parentPath } from '../../build/paths.ts'
import type { ReadInclude } from '../../dockerfile/include.ts'
import { CairnError } from '../../errors/error.ts'
import { resolvePath } from '../../layers/trees/resolve-path.ts'
import type { Tree } from '../../layers/tree.ts'
import { errno, errnoName } from '../../linux/errno.ts'
import { fstat } from '../../linux/file-status.ts'
import { close, open, openAt2, openFlags, read, resolveFlags } from '../../linux/files.ts'

/** Bytes of one included file. */
const largestFile = 16 * 1024 * 1024

/**
 * Reads what INCLUDE names. A path is relative to the file it is written in and must stay inside the build context
 * `context`, or for a Dockerfile outside of that inside the Dockerfile's directory; symlinks are followed as long as
 * they stay there, too. Files are named by their path below that directory. The ignore file does not matter here, as
 * it does not for the Dockerfile. `dockerfile` is the Dockerfile's absolute path, or `-` for stdin, which counts as
 * lying in the context.
 */
export function includeReader(context: string, dockerfile: string): ReadInclude {
  const isInside = dockerfile === '-' || dockerfile.startsWith(childPath(context, ''))
  const root = isInside ? context : parentPath(dockerfile)
  const directory = dockerfile === '-' ? '/' : parentPath(dockerfile.slice(root === '/' ? 0 : root.length))
  return (path, from) => {
    if (path.startsWith('/')) throw refused(path, 'give a path relative to the file that the INCLUDE stands in')
    const filename = below(from === undefined ? directory : parentPath(`/${from}`), path)
    if (filename === undefined) throw leadsOut(path)
    return { filename, bytes: readBelow(root, filename, path) }
  }
}

/**
 * As {@link includeReader} for a build context that is no directory of this machine: `directory` is the path of the
 * Dockerfile's directory in it.
 */
export function contextIncludeReader(tree: Tree, directory: string): ReadInclude {
  return (path, from) => {
    if (path.startsWith('/')) throw refused(path, 'give a path relative to the file that the INCLUDE stands in')
    const filename = below(from === undefined ? directory : parentPath(`/${from}`), path)
    if (filename === undefined) throw leadsOut(path)
    const place = resolvePath(tree, `/${filename}`, { followLast: true })
    const entry = tree.lookup(place)
    if (entry === undefined) throw refused(path, `there is no ${filename}`)
    if (entry.type !== 'file') throw refused(path, `${filename || 'the context itself'} is not a regular file`)
    if (entry.size > largestFile) throw refused(path, `${filename} has ${entry.size} bytes: too large for a Dockerfile`)
    return { filename, bytes: Buffer.concat([...tree.read(place)].map((piece) => piece.slice())) }
  }
}

/** `path` as seen from the directory `directory`, without a leading slash; undefined where `..` leads above the root. */
function below(directory: string, path: string): string | undefined {
  let depth = 0
  for (const part of `${directory}/${path}`.split('/')) {
    if (part === '' || part === '.') continue
    depth += part === '..' ? -1 : 1
    if (depth < 0) return undefined
  }
  return rootedPath(`${directory}/${path}`).slice(1)
}

function readBelow(root: string, filename: string, path: string): Uint8Array {
  const directory = open(root, openFlags.O_PATH | openFlags.O_DIRECTORY)
  let fd: number
  try {
    // A FIFO would keep the build waiting: it is opened all the same, then refused.
    const flags = openFlags.O_RDONLY | openFlags.O_NONBLOCK
    fd = openAt2(directory, filename === '' ? '.' : filename, flags, resolveFlags.BENEATH | resolveFlags.NO_MAGICLINKS)
  } finally {
    close(directory)
  }
  if (fd === -errno.EXDEV) throw leadsOut(path)
  if (fd === -errno.ENOENT || fd === -errno.ENOTDIR) throw refused(path, `there is no ${filename}`)
  if (fd < 0) throw refused(path, `${filename} cannot be opened (${errnoName(-fd)})`)
  try {
    const { type, size } = fstat(fd)
    if (type !== 'file') throw refused(path, `${filename || 'the context itself'} is not a regular file`)
    if (size > largestFile) throw refused(path, `${filename} has ${size} bytes: too large for a Dockerfile`)
    const bytes = new Uint8Array(size)
    let length = 0
    while (length < size) {
      const count = read(fd, bytes.subarray(length), filename)
      if (count === 0) break
      length += count
    }
    return bytes.subarray(0, length)
  } finally {
    close(fd)
  }
}

function leadsOut(path: string): CairnError {
  return new CairnError('DOCKERFILE_INVALID', `INCLUDE ${path}: the path leads out of the build context`, {
    hint: 'For a Dockerfile outside of the context, included files have to lie in its directory.',
  })
}

function refused(path: string, why: string): CairnError {
  return new CairnError('DOCKERFILE_INVALID', `INCLUDE ${path}: ${why}`)
}
