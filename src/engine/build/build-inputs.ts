import type { SecretSource } from '../../build/build-secrets.ts'
import type { BuildContext } from '../../build/context/context.ts'
import { baseName, rootedPath, parentPath } from '../../build/paths.ts'
import { acquireLease } from '../../content/leases.ts'
import { recover } from '../../content/recovery.ts'
import type { Store } from '../../content/store.ts'
import type { ReadInclude } from '../../dockerfile/include.ts'
import { CairnError, usageError } from '../../errors/error.ts'
import { redactUrl } from '../../errors/redact.ts'
import { tryStat } from '../../linux/file-status.ts'
import type { ProgressListener } from '../../progress/events.ts'
import type { RemoteAccess } from '../../remote/access.ts'
import { checkoutTime } from '../../remote/commit-time.ts'
import type { SourceLock } from '../../remote/source-lock.ts'
import type { SshAgent } from '../../ssh/agent.ts'
import { type ByteSource, collect } from '../../streams/source.ts'
import { archiveContext, archiveFile, headOfFile, looksLikeArchive, newestFile, readHead } from './archive-context.ts'
import { absolutePath, isHttpUrl, parseContextArgument, type ContextUrl } from './context-argument.ts'
import {
  defaultDockerfile,
  type DockerfileText,
  readContextDockerfile,
  readLocalDockerfile,
} from './dockerfile-text.ts'
import { contextIncludeReader, includeReader } from './include-files.ts'
import { definitionStep, type LintedDockerfile, type MakeLinter, parseLinted } from './lint.ts'
import { emptyContext, largestTextFile, localContext, readIgnoreFile } from './local-context.ts'
import { remoteAccess } from '../registry/remote-access.ts'
import { type BytesListener, shown, shownWithUse } from '../shown-work.ts'

export interface BuildInputOptions {
  /** The context argument: a directory, an archive, a URL, a git reference, or `-`. */
  readonly context: string
  /** `--file`; `-` is stdin. */
  readonly file: string | undefined
  readonly cwd: string
  /** `--build-arg`s with a value: BUILDKIT_SYNTAX stands for the file's `# syntax=`, BUILDKIT_CONTEXT_KEEP_GIT_DIR for `--keep-git-dir`. */
  readonly buildArgs?: ReadonlyMap<string, string>
  readonly stdin: () => ByteSource
  /** Environment of the command. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** `--secret`s, for what has to be fetched. */
  readonly secrets: ReadonlyMap<string, SecretSource>
  /** `--ssh`, likewise. */
  readonly agents?: ReadonlyMap<string, SshAgent> | undefined
  /** `--lock`. */
  readonly lock?: SourceLock | undefined
  readonly signal: AbortSignal
  readonly progress: ProgressListener
  /** Judges the Dockerfile; nobody does without it. */
  readonly makeLinter?: MakeLinter
}

/** To be disposed of when the build is over. */
export interface BuildInputs extends LintedDockerfile, Disposable {
  readonly context: BuildContext
  /** What SOURCE_DATE_EPOCH=context stands for: seconds since 1970, where the context has a time of its own. */
  readonly contextTime: () => number | undefined
}

/**
 * Opens the context and reads the Dockerfile. A directory is read in place, with its ignore file; other contexts have
 * none, as in BuildKit. Throws CONTEXT_INVALID, DOCKERFILE_UNKNOWN, DockerfileError, IGNORE_INVALID, and what fetching
 * throws.
 */
export async function loadBuildInputs(store: Store, options: BuildInputOptions): Promise<BuildInputs> {
  recover(store)
  using opened = new DisposableStack()
  const loader = new InputLoader(store, opened, options)
  const inputs = await loader.load()
  const kept = opened.move()
  return { ...inputs, [Symbol.dispose]: () => kept.dispose() }
}

type LoadedInputs = Omit<BuildInputs, typeof Symbol.dispose>

const noTime = (): undefined => undefined

class InputLoader {
  readonly #store: Store
  readonly #opened: DisposableStack
  readonly #access: RemoteAccess
  readonly #options: BuildInputOptions

  /** What has to be closed goes to `opened`. */
  constructor(store: Store, opened: DisposableStack, options: BuildInputOptions) {
    this.#store = store
    this.#opened = opened
    const lease = opened.use(acquireLease(store))
    const { env, secrets, agents, lock, signal } = options
    this.#access = opened.use(remoteAccess({ store, lease, env, secrets, agents, lock, signal: () => signal }))
    this.#options = options
  }

  async load(): Promise<LoadedInputs> {
    const { context, cwd } = this.#options
    const argument = parseContextArgument(context, cwd)
    switch (argument.kind) {
      case 'stdin':
        return await this.#stdin()
      case 'directory':
        return await this.#directory(argument.path)
      case 'archive':
        return await this.#archive(argument.path)
      default:
        return await this.#remote(argument)
    }
  }

