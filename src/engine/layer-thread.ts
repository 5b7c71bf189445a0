import type { ErrorCode } from '../errors/codes.ts'
import { CairnError } from '../errors/error.ts'
import type { WrittenLayer } from '../layers/pack/layer-writer.ts'
import { type PackLayer, packUpper, type PackUpperJob } from '../layers/pack/pack-upper.ts'

/** What the main thread asks of the layer thread. */
export interface LayerRequest {
  readonly kind: 'pack-upper'
  readonly id: number
  readonly job: PackUpperJob
}

/** What the layer thread answers. An error crosses as its parts, since a class does not survive the way. */
export type LayerReply =
  | { readonly kind: 'done'; readonly id: number; readonly layer: WrittenLayer }
  | {
      readonly kind: 'failed'
      readonly id: number
      readonly code: ErrorCode | undefined
      readonly message: string
      readonly hint: string | undefined
    }

/** Does one request: what the layer thread's entry file calls. Never throws. */
export function answerLayerRequest({ id, job }: LayerRequest): LayerReply {
  try {
    return { kind: 'done', id, layer: packUpper(job) }
  } catch (error) {
    const known = error instanceof CairnError ? error : undefined
    const message = error instanceof Error ? error.message : String(error)
    return { kind: 'failed', id, code: known?.code, message, hint: known?.hint }
  }
}

interface Waiting {
  readonly resolve: (reply: LayerReply) => void
  readonly reject: (error: unknown) => void
}

/**
 * A thread that writes layers, one after the other, while the main thread goes on. It is started by the first layer
 * and does not keep the process alive while it has nothing to do.
 */
export class LayerThread implements Disposable {
  readonly #startWorker: () => Worker
  #worker: Worker | undefined
  #count = 0
  readonly #waiting = new Map<number, Waiting>()

  /** `startWorker` starts the thread's entry file, which only a file beside it can name. */
  constructor(startWorker: () => Worker) {
    this.#startWorker = startWorker
  }

  /** As packUpper() of `layers`, on the thread. */
  readonly packLayer: PackLayer = async (job) => {
    const id = this.#count++
    const reply = await new Promise<LayerReply>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      const worker = this.#started()
      worker.ref()
      worker.postMessage({ kind: 'pack-upper', id, job } satisfies LayerRequest)
    })
    if (reply.kind === 'done') return reply.layer
    const { code, message, hint } = reply
    if (code === undefined) throw new Error(message)
    throw new CairnError(code, message, hint === undefined ? {} : { hint })
  };

  [Symbol.dispose](): void {
    this.#worker?.terminate()
    this.#worker = undefined
  }

  #started(): Worker {
    if (this.#worker !== undefined) return this.#worker
    const worker = this.#startWorker()
    worker.addEventListener('message', ({ data }: MessageEvent<LayerReply>) => {
      this.#waiting.get(data.id)?.resolve(data)
      this.#waiting.delete(data.id)
      if (this.#waiting.size === 0) worker.unref()
    })
    worker.addEventListener('error', ({ message }) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`the layer thread failed: ${message}`))
      this.#waiting.clear()
    })
    this.#worker = worker
    return worker
  }
}
