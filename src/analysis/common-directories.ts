import type { WasteKind } from './analysis.ts'
import type { FileNode, FileTree } from './file-tree.ts'
import { walkTree } from './walk.ts'

/** A wasted file before the files of a directory are taken together. */
export interface WastedFile {
  readonly kind: WasteKind
  readonly node: FileNode
  readonly bytes: number
  readonly files: number
  readonly layer: number
  readonly origin: number
  readonly detail: string
  /** Of a duplicate: where the same content stands. */
  readonly original?: FileNode
}

/** Wasted files told as one: a directory of which all files are among them, or one file. */
export interface CommonDirectory {
  readonly directory: FileNode
  readonly items: readonly WastedFile[]
  /** Of duplicates: the file, or the directory that all originals are in. */
  readonly original: FileNode | undefined
}

/**
 * Takes wasted files together where every file of a directory shares the same fate by the same instruction, as after
 * `chown -R /app` or `rm -rf /app/*`; the others stand for themselves. Linear in files times the depth of their paths.
 */
export function rollUp(tree: FileTree, files: readonly WastedFile[]): readonly CommonDirectory[] {
  const groups = new Map<string, WastedFile[]>()
  for (const file of files) {
    const key = `${file.kind} ${file.layer} ${file.origin} ${file.detail}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [file])
    else group.push(file)
  }
  const totals = filesBelow(tree)
  return [...groups.values()].flatMap((group) => rollUpGroup(group, totals))
}

function rollUpGroup(group: readonly WastedFile[], totals: ReadonlyMap<FileNode, number>): CommonDirectory[] {
  const counts = new Map<FileNode, number>()
  for (const { node } of group)
    for (let at = node.parent; at !== undefined; at = at.parent) counts.set(at, (counts.get(at) ?? 0) + 1)
  const directories = new Map<FileNode, WastedFile[]>()
  for (const item of group) {
    const top = highestShared(item, counts, totals)
    const known = directories.get(top)
    if (known === undefined) directories.set(top, [item])
    else known.push(item)
  }
  return [...directories.values()].map((items) => ({
    directory: items.length === 1 ? (items[0] as WastedFile).node : lowestCommon(items.map(({ node }) => node)),
    items,
    original: originalOf(items),
  }))
}

/** The highest directory of which all files are in the group, or, if they are removed, were; the file itself where there is none. */
function highestShared(
  { kind, node }: WastedFile,
  counts: ReadonlyMap<FileNode, number>,
  totals: ReadonlyMap<FileNode, number>,
): FileNode {
  let top = node
  for (let at = node.parent; at?.parent !== undefined; at = at.parent) {
    const [count = 0, total = 0] = [counts.get(at), totals.get(at)]
    if (kind === 'removed' ? total > 0 : count < total) break
    if (count > 1) top = at
  }
  return top
}

function originalOf(items: readonly WastedFile[]): FileNode | undefined {
  const originals = items.flatMap(({ original }) => (original === undefined ? [] : [original]))
  return originals.length < 2 ? originals[0] : lowestCommon(originals)
}

/** The lowest node that all of these are at or below. */
function lowestCommon(nodes: readonly FileNode[]): FileNode {
  let common = nodes[0] as FileNode
  let depth = depthOf(common)
  for (const other of nodes.slice(1)) {
    let node = other
    let nodeDepth = depthOf(node)
    for (; nodeDepth > depth; nodeDepth--) node = node.parent as FileNode
    for (; depth > nodeDepth; depth--) common = common.parent as FileNode
    for (; common !== node; depth--) {
      common = common.parent as FileNode
      node = node.parent as FileNode
    }
  }
  return common
}

function depthOf(node: FileNode): number {
  let depth = 0
  for (let at = node.parent; at !== undefined; at = at.parent) depth++
  return depth
}

/** For each directory, the names of files with bytes at or below it in the final image. */
function filesBelow(tree: FileTree): ReadonlyMap<FileNode, number> {
  const totals = new Map<FileNode, number>()
  walkTree(tree.root, {
    file({ file }, parent) {
      if ((file?.bytes ?? 0) > 0) totals.set(parent, (totals.get(parent) ?? 0) + 1)
    },
  })
  const own = [...totals]
  for (const [directory, files] of own)
    for (let at = directory.parent; at !== undefined; at = at.parent) totals.set(at, (totals.get(at) ?? 0) + files)
  return totals
}
