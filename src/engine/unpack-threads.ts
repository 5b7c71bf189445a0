import type { ErrorCode } from '../errors/codes.ts'
import { CairnError } from '../errors/error.ts'
import { unpackLayer, type UnpackedLayer, type UnpackJob, type UnpackLayer } from '../images/unpack-layer.ts'
import { GrowingFile } from '../streams/growing-file.ts'

/** What the main thread tells an unpacking thread. */
export type UnpackRequest =
  | { readonly kind: 'unpack'; readonly id: number; readonly job: UnpackJob; readonly paths: readonly string[] }
  | { readonly kind: 'unpack-grown'; readonly id: number; readonly size: number; readonly isWhole: boolean }
  | { readonly kind: 'unpack-canceled'; readonly id: number }

/** What an unpacking thread answers. An error crosses as its parts, since a class does not survive the way. */
export type UnpackReply =
  | { readonly kind: 'done'; readonly id: number; readonly layer: UnpackedLayer }
  | {
      readonly kind: 'failed'
      readonly id: number
      readonly code: ErrorCode | undefined
      readonly message: string
      readonly hint: string | undefined
    }

const files = new Map<number, GrowingFile>()

/** Takes one request: what an unpacking thread's entry file calls. Never throws. */
export function takeUnpackRequest(request: UnpackRequest, reply: (reply: UnpackReply) => void): void {
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
  const file = new GrowingFile(...request.paths)
  files.set(id, file)
  unpackLayer(request.job, file)
    .then(
      (layer) => reply({ kind: 'done', id, layer }),
      (error: unknown) => {
        const known = error instanceof CairnError ? error : undefined
        const message = error instanceof Error ? error.message : String(error)
        reply({ kind: 'failed', id, code: known?.code, message, hint: known?.hint })
      },
    )
    .finally(() => files.delete(id))
}

/** Compressed bytes below which a layer is unpacked on the main thread: a thread takes longer to start. */
const smallLayer = 1024 * 1024

interface Waiting {
  readonly resolve: (reply: UnpackReply) => void
  readonly reject: (error: unknown) => void
}

/** Threads that unpack layers while they arrive; started when there is work. To be disposed of. */
export class UnpackThreads implements Disposable {
  readonly #startWorker: () => Worker
  readonly #count: number
  readonly #threads: { readonly worker: Worker; jobs: number }[] = []
  readonly #waiting = new Map<number, Waiting>()
  #lastId = 0

  /** `startWorker` starts the thread's entry file, which only a file beside it can name. */
  constructor(startWorker: () => Worker, count = Math.min(4, navigator.hardwareConcurrency)) {
    this.#startWorker = startWorker
    this.#count = count
  }

  /** As unpackLayer() of `images`, on a thread. */
  readonly unpackLayer: UnpackLayer = async (job, file) => {
    if (job.layer.descriptor.size < smallLayer) return await unpackLayer(job, file)
    const id = ++this.#lastId
    const thread = this.#leastBusy()
    thread.jobs++
    let failure: { readonly error: unknown } | undefined
    try {
      const reply = await new Promise<UnpackReply>((resolve, reject) => {
        this.#waiting.set(id, { resolve, reject })
        const post = (request: UnpackRequest): void => thread.worker.postMessage(request)
        post({ kind: 'unpack', id, job, paths: file.paths })
        file.watch(({ size, isWhole, failure: failed }) => {
          failure ??= failed
          post(failed === undefined ? { kind: 'unpack-grown', id, size, isWhole } : { kind: 'unpack-canceled', id })
        })
      })
      if (reply.kind === 'done') return reply.layer
      if (failure !== undefined) throw failure.error
      const { code, message, hint } = reply
      if (code === undefined) throw new Error(message)
      throw new CairnError(code, message, hint === undefined ? {} : { hint })
    } finally {
      thread.jobs--
    }
  };

  [Symbol.dispose](): void {
    for (const { worker } of this.#threads.splice(0)) worker.terminate()
  }

  #leastBusy(): { readonly worker: Worker; jobs: number } {
    const idle = this.#threads.find(({ jobs }) => jobs === 0)
    if (idle !== undefined) return idle
    if (this.#threads.length < this.#count) {
      const thread = { worker: this.#start(), jobs: 0 }
      this.#threads.push(thread)
      return thread
    }
    return this.#threads.reduce((least, thread) => (thread.jobs < least.jobs ? thread : least))
  }

  #start(): Worker {
    const worker = this.#startWorker()
    worker.addEventListener('message', ({ data }: MessageEvent<UnpackReply>) => {
      this.#waiting.get(data.id)?.resolve(data)
      this.#waiting.delete(data.id)
    })
    worker.addEventListener('error', ({ message }) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`an unpacking thread failed: ${message}`))
      this.#waiting.clear()
    })
    return worker
  }
}
