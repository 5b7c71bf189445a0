import { blankEntry, type TarEntry } from '../../tar/entry.ts'

/** A member of an archive of images: all have the same owner and no time, so that equal images give equal archives. */
export function archiveMember(type: 'file' | 'directory', path: string, size: number): TarEntry {
  return { ...blankEntry, type, path, size, mode: type === 'file' ? 0o644 : 0o755 }
}
