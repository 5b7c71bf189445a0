import { rootedPath, parentPath } from '../../build/paths.ts'
import { CairnError } from '../../errors/error.ts'
import { resolvePath } from '../../layers/trees/resolve-path.ts'
import type { Tree } from '../../layers/tree.ts'
import { SystemCallError } from '../../linux/errno.ts'
import { type FileStatus, tryStat } from '../../linux/file-status.ts'
import { readSmallFile } from '../../linux/text-file.ts'
import { largestTextFile } from './local-context.ts'

/** The bytes of a Dockerfile, and what messages call it. */
export interface DockerfileText {
  readonly bytes: Uint8Array
  readonly name: string
}

/** The name that a Dockerfile has by default. */
export const defaultDockerfile = 'Dockerfile'

/** The Dockerfile at `path`, or beside it in lower case where only that is there. `name` is for messages. */
export async function readLocalDockerfile(path: string, name: string): Promise<DockerfileText & { path: string }> {
  const status = statusOf(path, name)
  const lower = lowerCase(path)
  if (status === undefined && lower !== undefined && statusOf(lower, name) !== undefined)
    return await readLocalDockerfile(lower, lowerCase(name) ?? name)
  if (status === undefined) throw unknown(name, 'Give its path with -f, or the directory that holds it as context.')
  if (status.type !== 'file') throw notRegular(name)
  if (status.size > largestTextFile) throw tooLarge(name, status.size)
  return { path, name, bytes: readSmallFile(path, largestTextFile) }
}

function statusOf(path: string, name: string): FileStatus | undefined {
  try {
    return tryStat(path)
  } catch (cause) {
    if (!(cause instanceof SystemCallError)) throw cause
    throw new CairnError('DOCKERFILE_UNKNOWN', `failed to read dockerfile: open ${name}: ${cause.message}`, { cause })
  }
}

/** The Dockerfile at `path` of a context that is no directory of this machine, or the one in lower case. */
export function readContextDockerfile(tree: Tree, path: string): DockerfileText {
  const place = resolvePath(tree, rootedPath(`/${path}`), { followLast: true })
  const entry = tree.lookup(place)
  const lower = lowerCase(path)
  if (entry === undefined && lower !== undefined && tree.list(parentPath(place)).includes('dockerfile'))
    return readContextDockerfile(tree, lower)
  if (entry === undefined) throw unknown(path, 'Give its path in the build context with -f.')
  if (entry.type !== 'file') throw notRegular(path)
  if (entry.size > largestTextFile) throw tooLarge(path, entry.size)
  return { name: path, bytes: Buffer.concat([...tree.read(place)].map((piece) => piece.slice())) }
}

/** The path with its last element `Dockerfile` in lower case; undefined for another one (moby/moby#10858). */
function lowerCase(path: string): string | undefined {
  return /(?:^|\/)Dockerfile$/.test(path) ? path.replace(/Dockerfile$/, 'dockerfile') : undefined
}

function unknown(name: string, hint: string): CairnError {
  return new CairnError('DOCKERFILE_UNKNOWN', `failed to read dockerfile: open ${name}: no such file or directory`, {
    hint,
  })
}

function notRegular(name: string): CairnError {
  return new CairnError('DOCKERFILE_UNKNOWN', `failed to read dockerfile: ${name} is not a regular file`)
}

function tooLarge(name: string, size: number): CairnError {
  return new CairnError('LIMIT_EXCEEDED', `${name} has ${size} bytes: too large for a Dockerfile`)
}
