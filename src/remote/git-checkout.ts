import { CairnError } from '../errors/error.ts'
import { listDirectory } from '../linux/directories.ts'
import { tryLstat } from '../linux/file-status.ts'
import { AT_FDCWD } from '../linux/files.ts'
import { changeModeAt, makeDirectories, removeFile, setTimesAt } from '../linux/names.ts'
import { removeTree } from '../linux/remove-tree.ts'
import { readTextFile, writeTextFile } from '../linux/text-file.ts'
import type { RemoteAccess, RemoteLimits } from './access.ts'
import type { CheckoutOptions, GitCheckout, GitRevision } from './git.ts'
import type { GitMirror } from './git-mirror.ts'
import { type GitRun, runGit } from './git-process.ts'
import type { GitRemote } from './git-remote.ts'

/** A commit that a mirror has, and what is wanted of it. */
export interface CheckoutSource {
  readonly mirror: GitMirror
  readonly remote: GitRemote
  readonly format: 'sha1' | 'sha256'
  readonly revision: GitRevision
  readonly subdir: string | undefined
  readonly access: RemoteAccess
}

/** Writes the files of a commit into a directory below the session's. Throws GitFailure and what `runGit` does. */
export async function checkOut(source: CheckoutSource, options: CheckoutOptions): Promise<GitCheckout> {
  const { mirror, revision, subdir = '', access } = source
  const commit = (await mirror.git(['rev-parse', '--verify', `${revision.object}^{commit}`])).trim()
  const hasSubmodules = await measure(mirror, commit, access.limits)
  const commitTime = Number(await mirror.git(['show', '--no-patch', '--no-show-signature', '--format=%ct', commit]))
  const base = access.store.session.temporaryPath('checkout')
  const dispose = (): void => removeTree(base)
  try {
    const keepsGitDir = options.keepGitDir === true && subdir === ''
    const tree = `${base}/tree`
    makeDirectories(tree)
    changeModeAt(AT_FDCWD, tree, 0o755)
    const run = { access, workTree: tree, gitDir: keepsGitDir ? `${tree}/.git` : `${base}/git` }
    await (keepsGitDir ? cloneInto(run, source) : borrowInto(run, source))
    await runGit(['checkout', '--quiet', '--force', '--detach', commit, '--'], run)
    if (hasSubmodules && options.submodules !== false) {
      const settings = source.remote.settings
      const update = ['submodule', '--quiet', 'update', '--init', '--recursive', '--depth=1']
      await runGit(update, { ...run, settings, log: options.log })
      if (!keepsGitDir) visit(tree, (path, name) => name === '.git' && removeFile(path))
    }
    // An index that says nothing of the files on this disk is the same on every machine.
    if (keepsGitDir) {
      await runGit(['read-tree', commit], run)
      await runGit(['submodule', '--quiet', 'foreach', '--recursive', 'git read-tree HEAD'], run)
    }
    const directory = subdirectory(tree, subdir)
    if (options.mtime !== 'checkout') visit(directory, (path) => setTimesAt(AT_FDCWD, path, commitTime, 0))
    return { directory, commit, commitTime, [Symbol.dispose]: dispose }
  } catch (error) {
    dispose()
    throw error
  }
}

/**
 * Adds up what a commit would write before anything is, since a repository of a few kilobytes can name the same tree
 * without end. True where it has submodules, which are not counted. Throws LIMIT_EXCEEDED.
 */
async function measure(mirror: GitMirror, commit: string, limits: RemoteLimits): Promise<boolean> {
  let files = 0
  let size = 0
  let hasSubmodules = false
  let pending = ''
  const decoder = new TextDecoder('latin1')
  await mirror.git(['ls-tree', '-r', '-l', '-z', commit], {
    take: (piece) => {
      const entries = (pending + decoder.decode(piece, { stream: true })).split('\0')
      pending = entries.pop() ?? ''
      for (const entry of entries) {
        const [mode, , , bytes = '0'] = entry.split(/ +|\t/, 4)
        files += 1
        size += Number.parseInt(bytes, 10) || 0
        if (mode === '160000') hasSubmodules = true
      }
      if (files > limits.files)
        throw new CairnError('LIMIT_EXCEEDED', `commit ${commit} has more than ${limits.files} files`)
      if (size > limits.size)
        throw new CairnError('LIMIT_EXCEEDED', `commit ${commit} is larger than the limit of ${limits.size} bytes`, {
          hint: 'CAIRN_FETCH_LIMIT sets another limit, in bytes.',
        })
    },
  })
  return hasSubmodules
}

type CheckoutRun = Pick<GitRun, 'access'> & { readonly gitDir: string; readonly workTree: string }

/** A repository that takes its objects from the mirror, for as long as the checkout lasts. */
async function borrowInto(run: CheckoutRun, { mirror, remote, format }: CheckoutSource): Promise<void> {
  await runGit(['init', '--quiet', `--object-format=${format}`], run)
  makeDirectories(`${run.gitDir}/objects/info`)
  writeTextFile(`${run.gitDir}/objects/info/alternates`, `${mirror.gitDir}/objects\n`)
  const shallow = readTextFile(`${mirror.gitDir}/shallow`)
  if (shallow !== undefined) writeTextFile(`${run.gitDir}/shallow`, shallow)
  // Submodules may be given relative to it.
  await runGit(['config', 'remote.origin.url', remote.url], run)
}

/** A repository that stands on its own: the commit, and the branch or tag that named it. */
async function cloneInto(run: CheckoutRun, { mirror, remote, format, revision }: CheckoutSource): Promise<void> {
  const { object, ref } = revision
  await runGit(['init', '--quiet', `--object-format=${format}`], run)
  await runGit(['remote', 'add', 'origin', remote.url], run)
  const name = `refs/cairn/${object}`
  await mirror.git(['update-ref', name, object])
  // By its URL, so that git copies objects as from a server and follows nothing that a clone on one disk would.
  const refspec = ref === undefined ? name : `${name}:${ref}`
  const fetch = ['fetch', '--quiet', '--no-tags', '--no-write-fetch-head', '--update-head-ok', '--depth=1', '--force']
  await runGit([...fetch, '--', `file://${mirror.gitDir}`, refspec], run)
}

/** The directory itself, each part of `subdir` being a real directory. */
function subdirectory(tree: string, subdir: string): string {
  let path = tree
  for (const part of subdir.split('/').filter((name) => name !== '' && name !== '.')) {
    path += `/${part}`
    const status = part === '..' ? undefined : tryLstat(path)
    const shown = JSON.stringify(path.slice(tree.length + 1))
    if (status === undefined)
      throw new CairnError('CONTEXT_PATH_UNKNOWN', `invalid subdir ${subdir}: the repository has no ${shown}`)
    if (status.type !== 'directory')
      throw new CairnError(
        'CONTEXT_PATH_UNKNOWN',
        `invalid subdir ${subdir}: git subpath ${JSON.stringify(subdir)} contains non-directory ${shown}`,
      )
  }
  return path
}

/** Calls `each` for all below `directory` and at last for that, after what is in it. Follows no symlink. */
function visit(directory: string, each: (path: string, name: string) => void): void {
  const stack: { path: string; name: string; entered: boolean }[] = [{ path: directory, name: '', entered: false }]
  for (let item = stack.pop(); item !== undefined; item = stack.pop()) {
    if (item.entered || tryLstat(item.path)?.type !== 'directory') {
      each(item.path, item.name)
      continue
    }
    stack.push({ ...item, entered: true })
    for (const { name } of listDirectory(item.path)) stack.push({ path: `${item.path}/${name}`, name, entered: false })
  }
}
