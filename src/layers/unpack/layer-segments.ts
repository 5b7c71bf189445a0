import { decompress } from '../../compression/decompress.ts'
import { decodeZstd } from '../../compression/decode-zstd.ts'
import { CairnError } from '../../errors/error.ts'
import { type FileStatus, fstat } from '../../linux/file-status.ts'
import { close, open, openAt, openFlags, pread } from '../../linux/files.ts'
import type { ByteSource } from '../../streams/source.ts'
import { baseName, parentPath } from '../member-path.ts'
import { SafeRoot } from '../safe-root.ts'

/** Bytes `start` to `end` of a file. */
export interface FileRange {
  readonly path: string
  readonly start: number
  readonly end: number
}

/**
 * Part of a layer's tar: what compressed bytes unpack to, or the content of a file of `size` bytes that stands at `path`
 * (cleaned) of another layer's directory.
 */
export type LayerSegment =
  | { readonly kind: 'compressed'; readonly ranges: readonly FileRange[] }
  | { readonly kind: 'file'; readonly directory: string; readonly path: string; readonly size: number }

/** A file of another layer's directory, while its bytes are given as part of a layer. */
export interface StoredFile {
  readonly fd: number
  readonly status: FileStatus
  /** The layer's directory. */
  readonly root: string
  /** The directory that it is in, open, and its name there. */
  readonly directory: number
  readonly name: string
  /** The piece that is given now, and where in the file it begins. */
  readonly bytes: Uint8Array
  readonly position: number
}

/** Tells which file the bytes of a layer come from that are given just now. */
export interface ContentOrigin {
  readonly current: StoredFile | undefined
}

const pieceSize = 256 * 1024
/** What is decoded at once: between two files there is a header or two, or a few small files. */
const smallRun = 256 * 1024
const smallContent = 4 * 1024 * 1024

/** A layer's tar, put together of segments. */
export class SegmentedLayer implements ContentOrigin {
  current: StoredFile | undefined
  readonly #segments: readonly LayerSegment[]
  readonly #name: string
  readonly #maxBytes: number
  readonly #buffer = new Uint8Array(new ArrayBuffer(pieceSize))
  readonly #roots = new Map<string, SafeRoot>()
  /** The file of compressed bytes that was read last. */
  #file: { readonly path: string; readonly fd: number } | undefined

  constructor(segments: readonly LayerSegment[], name: string, maxBytes: number) {
    this.#segments = segments
    this.#name = name
    this.#maxBytes = maxBytes
  }

  /**
   * The bytes of the tar. Throws COMPRESSION_INVALID, LIMIT_EXCEEDED past `maxBytes`, BLOB_CORRUPT for a file that is not
   * as it is said to be, and SystemCallError.
   */
  async *open(): ByteSource {
    let given = 0
    try {
      for (const segment of this.#segments) {
        const pieces = segment.kind === 'file' ? this.#stored(segment) : this.#inflated(segment.ranges)
        for await (const bytes of pieces) {
          given += bytes.length
          if (given > this.#maxBytes)
            throw new CairnError('LIMIT_EXCEEDED', `${this.#name} is larger than the limit of ${this.#maxBytes} bytes`)
          yield bytes
        }
        this.current = undefined
      }
    } finally {
      this.current = undefined
      if (this.#file !== undefined) close(this.#file.fd)
      this.#file = undefined
      for (const root of this.#roots.values()) root.close()
      this.#roots.clear()
    }
  }

  *#stored({ directory: root, path, size }: Extract<LayerSegment, { kind: 'file' }>): Generator<Uint8Array> {
    const directory = this.#root(root).directory(parentPath(path))
    if (directory === undefined) throw otherFile(path)
    const name = baseName(path)
    const fd = openAt(directory, name, openFlags.O_RDONLY | openFlags.O_NOFOLLOW | openFlags.O_NONBLOCK)
    try {
      const status = fstat(fd)
      if (status.type !== 'file' || status.size !== size) throw otherFile(path)
      for (let position = 0; position < size;) {
        const count = pread(fd, this.#buffer, position, path)
        if (count === 0) throw otherFile(path)
        const bytes = this.#buffer.subarray(0, count)
        this.current = { fd, status, root, directory, name, bytes, position }
        yield bytes
        position += count
      }
    } finally {
      close(fd)
    }
  }

  async *#inflated(ranges: readonly FileRange[]): ByteSource {
    const size = ranges.reduce((total, { start, end }) => total + end - start, 0)
    const small = size <= smallRun ? this.#inflateSmall(ranges, size) : undefined
    if (small !== undefined) yield small
    else yield* decompress(awaited(this.#compressed(ranges)), { name: this.#name, maxBytes: this.#maxBytes })
  }

  /** Undefined for what is no zstd, or too much. */
  #inflateSmall(ranges: readonly FileRange[], size: number): Uint8Array | undefined {
    const bytes = new Uint8Array(new ArrayBuffer(size))
    let filled = 0
    for (const piece of this.#compressed(ranges)) {
      bytes.set(piece, filled)
      filled += piece.length
    }
    return decodeZstd(bytes, smallContent)
  }

  *#compressed(ranges: readonly FileRange[]): Generator<Uint8Array> {
    for (const { path, start, end } of ranges) {
      const fd = this.#open(path)
      for (let position = start; position < end;) {
        const count = pread(fd, this.#buffer.subarray(0, Math.min(pieceSize, end - position)), position, path)
        if (count === 0) throw new CairnError('BLOB_CORRUPT', `${path} is shorter than it was`)
        position += count
        yield this.#buffer.subarray(0, count)
      }
    }
  }

  #open(path: string): number {
    if (this.#file?.path !== path) {
      if (this.#file !== undefined) close(this.#file.fd)
      this.#file = undefined
      this.#file = { path, fd: open(path, openFlags.O_RDONLY | openFlags.O_NOFOLLOW) }
    }
    return this.#file.fd
  }

  #root(directory: string): SafeRoot {
    let root = this.#roots.get(directory)
    if (root === undefined) this.#roots.set(directory, (root = new SafeRoot(directory, 'refused')))
    return root
  }
}

async function* awaited(pieces: Iterable<Uint8Array>): ByteSource {
  yield* pieces
}

function otherFile(path: string): CairnError {
  return new CairnError('BLOB_CORRUPT', `${path} of another layer is not the file that it should be`)
}
