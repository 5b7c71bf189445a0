import { stackTree } from '../trees/layer-tree.ts'
import type { LayerWriter } from './layer-writer.ts'
import type { LayerTree } from '../tree.ts'

/**
 * Writes as one layer what the layers `upper` change together on the layers `lower`, all the lowest first: what they
 * add and alter as it is in the end, and whiteouts for what of `lower` is gone. What came and went leaves no trace. The
 * same layers give the same bytes. Throws what {@link LayerWriter} does; the writer is left open.
 */
export function writeSquashed(lower: readonly LayerTree[], upper: readonly LayerTree[], writer: LayerWriter): void {
  const whole = stackTree([...lower, ...upper])
  const before = stackTree(lower)
  const written = new Map<string, string>()
  const pending = ['/']
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const entry = whole.lookup(path)
    if (entry === undefined) continue
    const { inode, ...fields } = entry
    const member = path === '/' ? '.' : path.slice(1)
    const first = inode === undefined ? undefined : written.get(inode)
    if (first !== undefined) writer.add({ ...fields, path: member, type: 'hardlink', size: 0, linkname: first })
    // The root has an entry where a layer says what it is like.
    else if (path !== '/' || upper.some((layer) => !layer.isImplied('/')))
      writer.add({ ...fields, path: member }, entry.type === 'file' ? { from: 'tree', tree: whole, path } : undefined)
    if (inode !== undefined && first === undefined) written.set(inode, member)
    if (entry.type !== 'directory') continue
    const names = new Set(whole.list(path))
    if (before.lookup(path)?.type === 'directory')
      for (const name of before.list(path)) if (!names.has(name)) writer.addWhiteout(below(path, name).slice(1))
    for (const name of touchedNames(upper, path, names).toReversed()) pending.push(below(path, name))
  }
}

/** The names in the directory `path` that one of the layers has something to do with, in order. */
function touchedNames(layers: readonly LayerTree[], path: string, names: ReadonlySet<string>): string[] {
  if (layers.some((layer) => layer.hides(path))) return [...names]
  return [...new Set(layers.flatMap((layer) => layer.list(path)))].filter((name) => names.has(name)).sort()
}

function below(directory: string, name: string): string {
  return directory === '/' ? `/${name}` : `${directory}/${name}`
}
