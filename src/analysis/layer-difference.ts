import { compareTrees, type FileDifference } from '../layers/trees/compare-trees.ts'
import type { LayerTree, TreeEntry } from '../layers/tree.ts'
import { type ByteDifference, firstDifference } from './byte-difference.ts'
import { causeOf, type DifferenceCause, type DifferingFile } from './difference-cause.ts'

/** In what two layers of one step differ. */
export interface LayerDifference extends DifferenceCause {
  /** The first path that differs, absolute. */
  readonly path: string
  readonly aspect: DifferingFile['aspect']
  /** What each of the two has, in a few words; undefined for one that has nothing there. */
  readonly from: string | undefined
  readonly to: string | undefined
  /** Where the bytes differ. */
  readonly bytes: ByteDifference | undefined
  /** All paths that differ, the first {@link mostPaths} of them. */
  readonly paths: readonly string[]
  /** Why the others of them probably differ, as far as they tell anything. */
  readonly others: readonly (DifferenceCause & { readonly path: string })[]
}

/** Paths of one layer that are told. */
const mostPaths = 100

/** Of those besides the first, how many are explained. */
const mostExplained = 20

/** Bytes of a text that is looked at for its order. */
const mostOrdered = 1 << 20

/** Compares two layers; undefined where all they say is the same. Files are read. */
export function compareLayers(from: LayerTree, to: LayerTree): LayerDifference | undefined {
  const differences: FileDifference[] = []
  for (const difference of compareTrees(from, to, { times: true })) {
    differences.push(difference)
    if (differences.length === mostPaths) break
  }
  const [first = differences[0], ...others] = differences.filter(isTelling)
  if (first === undefined) return compareRemovals(from, to)
  const file = differingFile(from, to, first)
  return {
    ...causeOf(file),
    ...shown(first, file),
    paths: differences.map(({ path }) => path),
    others: others
      .slice(0, mostExplained)
      .map((other) => ({ path: other.path, ...causeOf(differingFile(from, to, other)) })),
  }
}

/** A directory that differs in its time does so because of what is in it. */
function isTelling({ aspects, from }: FileDifference): boolean {
  return !(aspects.length === 1 && aspects[0] === 'time' && from?.type === 'directory')
}

function differingFile(from: LayerTree, to: LayerTree, { path, aspects, ...both }: FileDifference): DifferingFile {
  const isContent = aspects[0] === 'content'
  const bytes = isContent ? firstDifference(from.read(path), to.read(path)) : undefined
  const isSmall = isContent && [both.from, both.to].every((entry) => (entry?.size ?? 0) <= mostOrdered)
  return {
    path,
    aspect: aspects[0] ?? 'missing',
    bytes,
    head: isContent ? headOf(from.read(path)) : new Uint8Array(0),
    isReordered: isSmall && linesOf(from, path) === linesOf(to, path),
  }
}

function headOf(content: Iterable<Uint8Array>): Uint8Array {
  for (const chunk of content) return chunk.slice(0, 512)
  return new Uint8Array(0)
}

function linesOf(tree: LayerTree, path: string): string {
  const text = Buffer.concat([...tree.read(path)].map((chunk) => chunk.slice())).toString('latin1')
  return text
    .split(/[\s,]+/)
    .toSorted()
    .join('\n')
}

function shown(
  { path, from, to }: FileDifference,
  { aspect, bytes }: DifferingFile,
): Pick<LayerDifference, 'path' | 'aspect' | 'from' | 'to' | 'bytes'> {
  return { path, aspect, from: describe(from, aspect), to: describe(to, aspect), bytes }
}

function describe(entry: TreeEntry | undefined, aspect: DifferingFile['aspect']): string | undefined {
  if (entry === undefined) return undefined
  switch (aspect) {
    case 'type':
    case 'missing':
      return entry.type
    case 'content':
      return `${entry.size} bytes`
    case 'mode':
      return entry.mode.toString(8)
    case 'owner':
      return `${entry.uid}:${entry.gid}`
    case 'target':
      return entry.linkname
    case 'device':
      return `${entry.devMajor}:${entry.devMinor}`
    case 'attributes':
      return attributesOf(entry)
    case 'time':
      return new Date(entry.mtimeSeconds * 1000).toISOString().replace('.000Z', 'Z')
    default:
      return aspect satisfies never
  }
}

function attributesOf({ xattrs }: TreeEntry): string {
  const values = [...xattrs].map(([name, value]) => `${name}=${Buffer.from(value).toString('hex')}`)
  return values.length === 0 ? 'none' : values.toSorted().join(' ')
}

/** What only one of the two removes from the layers below, or makes opaque. */
function compareRemovals(from: LayerTree, to: LayerTree): LayerDifference | undefined {
  const [one, other] = [removalsOf(from), removalsOf(to)]
  const paths = [...new Set([...one, ...other])].filter((path) => one.has(path) !== other.has(path)).toSorted()
  const [path] = paths
  if (path === undefined) return undefined
  const file: DifferingFile = { path, aspect: 'missing', bytes: undefined, head: new Uint8Array(0), isReordered: false }
  const state = (removed: boolean): string => (removed ? 'removed' : 'left')
  const states = { from: state(one.has(path)), to: state(other.has(path)) }
  return {
    ...causeOf(file),
    path,
    aspect: 'missing',
    ...states,
    bytes: undefined,
    paths: paths.slice(0, mostPaths),
    others: [],
  }
}

function removalsOf(tree: LayerTree): ReadonlySet<string> {
  const removed = new Set<string>()
  const pending = ['/']
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const inside = path === '/' ? '' : path
    for (const name of tree.whiteouts(path)) removed.add(`${inside}/${name}`)
    if (path !== '/' && tree.lookup(path)?.type === 'directory' && tree.hides(path)) removed.add(path)
    if (path === '/' || tree.lookup(path)?.type === 'directory')
      for (const name of tree.list(path)) pending.push(`${inside}/${name}`)
  }
  return removed
}
