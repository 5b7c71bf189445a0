import type { Tree, TreeEntry } from '../layers/tree.ts'
import { blankEntry } from '../tar/entry.ts'

/** A tree with files more in its root, which only their owner may read; each takes the place of what has its name. */
export function withFiles(tree: Tree, files: ReadonlyMap<string, Uint8Array>, mtimeSeconds: number): Tree {
  const added = (path: string): Uint8Array | undefined => files.get(path.slice(1))
  const entryOf = (bytes: Uint8Array): TreeEntry => ({
    ...blankEntry,
    type: 'file',
    mode: 0o600,
    size: bytes.length,
    mtimeSeconds,
    inode: undefined,
  })
  return {
    lookup: (path) => {
      const bytes = added(path)
      return bytes === undefined ? tree.lookup(path) : entryOf(bytes)
    },
    list: (path) => (path === '/' ? [...new Set([...tree.list(path), ...files.keys()])].sort() : tree.list(path)),
    read: (path) => {
      const bytes = added(path)
      return bytes === undefined ? tree.read(path) : [bytes]
    },
  }
}
