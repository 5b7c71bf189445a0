import { baseName, cleanPath, joinPath } from '../build/paths.ts'
import { ContextIndex } from '../build/context-index.ts'
import { type BuildContext, directoryContext } from '../build/context.ts'
import { IgnoreMatcher, parseIgnoreFile } from '../dockerfile/ignore.ts'
import type { ReadInclude } from '../dockerfile/include.ts'
import type { Dockerfile } from '../dockerfile/instruction.ts'
import { parseDockerfile } from '../dockerfile/parser.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { tryStat } from '../linux/file-status.ts'
import { makeDirectories } from '../linux/names.ts'
import { digestHex, digestOf } from '../oci/digest.ts'
import type { ProgressListener } from '../progress/events.ts'
import { type ByteSource, collect } from '../streams/source.ts'
import { includeReader } from './include-files.ts'

export interface BuildInputOptions {
  /** The context argument: a directory, or `-` for a Dockerfile on stdin without a context. */
  readonly context: string
  /** `--file`; `-` is stdin. */
  readonly file: string | undefined
  readonly cwd: string
  /** `--build-arg`s with a value; BUILDKIT_SYNTAX among them stands for the file's `# syntax=`. */
  readonly buildArgs?: ReadonlyMap<string, string>
  readonly stdin: () => ByteSource
  readonly progress: ProgressListener
}

export interface BuildInputs {
  readonly dockerfile: Dockerfile
  readonly context: BuildContext
}

/** Bytes; a Dockerfile or ignore file larger than this is a mistake. */
const largestFile = 16 * 1024 * 1024

/**
 * Reads the Dockerfile and the ignore file and opens the context, which is read in place. Throws CONTEXT_INVALID,
 * DOCKERFILE_UNKNOWN, DockerfileError, IGNORE_INVALID.
 */
