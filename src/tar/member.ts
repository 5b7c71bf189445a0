import type { TarEntry } from './entry.ts'

/** A piece of a file's content: bytes `offset` to `offset + length` of the file stand at `position` of the archive. */
export interface Extent {
  readonly offset: number
  readonly length: number
  readonly position: number
}

/** An entry and where it stands in its archive. */
export interface TarMember {
  readonly entry: TarEntry
  /** Where the member's first header begins, extended headers included. */
  readonly headerPosition: number
  /** Where its content lies: one extent, or several with holes between for a sparse file; none when it is empty. */
  readonly extents: readonly Extent[]
}
