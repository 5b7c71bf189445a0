import { CairnError } from '../errors/error.ts'

/** What a text that names a git repository says: where it is, what of it is wanted, and how. */
export interface GitReference {
  /** URL or scp form without query and fragment; without a scheme where {@link isAmbiguous}. */
  readonly remote: string
  /** Last element of the remote's path without `.git`. */
  readonly shortName: string
  /** Branch, tag, full name below `refs/`, or a commit's hash; undefined is the remote's default branch. */
  readonly ref: string | undefined
  /** Hash, or the beginning of one, that the commit must have. */
  readonly checksum: string | undefined
  /** Directory inside the repository. */
  readonly subdir: string | undefined
  /** `github.com/x/y`, which could be a path as well: counts as git for build contexts only. */
  readonly isAmbiguous: boolean
  readonly keepGitDir: boolean | undefined
  readonly submodules: boolean | undefined
  /** What times files get: that of the checkout, or of the commit. */
  readonly mtime: 'checkout' | 'commit' | undefined
  /** Take the checksum for the commit without asking the remote where the ref is. */
  readonly fetchByCommit: boolean
}

interface GitAddress {
  readonly scheme: string
  /** Decoded. */
  readonly path: string
  readonly remote: string
  readonly query: ReadonlyMap<string, readonly string[]>
  readonly fragment: string
}

