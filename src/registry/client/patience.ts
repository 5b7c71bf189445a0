import type { HttpAnswer } from './http-exchange.ts'
import { isPassing, isSilence } from './http-exchange.ts'
import { retryAfter } from './registry-answer.ts'

/** Which failures of a request another attempt may follow. */
export interface Repetition {
  /** Statuses of answers that another attempt may get past. */
  readonly statuses: ReadonlySet<number>
  /** Whether it may follow a connection that broke: the request may have been carried out then. */
  readonly afterBreaks: boolean
}

/** How often a request is sent in all, and the longest wait that a server is granted, in milliseconds. */
const attempts = 6
/** How often a server may do nothing for as long as it is waited for. */
const mostSilences = 2
const longestWait = 90_000

/**
 * Sends requests to one server again until they get through, with growing pauses and as `Retry-After` asks for. What one
 * request is told to wait counts for all: a limit is of the client.
 */
export class Patience {
  readonly #firstPause: number
  readonly #signal: AbortSignal
  #pausedUntil = 0

  /** `firstPause` is in milliseconds; each further one is twice as long. */
  constructor(firstPause: number, signal: AbortSignal) {
    this.#firstPause = firstPause
    this.#signal = signal
  }

  /**
   * The last answer: the first that no other attempt is to follow, or that wants too long a wait. Throws what `send`
   * does, and the reason of the signal.
   */
  async run(send: () => Promise<HttpAnswer>, { statuses, afterBreaks }: Repetition): Promise<HttpAnswer> {
    for (let attempt = 1, silences = 0, pause = this.#firstPause; ; attempt++, pause *= 2) {
      await this.#sleep(this.#pausedUntil - Date.now())
      try {
        const answer = await send()
        const isGranted = this.#note(answer)
        if (!statuses.has(answer.status) || !isGranted || attempt === attempts) return answer
        await answer.discard()
      } catch (error) {
        if (!afterBreaks || attempt === attempts || !isPassing(error)) throw error
        if (isSilence(error) && ++silences === mostSilences) throw error
      }
      await this.#sleep(pause * (0.75 + Math.random() / 2))
    }
  }

  /** Takes note of a wait that the server asks for; false where that is too long. */
  #note({ status, headers }: HttpAnswer): boolean {
    const asked = status === 429 || status === 503 ? retryAfter(headers) : undefined
    if (asked === undefined) return true
    if (asked > longestWait) return false
    this.#pausedUntil = Math.max(this.#pausedUntil, Date.now() + asked)
    return true
  }

  async #sleep(milliseconds: number): Promise<void> {
    if (milliseconds <= 0) return
    const signal = this.#signal
    signal.throwIfAborted()
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(done, milliseconds)
      const abort = (): void => {
        clearTimeout(timer)
        reject(signal.reason as Error)
      }
      signal.addEventListener('abort', abort, { once: true })
      function done(): void {
        signal.removeEventListener('abort', abort)
        resolve()
      }
    })
  }
}
