import { blankEntry } from '../../tar/entry.ts'
import { readFileChunks } from '../file-chunks.ts'
import type { Tree, TreeEntry } from '../tree.ts'

/**
 * A directory that holds nothing but one file of this machine, which only its owner may read. `size` is in bytes, `mtime`
 * in seconds since 1970.
 */
export function singleFileTree(name: string, path: string, size: number, mtime: number): Tree {
  const owned = { ...blankEntry, mtimeSeconds: mtime, inode: undefined }
  const directory: TreeEntry = { ...owned, type: 'directory', mode: 0o755 }
  const file: TreeEntry = { ...owned, type: 'file', mode: 0o600, size }
  return {
    lookup: (at) => (at === '/' ? directory : at === `/${name}` ? file : undefined),
    list: (at) => (at === '/' ? [name] : []),
    read: () => readFileChunks(path),
  }
}