const schemes: ReadonlySet<string> = new Set(['http', 'https', 'ssh', 'git'])
const scpForm = /^([\w-]+@[A-Za-z0-9.-]+:[^?#\n]*)(?:\?([^#\n]*))?(?:#([^\n]*))?$/

/**
 * Reads a git URL as BuildKit does: `https://host/x.git`, `git://`, `ssh://`, `user@host:path`, each with `#ref:subdir`
 * or a query of `ref`, `tag`, `branch`, `subdir`, `checksum` (`commit`), `keep-git-dir`, `submodules`, `mtime`,
 * `fetch-by-commit`. Gives undefined for a text that names no repository, such as an http URL without `.git` at the
 * end of its path. Throws REFERENCE_INVALID for one that does, with a query that is unknown or contradicts itself.
 */
export function parseGitReference(text: string): GitReference | undefined {
  if (text.startsWith('./') || text.startsWith('../')) return undefined
  const isAmbiguous = text.startsWith('github.com/')
  const address = isAmbiguous ? parseUrl(`https://${text}`) : parseAddress(text)
  if (address === undefined) return undefined
  const isHttp = address.scheme === 'http' || address.scheme === 'https'
  if (!isAmbiguous && isHttp && !address.path.endsWith('.git')) return undefined
  const remote = isAmbiguous ? address.remote.slice('https://'.length) : address.remote
  const [ref = '', ...subdir] = address.fragment.split(':')
  return {
    remote,
    shortName: (remote.split('/').at(-1) ?? '').replace(/\.git$/, ''),
    isAmbiguous,
    ...readQuery(address.query, ref, cleanSubdir(subdir.join(':'))),
  }
}

/** The reference in the short form `remote#ref:subdir`, for people; options that only a query can say are left out. */
export function formatGitReference(reference: GitReference, { subdir = true } = {}): string {
  const { remote, ref = '' } = reference
  const below = subdir ? cleanSubdir(reference.subdir ?? '') : ''
  if (ref === '' && below === '') return remote
  return `${remote}#${ref}${below === '' ? '' : `:${below}`}`
}

/** True for the full hash of a commit, of SHA-1 or SHA-256. */
export function isCommitHash(text: string): boolean {
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text)
}

function parseAddress(text: string): GitAddress | undefined {
  if (/^[A-Za-z0-9]+:\/\//.test(text)) return parseUrl(text)
  const [, remote, query = '', fragment = ''] = scpForm.exec(text) ?? []
  if (remote === undefined) return undefined
  const pairs = parseQuery(query)
  return pairs === undefined
    ? undefined
    : { scheme: 'ssh', path: remote.slice(remote.indexOf(':') + 1), remote, query: pairs, fragment }
}

/** A URL of one of the schemes; what is not understood is taken for no URL. */
function parseUrl(text: string): GitAddress | undefined {
  const [, scheme = '', authority = '', rest = '', query = '', fragment = ''] =
    /^([A-Za-z][A-Za-z0-9]*):\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s.exec(text) ?? []
  const lower = scheme.toLowerCase()
  // oxlint-disable-next-line no-control-regex -- Go refuses URLs with these
  if (!schemes.has(lower) || /[\u0000-\u001f\u007f]/.test(text) || /\s/.test(authority)) return undefined
  const path = unescape(rest)
  const ref = unescape(fragment)
  const host = authority.slice(authority.lastIndexOf('@') + 1)
  if (path === undefined || ref === undefined || !/^(?:[^:[\]]*|\[[^\]]*\])(?::\d*)?$/.test(host)) return undefined
  const pairs = parseQuery(query, { lenient: true }) ?? new Map<string, readonly string[]>()
  return { scheme: lower, path, remote: `${lower}://${authority}${rest}`, query: pairs, fragment: ref }
}

/** Percent-decoded, or undefined where an escape is malformed. */
function unescape(text: string): string | undefined {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/** Keys with their values; a malformed pair makes it undefined, or is left out when `lenient`. */
function parseQuery(text: string, { lenient = false } = {}): Map<string, string[]> | undefined {
  const pairs = new Map<string, string[]>()
  for (const pair of text.split('&').filter((part) => part !== '')) {
    const [name = '', ...value] = pair.split('=')
    const key = unescape(name.replaceAll('+', ' '))
    const decoded = unescape(value.join('=').replaceAll('+', ' '))
    if (key === undefined || decoded === undefined || pair.includes(';')) {
      if (lenient) continue
      return undefined
    }
    pairs.set(key, [...(pairs.get(key) ?? []), decoded])
  }
  return pairs
}

function cleanSubdir(text: string): string {
  const parts: string[] = []
  for (const part of text.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  return parts.join('/')
}

type Wanted = Omit<GitReference, 'remote' | 'shortName' | 'isAmbiguous'>

const keys: ReadonlySet<string> = new Set(
  'ref tag branch subdir checksum commit keep-git-dir submodules mtime fetch-by-commit'.split(' '),
)
/** Keys that mean true when they have no value. */
const switches: ReadonlySet<string> = new Set(['keep-git-dir', 'submodules', 'fetch-by-commit'])

function readQuery(query: ReadonlyMap<string, readonly string[]>, fragmentRef: string, fragmentSubdir: string): Wanted {
  for (const [key, values] of query) {
    if (values.length > 1) throw invalid(`query ${JSON.stringify(key)} has multiple values`)
    if (values[0] === '' && !switches.has(key)) throw invalid(`query ${JSON.stringify(key)} has no value`)
    if (!keys.has(key)) throw invalid(`unexpected query ${JSON.stringify(key)}`)
  }
  const value = (key: string): string => query.get(key)?.[0] ?? ''
  const flag = (key: string): boolean | undefined => (query.has(key) ? parseSwitch(key, value(key)) : undefined)
  const mtime = query.has('mtime') ? value('mtime') : undefined
  if (mtime !== undefined && mtime !== 'checkout' && mtime !== 'commit')
    throw invalid(`invalid mtime value: ${JSON.stringify(mtime)} (must be "checkout" or "commit")`)
  const subdir = agreed('subdir', fragmentSubdir, value('subdir'))
  const checksum = value('checksum') || value('commit')
  let ref = agreed('ref', fragmentRef, value('ref'))
  if (query.has('tag') && query.has('branch')) throw invalid('branch conflicts with tag')
  for (const [key, prefix] of [
    ['tag', 'refs/tags/'],
    ['branch', 'refs/heads/'],
  ] as const) {
    const name = value(key)
    if (name !== '') ref = agreed('ref', ref, name.startsWith(prefix) ? name : prefix + name)
  }
  return {
    ref: ref === '' ? undefined : ref,
    subdir: subdir === '' ? undefined : subdir,
    checksum: checksum === '' ? undefined : checksum,
    keepGitDir: flag('keep-git-dir'),
    submodules: flag('submodules'),
    mtime,
    fetchByCommit: flag('fetch-by-commit') ?? false,
  }
}

function agreed(what: string, first: string, second: string): string {
  if (first !== '' && second !== '' && first !== second)
    throw invalid(`${what} conflicts: ${JSON.stringify(first)} vs ${JSON.stringify(second)}`)
  return second === '' ? first : second
}

function parseSwitch(key: string, text: string): boolean {
  if (text === '' || /^(?:1|t|T|true|TRUE|True)$/.test(text)) return true
  if (/^(?:0|f|F|false|FALSE|False)$/.test(text)) return false
  throw invalid(`invalid ${key} value: ${JSON.stringify(text)}`)
}

function invalid(message: string): CairnError {
  return new CairnError('REFERENCE_INVALID', message)
}
