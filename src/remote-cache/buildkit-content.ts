import { comparePaths } from '../linux/path-bytes.ts'
import { IgnoreMatcher, type ParentMatch } from '../dockerfile/ignore.ts'
import { matchPath, hasWildcard } from '../dockerfile/path-match.ts'
import { resolvePath } from '../layers/trees/resolve-path.ts'
import type { Tree, TreeEntry } from '../layers/tree.ts'
import { Digester, digestOf } from '../oci/digest.ts'

/** What a step reads of one input, in BuildKit's words a selector (solver/llbsolver/ops/opsutils). */
export interface ContentSelector {
  /** Absolute and clean; it may have wildcards where `isPattern` says so. */
  readonly path: string
  readonly isPattern: boolean
  /** Whether what the path leads to counts, or the symlink itself. */
  readonly followsLinks: boolean
  /** Patterns of what counts below the path; all does where there are none. */
  readonly includes: readonly string[]
  readonly excludes: readonly string[]
}

/** How the files that a selector has picked are put together: as BuildKit did up to 0.25, and as it does since. */
type ListForm = 'names' | 'paths'

/** What stands for the root in the hash of a whole tree: nothing where a client has sent it, else its header. */
const sentRoot = digestOf('')
const checkedOutRoot = digestOf(headerText('5', { mode: 0o755, uid: 0, gid: 0, size: 0, linkname: '' }))

/**
 * BuildKit's content hashes of what selectors pick in a tree (cache/contenthash, the sums of docker's old builder), by
 * its versions; none for what Cairn does not hash as BuildKit does: extended attributes, devices.
 */
export function buildkitContentHashes(tree: Tree, selectors: readonly ContentSelector[]): readonly string[] {
  const forms: readonly ListForm[] = selectors.some(picksFiles) ? ['names', 'paths'] : ['names']
  const isWhole = selectors.some((selector) => selector.path === '/' && !picksFiles(selector))
  const roots = isWhole ? [sentRoot, checkedOutRoot] : [sentRoot]
  // Files at the root and directories there, which are hashed once for both.
  const known = new Map<string, string>()
  return roots.flatMap((root) =>
    forms.flatMap((form) => contentHash(new ContentHasher(tree, { form, root, known }), selectors) ?? []),
  )
}

function contentHash(hasher: ContentHasher, selectors: readonly ContentSelector[]): string | undefined {
  const kept = [
    ...outermost(selectors.filter((selector) => !picksFiles(selector) && !selector.followsLinks)),
    ...outermost(selectors.filter((selector) => !picksFiles(selector) && selector.followsLinks)),
    ...selectors.filter(picksFiles),
  ].toSorted((a, b) => comparePaths(a.path, b.path))
  const digests: string[] = []
  for (const selector of kept) {
    const digest = picksFiles(selector) ? hasher.picked(selector) : hasher.at(selector.path, selector.followsLinks)
    if (digest === undefined) return undefined
    digests.push(digest)
  }
  return digestOf(digests.join('\0'))
}

/** True for a selector whose files are counted one by one; what is at the path of others counts as a whole. */
function picksFiles({ path, isPattern, includes, excludes }: ContentSelector): boolean {
  return (isPattern && hasWildcard(path)) || includes.length > 0 || excludes.length > 0
}

/** Without those below another one, which that has in its hash, and those that are there twice. */
function outermost(selectors: readonly ContentSelector[]): readonly ContentSelector[] {
  const byPath = new Map(selectors.map((selector) => [selector.path, selector]))
  const paths = [...byPath.keys()]
  const isBelow = (path: string): boolean => paths.some((other) => other !== path && path.startsWith(withSlash(other)))
  return [...byPath.values()].filter(({ path }) => !isBelow(path))
}

/** A path that a selector with patterns comes across. */
interface Visited {
  /** As the selector names it, symlinks on the way to its root not resolved. */
  readonly name: string
  readonly path: string
  readonly entry: TreeEntry
}

/** A directory above, whose header counts once something in it does. */
interface Above {
  readonly name: string
  readonly header: string
  readonly above: Above | undefined
  readonly included: ParentMatch | undefined
  readonly excluded: ParentMatch | undefined
  isCounted: boolean
}

