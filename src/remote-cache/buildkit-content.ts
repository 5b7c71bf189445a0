import { comparePaths } from '../linux/path-bytes.ts'
import type { FileInput } from '../build/cache-key.ts'
import { cleanPath } from '../build/paths.ts'
import { matchPath, hasWildcard } from '../dockerfile/path-match.ts'
import { resolvePath } from '../layers/trees/resolve-path.ts'
import type { Tree, TreeEntry } from '../layers/tree.ts'
import { Digester, digestOf } from '../oci/digest.ts'

/** How the files that a pattern matches are put together: as BuildKit did up to 0.25, and as it does since. */
type ListForm = 'names' | 'paths'

/**
 * BuildKit's content hashes of what sources select in a context (cache/contenthash, the sums of docker's old builder), by
 * its versions; none for what Cairn does not hash as BuildKit does: excludes, extended attributes, devices.
 */
export function buildkitContentHashes(tree: Tree, inputs: readonly FileInput[]): readonly string[] {
  if (inputs.some(({ excludes, parents }) => excludes.length > 0 || parents)) return []
  const forms: readonly ListForm[] = inputs.some(({ pattern }) => hasWildcard(pattern)) ? ['names', 'paths'] : ['names']
  return forms.flatMap((form) => contentHash(tree, inputs, form) ?? [])
}

function contentHash(tree: Tree, inputs: readonly FileInput[], form: ListForm): string | undefined {
  const paths = inputs.map(({ pattern }) => cleanPath(`/${pattern}`))
  const plain = paths.filter((path) => !hasWildcard(path))
  // A path below another one is hashed with that.
  const isBelow = (path: string): boolean => plain.some((other) => other !== path && path.startsWith(withSlash(other)))
  const selected = [...new Set(plain.filter((path) => !isBelow(path))), ...paths.filter(hasWildcard)]
  const hasher = new ContentHasher(tree, form)
  const digests: string[] = []
  for (const path of selected.toSorted(comparePaths)) {
    const digest = hasWildcard(path) ? hasher.matching(path) : hasher.at(path)
    if (digest === undefined) return undefined
    digests.push(digest)
  }
  return digestOf(digests.join('\0'))
}

class ContentHasher {
  readonly #tree: Tree
  readonly #form: ListForm

  constructor(tree: Tree, form: ListForm) {
    this.#tree = tree
    this.#form = form
  }

  /** Of the file or directory that a path leads to, symlinks followed. */
  at(path: string): string | undefined {
    const resolved = resolvePath(this.#tree, path, { followLast: true })
    const entry = this.#tree.lookup(resolved)
    return entry === undefined ? undefined : this.#digest(resolved, entry)
  }

  /** Of all that a pattern matches, with what is below it. */
  matching(pattern: string): string | undefined {
    const parts = pattern.split('/').slice(1)
    const literal = parts.slice(0, parts.findIndex(hasWildcard))
    const prefix = literal.map((part) => `/${part}`).join('')
    if (!this.#isPlain(`${prefix}/x`)) return undefined
    const found: [path: string, digest: string][] = []
    if (!this.#collect(prefix, pattern, parts.length - literal.length, found)) return undefined
    if (found.length === 0) return digestOf('')
    const digester = new Digester()
    for (const [index, [path, digest]] of found.entries()) {
      if (this.#form === 'paths') digester.update(path.slice(prefix.length).replaceAll('/', '\0'))
      else digester.update(`${index === 0 ? '' : '\0'}${path.slice(path.lastIndexOf('/') + 1)}`)
      digester.update(digest)
    }
    return digester.digest()
  }

  /** Adds what matches below a directory, so many levels down; false for what cannot be hashed. */
  #collect(directory: string, pattern: string, levels: number, found: [string, string][]): boolean {
    for (const name of this.#names(directory === '' ? '/' : directory)) {
      const path = `${directory}/${name}`
      const entry = this.#tree.lookup(path)
      if (entry === undefined) continue
      if (levels > 1) {
        if (entry.type === 'symlink') return false
        if (entry.type === 'directory' && !this.#collect(path, pattern, levels - 1, found)) return false
      } else if (matchPath(pattern, path)) {
        const digest = entry.type === 'symlink' ? this.at(path) : undefined
        if (digest !== undefined) found.push([path, digest])
        else if (entry.type === 'symlink' || !this.#addAll(path, entry, found)) return false
      }
    }
    return true
  }

  /** Adds headers of directories and files, one by one. */
  #addAll(path: string, entry: TreeEntry, found: [string, string][]): boolean {
    const digest = entry.type === 'directory' ? headerDigest(entry) : this.#digest(path, entry)
    if (digest === undefined) return false
    found.push([path, digest])
    if (entry.type !== 'directory') return true
    return this.#names(path).every((name) => {
      const child = this.#tree.lookup(`${path}/${name}`)
      return child === undefined || this.#addAll(`${path}/${name}`, child, found)
    })
  }

  #digest(path: string, entry: TreeEntry): string | undefined {
    if (entry.type !== 'directory') return this.#fileDigest(path, entry)
    const header = path === '/' ? digestOf('') : headerDigest(entry)
    if (header === undefined) return undefined
    const digester = new Digester().update('\0').update(header)
    for (const name of this.#names(path)) {
      const child = path === '/' ? `/${name}` : `${path}/${name}`
      const below = this.#tree.lookup(child)
      if (below === undefined) continue
      const digest = this.#digest(child, below)
      if (digest === undefined) return undefined
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

  /** False where a directory on the way to the path is a symlink. */
  #isPlain(path: string): boolean {
    const parts = path.split('/').slice(1, -1)
    return parts.every((_, index) => this.#tree.lookup(`/${parts.slice(0, index + 1).join('/')}`)?.type === 'directory')
  }
}

function headerDigest(entry: TreeEntry): string | undefined {
  const header = headerOf(entry)
  return header === undefined ? undefined : digestOf(header)
}

const typeFlags: Partial<Record<TreeEntry['type'], string>> = { file: '0', symlink: '2', directory: '5' }

/** A tarsum header, version 1: no name, no time. */
function headerOf({ type, mode, uid, gid, size, linkname, xattrs }: TreeEntry): string | undefined {
  const flag = typeFlags[type]
  if (flag === undefined || xattrs.size > 0) return undefined
  const fields: Readonly<Record<string, string | number>> = {
    name: '',
    mode: type === 'symlink' ? 0o777 : mode,
    uid,
    gid,
    size: type === 'file' ? size : 0,
    typeflag: flag,
    linkname: type === 'symlink' ? linkname : '',
    uname: '',
    gname: '',
    devmajor: 0,
    devminor: 0,
  }
  return Object.entries(fields)
    .map(([name, value]) => `${name}${value}`)
    .join('')
}

function withSlash(path: string): string {
  return path.endsWith('/') ? path : `${path}/`
}
