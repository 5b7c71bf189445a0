import type { FileNode } from './file-tree.ts'

export interface TreeVisitor {
  /** A directory, before what is in it. `path` has no leading slash. */
  directory?(node: FileNode, path: string): void
  /** Anything else, in the directory at `parent`. */
  file?(node: FileNode, parent: FileNode): void
}

/** Visits all names at and below a directory; the path of each directory is made once. */
export function walkTree(top: FileNode, visitor: TreeVisitor): void {
  const pending: { readonly node: FileNode; readonly path: string }[] = [{ node: top, path: top.path }]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { node, path } = next
    visitor.directory?.(node, path)
    for (const child of node.children?.values() ?? []) {
      if (child.children === undefined) visitor.file?.(child, node)
      else pending.push({ node: child, path: path === '' ? child.name : `${path}/${child.name}` })
    }
  }
}
