import type { WasteItem } from './analysis.ts'
import { type CommonDirectory, rollUp, type WastedFile } from './common-directories.ts'
import type { FileNode, FileTree, StoredFile } from './file-tree.ts'
import type { HiddenFiles } from './hidden-files.ts'
import { findLeftovers, type Leftover } from './leftovers.ts'
import { walkTree } from './walk.ts'

/** Copies smaller than a block of a file system are not told: a link instead would save nothing. Bytes. */
const smallestDuplicate = 4096

/**
 * All bytes that the image holds in vain, largest first. Each byte is told once: what is hidden is neither a cache nor
 * a duplicate, and what is in a cache is no duplicate.
 */
export function findWaste(tree: FileTree, hidden: readonly HiddenFiles[]): readonly WasteItem[] {
  const leftovers = findLeftovers(tree)
  const files: WastedFile[] = [...hidden, ...findDuplicates(tree, new Set(leftovers.flatMap((one) => one.files)))]
  const items = [...leftovers.map(leftoverItem), ...rollUp(tree, files).map(itemOf)]
  return items.sort((a, b) => b.bytes - a.bytes || (a.path < b.path ? -1 : a.path > b.path ? 1 : a.layer - b.layer))
}

/** Equal contents at several paths; the oldest copy, by layer and path, is the one to keep. */
function findDuplicates(tree: FileTree, leftovers: ReadonlySet<StoredFile>): readonly WastedFile[] {
  const copies = new Map<string, Map<StoredFile, FileNode>>()
  walkTree(tree.root, {
    file(node) {
      const { file } = node
      if (file === undefined || file.content === '' || file.bytes < smallestDuplicate || leftovers.has(file)) return
      const known = copies.get(file.content)
      if (known === undefined) copies.set(file.content, new Map([[file, node]]))
      else if (!known.has(file)) known.set(file, node)
    },
  })
  const duplicates: WastedFile[] = []
  for (const nodes of copies.values()) {
    if (nodes.size < 2) continue
    const [[, original], ...others] = [...nodes].sort(byAge) as [Copy, ...Copy[]]
    for (const [file, node] of others) {
      const { bytes, layer } = file
      if (isPackaged(original, node)) continue
      duplicates.push({ kind: 'duplicate', node, bytes, files: 1, layer, origin: layer, detail: '', original })
    }
  }
  return duplicates
}

type Copy = [StoredFile, FileNode]

/** Where packages of distributions put what is theirs. */
const packaged = /^(?:usr\/(?!local\/)|lib(?:32|64|x32)?\/|s?bin\/|var\/lib\/dpkg\/)/
const documentation = /^usr\/share\/(?:doc|man|licenses|common-licenses)\//

/** True for copies that packages install: one instruction brings both, or they are documentation. Nobody can do anything about them. */
function isPackaged(original: FileNode, copy: FileNode): boolean {
  const paths = [original.path, copy.path]
  if (paths.every((path) => documentation.test(path))) return true
  return original.file?.layer === copy.file?.layer && paths.every((path) => packaged.test(path))
}

function byAge([a, nodeA]: Copy, [b, nodeB]: Copy): number {
  return a.layer - b.layer || (nodeA.path < nodeB.path ? -1 : 1)
}

function leftoverItem({ rule, directory, layer, files }: Leftover): WasteItem {
  return {
    kind: rule.kind,
    path: `/${directory.path}`,
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    files: files.length,
    layer: layer + 1,
    origin: layer + 1,
    detail: rule.name,
    advice: rule.advice,
  }
}

function itemOf({ directory, items, original }: CommonDirectory): WasteItem {
  const [first] = items as readonly [WastedFile, ...WastedFile[]]
  const { kind, layer, origin } = first
  const detail = original === undefined ? first.detail : `/${original.path}`
  return {
    kind,
    path: `/${directory.path}`,
    bytes: items.reduce((sum, { bytes }) => sum + bytes, 0),
    files: items.reduce((sum, { files }) => sum + files, 0),
    layer: layer + 1,
    origin: origin + 1,
    detail,
    advice: adviceFor(first),
  }
}

function adviceFor({ kind, layer, origin, detail }: WastedFile): string {
  const isSameLayer = layer === origin
  switch (kind) {
    case 'removed':
      return isSameLayer
        ? 'the layer has it and hides it: make the layer again'
        : 'remove it in the RUN that makes it, make it in a stage of its own, or mount it instead of copying it'
    case 'overwritten':
      return isSameLayer
        ? 'the layer has the file twice: make the layer again'
        : 'write the file once, in one instruction'
    case 'duplicate':
      return 'copy it once and make a link to it'
    case 'metadata':
      if (detail === 'mode') return 'set the mode where the file is made: COPY --chmod, or chmod in the same RUN'
      if (detail.includes('owner'))
        return 'set the owner where the file is made: COPY --chown, or chown in the same RUN'
      return 'leave the file alone: it has the same content again'
    case 'cache':
    case 'temporary':
      return 'remove it in the same RUN'
    default:
      return kind satisfies never
  }
}
