import type { Digest } from '../oci/digest.ts'
import { blankEntry } from '../tar/entry.ts'

/** One path of a root filesystem, as an image's layers describe it. */
export interface TreeEntry {
  readonly type: 'file' | 'symlink' | 'character-device' | 'block-device' | 'directory' | 'fifo'
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly mtimeSeconds: number
  readonly mtimeNanoseconds: number
  readonly linkname: string
  readonly devMajor: number
  readonly devMinor: number
  readonly xattrs: ReadonlyMap<string, Uint8Array>
  /** Two paths of one tree with the same defined value are names of the same file (hard links). */
  readonly inode: string | undefined
}

/** A directory that nothing describes: one that is only there because something is in it. */
export const impliedDirectory: TreeEntry = { ...blankEntry, type: 'directory', mode: 0o755, inode: undefined }

/**
 * Read-only view of a root filesystem: of one directory, or of a stack of layers seen as one. Paths are absolute and
 * clean (`/`, `/etc/passwd`); symlinks are never followed by these methods.
 */
export interface Tree {
  /** What is at `path`, or undefined. */
  lookup(path: string): TreeEntry | undefined
  /** Names in the directory at `path`, sorted by UTF-16 code units; empty when it is no directory. */
  list(path: string): readonly string[]
  /** Content of the file at `path`, in order. The pieces are valid until the next one is asked for. */
  read(path: string): Iterable<Uint8Array>
  /**
   * Opens the very file at `path`, of a tree whose files are files of this machine: they are then copied without a
   * detour. The descriptor is the caller's to close.
   */
  open?(path: string): number
  /** Where such a file is, for messages. */
  hostPath?(path: string): string
  /** Digest that the file at `path` was found to have, where it was asked for: who copies it checks that it still has it. */
  knownDigest?(path: string): Digest | undefined
  /** True where nobody can change the files meanwhile, so that what they were found to have need not be checked. */
  readonly isImmutable?: boolean
}

/** One layer alone, which also says what it hides of the layers below it. */
export interface LayerTree extends Tree {
  /** True when the layers below show nothing at `path`: the layer removes, replaces or covers it or a parent of it. */
  hides(path: string): boolean
  /** Names that the layer removes from the directory at `path`. */
  whiteouts(path: string): readonly string[]
  /** True for a directory the layer needs but does not describe: a layer below may know its mode and owner. */
  isImplied(path: string): boolean
}
