import { CairnError } from '../errors/error.ts'
import type { ByteSource } from '../streams/source.ts'
import type { InputBuffer } from './input-buffer.ts'
import { ZstdFrames } from './zstd-frames.ts'
import { type ZstdPart, zstdParts } from './zstd-parts.ts'

/** Input given to zlib at once. The output of one slice is held in memory: at deflate's best ratio 64 MiB. */
const sliceSize = 64 * 1024
/** Blocks of zstd in one slice, where few bytes may stand for many: they hold 8 MiB. */
const sliceBlocks = 64
const outputSize = 256 * 1024

/** The part of node:zlib's streams used here. */
interface ZlibStream {
  write(chunk: Uint8Array, done: (error?: Error | null) => void): unknown
  end(): unknown
  on(event: 'data', listener: (chunk: Uint8Array) => void): unknown
  on(event: 'end', listener: () => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  destroy(): unknown
}

/**
 * gzip members or zstd frames to bytes by node:zlib, whose streams check each member's size and sum and go on with the
 * next one. The next slice is decoded on zlib's thread while the reader is busy with the last.
 */
export async function* inflate(kind: 'gzip' | 'zstd', input: InputBuffer, name: string): ByteSource {
  const zlib = await import('node:zlib')
  const options = { chunkSize: outputSize }
  const stream: ZlibStream = kind === 'gzip' ? zlib.createGunzip(options) : zlib.createZstdDecompress(options)
  const run = new InflateRun(stream, kind, name)
  try {
    let pending: Promise<Uint8Array[]> | undefined
    for await (const { isContent, bytes } of kind === 'zstd' ? wholeFrames(input, name) : compressed(input)) {
      for (const slice of isContent ? [] : slices(bytes)) {
        const output = await pending
        pending = run.write(slice)
        if (output !== undefined) yield* output
      }
      if (!isContent) continue
      if (pending !== undefined) yield* await pending
      pending = undefined
      yield bytes
    }
    if (pending !== undefined) yield* await pending
    yield* await run.end()
  } finally {
    stream.destroy()
  }
}

class InflateRun {
  readonly #stream: ZlibStream
  readonly #kind: string
  readonly #name: string
  #output: Uint8Array[] = []
  #waiting: { readonly resolve: () => void; readonly reject: (error: CairnError) => void } | undefined
  #failure: CairnError | undefined
  #hasEnded = false

  constructor(stream: ZlibStream, kind: string, name: string) {
    this.#stream = stream
    this.#kind = kind
    this.#name = name
    stream.on('data', (chunk) => void this.#output.push(chunk))
    // Comes early when zeros follow the last gzip member; zlib takes nothing more then.
    stream.on('end', () => {
      this.#hasEnded = true
      this.#waiting?.resolve()
    })
    stream.on('error', (error) => {
      this.#failure ??= new CairnError(
        'COMPRESSION_INVALID',
        `${this.#name} is no whole ${this.#kind} data: ${error.message}`,
        { cause: error },
      )
      this.#waiting?.reject(this.#failure)
    })
  }

  /** All output of one slice of input. */
  write(slice: Uint8Array): Promise<Uint8Array[]> {
    const pending = this.#outputOf((done) => this.#stream.write(slice, done))
    // It may fail while the reader is still busy with the piece before; whoever awaits it gets the error.
    pending.catch(() => {})
    return pending
  }

  /** The rest of the output once the stream has checked that its input was whole, which end()'s callback precedes. */
  end(): Promise<Uint8Array[]> {
    return this.#outputOf(() => this.#stream.end())
  }

  async #outputOf(start: (done: (error?: Error | null) => void) => unknown): Promise<Uint8Array[]> {
    if (this.#failure !== undefined) throw this.#failure
    if (!this.#hasEnded) {
      await new Promise<void>((resolve, reject) => {
        this.#waiting = { resolve, reject }
        start((error) => {
          // Failures come by the error event, which has the reason.
          if (error === undefined || error === null) resolve()
        })
      })
    }
    const output = this.#output
    this.#output = []
    return output
  }
}

async function* compressed(input: InputBuffer): AsyncGenerator<ZstdPart> {
  for await (const bytes of input.rest()) yield { isContent: false, bytes }
}

async function* wholeFrames(input: InputBuffer, name: string): AsyncGenerator<ZstdPart> {
  const frames = new ZstdFrames()
  const invalid = (reason: string): CairnError =>
    new CairnError('COMPRESSION_INVALID', `${name} is no whole zstd data: ${reason}`)
  for await (const part of zstdParts(input)) {
    if (part.isContent) yield part
    for (let { bytes } = part; !part.isContent && bytes.length > 0;) {
      const count = frames.push(bytes, sliceBlocks)
      if (count === undefined) throw invalid('a frame or block does not begin as one')
      yield { isContent: false, bytes: bytes.subarray(0, count) }
      bytes = bytes.subarray(count)
    }
  }
  if (!frames.isWhole) throw invalid('it is cut off')
}

/** Copies, as the stream still reads a slice when the source is asked for more. */
function* slices(bytes: Uint8Array): Generator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += sliceSize)
    yield new Uint8Array(bytes.subarray(offset, offset + sliceSize))
}