/** The files that a selector has picked, as they are collected. */
interface Picked {
  readonly root: string
  readonly followsLinks: boolean
  readonly includes: IgnoreMatcher | undefined
  readonly excludes: IgnoreMatcher | undefined
  readonly found: [name: string, digest: string][]
}

interface HashForm {
  readonly form: ListForm
  /** Stands for the root's header. */
  readonly root: string
  /** Hashes of what is at the root, by path, as far as they are known. */
  readonly known: Map<string, string>
}

class ContentHasher {
  readonly #tree: Tree
  readonly #form: HashForm

  constructor(tree: Tree, form: HashForm) {
    this.#tree = tree
    this.#form = form
  }

  /** Of the file or directory at a path; symlinks on the way are followed. */
  at(path: string, followsLinks: boolean): string | undefined {
    const resolved = resolvePath(this.#tree, path, { followLast: followsLinks })
    const entry = this.#tree.lookup(resolved)
    return entry === undefined ? undefined : this.#digest(resolved, entry)
  }

  /** Of what the patterns of a selector pick. */
  picked({ path, isPattern, followsLinks, includes, excludes }: ContentSelector): string | undefined {
    const found: [name: string, digest: string][] = []
    const matcher = (patterns: readonly string[]): IgnoreMatcher | undefined =>
      patterns.length === 0 ? undefined : new IgnoreMatcher(patterns)
    const to = { followsLinks, includes: matcher(includes), excludes: matcher(excludes), found }
    const parts = path.split('/').slice(1)
    const literal = isPattern && hasWildcard(path) ? parts.slice(0, parts.findIndex(hasWildcard)) : undefined
    const prefix = literal === undefined ? path : literal.map((part) => `/${part}`).join('')
    const isWhole =
      literal === undefined
        ? this.#pickBelow(path, { ...to, root: path })
        : this.#pickMatching(prefix, resolveAll(this.#tree, prefix), path, parts.length - literal.length, to)
    if (!isWhole) return undefined
    if (found.length === 0) return digestOf('')
    const [[first, only] = ['', '']] = found
    if (found.length === 1 && baseOf(first) === baseOf(path)) return only
    const digester = new Digester()
    for (const [index, [name, digest]] of found.entries()) {
      if (this.#form.form === 'paths')
        digester.update(name.slice(withoutSlash(prefix).length).replaceAll('/', '\0') || '\0')
      else digester.update(`${index === 0 ? '' : '\0'}${baseOf(name)}`)
      digester.update(digest)
    }
    return digester.digest()
  }

  /** Picks from all that is at and below a path; false for what cannot be hashed. */
  #pickBelow(path: string, to: Picked): boolean {
    const resolved = resolvePath(this.#tree, path, { followLast: false })
    const entry = this.#tree.lookup(resolved)
    if (entry === undefined) return true
    if (path !== '/') return this.#pick({ name: path, path: resolved, entry }, undefined, to)
    // The root itself does not count.
    return this.#names('/').every((name) => this.#pickChild('/', '', name, undefined, to))
  }

  /** Picks from all that matches below a directory, so many levels down; false for what cannot be hashed. */
  #pickMatching(directory: string, path: string, pattern: string, levels: number, to: Omit<Picked, 'root'>): boolean {
    for (const child of this.#names(path)) {
      const name = `${directory}/${child}`
      const at = `${withoutSlash(path)}/${child}`
      const entry = this.#tree.lookup(at)
      if (entry === undefined) continue
      if (levels > 1) {
        if (entry.type === 'symlink') return false
        if (entry.type === 'directory' && !this.#pickMatching(name, at, pattern, levels - 1, to)) return false
      } else if (matchPath(pattern, name) && !this.#pick({ name, path: at, entry }, undefined, { ...to, root: name }))
        return false
    }
    return true
  }

  /** Picks from a path and what is below it; headers of directories count one by one. */
  #pick({ name, path, entry }: Visited, above: Above | undefined, to: Picked): boolean {
    const relative = name.slice(withoutSlash(to.root).length + 1)
    const included = to.includes?.matchesWithParent(relative, above?.included)
    const isIncluded = included === undefined || included.matched
    const excluded = isIncluded ? to.excludes?.matchesWithParent(relative, above?.excluded) : undefined
    const counts = isIncluded && excluded?.matched !== true
    if (entry.type !== 'directory') {
      if (!counts) return true
      const isFollowed = to.followsLinks && above === undefined && entry.type === 'symlink'
      const digest = isFollowed ? this.at(path, true) : this.#fileDigest(path, entry)
      if (digest === undefined) return false
      countAbove(above, to)
      to.found.push([name, digest])
      return true
    }
    const header = headerDigest(entry)
    if (header === undefined) return false
    const own: Above = { name, header, above, included, excluded, isCounted: false }
    if (counts) countAbove(own, to)
    return this.#names(path).every((child) => this.#pickChild(path, name, child, own, to))
  }

  #pickChild(directory: string, named: string, child: string, above: Above | undefined, to: Picked): boolean {
    const path = `${withoutSlash(directory)}/${child}`
    const entry = this.#tree.lookup(path)
    return entry === undefined || this.#pick({ name: `${named}/${child}`, path, entry }, above, to)
  }

  #digest(path: string, entry: TreeEntry): string | undefined {
    if (entry.type !== 'directory') return this.#fileDigest(path, entry)
    const { root, known } = this.#form
    const header = path === '/' ? root : headerDigest(entry)
    if (header === undefined) return undefined
    const digester = new Digester().update('\0').update(header)
    for (const name of this.#names(path)) {
      const child = `${withoutSlash(path)}/${name}`
      const below = this.#tree.lookup(child)
      if (below === undefined) continue
      const digest = known.get(child) ?? this.#digest(child, below)
      if (digest === undefined) return undefined
      if (path === '/') known.set(child, digest)
      digester.update(`\0${name}`).update(digest)
    }
    return digester.digest()
  }