  /** Stdin is the context where it is an archive, else the Dockerfile of a build without context. */
  async #stdin(): Promise<LoadedInputs> {
    const { file, cwd, stdin, progress } = this.#options
    if (file === '-') throw usageError("invalid argument: can't use stdin for both build context and dockerfile")
    const identity = `stdin ${cwd}`
    const { head, source } = await readHead(stdin())
    if (looksLikeArchive(head)) {
      const work = { name: '[internal] load remote build context', status: 'stdin' }
      const context = await shown(progress, work, () => archiveContext(this.#store, identity, source, 'stdin'))
      return await this.#inside(this.#opened.use(context))
    }
    if (file !== undefined)
      throw usageError('ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles', {
        hint: 'For the Dockerfile alone leave -f off; a build context on stdin has to be a tar archive.',
      })
    const linted = await this.#parse(defaultDockerfile, () => this.#readStream(source))
    const context = this.#opened.use(await emptyContext(this.#store, identity))
    return { ...linted, context, contextTime: noTime }
  }

  async #directory(root: string): Promise<LoadedInputs> {
    const { file, cwd, progress } = this.#options
    let path = file === undefined ? `${root}/${defaultDockerfile}` : file === '-' ? undefined : absolutePath(file, cwd)
    const name = file === undefined || path === undefined ? defaultDockerfile : file.replace(/^\.\//, '')
    const elsewhere = file === '-' || (file !== undefined && isHttpUrl(file)) ? file : undefined
    const own = await this.#dockerfileElsewhere(elsewhere, includeReader(root, '-'))
    const readLocal = async (): Promise<DockerfileText> => {
      const text = await readLocalDockerfile(path ?? '', name)
      path = text.path
      return text
    }
    const linted = own ?? (await this.#parse(name, readLocal, includeReader(root, path ?? '-')))
    const beside = own === undefined ? `${path}.dockerignore` : undefined
    const ignore = beside !== undefined && tryStat(beside)?.type === 'file' ? beside : `${root}/.dockerignore`
    const work = { name: `[internal] load ${baseName(ignore)}`, status: 'transferring context:' }
    const patterns = await readIgnoreFile(ignore, work, progress)
    const context = await localContext(this.#store, root, root, patterns)
    return { ...linted, context, contextTime: () => checkoutTime(root, this.#options.env) }
  }

  /** A file of this machine; docker takes it on stdin only. */
  async #archive(path: string): Promise<LoadedInputs> {
    const { context: given, progress } = this.#options
    if (!looksLikeArchive(headOfFile(path)))
      throw new CairnError(
        'CONTEXT_INVALID',
        `unable to prepare context: ${JSON.stringify(given)} is neither a directory nor a tar archive`,
        { hint: 'Give the directory as context, and a Dockerfile in it with -f.' },
      )
    const work = { name: '[internal] load remote build context', status: baseName(path) }
    const context = await shown(progress, work, () => archiveContext(this.#store, path, archiveFile(path), given))
    return await this.#inside(this.#opened.use(context))
  }

  async #remote(source: ContextUrl): Promise<LoadedInputs> {
    const { file, cwd, buildArgs, progress } = this.#options
    const { openRemoteContext, singleFileName } = await import('./remote-context.ts')
    const { context, isSingleFile, time } = await openRemoteContext(source, {
      access: this.#access,
      progress,
      keepGitDir: /^(?:1|t|true)$/i.test(buildArgs?.get('BUILDKIT_CONTEXT_KEEP_GIT_DIR') ?? ''),
    })
    this.#opened.use(context)
    // As with docker, an absolute path is one of this machine.
    const local = file?.startsWith('/') === true ? absolutePath(file, cwd) : undefined
    if (local !== undefined) {
      const linted = await this.#parse(
        baseName(local),
        () => readLocalDockerfile(local, local),
        includeReader(parentPath(local), local),
      )
      return { ...linted, context, contextTime: time }
    }
    return { ...(await this.#inside(context, isSingleFile ? singleFileName : undefined)), contextTime: time }
  }

  /** The Dockerfile that is in the context, unless `-f` takes it from elsewhere. */
  async #inside(context: BuildContext, only?: string): Promise<LoadedInputs> {
    const { file } = this.#options
    const elsewhere = file === '-' || (file !== undefined && isHttpUrl(file)) ? file : undefined
    const name = only ?? file?.replace(/^\.\//, '') ?? defaultDockerfile
    const linted =
      (await this.#dockerfileElsewhere(elsewhere, contextIncludeReader(context.tree, '/'))) ??
      (await this.#parse(
        name,
        () => readContextDockerfile(context.tree, name),
        contextIncludeReader(context.tree, parentPath(rootedPath(`/${name}`))),
      ))
    return { ...linted, context, contextTime: () => newestFile(context) }
  }

  /** The Dockerfile from stdin or a server. It includes files as if it lay in the context. */
  async #dockerfileElsewhere(file: string | undefined, include: ReadInclude): Promise<LintedDockerfile | undefined> {
    if (file === undefined) return undefined
    if (file === '-')
      return await this.#parse(defaultDockerfile, () => this.#readStream(this.#options.stdin()), include)
    const title = `[internal] load ${redactUrl(file)}`
    const { fetchShown } = await import('./remote-context.ts')
    const { path } = await fetchShown(file, title, { access: this.#access, progress: this.#options.progress })
    return await this.#parse(defaultDockerfile, () => readLocalDockerfile(path, redactUrl(file)), include)
  }

  async #readStream(source: ByteSource): Promise<DockerfileText> {
    return { name: defaultDockerfile, bytes: await collect(source, largestTextFile, 'the Dockerfile on stdin') }
  }

  async #parse(
    name: string,
    read: () => Promise<DockerfileText> | DockerfileText,
    readInclude?: ReadInclude,
  ): Promise<LintedDockerfile> {
    const { progress, buildArgs, makeLinter } = this.#options
    const work = { name: definitionStep(name), status: 'transferring dockerfile:' }
    const language = { syntax: buildArgs?.get('BUILDKIT_SYNTAX'), readInclude }
    const transfer = async (bytes: BytesListener): Promise<DockerfileText> => {
      const text = await read()
      bytes(text.bytes.length, 0)
      return text
    }
    return await shownWithUse(progress, work, transfer, (text) =>
      parseLinted(text, language, { makeLinter, definition: work.name }),
    )
  }
}
