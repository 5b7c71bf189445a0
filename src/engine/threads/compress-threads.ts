import { type BlockCompressor, compressBlock, type CompressionSettings } from '../../compression/compress.ts'
import { type JobReply, replyTo, ThreadPool } from './thread-pool.ts'

/** What the main thread asks of a compressing thread. */
export interface CompressRequest {
  readonly kind: 'compress'
  readonly id: number
  readonly block: Uint8Array<ArrayBuffer>
  readonly settings: CompressionSettings
}

/** Does one request: what a compressing thread's entry file calls. Never throws. */
export function answerCompressRequest(request: CompressRequest): Promise<JobReply<Uint8Array<ArrayBuffer>>> {
  return replyTo(request.id, () => compressBlock(request.block, request.settings))
}

/** Threads that compress blocks; started when there is work. To be disposed of. */
export class CompressThreads implements Disposable {
  /** Blocks that keep every thread busy. */
  readonly concurrency: number
  readonly #pool: ThreadPool<CompressRequest, Uint8Array>

  /** `startWorker` starts the thread's entry file, which only a file beside it can name. */
  constructor(startWorker: () => Worker, count = Math.min(8, navigator.hardwareConcurrency)) {
    this.concurrency = 2 * count
    this.#pool = new ThreadPool(startWorker, count)
  }

  /** As compressBlock() of `compression`, on a thread. The block is gone afterwards. */
  readonly compressBlock: BlockCompressor = (block, { format, level }) =>
    this.#pool.run((id, post) => post({ kind: 'compress', id, block, settings: { format, level } }, [block.buffer]));

  [Symbol.dispose](): void {
    this.#pool[Symbol.dispose]()
  }
}