  #fileDigest(path: string, entry: TreeEntry): string | undefined {
    const header = headerOf(entry)
    if (header === undefined) return undefined
    const digester = new Digester().update(header)
    if (entry.type === 'file' && entry.size > 0) for (const bytes of this.#tree.read(path)) digester.update(bytes)
    return digester.digest()
  }

  /** Names in the order of their bytes. */
  #names(path: string): string[] {
    return this.#tree.list(path).toSorted(comparePaths)
  }
}

/** Counts a directory and those above it, the uppermost first. */
function countAbove(above: Above | undefined, to: Picked): void {
  if (above === undefined || above.isCounted) return
  countAbove(above.above, to)
  to.found.push([above.name, above.header])
  above.isCounted = true
}

function resolveAll(tree: Tree, path: string): string {
  return resolvePath(tree, path === '' ? '/' : path, { followLast: true })
}

function headerDigest(entry: TreeEntry): string | undefined {
  const header = headerOf(entry)
  return header === undefined ? undefined : digestOf(header)
}

const typeFlags: Partial<Record<TreeEntry['type'], string>> = { file: '0', symlink: '2', directory: '5' }

function headerOf(entry: TreeEntry): string | undefined {
  const flag = typeFlags[entry.type]
  return flag === undefined || entry.xattrs.size > 0 ? undefined : headerText(flag, entry)
}

/** A tarsum header, version 1: no name, no time. */
function headerText(
  flag: string,
  { mode, uid, gid, size, linkname }: Pick<TreeEntry, 'mode' | 'uid' | 'gid' | 'size' | 'linkname'>,
): string {
  const fields: Readonly<Record<string, string | number>> = {
    name: '',
    mode: flag === '2' ? 0o777 : mode,
    uid,
    gid,
    size: flag === '0' ? size : 0,
    typeflag: flag,
    linkname: flag === '2' ? linkname : '',
    uname: '',
    gname: '',
    devmajor: 0,
    devminor: 0,
  }
  return Object.entries(fields)
    .map(([name, value]) => `${name}${value}`)
    .join('')
}

/** Go's path.Base of an absolute, clean path. */
function baseOf(path: string): string {
  return path === '/' ? '/' : path.slice(path.lastIndexOf('/') + 1)
}

function withSlash(path: string): string {
  return path.endsWith('/') ? path : `${path}/`
}

function withoutSlash(path: string): string {
  return path.endsWith('/') ? path.slice(0, -1) : path
}
