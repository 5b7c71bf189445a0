import type { Tree, TreeEntry } from '../tree.ts'

/** In what a path differs between two trees. */
export type FileAspect = 'type' | 'content' | 'mode' | 'owner' | 'target' | 'device' | 'attributes' | 'time'

/** A path that is not the same in two trees. */
export interface FileDifference {
  /** Absolute. */
  readonly path: string
  readonly change: 'added' | 'changed' | 'removed'
  /** Undefined where it was added. */
  readonly from: TreeEntry | undefined
  /** Undefined where it was removed. */
  readonly to: TreeEntry | undefined
  /** Empty unless it was changed. */
  readonly aspects: readonly FileAspect[]
}

export interface CompareOptions {
  /** Modification times count. */
  readonly times: boolean
  /** True for a path known to be the very same file in both trees, which spares reading it. */
  readonly isSame?: (path: string) => boolean
}

/**
 * What differs between two trees, by path: parents first, names sorted. What is below a directory that only one of them
 * has is told too. Files of one size are read to compare them. Errors of the trees pass through.
 */
export function* compareTrees(from: Tree, to: Tree, options: CompareOptions): Generator<FileDifference> {
  yield* comparePath(from, to, '/', options)
}

function* comparePath(from: Tree, to: Tree, path: string, options: CompareOptions): Generator<FileDifference> {
  const [before, after] = [from.lookup(path), to.lookup(path)]
  if (before !== undefined && after !== undefined) {
    const aspects = differences(from, to, path, before, after, options)
    if (aspects.length > 0) yield { path, change: 'changed', from: before, to: after, aspects }
  } else if (after !== undefined) yield { path, change: 'added', from: undefined, to: after, aspects: [] }
  else if (before !== undefined) yield { path, change: 'removed', from: before, to: undefined, aspects: [] }
  const names = new Set([
    ...(before?.type === 'directory' ? from.list(path) : []),
    ...(after?.type === 'directory' ? to.list(path) : []),
  ])
  for (const name of [...names].toSorted())
    yield* comparePath(from, to, path === '/' ? `/${name}` : `${path}/${name}`, options)
}

function differences(
  from: Tree,
  to: Tree,
  path: string,
  before: TreeEntry,
  after: TreeEntry,
  { times, isSame }: CompareOptions,
): readonly FileAspect[] {
  if (before.type !== after.type) return ['type']
  const aspects: FileAspect[] = []
  if (before.type === 'file' && isSame?.(path) !== true) {
    const isEqual = before.size === after.size && equalBytes(from.read(path), to.read(path))
    if (!isEqual) aspects.push('content')
  }
  if (before.type !== 'symlink' && before.mode !== after.mode) aspects.push('mode')
  if (before.uid !== after.uid || before.gid !== after.gid) aspects.push('owner')
  if (before.linkname !== after.linkname) aspects.push('target')
  if (before.devMajor !== after.devMajor || before.devMinor !== after.devMinor) aspects.push('device')
  if (!equalXattrs(before.xattrs, after.xattrs)) aspects.push('attributes')
  const isTimeEqual = before.mtimeSeconds === after.mtimeSeconds && before.mtimeNanoseconds === after.mtimeNanoseconds
  if (times && !isTimeEqual) aspects.push('time')
  return aspects
}

function equalXattrs(a: ReadonlyMap<string, Uint8Array>, b: ReadonlyMap<string, Uint8Array>): boolean {
  if (a.size !== b.size) return false
  return [...a].every(([name, value]) => {
    const other = b.get(name)
    return other !== undefined && Buffer.compare(value, other) === 0
  })
}

/** True when both give the same bytes, in whatever pieces. */
function equalBytes(a: Iterable<Uint8Array>, b: Iterable<Uint8Array>): boolean {
  const others = b[Symbol.iterator]()
  let rest: Uint8Array = new Uint8Array(0)
  try {
    for (let piece of a)
      while (piece.length > 0) {
        while (rest.length === 0) {
          const next = others.next()
          if (next.done === true) return false
          rest = next.value
        }
        const count = Math.min(piece.length, rest.length)
        if (Buffer.compare(piece.subarray(0, count), rest.subarray(0, count)) !== 0) return false
        piece = piece.subarray(count)
        rest = rest.subarray(count)
      }
    for (; rest.length === 0;) {
      const next = others.next()
      if (next.done === true) return true
      rest = next.value
    }
    return false
  } finally {
    others.return?.()
  }
}
