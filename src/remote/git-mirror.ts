import { acquireLock, tryAcquireLock } from '../content/lock.ts'
import type { Store } from '../content/store.ts'
import { tryListDirectory } from '../linux/directories.ts'
import { modifiedAt, tryLstat } from '../linux/file-status.ts'
import { AT_FDCWD } from '../linux/files.ts'
import { makeDirectories, removeFile, rename, setTimesAt } from '../linux/names.ts'
import { removeTree } from '../linux/remove-tree.ts'
import { treeSize } from '../linux/tree-size.ts'
import { digestHex, digestOf } from '../oci/digest.ts'
import { isCairnError } from '../errors/error.ts'
import type { RemoteAccess } from './access.ts'
import { GitFailure, type GitRun, runGit } from './git-process.ts'
import type { GitRemote } from './git-remote.ts'

/** A bare repository that holds what was fetched of one remote. */
export interface GitMirror {
  readonly gitDir: string
  /** Makes sure that `object`, a commit or tag, is there with all its files. `ref` is what named it on the remote. */
  readonly fetch: (object: string, ref: string | undefined) => Promise<void>
  /** Runs git in the mirror. */
  readonly git: (args: readonly string[], run?: Partial<GitRun>) => Promise<string>
}

/** What git says where a server gives no single commit, or no part of a history: then more is asked for. */
const needsMore = /not our ref|unadvertised object|shallow|dumb http|does not support|couldn't find remote ref/i

/**
 * Runs `work` on the mirror of a remote, which no other process uses meanwhile. `format` is the hash that the
 * repository uses. Throws what `work` and {@link runGit} do.
 */
export async function withMirror<Result>(
  remote: GitRemote,
  format: 'sha1' | 'sha256',
  access: RemoteAccess,
  log: GitRun['log'],
  work: (mirror: GitMirror) => Promise<Result>,
): Promise<Result> {
  const { store, signal } = access
  const id = digestHex(digestOf(`${remote.url} ${format}`)).slice(0, 32)
  const gitDir = store.path('cache', 'git', id)
  using _lock = await acquireLock(store, mirrorLock(id), { signal })
  if (tryLstat(gitDir) === undefined) await makeMirror(gitDir, format, access)
  else removeLeftovers(gitDir)
  setTimesAt(AT_FDCWD, gitDir, Math.floor(Date.now() / 1000), 0)
  const git: GitMirror['git'] = (args, run = {}) => runGit(args, { access, gitDir, ...run })
  const has = (object: string): Promise<boolean> => succeeds(git(['cat-file', '-e', `${object}^{commit}`]))
  const ask = (args: readonly string[]): Promise<string> =>
    git(['fetch', '--force', '--no-write-fetch-head', ...args], { settings: remote.settings, log })
  return await work({
    gitDir,
    git,
    fetch: async (object, ref) => {
      if (await has(object)) return
      const refspecs = [`+${object}:refs/cairn/${object}`, ...(ref === undefined ? [] : [`+${ref}:refs/cairn/${ref}`])]
      for (const refspec of refspecs) {
        await allowing(needsMore, ask(['--no-tags', '--depth=1', '--', remote.url, refspec]))
        if (await has(object)) return
      }
      const isShallow = tryLstat(`${gitDir}/shallow`) !== undefined
      const all = ['+refs/heads/*:refs/cairn/refs/heads/*', '+refs/tags/*:refs/cairn/refs/tags/*']
      await ask([...(isShallow ? ['--unshallow'] : []), '--', remote.url, ...all])
      if (!(await has(object))) throw new GitFailure(`fatal: the remote has no commit ${object}`)
    },
  })
}

/** Mirrors of the store: where they are, and the milliseconds since 1970 when they were used last. */
export function listMirrors(store: Store): { readonly id: string; readonly path: string; readonly usedAt: number }[] {
  return tryListDirectory(store.path('cache', 'git')).flatMap(({ name }) => {
    const path = store.path('cache', 'git', name)
    const status = tryLstat(path)
    return status === undefined ? [] : [{ id: name, path, usedAt: modifiedAt(status) }]
  })
}

/** Removes a mirror. Gives the bytes freed, undefined where it is in use or gone. */
export function removeMirror(store: Store, id: string): number | undefined {
  const path = store.path('cache', 'git', id)
  using lock = tryAcquireLock(store, mirrorLock(id))
  if (lock === undefined || tryLstat(path) === undefined) return undefined
  const size = treeSize(path)
  const away = store.session.temporaryPath('git')
  rename(path, away)
  removeTree(away)
  return size
}

/**
 * What is wrong with a mirror: the first line of what git says when it reads every object. Undefined where nothing is,
 * where it is in use, and where git is not installed. Throws the reason of the signal.
 */
export async function checkMirror(id: string, access: RemoteAccess): Promise<string | undefined> {
  const gitDir = access.store.path('cache', 'git', id)
  using lock = tryAcquireLock(access.store, mirrorLock(id))
  if (lock === undefined || tryLstat(gitDir) === undefined) return undefined
  try {
    await runGit(['fsck', '--full', '--no-dangling', '--no-progress'], { access, gitDir })
    return undefined
  } catch (error) {
    if (isCairnError(error, 'TOOL_MISSING')) return undefined
    if (!(error instanceof GitFailure)) throw error
    return error.stderr.trim().split('\n')[0] ?? ''
  }
}

/** Name of the lock that a mirror is used under. */
function mirrorLock(id: string): string {
  return `git ${id}`
}

/** A mirror appears as a whole, so that whatever is there can be used. */
async function makeMirror(gitDir: string, format: string, access: RemoteAccess): Promise<void> {
  const path = access.store.session.temporaryPath('git')
  await runGit(['init', '--quiet', '--bare', `--object-format=${format}`, path], { access })
  makeDirectories(access.store.path('cache', 'git'))
  rename(path, gitDir)
}

/** What a process that was killed leaves: locks of git, and packs that were arriving. */
function removeLeftovers(gitDir: string): void {
  for (const directory of [gitDir, `${gitDir}/objects/pack`])
    for (const { name } of tryListDirectory(directory))
      if (name.endsWith('.lock') || name.startsWith('tmp_')) removeFile(`${directory}/${name}`)
}

async function succeeds(run: Promise<unknown>): Promise<boolean> {
  return (await allowing(/(?:)/, run)) !== undefined
}

/** The result, or undefined where git failed in a way that `reasons` matches. */
async function allowing<Result>(reasons: RegExp, run: Promise<Result>): Promise<Result | undefined> {
  try {
    return await run
  } catch (error) {
    if (error instanceof GitFailure && reasons.test(error.stderr)) return undefined
    throw error
  }
}
