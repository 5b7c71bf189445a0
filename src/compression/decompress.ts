import { CairnError } from '../errors/error.ts'
import type { ByteSource } from '../streams/source.ts'
import { decodeZstd } from './decode-zstd.ts'
import { type Compression, detectCompression, magicLength } from './detect.ts'
import { InputBuffer } from './input-buffer.ts'

export interface DecompressOptions {
  /** Fail with LIMIT_EXCEEDED past so many bytes of output. */
  readonly maxBytes?: number | undefined
  /** Fail with LIMIT_EXCEEDED when the output, past its first 64 MiB, is more than so many times the input. */
  readonly maxRatio?: number | undefined
  /** Names the input in errors. */
  readonly name?: string
}

const ratioFreeBytes = 64 * 1024 * 1024
/** Bytes of input that are looked at whole, and of what it holds. */
const smallInput = 64 * 1024
const largestSmallContent = 4 * 1024 * 1024

/**
 * The bytes of `source` decompressed by what they are: gzip (RFC 1952, any number of members), zstd (RFC 8878, any number
 * of frames), bzip2 and xz (any number of streams); anything else passes as it is. Fails with COMPRESSION_INVALID for
 * data that is cut off or wrong, LIMIT_EXCEEDED as the options say; errors of the source pass through.
 */
export async function* decompress(source: ByteSource, options: DecompressOptions = {}): ByteSource {
  const { maxBytes = Number.POSITIVE_INFINITY, maxRatio = Number.POSITIVE_INFINITY } = options
  const name = options.name ?? 'compressed data'
  let taken = 0
  let given = 0
  const input = new InputBuffer(counted(source, (count) => (taken += count)))
  try {
    await input.fill(magicLength)
    const kind = detectCompression(input.bytes.subarray(input.start, input.end))
    for await (const chunk of await decoder(kind, input, name)) {
      given += chunk.length
      if (given > maxBytes)
        throw new CairnError(
          'LIMIT_EXCEEDED',
          `${name} is larger than the limit of ${maxBytes} bytes when decompressed`,
        )
      if (given > ratioFreeBytes && given > taken * maxRatio)
        throw new CairnError('LIMIT_EXCEEDED', `${name} decompresses to more than ${maxRatio} times its size`)
      yield chunk
    }
  } finally {
    await input.close()
  }
}

async function decoder(kind: Compression, input: InputBuffer, name: string): Promise<ByteSource> {
  switch (kind) {
    case 'none':
      return input.rest()
    case 'gzip':
    case 'zstd': {
      const small = kind === 'zstd' ? await smallContent(input) : undefined
      if (small !== undefined) return once(small)
      const { inflate } = await import('./inflate.ts')
      return inflate(kind, input, name)
    }
    case 'bzip2': {
      const { decodeBzip2 } = await import('./bzip2.ts')
      return decodeBzip2(input, name)
    }
    case 'xz': {
      const { decodeXz } = await import('./xz.ts')
      return decodeXz(input, name)
    }
    default:
      return kind satisfies never
  }
}

/** What a small input holds, if that is little too: a stream would take longer to begin. */
async function smallContent(input: InputBuffer): Promise<Uint8Array | undefined> {
  if (await input.fill(smallInput)) return undefined
  const found = decodeZstd(input.bytes.subarray(input.start, input.end), largestSmallContent)
  if (found !== undefined) input.start = input.end
  return found
}

async function* once(bytes: Uint8Array): ByteSource {
  yield bytes
}

async function* counted(source: ByteSource, count: (bytes: number) => void): ByteSource {
  for await (const chunk of source) {
    count(chunk.length)
    yield chunk
  }
}
