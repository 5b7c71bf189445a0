import { CairnError } from '../errors/error.ts'
import type { RemoteAccess } from './access.ts'
import { checkOut } from './git-checkout.ts'
import { type GitMirror, withMirror } from './git-mirror.ts'
import { GitFailure, runGit } from './git-process.ts'
import { formatGitReference, type GitReference, isCommitHash } from './git-reference.ts'
import { gitRemote } from './git-remote.ts'

/** What a reference stands for at the moment. */
export interface GitRevision {
  /** Hash of the commit; of a tag object where only its hash was given. */
  readonly commit: string
  /** What the ref leads to directly: the tag object of an annotated tag, else the commit. */
  readonly object: string
  /** Full name, such as `refs/heads/main`; undefined where a hash was given. */
  readonly ref: string | undefined
}

export interface CheckoutOptions {
  /** Leave `.git` in the directory; nothing happens with a subdirectory. */
  readonly keepGitDir?: boolean
  /** Check submodules out too, those of submodules as well. */
  readonly submodules?: boolean
  /**
   * Times that files and directories get: that of the commit, so that a commit always gives the same bytes, or that of
   * the checkout.
   */
  readonly mtime?: 'commit' | 'checkout'
  /** Told of what git says. */
  readonly log?: ((text: Uint8Array) => void) | undefined
}

/** Files of a commit, in a directory that is removed with {@link Disposable}. */
export interface GitCheckout extends Disposable {
  /** Absolute. Modes are 0644 and 0755, owners those of this process; nothing in it leads out of it but symlinks. */
  readonly directory: string
  readonly commit: string
  /** When it was committed, seconds since 1970. */
  readonly commitTime: number
}

/** Milliseconds for an answer to where a ref is. */
const lookUpTime = 120_000

/**
 * Asks the remote which commit a reference means; for one that gives the commit's full hash, or is locked, it is not
 * asked. Branches are
 * preferred to tags, as git-checkout does. Throws REVISION_UNKNOWN for a ref that is not there, BLOB_CORRUPT where the
 * reference's checksum is another commit's, REFERENCE_INVALID, NETWORK with what git said, TOOL_MISSING, and the reason
 * of the signal.
 */
