import { comparePaths } from '../../linux/path-bytes.ts'
import type { TarEntry } from '../../tar/entry.ts'
import type { TarSink } from '../../tar/writer.ts'
import { LayerWriter, type LayerWriterOptions, type WrittenLayer } from './layer-writer.ts'
import type { Tree, TreeEntry } from '../tree.ts'

export interface PackTreeOptions extends LayerWriterOptions {
  /** Also write an entry for `/`. */
  readonly withRoot?: boolean
}

/**
 * Writes what `tree` has at `path` as one tar, to a file or into a sink: of a directory what is below it (itself as `.`,
 * `/` only where it is asked for), of anything else that alone under its own name. Names are sorted, parents stand before children,
 * hard links are kept; the same tree gives the same bytes. Throws as LayerWriter.
 */
export function packTree(
  tree: Tree,
  path: string,
  target: string | TarSink,
  options: PackTreeOptions = {},
): WrittenLayer {
  const writer = new LayerWriter(target, options)
  try {
    const entry = tree.lookup(path)
    const base = path === '/' ? '' : path
    if (entry === undefined || entry.type === 'directory') {
      if (entry !== undefined && (base !== '' || options.withRoot === true))
        add(writer, tree, path, '.', entry, new Map())
      addChildren(writer, tree, base, '', new Map())
    } else add(writer, tree, base, base.slice(base.lastIndexOf('/') + 1), entry, new Map())
    return writer.finish()
  } finally {
    writer.abort()
  }
}

/** `linked` has the first name of each file with several. */
function addChildren(
  writer: LayerWriter,
  tree: Tree,
  base: string,
  directory: string,
  linked: Map<string, string>,
): void {
  const from = directory === '' ? base : `${base}/${directory}`
  for (const name of tree.list(from || '/').toSorted(comparePaths)) {
    const path = directory === '' ? name : `${directory}/${name}`
    const entry = tree.lookup(`${base}/${path}`)
    if (entry === undefined) continue
    add(writer, tree, `${base}/${path}`, path, entry, linked)
    if (entry.type === 'directory') addChildren(writer, tree, base, path, linked)
  }
}

function add(
  writer: LayerWriter,
  tree: Tree,
  from: string,
  path: string,
  found: TreeEntry,
  linked: Map<string, string>,
): void {
  const { inode, ...entry } = found
  const first = inode === undefined || found.type === 'directory' ? undefined : linked.get(inode)
  if (first !== undefined) return writer.add(asMember(entry, path, 'hardlink', first))
  if (inode !== undefined) linked.set(inode, path)
  const member = asMember(entry, path, entry.type, entry.linkname)
  if (entry.type === 'file') writer.add(member, { from: 'tree', tree, path: from })
  else writer.add(member)
}

function asMember(entry: Omit<TreeEntry, 'inode'>, path: string, type: TarEntry['type'], linkname: string): TarEntry {
  return { ...entry, path, type, linkname, size: type === 'file' ? entry.size : 0 }
}
