import type { TarEntry } from '../../tar/entry.ts'

/** A member of an archive of images: all have the same owner and no time, so that equal images give equal archives. */
export function archiveMember(type: 'file' | 'directory', path: string, size: number): TarEntry {
  return {
    type,
    path,
    size,
    mode: type === 'file' ? 0o644 : 0o755,
    uid: 0,
    gid: 0,
    mtimeSeconds: 0,
    mtimeNanoseconds: 0,
    linkname: '',
    devMajor: 0,
    devMinor: 0,
    xattrs: new Map(),
  }
}
