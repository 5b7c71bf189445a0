/**
 * One member of an archive. Names, link names and user names are strings in which bytes that are not UTF-8 stand as
 * lone surrogates (see linux/path-bytes.ts), so every name survives reading and writing.
 */
export interface TarEntry {
  readonly type: 'file' | 'hardlink' | 'symlink' | 'character-device' | 'block-device' | 'directory' | 'fifo'
  /** As in the archive: relative or absolute, a trailing slash removed from directories. */
  readonly path: string
  /** Permission bits with setuid, setgid and sticky: 0 to 0o7777. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Bytes of content (the expanded size of a sparse file); 0 for all but files. */
  readonly size: number
  /** Seconds since 1970, may be negative. */
  readonly mtimeSeconds: number
  /** 0 to 999,999,999. */
  readonly mtimeNanoseconds: number
  /** Target of a hardlink or symlink, else ''. */
  readonly linkname: string
  readonly devMajor: number
  readonly devMinor: number
  /** Extended attributes with binary values, from SCHILY.xattr.* records. */
  readonly xattrs: ReadonlyMap<string, Uint8Array>
}

/** What an entry is where nothing else is said of it: root's, of 1970, empty and without attributes. */
export const blankEntry: Omit<TarEntry, 'type' | 'path' | 'mode'> = {
  uid: 0,
  gid: 0,
  size: 0,
  mtimeSeconds: 0,
  mtimeNanoseconds: 0,
  linkname: '',
  devMajor: 0,
  devMinor: 0,
  xattrs: new Map(),
}
