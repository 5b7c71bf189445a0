import type { FileNode, FileTree, StoredFile } from './file-tree.ts'
import { type LeftoverRule, leftoverRuleFor } from './package-caches.ts'
import { walkTree } from './walk.ts'

/** What a rule matched, as far as one layer holds it. */
export interface Leftover {
  readonly rule: LeftoverRule
  readonly directory: FileNode
  /** Index of the layer that holds the files. */
  readonly layer: number
  readonly files: readonly StoredFile[]
}

/** Caches and temporary files of the final image. A file that also has a name elsewhere, as in pnpm's store, is none. */
export function findLeftovers(tree: FileTree): readonly Leftover[] {
  const leftovers: Leftover[] = []
  const names = new Map<StoredFile, number>()
  walkTree(tree.root, {
    directory(node, path) {
      const rule = leftoverRuleFor(path)
      if (rule === undefined) return
      const layers = new Map<number, Set<StoredFile>>()
      for (const file of filesOf(node, rule)) {
        if (file.bytes === 0) continue
        const seen = (names.get(file) ?? 0) + 1
        names.set(file, seen)
        if (seen === file.names) layers.set(file.layer, (layers.get(file.layer) ?? new Set()).add(file))
      }
      for (const [layer, files] of layers) leftovers.push({ rule, directory: node, layer, files: [...files] })
    },
  })
  return leftovers
}

function* filesOf(directory: FileNode, rule: LeftoverRule): Generator<StoredFile> {
  const pending = [directory]
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    for (const child of node.children?.values() ?? []) {
      // A directory that has a rule of its own is told by that.
      const isPlain = child.children === undefined
      if (isPlain && child.file !== undefined && (rule.files?.test(child.name) ?? true)) yield child.file
      if (!isPlain && rule.files === undefined && leftoverRuleFor(child.path) === undefined) pending.push(child)
    }
  }
}
