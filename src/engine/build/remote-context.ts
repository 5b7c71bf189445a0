import { type BuildContext, ContextTree, treeContext } from '../../build/context/context.ts'
import { redactUrl } from '../../errors/redact.ts'
import { singleFileTree } from '../../layers/trees/single-file-tree.ts'
import type { ProgressListener } from '../../progress/events.ts'
import type { RemoteAccess } from '../../remote/access.ts'
import { checkoutRepository, resolveRepository } from '../../remote/git.ts'
import { formatGitReference, type GitReference } from '../../remote/git-reference.ts'
import { fetchFile, type RemoteFile } from '../../remote/http.ts'
import { archiveContext, archiveFile, headOfFile, looksLikeArchive, newestFile } from './archive-context.ts'
import type { ContextUrl } from './context-argument.ts'
import { shown } from '../shown-work.ts'

/** What fetching contexts needs of the build. */
export interface RemoteContextOptions {
  readonly access: RemoteAccess
  readonly progress: ProgressListener
  /** Of repositories: leave `.git`, also where the reference does not ask for it. */
  readonly keepGitDir: boolean
  /** What the fetching is shown as, where it is not that of the main context. */
  readonly title?: string
}

/** A context that was fetched. */
export interface RemoteContext {
  readonly context: BuildContext
  /** True for a file that is no archive: it is all there is in the context, as `context`. */
  readonly isSingleFile: boolean
  /** Seconds since 1970 of the commit or of the newest file, where that is known. */
  readonly time: () => number | undefined
}

/** The name of the only file of a context that is no archive, BuildKit's. */
export const singleFileName = 'context'

/**
 * Fetches a repository or a file of a server as a build context. An archive counts as the files in it. Owners of a
 * repository's files are 0:0. Throws what fetching and {@link archiveContext} throw.
 */
export async function openRemoteContext(source: ContextUrl, options: RemoteContextOptions): Promise<RemoteContext> {
  return source.kind === 'git' ? await gitContext(source.reference, options) : await httpContext(source.url, options)
}

async function gitContext(reference: GitReference, options: RemoteContextOptions): Promise<RemoteContext> {
  const { access, progress, title } = options
  const shownName = redactUrl(formatGitReference(reference))
  const name = title ?? `[internal] load git source ${shownName}`
  const log = (data: Uint8Array): void =>
    progress({ type: 'log', vertex: name, stream: 2, data, timestamp: Date.now() })
  const checkout = await shown(progress, { name, status: shownName }, async () => {
    const revision = await resolveRepository(reference, access)
    return await checkoutRepository(reference, revision, access, {
      keepGitDir: reference.keepGitDir === true || options.keepGitDir,
      submodules: reference.submodules ?? true,
      ...(reference.mtime === undefined ? {} : { mtime: reference.mtime }),
      log,
    })
  })
  const { directory, commitTime } = checkout
  // No index: a checkout is made anew each time, and its files are never the same inodes.
  const tree = new ContextTree(directory, [])
  return {
    context: {
      identity: shownName,
      tree,
      save: () => Promise.resolve(),
      [Symbol.dispose]: () => {
        tree[Symbol.dispose]()
        checkout[Symbol.dispose]()
      },
    },
    isSingleFile: false,
    time: () => commitTime,
  }
}

async function httpContext(url: string, options: RemoteContextOptions): Promise<RemoteContext> {
  const { access, progress } = options
  const name = redactUrl(url)
  const title = options.title ?? '[internal] load remote build context'
  const { path, file } = await fetchShown(url, title, options)
  if (!looksLikeArchive(headOfFile(path))) {
    const { size, lastModified } = file
    const tree = singleFileTree(singleFileName, path, size, lastModified ?? 0)
    return { context: treeContext(name, tree), isSingleFile: true, time: () => lastModified }
  }
  const work = { name: options.title === undefined ? `copy /${singleFileName} /` : `${title} unpack`, status: name }
  const context = await shown(progress, work, () => archiveContext(access.store, name, archiveFile(path), name))
  return { context, isSingleFile: false, time: () => file.lastModified ?? newestFile(context) }
}

/** Fetches the file at `url` and gives where it is. `title` is what that is shown as. */
export async function fetchShown(
  url: string,
  title: string,
  { access, progress }: Pick<RemoteContextOptions, 'access' | 'progress'>,
): Promise<{ readonly path: string; readonly file: RemoteFile }> {
  const file = await shown(progress, { name: title, status: 'downloading' }, (bytes) =>
    fetchFile(url, access, { onProgress: bytes }),
  )
  return { path: access.store.blobs.path(file.digest), file }
}
