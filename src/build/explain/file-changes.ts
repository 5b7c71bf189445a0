import { parentPath } from '../paths.ts'
import type { FileCause } from './miss.ts'

/**
 * Files of one source: path → `<type> <mode> <uid>:<gid>` and a fingerprint of the content, with a colon between. Where
 * there are extended attributes a fingerprint without them follows, and with ` -> ` the target of a symlink.
 */
export type FileDigests = ReadonlyMap<string, string>

/** What is different about files, in the order of the paths. */
export function fileChanges(before: FileDigests, now: FileDigests): FileCause[] {
  const gone: string[] = []
  const come: string[] = []
  const changes: FileCause[] = []
  for (const [path, old] of before) {
    const current = now.get(path)
    if (current === undefined) gone.push(path)
    else if (current !== old)
      for (const change of changesOf(old, current)) changes.push({ kind: 'file', path, ...change })
  }
  for (const path of now.keys()) if (!before.has(path)) come.push(path)
  changes.push(...movedFiles(treesOf(gone, before), treesOf(come, now)))
  return changes.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0))
}

/** A path that came or went, with all below it that did. */
interface PathTree {
  readonly root: string
  /** The root among them. */
  readonly paths: readonly string[]
  /** Says what is there, whatever the root is called; undefined where that is nothing but directories. */
  readonly content: string | undefined
}

function treesOf(paths: readonly string[], files: FileDigests): PathTree[] {
  const all = new Set(paths)
  const roots = Map.groupBy(paths, (path) => {
    let root = path
    for (let above = parentPath(root); all.has(above); above = parentPath(root)) root = above
    return root
  })
  return [...roots].map(([root, own]) => {
    const lines = own.map((path) => JSON.stringify([path.slice(root.length), files.get(path)]))
    const isBare = own.every((path) => files.get(path)?.startsWith('directory ') === true)
    return { root, paths: own, content: isBare ? undefined : lines.sort().join('\n') }
  })
}

/** What went and what came. A path with the content of just one that went is that, under another name. */
function movedFiles(gone: readonly PathTree[], come: readonly PathTree[]): FileCause[] {
  const [from, to] = [gone, come].map((trees) => Map.groupBy(trees, ({ content }) => content))
  const renamed = new Map<PathTree, PathTree>()
  for (const [content, [old, ...others]] of from ?? []) {
    const [now, ...rest] = to?.get(content) ?? []
    if (content === undefined || old === undefined || now === undefined || others.length + rest.length > 0) continue
    renamed.set(old, now)
  }
  const arrived = new Set(renamed.values())
  const each = (trees: readonly PathTree[], change: 'added' | 'removed'): FileCause[] =>
    trees.flatMap(({ paths }) => paths.map((path): FileCause => ({ kind: 'file', path, change })))
  return [
    ...[...renamed].map(([old, now]): FileCause => ({
      kind: 'file',
      path: now.root,
      change: 'renamed',
      before: old.root,
    })),
    ...each(
      gone.filter((tree) => !renamed.has(tree)),
      'removed',
    ),
    ...each(
      come.filter((tree) => !arrived.has(tree)),
      'added',
    ),
  ]
}

type Change = Omit<FileCause, 'kind' | 'path'>

function changesOf(before: string, now: string): Change[] {
  const [old, current] = [fileFacts(before), fileFacts(now)]
  if (old === undefined || current === undefined) return [{ change: 'content' }]
  if (old.type !== current.type) return [{ change: 'type', before: old.type, now: current.type }]
  const attributes = (['mode', 'owner'] as const)
    .filter((change) => old[change] !== current[change])
    .map((change) => ({ change, before: old[change], now: current[change] }))
  // Whether a directory is there for itself or for what is in it changes nothing of it.
  return old.content === current.content ? attributes : [contentChange(old, current), ...attributes]
}

function contentChange(old: FileFacts, current: FileFacts): Change {
  if (old.target !== undefined && current.target !== undefined && old.target !== current.target)
    return { change: 'target', before: old.target, now: current.target }
  return old.bytes === current.bytes || old.type === 'directory' ? { change: 'xattrs' } : { change: 'content' }
}

interface FileFacts {
  readonly type: string
  readonly mode: string
  readonly owner: string
  readonly content: string
  /** The same without extended attributes. */
  readonly bytes: string
  readonly target: string | undefined
}

/** A value of {@link FileDigests} in its parts. */
function fileFacts(text: string): FileFacts | undefined {
  const match = /^([a-z-]+) (?:([0-7]+) (\d+:\d+)|root)(?: implied)?:(\S*)(?: ([^ ]+))??(?: -> (.*))?$/s.exec(text)
  if (match === null) return undefined
  const [, type = '', mode = '', owner = '', content = '', bytes = content, target] = match
  return { type, mode, owner, content, bytes, target }
}

/** The type in a value of {@link FileDigests}. */
export function typeOf(text = ''): string {
  return text.slice(0, text.indexOf(' '))
}