export async function resolveRepository(reference: GitReference, access: RemoteAccess): Promise<GitRevision> {
  const { ref = '', checksum } = reference
  if (checksum !== undefined && !/^[0-9a-fA-F]+$/.test(checksum))
    throw new CairnError('REFERENCE_INVALID', `invalid checksum ${checksum} for Git URL, expected hex commit hash`)
  // oxlint-disable-next-line no-control-regex -- no name of a ref has these
  if (/^-|[\u0000-\u0020\u007f~^:?*[\\]|\.\./.test(ref))
    throw new CairnError('REFERENCE_INVALID', `invalid git ref ${JSON.stringify(ref)}`)
  const locked = access.lock?.revision(reference)
  const revision = locked ?? (await currentRevision(reference, ref, access))
  checkHash(checksum, [...new Set([revision.object, revision.commit])])
  access.lock?.sawRevision(reference, revision)
  return revision
}

async function currentRevision(reference: GitReference, ref: string, access: RemoteAccess): Promise<GitRevision> {
  if (isCommitHash(ref)) return { commit: ref, object: ref, ref: undefined }
  if (reference.fetchByCommit) return pinned(reference)
  return ref === '' ? await defaultRevision(reference, access) : await namedRevision(reference, ref, access)
}

/**
 * Checks a commit out. What was fetched before is not fetched again. The reference's subdirectory becomes the directory
 * of the result. Throws as {@link resolveRepository}, CONTEXT_PATH_UNKNOWN for a subdirectory that is not there or leads
 * through a symlink, LIMIT_EXCEEDED for more files or bytes than `access.limits` has room for.
 */
export async function checkoutRepository(
  reference: GitReference,
  revision: GitRevision,
  access: RemoteAccess,
  options: CheckoutOptions = {},
): Promise<GitCheckout> {
  const remote = gitRemote(reference, access)
  const format = revision.object.length === 64 ? 'sha256' : 'sha1'
  return await told(`failed to fetch remote ${remote.url}`, () =>
    withMirror(remote, format, access, options.log, async (mirror) => {
      await fetchRevision(mirror, reference, revision, access)
      return await checkOut({ mirror, remote, format, revision, subdir: reference.subdir, access }, options)
    }),
  )
}

/** Brings the commit into the mirror. A locked one that the remote no longer has is told with what took its place. */
async function fetchRevision(
  mirror: GitMirror,
  reference: GitReference,
  revision: GitRevision,
  access: RemoteAccess,
): Promise<void> {
  try {
    await mirror.fetch(revision.object, revision.ref)
  } catch (error) {
    const { ref = '' } = reference
    const isLocked = access.lock?.revision(reference) !== undefined && !isCommitHash(ref)
    if (!(error instanceof GitFailure) || !isLocked) throw error
    const now = await currentRevision(reference, ref, access)
    if (now.commit === revision.commit || access.lock === undefined) throw error
    throw access.lock.lostRevision(reference, revision.commit, now.commit)
  }
}

/** `fetch-by-commit`: the checksum is the commit, and the ref only what it is called. */
function pinned({ checksum = '', ref }: GitReference): GitRevision {
  if (checksum === '')
    throw new CairnError('REFERENCE_INVALID', 'fetch-by-commit requires a checksum or a commit SHA ref')
  if (!isCommitHash(checksum))
    throw new CairnError(
      'REFERENCE_INVALID',
      `fetch-by-commit requires a full commit SHA checksum, got ${JSON.stringify(checksum)}`,
    )
  const full = ref === undefined || ref.startsWith('refs/') ? ref : `refs/heads/${ref}`
  return { commit: checksum, object: checksum, ref: full }
}

async function defaultRevision(reference: GitReference, access: RemoteAccess): Promise<GitRevision> {
  const found = await listRemote(reference, access, ['--symref'], ['HEAD'])
  const ref = found.get('HEAD symref')
  const commit = found.get('HEAD')
  if (commit !== undefined) return { commit, object: commit, ref }
  throw new CairnError(
    'REVISION_UNKNOWN',
    `could not find default branch for repository: ${gitRemote(reference, access).url}`,
    { hint: 'It is empty, or its HEAD leads nowhere: name a branch, tag or commit with #.' },
  )
}

async function namedRevision(reference: GitReference, ref: string, access: RemoteAccess): Promise<GitRevision> {
  const found = await listRemote(reference, access, [], [ref, `${ref}^{}`])
  const short = ref.replace(/^refs\//, '')
  const names = [
    `refs/${short}`,
    `refs/heads/${ref.replace(/^refs\/heads\//, '')}`,
    `refs/tags/${ref.replace(/^refs\/tags\//, '')}`,
  ]
  const name = names.find((candidate) => found.has(candidate))
  const object = name === undefined ? undefined : found.get(name)
  if (name === undefined || object === undefined)
    throw new CairnError('REVISION_UNKNOWN', `repository does not contain ref ${ref}: ${formatGitReference(reference)}`)
  return { commit: found.get(`${name}^{}`) ?? object, object, ref: name }
}

/** Names that the remote has, with their hashes; for `--symref` also what a name stands for, as `<name> symref`. */
async function listRemote(
  reference: GitReference,
  access: RemoteAccess,
  options: readonly string[],
  patterns: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const { url, settings } = gitRemote(reference, access)
  const output = await told(`failed to fetch remote ${url}`, () =>
    runGit(['ls-remote', ...options, '--', url, ...patterns], { access, settings, timeLimit: lookUpTime }),
  )
  const found = new Map<string, string>()
  for (const line of output.split('\n')) {
    const [value = '', name = ''] = line.split('\t')
    if (value.startsWith('ref: ')) found.set(`${name} symref`, value.slice('ref: '.length))
    else if (isCommitHash(value)) found.set(name, value)
  }
  return found
}

function checkHash(checksum: string | undefined, hashes: readonly string[]): void {
  if (checksum === undefined || hashes.some((hash) => hash.startsWith(checksum.toLowerCase()))) return
  throw new CairnError('BLOB_CORRUPT', `expected checksum to match ${checksum}, got ${hashes.join(' or ')}`, {
    hint: 'The ref has moved, or the checksum is of another commit.',
  })
}

/** Runs `work`; a failure of git becomes one of Cairn's. */
async function told<Result>(what: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof GitFailure)) throw error
    const hint = hintFor(error.stderr)
    throw new CairnError('NETWORK', `${what}: ${error.message}`, { cause: error, ...(hint === '' ? {} : { hint }) })
  }
}

function hintFor(stderr: string): string {
  if (/could not read (Username|Password)|Authentication failed|returned error: 40[13]/.test(stderr))
    return 'It needs credentials, or does not exist: give a token with --secret id=GIT_AUTH_TOKEN.'
  if (/Permission denied \(|Host key verification failed/.test(stderr))
    return 'Give the SSH agent that may read it with --ssh default.'
  if (/returned error: 30\d|unable to update url base from redirection/.test(stderr))
    return 'The server leads elsewhere, where credentials are not sent: use the new URL.'
  return ''
}
