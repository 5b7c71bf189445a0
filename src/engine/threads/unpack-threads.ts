import { CairnError } from '../../errors/error.ts'
import {
  type LayerPlace,
  unpackLayer,
  type UnpackedLayer,
  type UnpackJob,
  type UnpackLayer,
} from '../../images/unpack-layer.ts'
import { GrowingFile } from '../../streams/growing-file.ts'
import { type JobReply, replyTo, ThreadPool } from './thread-pool.ts'

/** What the main thread tells an unpacking thread. */
export type UnpackRequest =
  | { readonly kind: 'unpack'; readonly id: number; readonly job: UnpackJob; readonly paths: readonly string[] }
  | {
      readonly kind: 'unpack-segments'
      readonly id: number
      readonly job: UnpackJob
      readonly place: Exclude<LayerPlace, GrowingFile>
    }
  | { readonly kind: 'unpack-expected' }
  | { readonly kind: 'unpack-grown'; readonly id: number; readonly size: number; readonly isWhole: boolean }
  | { readonly kind: 'unpack-canceled'; readonly id: number }

const files = new Map<number, GrowingFile>()

/** Takes one request: what an unpacking thread's entry file calls. Never throws. */
export function takeUnpackRequest(request: UnpackRequest, reply: (reply: JobReply<UnpackedLayer>) => void): void {
  if (request.kind === 'unpack-expected') return
  const { id } = request
  if (request.kind === 'unpack-grown') {
    files.get(id)?.grow(request.size)
    if (request.isWhole) files.get(id)?.end()
    return
  }
  if (request.kind === 'unpack-canceled') {
    files.get(id)?.fail(new CairnError('CANCELED', 'canceled'))
    return
  }
  if (request.kind === 'unpack-segments') {
    void replyTo(id, () => unpackLayer(request.job, request.place)).then(reply)
    return
  }
  const file = new GrowingFile(...request.paths)
  files.set(id, file)
  void replyTo(id, () => unpackLayer(request.job, file)).then((answer) => {
    files.delete(id)
    reply(answer)
  })
}

/** Compressed bytes below which a layer is unpacked on the main thread: a thread takes longer to start. */
const smallLayer = 1024 * 1024

/** Threads that unpack layers while they arrive; started when there is work. To be disposed of. */
export class UnpackThreads implements Disposable {
  readonly #pool: ThreadPool<UnpackRequest, UnpackedLayer>

  /** `startWorker` starts the thread's entry file, which only a file beside it can name. */
  constructor(startWorker: () => Worker, count = Math.min(4, navigator.hardwareConcurrency)) {
    this.#pool = new ThreadPool(startWorker, count)
  }

  /** As unpackLayer() of `images`, on a thread. */
  readonly unpackLayer: UnpackLayer = async (job, place) => {
    if (job.layer.descriptor.size < smallLayer) return await unpackLayer(job, place)
    if (!(place instanceof GrowingFile))
      return await this.#pool.run((id, post) => post({ kind: 'unpack-segments', id, job, place }))
    const file = place
    let failure: { readonly error: unknown } | undefined
    try {
      return await this.#pool.run((id, post) => {
        post({ kind: 'unpack', id, job, paths: file.paths })
        file.watch(({ size, isWhole, failure: failed }) => {
          failure ??= failed
          post(failed === undefined ? { kind: 'unpack-grown', id, size, isWhole } : { kind: 'unpack-canceled', id })
        })
      })
    } catch (error) {
      throw failure === undefined ? error : failure.error
    }
  }

  /** A layer whose blob has `size` bytes is to come: what starts meanwhile need not be waited for. */
  readonly expect = (size: number): void => {
    if (size >= smallLayer) this.#pool.warm({ kind: 'unpack-expected' })
  };

  [Symbol.dispose](): void {
    this.#pool[Symbol.dispose]()
  }
}
