import { CairnError } from '../errors/error.ts'
import { redactUrl } from '../errors/redact.ts'
import { tryStat } from '../linux/file-status.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { isJsonObject } from '../oci/descriptor.ts'
import { parseJsonDocument } from '../oci/json-document.ts'
import { formatPlatform, type Platform } from '../oci/platform.ts'
import type { GitRevision } from './git.ts'
import { formatGitReference, type GitReference, isCommitHash } from './git-reference.ts'

/** Version of the file's format. */
const version = 1

/** Bytes; no lock file comes near. */
const largestLockFile = 64 * 1024 * 1024

const kinds = ['files', 'images', 'repositories'] as const
type Kind = (typeof kinds)[number]

/** A file or a repository that was taken. */
export type SeenSource =
  | { readonly url: string; readonly digest: Digest }
  | { readonly url: string; readonly commit: string }

/** Whether sources have to be as the file says, or the file is to say what sources are. */
type Mode = 'check' | 'record'

interface LockedCommit {
  readonly commit: string
  /** The tag object of an annotated tag. */
  readonly object?: string
  readonly ref?: string
}

/**
 * A lock file (`--lock`): what the base images, files and repositories of a build were resolved to, so that later builds
 * take the same. Where it exists, each source is taken as it says, and one that it lacks, or that can only be had
 * otherwise, is LOCKFILE_MISMATCH. Where it does not, or with `--update-lock`, it takes note of what sources are.
 */
export class SourceLock {
  readonly #path: string
  readonly #mode: Mode
  readonly #before: string | undefined
  readonly #images: Map<string, Digest>
  readonly #files: Map<string, Digest>
  readonly #repositories: Map<string, LockedCommit>
  readonly #seen = new Map<string, SeenSource>()

  private constructor(path: string, mode: Mode, before: string | undefined, entries: Entries) {
    this.#path = path
    this.#mode = mode
    this.#before = before
    this.#images = entries.images
    this.#files = entries.files
    this.#repositories = entries.repositories
  }

  /** A lock without a file, which lets sources be what they are and only takes note of them. */
  static unlocked(): SourceLock {
    return new SourceLock('', 'record', undefined, noEntries())
  }

