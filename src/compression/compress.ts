import { usageError } from '../errors/error.ts'
import type { ByteSource } from '../streams/source.ts'

/** Input bytes of one gzip member or zstd frame. Part of what makes output the same everywhere: never change it. */
export const compressionBlockSize = 1024 * 1024

export interface CompressionSettings {
  readonly format: 'gzip' | 'zstd'
  /** gzip 0 to 12 (default 2), where 0 only stores; zstd 0 to 22 (default 2), where 0 is its fastest. */
  readonly level?: number | undefined
}

/** Compresses one block to one gzip member or zstd frame, here or on another thread; see {@link compressBlock}. */
export type BlockCompressor = (
  block: Uint8Array<ArrayBuffer>,
  settings: CompressionSettings,
) => Uint8Array | Promise<Uint8Array>

export interface CompressOptions extends CompressionSettings {
  /** Where blocks are compressed; on this thread by default. Its output must be that of {@link compressBlock}. */
  readonly compressor?: BlockCompressor | undefined
  /** Blocks in work at once with a `compressor` of one's own. */
  readonly concurrency?: number | undefined
}

/** Of libdeflate's levels 2 packs within some percent of gzip's own 6, and of zstd's 2 tighter, in a fraction of the time. */
const defaultLevel = { gzip: 2, zstd: 2 } as const
const highestLevel = { gzip: 12, zstd: 22 } as const

/**
 * Compresses each 1 MiB of `source` to a member or frame of its own, which any gzip or zstd reader takes for one file.
 * The output depends on the input, format, level and Bun's version alone: not on the pieces the input comes in, the
 * machine or the number of threads. Throws USAGE for a level out of range.
 */
export async function* compress(source: ByteSource, options: CompressOptions): ByteSource {
  checkLevel(options)
  const compressor = options.compressor ?? compressBlock
  const concurrency = options.compressor === undefined ? 1 : Math.max(1, options.concurrency ?? 2)
  const inWork: Promise<Uint8Array>[] = []
  for await (const block of blocks(source)) {
    const compressed = Promise.resolve(compressor(block, options))
    // It may fail before its turn comes; the error surfaces there.
    compressed.catch(() => {})
    inWork.push(compressed)
    if (inWork.length >= concurrency) yield await (inWork.shift() as Promise<Uint8Array>)
  }
  for (const compressed of inWork) yield await compressed
}

/** What the output of {@link compress} depends on besides its input: where two texts are equal, so are the bytes. */
export function compressionKey(settings: CompressionSettings): string {
  return `${settings.format}-${levelOf(settings)}-${compressionBlockSize}-bun-${Bun.version}`
}

/**
 * One block as one gzip member (libdeflate, no name, no time) or one zstd frame (with its sum). What does not get smaller
 * is not tried hard: a compressor takes longest for what is compressed already.
 */
export function compressBlock(block: Uint8Array<ArrayBuffer>, settings: CompressionSettings): Uint8Array<ArrayBuffer> {
  const level = levelOf(settings)
  if (settings.format === 'gzip')
    return Bun.gzipSync(block, { level: (isIncompressible(block) ? 0 : level) as 6, library: 'libdeflate' })
  return isIncompressible(block)
    ? rawZstdFrame(block)
    : (Bun.zstdCompressSync(block, { level }) as Uint8Array<ArrayBuffer>)
}

/** Largest block of a zstd frame. */
const rawBlockSize = 128 * 1024
/** RFC 8878 §3.1.1.1: one segment, a content size of four bytes, a checksum. */
const rawFrameHeader = [0x28, 0xb5, 0x2f, 0xfd, 0xa4]

/** The block as a zstd frame of raw blocks (RFC 8878 §3.1.1). */
function rawZstdFrame(block: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const count = Math.ceil(block.length / rawBlockSize)
  const frame = new Uint8Array(rawFrameHeader.length + 4 + block.length + 3 * count + 4)
  const view = new DataView(frame.buffer)
  frame.set(rawFrameHeader)
  view.setUint32(rawFrameHeader.length, block.length, true)
  let at = rawFrameHeader.length + 4
  for (let start = 0; start < block.length; start += rawBlockSize) {
    const piece = block.subarray(start, start + rawBlockSize)
    const header = (piece.length << 3) | (start + piece.length === block.length ? 1 : 0)
    frame.set([header & 0xff, (header >> 8) & 0xff, header >> 16], at)
    frame.set(piece, at + 3)
    at += 3 + piece.length
  }
  view.setUint32(at, Number(Bun.hash.xxHash64(block) & 0xffffffffn), true)
  return frame
}

const samples = 8
const sampleSize = 4096

/** True where samples of a block hardly get smaller. */
function isIncompressible(block: Uint8Array<ArrayBuffer>): boolean {
  const distance = Math.floor(block.length / samples)
  if (distance < 4 * sampleSize) return false
  let size = 0
  for (let index = 0; index < samples; index++)
    size += Bun.zstdCompressSync(block.subarray(index * distance, index * distance + sampleSize), { level: 1 }).length
  return size > samples * sampleSize * 0.985
}

/** Throws USAGE for a level that the format does not have. */
export function checkLevel({ format, level }: CompressionSettings): void {
  if (level === undefined || (Number.isInteger(level) && level >= 0 && level <= highestLevel[format])) return
  throw usageError(`${format} has no level ${level}: 0 to ${highestLevel[format]}`)
}

/** The compressor's own level. */
function levelOf({ format, level = defaultLevel[format] }: CompressionSettings): number {
  return format === 'zstd' ? Math.max(1, level) : level
}

/** The source cut anew into blocks of exactly 1 MiB, the last one shorter; one empty block for an empty source. */
async function* blocks(source: ByteSource): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let block = new Uint8Array(compressionBlockSize)
  let used = 0
  let isEmpty = true
  for await (const chunk of source) {
    for (let offset = 0; offset < chunk.length;) {
      const count = Math.min(chunk.length - offset, block.length - used)
      block.set(chunk.subarray(offset, offset + count), used)
      used += count
      offset += count
      if (used < block.length) continue
      yield block
      isEmpty = false
      block = new Uint8Array(compressionBlockSize)
      used = 0
    }
  }
  if (used > 0 || isEmpty) yield block.subarray(0, used)
}