export async function loadBuildInputs(store: Store, options: BuildInputOptions): Promise<BuildInputs> {
  const { context, file, cwd } = options
  if (/^(https?|git|ssh):\/\/|^git@/.test(context))
    throw new CairnError('NOT_SUPPORTED', 'a build context from a URL or a git repository is not supported yet', {
      hint: 'Clone or download it and give the directory.',
    })
  if (context === '-') {
    if (file !== undefined && file !== '-')
      throw new CairnError('NOT_SUPPORTED', 'a tar archive on stdin as build context is not supported yet')
    const dockerfile = await readDockerfile('-', 'Dockerfile', options)
    return { dockerfile, context: await openContext(store, undefined, [], `stdin ${cwd}`) }
  }
  const root = absolute(context, cwd)
  const status = tryStat(root)
  if (status === undefined)
    throw new CairnError('CONTEXT_INVALID', `unable to prepare context: path ${JSON.stringify(context)} not found`)
  if (status.type !== 'directory')
    throw new CairnError('CONTEXT_INVALID', `unable to prepare context: ${JSON.stringify(context)} is not a directory`)
  const path = file === undefined ? defaultDockerfile(root) : file === '-' ? '-' : absolute(file, cwd)
  const name =
    file === undefined || file === '-' ? baseName(path === '-' ? 'Dockerfile' : path) : file.replace(/^\.\//, '')
  const dockerfile = await readDockerfile(path, name, options, includeReader(root, path))
  const ignore = await readIgnoreFile(root, path, options)
  return { dockerfile, context: await openContext(store, root, ignore, root) }
}

function absolute(path: string, cwd: string): string {
  return cleanPath(joinPath(cwd, path))
}

function defaultDockerfile(root: string): string {
  const upper = `${root}/Dockerfile`
  if (tryStat(upper) === undefined && tryStat(`${root}/dockerfile`) !== undefined) return `${root}/dockerfile`
  return upper
}

async function readDockerfile(
  path: string,
  name: string,
  { stdin, progress, buildArgs }: BuildInputOptions,
  readInclude?: ReadInclude,
): Promise<Dockerfile> {
  const language = { syntax: buildArgs?.get('BUILDKIT_SYNTAX'), readInclude }
  return await shown(
    progress,
    `[internal] load build definition from ${name}`,
    'transferring dockerfile:',
    async () => {
      if (path === '-') {
        const bytes = await collect(stdin(), largestFile, 'the Dockerfile on stdin')
        if (bytes.length > 262 && new TextDecoder('latin1').decode(bytes.subarray(257, 262)) === 'ustar')
          throw new CairnError('NOT_SUPPORTED', 'a tar archive on stdin as build context is not supported yet', {
            hint: 'Unpack it and give the directory.',
          })
        return { value: parseDockerfile(bytes, name, language), size: bytes.length }
      }
      const status = tryStat(path)
      if (status === undefined)
        throw new CairnError(
          'DOCKERFILE_UNKNOWN',
          `failed to read dockerfile: open ${name}: no such file or directory`,
          {
            hint: 'Give its path with -f, or the directory that holds it as context.',
          },
        )
      if (status.type !== 'file')
        throw new CairnError('DOCKERFILE_UNKNOWN', `failed to read dockerfile: ${name} is not a regular file`)
      if (status.size > largestFile)
        throw new CairnError('LIMIT_EXCEEDED', `${name} has ${status.size} bytes: too large for a Dockerfile`)
      const bytes = new Uint8Array(await Bun.file(path).arrayBuffer())
      return { value: parseDockerfile(bytes, name, language), size: bytes.length }
    },
  )
}

/** Patterns of `<Dockerfile>.dockerignore` where there is one, else of the context's `.dockerignore`. */
async function readIgnoreFile(root: string, dockerfile: string, { progress }: BuildInputOptions): Promise<string[]> {
  const own = `${dockerfile}.dockerignore`
  const path = dockerfile !== '-' && tryStat(own)?.type === 'file' ? own : `${root}/.dockerignore`
  const name = baseName(path)
  return await shown(progress, `[internal] load ${name}`, 'transferring context:', async () => {
    const status = tryStat(path)
    if (status === undefined) return { value: [], size: 2 }
    if (status.type !== 'file') throw new CairnError('IGNORE_INVALID', `${path} is not a regular file`)
    const bytes = new Uint8Array(await Bun.file(path).arrayBuffer())
    const patterns = parseIgnoreFile(bytes, name)
    // Bad patterns are told now, with the file's name and the line.
    IgnoreMatcher.fromFile(bytes, name)
    return { value: patterns, size: bytes.length }
  })
}

async function openContext(
  store: Store,
  root: string | undefined,
  ignore: readonly string[],
  identity: string,
): Promise<BuildContext> {
  const directory = store.path('builds', 'contexts')
  makeDirectories(directory)
  const index = await ContextIndex.open(`${directory}/${digestHex(digestOf(identity)).slice(0, 32)}.json`)
  return directoryContext(identity, root ?? emptyDirectory(store), ignore, index)
}

function emptyDirectory(store: Store): string {
  const path = store.session.temporaryPath('context')
  makeDirectories(path)
  return path
}

/** Shows `work` as a vertex with the bytes it took in. */
async function shown<Value>(
  progress: ProgressListener,
  name: string,
  statusId: string,
  work: () => Promise<{ value: Value; size: number }>,
): Promise<Value> {
  const started = Date.now()
  const vertex = { type: 'vertex', id: name, name, started } as const
  progress(vertex)
  try {
    const { value, size } = await work()
    const now = Date.now()
    progress({
      type: 'status',
      vertex: name,
      id: statusId,
      current: size,
      total: 0,
      timestamp: now,
      started,
      completed: now,
    })
    progress({ ...vertex, completed: now })
    return value
  } catch (error) {
    progress({ ...vertex, completed: Date.now(), error: error instanceof Error ? error.message : String(error) })
    throw error
  }
}
