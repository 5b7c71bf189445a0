import { CairnError } from '../../errors/error.ts'
import { close, open, openFlags, read } from '../../linux/files.ts'
import { stableBytes } from '../../linux/libc.ts'
import { Digester } from '../../oci/digest.ts'
import type { ByteSource } from '../../streams/source.ts'
import { TarDecoder } from '../../tar/decoder.ts'
import type { AppliedLayer, ApplyOptions } from './apply-options.ts'
import { LayerUnpacker } from './layer-unpacker.ts'

/**
 * Unpacks an uncompressed layer into `directory`, which exists, reading `source` to its end. Nothing is ever made or
 * removed outside of `directory`. Throws LAYER_UNSAFE for a layer that tries (or is refused by its form), TAR_INVALID,
 * LIMIT_EXCEEDED, BLOB_CORRUPT for a wrong `options.diffId`, SystemCallError; the directory is then half made and the
 * caller removes it.
 */
export async function applyLayer(source: ByteSource, directory: string, options: ApplyOptions): Promise<AppliedLayer> {
  const run = new ApplyRun(directory, options)
  try {
    for await (const chunk of source) run.push(chunk)
    return run.finish()
  } catch (error) {
    run.abort()
    throw error
  }
}

/** As {@link applyLayer} with the uncompressed layer in a file: a path, or a descriptor that is read from its position. */
export function applyLayerFile(layer: string | number, directory: string, options: ApplyOptions): AppliedLayer {
  const name = typeof layer === 'string' ? layer : 'layer'
  const fd = typeof layer === 'string' ? open(layer, openFlags.O_RDONLY) : layer
  try {
    const run = new ApplyRun(directory, { name, ...options })
    try {
      const buffer = stableBytes(1024 * 1024)
      for (;;) {
        const count = read(fd, buffer, name)
        if (count === 0) return run.finish()
        run.push(buffer.subarray(0, count))
      }
    } catch (error) {
      run.abort()
      throw error
    }
  } finally {
    if (typeof layer === 'string') close(fd)
  }
}

class ApplyRun {
  readonly #options: ApplyOptions
  readonly #digester = new Digester()
  readonly #unpacker: LayerUnpacker
  readonly #decoder: TarDecoder
  #isOver = false

  constructor(directory: string, options: ApplyOptions) {
    this.#options = options
    this.#unpacker = new LayerUnpacker(directory, options)
    this.#decoder = new TarDecoder(this.#unpacker, options.limits, options.name ?? 'layer')
  }

  push(chunk: Uint8Array): void {
    this.#digester.update(chunk)
    this.#decoder.push(chunk)
  }

  finish(): AppliedLayer {
    this.#decoder.finish()
    const size = this.#digester.size
    const diffId = this.#digester.digest()
    const wanted = this.#options.diffId
    if (wanted !== undefined && diffId !== wanted)
      throw new CairnError('BLOB_CORRUPT', `${this.#options.name ?? 'layer'} has the diff ID ${diffId}, not ${wanted}`)
    this.#isOver = true
    this.#unpacker.finish()
    return { diffId, size, entries: this.#unpacker.entries, skipped: this.#unpacker.skipped }
  }

  /** Closes what is open; does nothing after {@link finish} got as far as closing it. */
  abort(): void {
    if (!this.#isOver) this.#unpacker.abort()
  }
}
