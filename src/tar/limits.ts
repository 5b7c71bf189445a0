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
}

/** Far above any real image: 10 million members, Linux's PATH_MAX, 1 MiB as Go's archive/tar, 1 TiB. */
export const defaultTarLimits: TarLimits = {
  entries: 10_000_000,
  pathLength: 4095,
  headerBytes: 1024 * 1024,
  contentBytes: 1024 ** 4,
}
