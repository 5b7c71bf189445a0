import type { WrittenLayer } from '../../layers/pack/layer-writer.ts'
import type { PackLayer, PackUpperJob } from '../../layers/pack/pack-upper.ts'
import { type JobReply, replyTo, ThreadPool } from './thread-pool.ts'

/** What the main thread asks of the layer thread. */
export interface LayerRequest {
  readonly kind: 'pack-upper'
  readonly id: number
  readonly job: PackUpperJob
}

/** Does one request: what the layer thread's entry file calls. Never throws. */
export function answerLayerRequest({ id, job }: LayerRequest): Promise<JobReply<WrittenLayer>> {
  return replyTo(id, async () => {
    const { packUpper } = await import('../../layers/pack/pack-upper.ts')
    return packUpper(job)
  })
}

/** A thread that writes layers, one after the other, while the main thread goes on. To be disposed of. */
export class LayerThread implements Disposable {
  readonly #pool: ThreadPool<LayerRequest, WrittenLayer>

  /** `startWorker` starts the thread's entry file, which only a file beside it can name. */
  constructor(startWorker: () => Worker) {
    this.#pool = new ThreadPool(startWorker, 1)
  }

  /** As packUpper() of `layers`, on the thread. */
  readonly packLayer: PackLayer = (job) => this.#pool.run((id, post) => post({ kind: 'pack-upper', id, job }));

  [Symbol.dispose](): void {
    this.#pool[Symbol.dispose]()
  }
}
