import type { Tree, TreeEntry } from '../layers/tree.ts'

/** A tree with files more in its root, which only their owner may read; each takes the place of what has its name. */
export function withFiles(tree: Tree, files: ReadonlyMap<string, Uint8Array>, mtimeSeconds: number): Tree {
  const added = (path: string): Uint8Array | undefined => files.get(path.slice(1))
  const entryOf = (bytes: Uint8Array): TreeEntry => ({
    type: 'file',
    mode: 0o600,
    uid: 0,
    gid: 0,
    size: bytes.length,
    mtimeSeconds,
    mtimeNanoseconds: 0,
    linkname: '',
    devMajor: 0,
    devMinor: 0,
    xattrs: new Map(),
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
