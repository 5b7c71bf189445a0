import type { ErrorCode } from '../../errors/codes.ts'
import { CairnError } from '../../errors/error.ts'

/** What a thread answers a job with. An error crosses as its parts, since a class does not survive the way. */
export type JobReply<Result> =
  | { readonly kind: 'done'; readonly id: number; readonly result: Result }
  | {
      readonly kind: 'failed'
      readonly id: number
      readonly code: ErrorCode | undefined
      readonly message: string
      readonly hint: string | undefined
    }

/** On the thread: does the work of the job `id`. Never throws. */
export async function replyTo<Result>(id: number, work: () => Result | Promise<Result>): Promise<JobReply<Result>> {
  try {
    return { kind: 'done', id, result: await work() }
  } catch (error) {
    const known = error instanceof CairnError ? error : undefined
    const message = error instanceof Error ? error.message : String(error)
    return { kind: 'failed', id, code: known?.code, message, hint: known?.hint }
  }
}

/** Tells the thread that a job was given to something of it; what is in `transfer` is the thread's afterwards. */
export type Post<Request> = (request: Request, transfer?: Bun.Transferable[]) => void

interface Thread<Result> {
  readonly worker: Worker
  readonly jobs: Map<number, PromiseWithResolvers<Result>>
}

/**
 * Threads that do one kind of job, started when there is work for them. They keep the process alive only while they work.
 * To be disposed of.
 */
export class ThreadPool<Request, Result> implements Disposable {
  readonly #startWorker: () => Worker
  readonly #size: number
  readonly #threads: Thread<Result>[] = []
  #lastId = 0

  /**
   * @param startWorker - starts the threads' entry file, which only a file beside it can name
   * @param size - how many threads there are at most
   */
  constructor(startWorker: () => Worker, size: number) {
    this.#startWorker = startWorker
    this.#size = size
  }

  /**
   * Gives a job to the thread that has the fewest. `describe` posts what the thread has to know of it, at once or later
   * too. Throws what the job failed with, and an Error where the thread itself did.
   */
  async run(describe: (id: number, post: Post<Request>) => void): Promise<Result> {
    const id = ++this.#lastId
    const { worker, jobs } = this.#leastBusy()
    const job = Promise.withResolvers<Result>()
    jobs.set(id, job)
    worker.ref()
    try {
      describe(id, (request, transfer = []) => worker.postMessage(request, transfer))
      return await job.promise
    } finally {
      jobs.delete(id)
      if (jobs.size === 0) worker.unref()
    }
  }

  /** Starts a thread for a job to come, unless there is one; `request` has it load what it needs and is not answered. */
  warm(request: Request): void {
    if (this.#threads.length > 0) return
    const { worker } = this.#start()
    worker.postMessage(request)
    worker.unref()
  }

  [Symbol.dispose](): void {
    for (const { worker } of this.#threads.splice(0)) worker.terminate()
  }

  #leastBusy(): Thread<Result> {
    const idle = this.#threads.find(({ jobs }) => jobs.size === 0)
    if (idle !== undefined) return idle
    if (this.#threads.length < this.#size) return this.#start()
    return this.#threads.reduce((least, thread) => (thread.jobs.size < least.jobs.size ? thread : least))
  }

  #start(): Thread<Result> {
    const thread = { worker: this.#startWorker(), jobs: new Map<number, PromiseWithResolvers<Result>>() }
    thread.worker.addEventListener('message', ({ data }: MessageEvent<JobReply<Result>>) => {
      const job = thread.jobs.get(data.id)
      if (data.kind === 'done') job?.resolve(data.result)
      else job?.reject(errorOf(data))
    })
    thread.worker.addEventListener('error', ({ message }) => {
      // It takes no more jobs.
      const index = this.#threads.indexOf(thread)
      if (index >= 0) this.#threads.splice(index, 1)
      for (const job of thread.jobs.values()) job.reject(new Error(`a thread failed: ${message}`))
    })
    this.#threads.push(thread)
    return thread
  }
}

function errorOf({ code, message, hint }: Extract<JobReply<unknown>, { kind: 'failed' }>): Error {
  if (code === undefined) return new Error(message)
  return new CairnError(code, message, { hint })
}
