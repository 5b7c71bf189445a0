/** Bounds on what an archive may make its reader hold or write. Passing one fails with LIMIT_EXCEEDED. */
export interface TarLimits {
  /** Members. */
  readonly entries: number
  /** Bytes of one member's path or link name. */
  readonly pathLength: number
  /** Bytes of one extended header, and of one sparse map. */
  readonly headerBytes: number
  /** Bytes of all files together, holes included. */
  readonly contentBytes: number
  /** Bytes of all holes of sparse files together, which cost an archive nothing and its reader time. */
  readonly holeBytes: number
  /** Components of one member's path. */
  readonly depth: number
}

/** Far above any real image; paths as Linux's PATH_MAX, extended headers as Go's archive/tar. */
export const defaultTarLimits: TarLimits = {
  entries: 2_000_000,
  pathLength: 4095,
  headerBytes: 1024 * 1024,
  contentBytes: 1024 ** 4,
  holeBytes: 64 * 1024 ** 3,
  depth: 512,
}
