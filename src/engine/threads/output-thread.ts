import { close } from '../../linux/files.ts'
import { type Pipe, readPipe } from '../../linux/pipes.ts'
import type { OutputReader } from '../../runtime/run.ts'
import type { ByteSource } from '../../streams/source.ts'

/** What the main thread asks of the output thread. */
export type OutputRequest =
  | { readonly kind: 'read-output'; readonly id: number; readonly ends: Pipe }
  /** That so many bytes were taken in, so that others may come. */
  | { readonly kind: 'taken-output'; readonly id: number; readonly size: number }
  /** That nobody reads on. */
  | { readonly kind: 'leave-output'; readonly id: number }

/** What the output thread answers. */
export type OutputReply =
  | { readonly kind: 'output'; readonly id: number; readonly bytes: Uint8Array }
  | { readonly kind: 'output-end'; readonly id: number; readonly failure: string | undefined }

/** Bytes that may be on their way to the main thread at a time. */
const bytesAhead = 256 * 1024

/** An output that the thread reads. */
class ReadOutput {
  #room = bytesAhead
  #wake = Promise.withResolvers<void>()
  #isLeft = false

  constructor(id: number, { read, write }: Pipe, reply: (reply: OutputReply) => void) {
    close(write)
    void this.#pump(id, read, reply)
  }

  take(size: number): void {
    this.#room += size
    this.#wake.resolve()
  }

  leave(): void {
    this.#isLeft = true
    this.#wake.resolve()
  }

  async #pump(id: number, read: number, reply: (reply: OutputReply) => void): Promise<void> {
    let failure: string | undefined
    try {
      for await (const bytes of readPipe(read)) {
        this.#room -= bytes.length
        reply({ kind: 'output', id, bytes: new Uint8Array(bytes) })
        while (this.#room <= 0 && !this.#isLeft) {
          this.#wake = Promise.withResolvers()
          await this.#wake.promise
        }
        if (this.#isLeft) break
      }
    } catch (error) {
      failure = error instanceof Error ? error.message : String(error)
    }
    outputs.delete(id)
    reply({ kind: 'output-end', id, failure })
  }
}

const outputs = new Map<number, ReadOutput>()

/** Does what the main thread asks: what the thread's entry file calls. Never throws. */
export function takeOutputRequest(request: OutputRequest, reply: (reply: OutputReply) => void): void {
  switch (request.kind) {
    case 'read-output':
      outputs.set(request.id, new ReadOutput(request.id, request.ends, reply))
      return
    case 'taken-output':
      outputs.get(request.id)?.take(request.size)
      return
    case 'leave-output':
      outputs.get(request.id)?.leave()
      return
    default:
      request satisfies never
  }
}

interface Reading {
  readonly pieces: Uint8Array[]
  end: { readonly failure: string | undefined } | undefined
  wake: PromiseWithResolvers<void>
}

/**
 * A thread that reads what containers write, so that a container which makes its reader wait does not keep the main
 * thread from ending it. It is started with the first container, and keeps the process alive while it reads.
 */
export class OutputThread implements Disposable {
  readonly #startWorker: () => Worker
  #worker: Worker | undefined
  #count = 0
  readonly #readings = new Map<number, Reading>()

  /** `startWorker` starts the thread's entry file, which only a file beside it can name. */
  constructor(startWorker: () => Worker) {
    this.#startWorker = startWorker
  }

  /** Reads the output of a container on the thread. */
  readonly readOutput: OutputReader = (ends) => {
    const id = this.#count++
    const reading: Reading = { pieces: [], end: undefined, wake: Promise.withResolvers() }
    this.#readings.set(id, reading)
    const worker = this.#started()
    worker.ref()
    worker.postMessage({ kind: 'read-output', id, ends } satisfies OutputRequest)
    return this.#pieces(id, reading, worker)
  };

  [Symbol.dispose](): void {
    this.#worker?.terminate()
    this.#worker = undefined
  }

  async *#pieces(id: number, reading: Reading, worker: Worker): ByteSource {
    try {
      for (;;) {
        // All that came meanwhile at once: a message and an event for each small piece would take longer than the pieces.
        const [first, ...others] = reading.pieces.splice(0)
        if (first !== undefined) {
          const bytes = others.length === 0 ? first : Buffer.concat([first, ...others])
          yield bytes
          worker.postMessage({ kind: 'taken-output', id, size: bytes.length } satisfies OutputRequest)
        } else if (reading.end === undefined) {
          reading.wake = Promise.withResolvers()
          await reading.wake.promise
        } else if (reading.end.failure === undefined) return
        else throw new Error(`the output cannot be read: ${reading.end.failure}`)
      }
    } finally {
      if (reading.end === undefined) worker.postMessage({ kind: 'leave-output', id } satisfies OutputRequest)
    }
  }

  #started(): Worker {
    if (this.#worker !== undefined) return this.#worker
    const worker = this.#startWorker()
    worker.addEventListener('message', ({ data }: MessageEvent<OutputReply>) => this.#take(data))
    worker.addEventListener('error', ({ message }) => {
      for (const id of this.#readings.keys()) this.#take({ kind: 'output-end', id, failure: message })
    })
    this.#worker = worker
    return worker
  }

  #take(reply: OutputReply): void {
    const reading = this.#readings.get(reply.id)
    if (reading === undefined) return
    if (reply.kind === 'output') reading.pieces.push(reply.bytes)
    else {
      reading.end = { failure: reply.failure }
      this.#readings.delete(reply.id)
      if (this.#readings.size === 0) this.#worker?.unref()
    }
    reading.wake.resolve()
  }
}
