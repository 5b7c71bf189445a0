import { IgnoreMatcher } from '../../dockerfile/ignore.ts'
import { singleFileTree } from '../../layers/trees/single-file-tree.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import type { ProgressListener } from '../../progress/events.ts'
import type { RemoteAccess } from '../../remote/access.ts'
import type { GitRevision } from '../../remote/git.ts'
import type { RemoteFile } from '../../remote/http.ts'
import { canonicalJson } from '../cache-key.ts'
import { ContextTree } from './context.ts'
import type { RemoteSource } from '../ops/remote-source.ts'
import type { SelectionDigest } from './selection-digest.ts'
import { type SelectedFiles, selectSources } from './source-selection.ts'

/** What a remote source is, once it was resolved. */
export type ResolvedRemote =
  /** `lastModified` in seconds since 1970; undefined where the server does not tell or was not asked. */
  | { readonly kind: 'http'; readonly digest: Digest; readonly lastModified: number | undefined }
  | { readonly kind: 'git'; readonly revision: GitRevision }

type HttpSource = Extract<RemoteSource, { kind: 'http' }>
type GitSource = Extract<RemoteSource, { kind: 'git' }>

/** The files of a remote source, ready to be copied until it is disposed of. */
export interface RemoteSelection extends Disposable, SelectedFiles {}

/** Told of what is going on while files are brought. */
export interface RemoteLog {
  readonly write: (stream: 1 | 2, data: Uint8Array) => void
  readonly status: (id: string, current: number, total: number) => void
}

/** Sources asked for at the same time; each costs a connection and, for git, processes. */
const mostAtOnce = 8

/**
 * The remote sources of one build. Each is resolved once, to what its content is known by: a file of HTTP by its digest,
 * name and time, a repository by its commit. Files of repositories are only fetched for steps that run. What does it is
 * loaded only where there is such a source.
 */
export class RemoteFiles {
  readonly #access: RemoteAccess
  readonly #progress: ProgressListener
  readonly #resolved = new Map<string, Promise<SelectionDigest>>()
  readonly #files = new Map<string, RemoteFile>()
  readonly #revisions = new Map<string, GitRevision>()
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(access: RemoteAccess, progress: ProgressListener) {
    this.#access = access
    this.#progress = progress
  }

  /** What the source is now, shown as a vertex `title` where somebody has to be asked. */
  resolve(source: RemoteSource, title: string): Promise<SelectionDigest> {
    const name = nameOf(source)
    let resolved = this.#resolved.get(name)
    if (resolved === undefined) {
      resolved = source.kind === 'http' ? this.#resolveHttp(source, name, title) : this.#resolveGit(source, name, title)
      // Whoever needs it will see how it failed.
      resolved.catch(() => undefined)
      this.#resolved.set(name, resolved)
    }
    return resolved
  }

  /** What a source was resolved to; undefined where it was not. */
  resolved(source: RemoteSource): ResolvedRemote | undefined {
    if (source.kind === 'git') {
      const revision = this.#revisions.get(nameOf(source))
      return revision && { kind: 'git', revision }
    }
    if (source.checksum !== undefined) return { kind: 'http', digest: source.checksum, lastModified: undefined }
    const file = this.#files.get(nameOf(source))
    return file && { kind: 'http', digest: file.digest, lastModified: file.lastModified }
  }

  /** Brings the files of a source that was resolved. */
  async open(source: RemoteSource, excludes: readonly string[], log: RemoteLog): Promise<RemoteSelection> {
    return source.kind === 'http'
      ? await this.#openHttp(source, excludes, log)
      : await this.#openGit(source, excludes, log)
  }