  /** The files and repositories that were taken so far, without credentials, by URL. */
  get seen(): readonly SeenSource[] {
    return [...this.#seen].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, source]) => source)
  }

  /** Opens the lock file at `path`, which need not exist. Throws LOCKFILE_INVALID, naming the entry. */
  static async open(path: string, options: { readonly update: boolean }): Promise<SourceLock> {
    const status = tryStat(path)
    if (status === undefined) return new SourceLock(path, 'record', undefined, noEntries())
    if (status.type !== 'file') throw new CairnError('LOCKFILE_INVALID', `${path} is not a regular file`)
    if (status.size > largestLockFile) throw new CairnError('LIMIT_EXCEEDED', `${path} is too large for a lock file`)
    const text = await Bun.file(path).text()
    return new SourceLock(path, options.update ? 'record' : 'check', text, parseEntries(text, path))
  }

  /** The manifest to take for an image, undefined while there is none to hold to. `name` is normalised. */
  image(name: string, platform: Platform): Digest | undefined {
    return this.#locked('images', imageKey(name, platform), this.#images)
  }

  /** Takes note of the manifest that an image is taken by, or checks it. */
  sawImage(name: string, platform: Platform, digest: Digest): void {
    const key = imageKey(name, platform)
    if (this.#mode === 'record') this.#images.set(key, digest)
    else this.#check(key, this.#locked('images', key, this.#images), digest)
  }

  /** The digest that the file at a URL must have, undefined while there is none to hold to. */
  file(url: string): Digest | undefined {
    return this.#locked('files', redactUrl(url), this.#files)
  }

  /** Takes note of the digest that the file at a URL has, or checks it. */
  sawFile(url: string, digest: Digest): void {
    const key = redactUrl(url)
    this.#seen.set(key, { url: key, digest })
    if (this.#mode === 'record') this.#files.set(key, digest)
    else this.#check(key, this.#locked('files', key, this.#files), digest)
  }

  /** The commit to take for a git reference, undefined while there is none to hold to. */
  revision(reference: GitReference): GitRevision | undefined {
    const locked = this.#locked('repositories', repositoryKey(reference), this.#repositories)
    if (locked === undefined) return undefined
    const { commit, object = commit, ref } = locked
    return { commit, object, ref }
  }

  /** Takes note of the commit that a git reference leads to, or checks it. */
  sawRevision(reference: GitReference, { commit, object, ref }: GitRevision): void {
    const key = repositoryKey(reference)
    const shown = redactUrl(formatGitReference(reference, { subdir: false }))
    this.#seen.set(shown, { url: shown, commit })
    const tag = object === commit ? {} : { object }
    if (this.#mode === 'record') this.#repositories.set(key, { commit, ...tag, ...(ref === undefined ? {} : { ref }) })
    else this.#check(key, this.#locked('repositories', key, this.#repositories)?.commit, commit)
  }

  /** The error for a locked commit that the repository no longer has, with what the reference leads to now. */
  lostRevision(reference: GitReference, locked: string, found: string): CairnError {
    const key = repositoryKey(reference)
    const message = `${key} is ${found} and no longer has ${locked}, which ${this.#path} has locked it to`
    return new CairnError('LOCKFILE_MISMATCH', message, { hint: updateHint(this.#path) })
  }

  /** The file's new text, undefined where it is to stay as it is. The same entries always give the same bytes. */
  changed(): string | undefined {
    if (this.#mode === 'check') return undefined
    const sorted = <Value>(entries: ReadonlyMap<string, Value>): Record<string, Value> =>
      Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : 1)))
    const document = {
      version,
      images: sorted(this.#images),
      files: sorted(this.#files),
      repositories: sorted(this.#repositories),
    }
    const text = `${JSON.stringify(document, undefined, 2)}\n`
    return text === this.#before ? undefined : text
  }

  #locked<Value>(kind: Kind, key: string, entries: ReadonlyMap<string, Value>): Value | undefined {
    if (this.#mode === 'record') return undefined
    const entry = entries.get(key)
    if (entry === undefined)
      throw new CairnError('LOCKFILE_MISMATCH', `${this.#path} has no entry for ${key} among its ${kind}`, {
        hint: updateHint(this.#path),
      })
    return entry
  }

  #check(key: string, locked: string | undefined, found: string): void {
    if (locked !== undefined && locked !== found)
      throw new CairnError('LOCKFILE_MISMATCH', `${key} is ${found}, but ${this.#path} has locked it to ${locked}`, {
        hint: updateHint(this.#path),
      })
  }
}

function updateHint(path: string): string {
  return `If that is what you want, build once with --lock ${path} --update-lock.`
}

function imageKey(name: string, platform: Platform): string {
  return `${name} ${formatPlatform(platform)}`
}

function repositoryKey(reference: GitReference): string {
  return redactUrl(formatGitReference(reference, { subdir: false }))
}

interface Entries {
  readonly images: Map<string, Digest>
  readonly files: Map<string, Digest>
  readonly repositories: Map<string, LockedCommit>
}

function noEntries(): Entries {
  return { images: new Map(), files: new Map(), repositories: new Map() }
}

function parseEntries(text: string, path: string): Entries {
  const { value } = parseJsonDocument(text, { name: path, code: 'LOCKFILE_INVALID' }, largestLockFile)
  if (value['version'] !== version)
    throw new CairnError(
      'LOCKFILE_INVALID',
      `${path} has the version ${JSON.stringify(value['version']) ?? 'nothing'}, not ${version}`,
      { hint: 'It is no lock file, or one of a newer Cairn.' },
    )
  const entries = noEntries()
  for (const kind of kinds) {
    const section = value[kind] ?? {}
    if (!isJsonObject(section)) throw invalid(path, kind, 'is no object')
    for (const [key, entry] of Object.entries(section)) {
      if (kind === 'repositories') entries.repositories.set(key, parseCommit(entry, path, key))
      else if (typeof entry === 'string' && isDigest(entry)) entries[kind].set(key, entry)
      else throw invalid(path, key, 'is no digest')
    }
  }
  return entries
}

function parseCommit(entry: unknown, path: string, key: string): LockedCommit {
  if (!isJsonObject(entry)) throw invalid(path, key, 'is no object')
  const { commit, object, ref } = entry
  if (typeof commit !== 'string' || !isCommitHash(commit)) throw invalid(path, key, 'has no commit')
  if (object !== undefined && (typeof object !== 'string' || !isCommitHash(object)))
    throw invalid(path, key, `has the object ${JSON.stringify(object)}`)
  const locked = { commit, ...(object === undefined ? {} : { object }) }
  if (ref === undefined) return locked
  // oxlint-disable-next-line no-control-regex -- no name of a ref has these
  if (typeof ref !== 'string' || !ref.startsWith('refs/') || /[\u0000-\u0020\u007f~^:?*[\\]|\.\./.test(ref))
    throw invalid(path, key, `has the ref ${JSON.stringify(ref)}`)
  return { ...locked, ref }
}

function invalid(path: string, key: string, why: string): CairnError {
  return new CairnError('LOCKFILE_INVALID', `${path}: the entry ${JSON.stringify(key)} ${why}`, {
    hint: 'Repair it, or remove the file and build once with --lock.',
  })
}
