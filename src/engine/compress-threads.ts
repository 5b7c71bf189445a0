import { type BlockCompressor, compressBlock, type CompressionSettings } from '../compression/compress.ts'

/** What the main thread asks of a compressing thread. */
export interface CompressRequest {
  readonly kind: 'compress'
  readonly id: number
  readonly block: Uint8Array<ArrayBuffer>
  readonly settings: CompressionSettings
}

/** What a compressing thread answers. */
export interface CompressReply {
  readonly id: number
  readonly bytes: Uint8Array<ArrayBuffer> | undefined
  /** Why there are none. */
  readonly message?: string
}

/** Does one request: what a compressing thread's entry file calls. Never throws. */
export function answerCompressRequest({ id, block, settings }: CompressRequest): CompressReply {
  try {
    return { id, bytes: compressBlock(block, settings) }
  } catch (error) {
    return { id, bytes: undefined, message: error instanceof Error ? error.message : String(error) }
  }
}

interface Waiting {
  readonly resolve: (bytes: Uint8Array) => void
  readonly reject: (error: unknown) => void
}

interface Thread {
  readonly worker: Worker
  readonly waiting: Map<number, Waiting>
}

/** Threads that compress blocks; started when there is work. To be disposed of. */
export class CompressThreads implements Disposable {
  readonly #startWorker: () => Worker
  readonly #threads: Thread[] = []
  readonly #count: number
  #lastId = 0

  /** `startWorker` starts the thread's entry file, which only a file beside it can name. */
  constructor(startWorker: () => Worker, count = Math.min(8, navigator.hardwareConcurrency)) {
    this.#startWorker = startWorker
    this.#count = count
  }

  /** Blocks that keep every thread busy. */
  get concurrency(): number {
    return 2 * this.#count
  }

  /** As compressBlock() of `compression`, on a thread. The block is gone afterwards. */
  readonly compressBlock: BlockCompressor = async (block, { format, level }) => {
    const id = ++this.#lastId
    const { worker, waiting } = this.#leastBusy()
    return await new Promise<Uint8Array>((resolve, reject) => {
      waiting.set(id, { resolve, reject })
      const settings = { format, level }
      worker.postMessage({ kind: 'compress', id, block, settings } satisfies CompressRequest, [block.buffer])
    })
  };

  [Symbol.dispose](): void {
    for (const { worker } of this.#threads.splice(0)) worker.terminate()
  }

  #leastBusy(): Thread {
    const idle = this.#threads.find(({ waiting }) => waiting.size === 0)
    if (idle !== undefined) return idle
    if (this.#threads.length < this.#count) return this.#start()
    return this.#threads.reduce((least, thread) => (thread.waiting.size < least.waiting.size ? thread : least))
  }

  #start(): Thread {
    const worker = this.#startWorker()
    const waiting = new Map<number, Waiting>()
    worker.addEventListener('message', ({ data: { id, bytes, message } }: MessageEvent<CompressReply>) => {
      if (bytes === undefined) waiting.get(id)?.reject(new Error(message))
      else waiting.get(id)?.resolve(bytes)
      waiting.delete(id)
    })
    worker.addEventListener('error', ({ message }) => {
      for (const { reject } of waiting.values()) reject(new Error(`a compressing thread failed: ${message}`))
      waiting.clear()
    })
    const thread = { worker, waiting }
    this.#threads.push(thread)
    return thread
  }
}
