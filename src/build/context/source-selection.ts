import { CairnError } from '../../errors/error.ts'
import { IgnoreMatcher, type ParentMatch } from '../../dockerfile/ignore.ts'
import { matchPath } from '../../dockerfile/path-match.ts'
import { resolvePath } from '../../layers/trees/resolve-path.ts'
import type { Tree, TreeEntry } from '../../layers/tree.ts'
import { baseName, childPath, rootedPath } from '../paths.ts'

/** One path to copy. */
export interface SelectedPath {
  /** Below the copied root, without a leading slash; '' for the root itself. */
  readonly relative: string
  /** In the source tree. */
  readonly path: string
  readonly entry: TreeEntry
  /** True for a directory that is made only because something below it was included. */
  readonly implied: boolean
}

/** What one source of a COPY came to: a file, or a directory with what is below it. */
export interface Selection {
  /** Last element of the path that matched, which a file keeps in a destination directory. */
  readonly name: string
  readonly directory: boolean
  /** The root first, parents before their children, siblings in order. */
  readonly paths: readonly SelectedPath[]
}

/** What one source selected, with the tree to read it from. */
export interface SelectedFiles {
  readonly tree: Tree
  readonly selections: readonly Selection[]
}

export interface SelectionOptions {
  readonly excludes: readonly string[]
  /** `--parents`: keep the path below the pivot. */
  readonly parents: boolean
  /** `--optional`: nothing where a literal path is missing. */
  readonly optional?: boolean
}

/**
 * Finds what a source of COPY or ADD names in `tree`: wildcards as Go's filepath.Match element by element, symlinks on
 * the way followed inside the root, the content of directories with `--exclude` applied. A wildcard that matches
 * nothing selects nothing, nor does an optional path that is missing; any other literal path that is missing, also
 * that of the directory a wildcard is looked for in, is CONTEXT_PATH_UNKNOWN.
 */
export function selectSources(tree: Tree, pattern: string, options: SelectionOptions): Selection[] {
  const excludes = options.excludes.length === 0 ? undefined : new IgnoreMatcher(options.excludes)
  if (options.parents) return selectWithParents(tree, pattern, excludes, options.optional ?? false)
  const cleaned = rootedPath(pattern)
  const matches = hasOpenWildcard(cleaned) ? expandWildcard(tree, cleaned) : [cleaned]
  if (matches === undefined) return absent(literalPrefix(cleaned), options.optional ?? false)
  return matches.flatMap((match) => {
    const root = resolvePath(tree, match, { followLast: true })
    const entry = tree.lookup(root)
    if (entry === undefined) return absent(match, options.optional ?? false)
    // A source that is a file is filtered by its own name, as the documentation of --exclude says.
    const name = baseName(match)
    if (entry.type !== 'directory' && excludes?.matches(name) === true) return { name, directory: false, paths: [] }
    return {
      name,
      directory: entry.type === 'directory',
      paths: [...walk(tree, { relative: '', path: root, entry }, { excludes, includes: undefined })],
    }
  })
}

/** What a path selects where there is nothing. */
function absent(path: string, optional: boolean): Selection[] {
  if (optional) return []
  throw new CairnError('CONTEXT_PATH_UNKNOWN', `failed to compute cache key: "${path}": not found`)
}