  async #resolveHttp(source: HttpSource, id: string, title: string): Promise<SelectionDigest> {
    const { shown, name, checksum, url } = source
    // Pinned content is known without a look at it.
    if (checksum !== undefined) {
      this.#access.lock?.sawFile(url, checksum)
      return known(shown, ['http', name, checksum])
    }
    const { fetchFile } = await import('../../remote/http.ts')
    const { digest, lastModified } = await this.#shown(id, title, async (log) => {
      const file = await fetchFile(url, this.#access, { onProgress: downloading(log) })
      this.#files.set(id, file)
      return { value: file, isCached: file.isUnchanged }
    })
    const date = lastModified === undefined ? 'unknown' : String(lastModified)
    const files = new Map([
      [shown, digest],
      [`the date of ${shown}`, date],
    ])
    return { digest: known(shown, ['http', name, digest, lastModified ?? null]).digest, files }
  }

  async #resolveGit(source: GitSource, id: string, title: string): Promise<SelectionDigest> {
    const { reference, shown, keepGitDir } = source
    const { resolveRepository } = await import('../../remote/git.ts')
    const revision = await this.#shown(id, title, async () => ({
      value: await resolveRepository(reference, this.#access),
      isCached: false,
    }))
    this.#revisions.set(id, revision)
    const { subdir = '', submodules = true, mtime = 'commit' } = reference
    const kept = keepGitDir && subdir === '' ? [reference.remote, revision.object, revision.ref ?? null] : []
    return known(shown, ['git', revision.commit, subdir, submodules, mtime, ...kept])
  }

  async #openHttp(source: HttpSource, excludes: readonly string[], log: RemoteLog): Promise<RemoteSelection> {
    const { url, checksum, name } = source
    const { fetchFile } = await import('../../remote/http.ts')
    const file =
      this.#files.get(nameOf(source)) ??
      (await this.#limited(() => fetchFile(url, this.#access, { checksum, onProgress: downloading(log) })))
    const content = this.#access.store.blobs.path(file.digest)
    const tree = singleFileTree(name, content, file.size, file.lastModified ?? 0)
    const path = `/${name}`
    const entry = tree.lookup(path)
    const isExcluded = excludes.length > 0 && new IgnoreMatcher(excludes).matches(name)
    const paths = isExcluded || entry === undefined ? [] : [{ relative: '', path, entry, implied: false }]
    return { tree, selections: [{ name, directory: false, paths }], [Symbol.dispose]: () => undefined }
  }

  async #openGit(source: GitSource, excludes: readonly string[], log: RemoteLog): Promise<RemoteSelection> {
    const { reference, keepGitDir } = source
    const revision = this.#revisions.get(nameOf(source))
    if (revision === undefined) throw new Error(`${source.shown} was not resolved`)
    const { submodules, mtime } = reference
    const { checkoutRepository } = await import('../../remote/git.ts')
    const checkout = await this.#limited(() =>
      checkoutRepository(reference, revision, this.#access, {
        keepGitDir,
        ...(submodules === undefined ? {} : { submodules }),
        ...(mtime === undefined ? {} : { mtime }),
        log: (text) => log.write(2, text),
      }),
    )
    using opened = new DisposableStack()
    opened.use(checkout)
    const tree = opened.use(new ContextTree(checkout.directory, []))
    const selections = selectSources(tree, '/', { excludes, parents: false })
    const kept = opened.move()
    return { tree, selections, [Symbol.dispose]: () => kept.dispose() }
  }

  async #shown<Value>(
    id: string,
    title: string,
    work: (log: Pick<RemoteLog, 'status'>) => Promise<{ value: Value; isCached: boolean }>,
  ): Promise<Value> {
    return await this.#limited(async () => {
      this.#access.signal.throwIfAborted()
      const vertex = { type: 'vertex', id: `remote ${digestOf(id)}`, name: title, started: Date.now() } as const
      this.#progress(vertex)
      try {
        const { value, isCached } = await work({ status: statusOf(this.#progress, vertex.id) })
        this.#progress({ ...vertex, completed: Date.now(), cached: isCached })
        return value
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error)
        this.#progress({ ...vertex, completed: Date.now(), error: message })
        throw error
      }
    })
  }

  /** Runs `work` when fewer than {@link mostAtOnce} others do. */
  async #limited<Value>(work: () => Promise<Value>): Promise<Value> {
    while (this.#running >= mostAtOnce) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#running += 1
    try {
      return await work()
    } finally {
      this.#running -= 1
      this.#waiting.shift()?.()
    }
  }
}

/** Tells of a status of the vertex `id`, no more often than a display can show. */
export function statusOf(progress: ProgressListener, vertex: string): RemoteLog['status'] {
  const started = Date.now()
  let told = 0
  return (id, current, total) => {
    const now = Date.now()
    const isDone = total > 0 && current >= total
    if (!isDone && now - told < 100) return
    told = now
    progress({
      type: 'status',
      vertex,
      id,
      current,
      total,
      timestamp: now,
      started,
      ...(isDone ? { completed: now } : {}),
    })
  }
}

function downloading(log: Pick<RemoteLog, 'status'>): (current: number, total: number) => void {
  return (current, total) => log.status('downloading', current, total)
}

function nameOf(source: RemoteSource): string {
  return JSON.stringify(source)
}

/** Identity of a source by its content; explanations name it as the user does. */
function known(shown: string, content: readonly unknown[]): SelectionDigest {
  const digest = digestOf(canonicalJson(content))
  return { digest, files: new Map([[shown, digest]]) }
}