/** `--parents`: everything that matches, below its own path from the pivot `/./` on, else from the root on. */
function selectWithParents(
  tree: Tree,
  pattern: string,
  excludes: IgnoreMatcher | undefined,
  optional: boolean,
): Selection[] {
  const pivot = pattern.indexOf('/./')
  const start = rootedPath(pivot < 0 ? '/' : pattern.slice(0, pivot))
  const rest = rootedPath(pivot < 0 ? pattern : pattern.slice(pivot + 3)).slice(1)
  const roots = hasOpenWildcard(start) ? (expandWildcard(tree, start) ?? []) : [start]
  const required = !hasOpenWildcard(start) && !hasOpenWildcard(rest)
  const isLiteral = !/[\\*?[]/.test(rest)
  return roots.flatMap((match) => {
    const root = resolvePath(tree, match, { followLast: true })
    const entry = tree.lookup(root)
    if (entry === undefined) return absent(match, optional)
    // A pivot with wildcards may match files too, which have nothing below them.
    if (entry.type !== 'directory' && rest !== '' && !required) return []
    const paths = isLiteral
      ? [...walkLiteral(tree, { relative: '', path: root, entry }, rest, excludes)]
      : [...walk(tree, { relative: '', path: root, entry }, { excludes, includes: new IgnoreMatcher([rest]) })]
    if (required && paths.length <= 1 && rest !== '') return absent(rootedPath(`${match}/${rest}`), optional)
    return { name: baseName(match), directory: true, paths }
  })
}

interface Filters {
  readonly excludes: IgnoreMatcher | undefined
  readonly includes: IgnoreMatcher | undefined
}

interface Place {
  readonly relative: string
  readonly path: string
  readonly entry: TreeEntry
}

interface WalkState extends Place {
  readonly excluded: ParentMatch | undefined
  readonly included: ParentMatch | undefined
}

/**
 * What is at and below `rest`, with the directories from `root` down to it. As in a plain COPY, symlinks on the way are
 * followed: the copy has directories in their place.
 */
function* walkLiteral(
  tree: Tree,
  root: Place,
  rest: string,
  excludes: IgnoreMatcher | undefined,
): Generator<SelectedPath> {
  const above: SelectedPath[] = []
  let place = root
  for (const part of rest.split('/').filter((element) => element !== '')) {
    const path = resolvePath(tree, place.path, { followLast: true })
    const entry = tree.lookup(path)
    if (entry?.type !== 'directory') return
    above.push({ relative: place.relative, path, entry, implied: place !== root })
    const below = childPath(path, part)
    const next = tree.lookup(below)
    if (next === undefined) return
    place = { relative: place === root ? part : `${place.relative}/${part}`, path: below, entry: next }
  }
  const found = [...walk(tree, place, { excludes, includes: undefined })]
  if (found.length > 0) yield* above
  yield* found
}

/** Depth first, with an explicit stack so that no depth of directories can exhaust the call stack. */
function* walk(tree: Tree, from: Place, { excludes, includes }: Filters): Generator<SelectedPath> {
  const stack: (WalkState | { readonly leave: true })[] = [{ ...from, excluded: undefined, included: undefined }]
  // Directories above the current path that are not given out yet: they appear only when something below them does.
  const open: { state: WalkState; given: boolean }[] = []
  for (let item = stack.pop(); item !== undefined; item = stack.pop()) {
    if ('leave' in item) {
      open.pop()
      continue
    }
    const { relative, entry } = item
    let include = includes === undefined || relative === ''
    let excluded = item.excluded
    let included = item.included
    let skip = false
    if (relative !== '') {
      if (includes !== undefined) {
        included = includes.matchesWithParent(relative, item.included)
        include = included.matched
      }
      if (excludes !== undefined) {
        excluded = excludes.matchesWithParent(relative, item.excluded)
        if (excluded.matched) {
          include = false
          skip = !excludes.hasExceptions
        }
      }
    }
    if (skip || (!include && entry.type !== 'directory')) continue
    if (include) {
      for (const directory of open) {
        if (directory.given) continue
        directory.given = true
        const { state } = directory
        yield { relative: state.relative, path: state.path, entry: state.entry, implied: true }
      }
      yield { relative, path: item.path, entry, implied: false }
    }
    if (entry.type !== 'directory') continue
    open.push({ state: item, given: include })
    stack.push({ leave: true })
    for (const name of tree.list(item.path).toReversed()) {
      const path = childPath(item.path, name)
      const child = tree.lookup(path)
      if (child === undefined) continue
      stack.push({ relative: relative === '' ? name : `${relative}/${name}`, path, entry: child, excluded, included })
    }
  }
}

/** True when the path has `*`, `?` or `[` that is not escaped: only then may a source match nothing. */
function hasOpenWildcard(path: string): boolean {
  return /^(?:[^\\*?[]|\\.)*[*?[]/s.test(path)
}

/** The path of a pattern up to its first element with a wildcard. */
function literalPrefix(pattern: string): string {
  const parts = pattern.split('/').slice(1)
  return `/${parts.slice(0, parts.findIndex(hasOpenWildcard)).join('/')}`
}

/**
 * Paths that match, in order; undefined where the part without wildcards is missing. That part is resolved through
 * symlinks; below it, only real directories are entered.
 */
function expandWildcard(tree: Tree, pattern: string): string[] | undefined {
  const prefix = literalPrefix(pattern)
  const start = resolvePath(tree, prefix, { followLast: true })
  if (prefix !== '/' && tree.lookup(start) === undefined) return undefined
  let level = [start]
  const rest = pattern
    .slice(prefix.length)
    .split('/')
    .filter((part) => part !== '')
  for (const [index, part] of rest.entries()) {
    const last = index === rest.length - 1
    const next: string[] = []
    for (const directory of level) {
      if (tree.lookup(directory)?.type !== 'directory') continue
      for (const name of tree.list(directory)) {
        if (!matchPath(part, name)) continue
        const path = childPath(directory, name)
        const entry = tree.lookup(path)
        if (entry !== undefined && (last || entry.type === 'directory')) next.push(path)
      }
    }
    level = next
  }
  return level
}
