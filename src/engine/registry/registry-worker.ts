import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { Metrics } from '../../registry/server/metrics.ts'
import type { Allowance, RequestLimits } from '../../registry/server/request-limits.ts'
import { actionOf } from '../../registry/server/request-record.ts'
import type { RegistrySettings } from '../../registry/server/settings.ts'
import { openRegistryStorage } from './open-registry-storage.ts'
import { serveRequests } from './serve-requests.ts'
import { type FromWorker, parseWorkerConfig, type ToWorker } from './worker-messages.ts'

/** What a worker of a registry works with. */
export interface WorkerSurroundings {
  readonly store: Store
  readonly env: Readonly<Record<string, string | undefined>>
  readonly print: (line: string) => void
  /** Aborts when the worker is to end. */
  readonly signal: AbortSignal
}

/**
 * Answers requests to a registry beside the process that has started this one, by the configuration in `text`, until that
 * process says so, ends, or the signal aborts.
 */
export async function runRegistryWorker(
  text: string,
  { store, env, print, signal }: WorkerSurroundings,
): Promise<void> {
  const config = parseWorkerConfig(text)
  const metrics = new Metrics()
  const limits = new DistantLimits(config.settings)
  const end = Promise.withResolvers<void>()
  signal.addEventListener('abort', () => end.resolve(), { once: true })
  process.on('disconnect', () => end.resolve())
  process.on('message', (message: ToWorker) => {
    if (message.kind === 'stop') end.resolve()
    else if (message.kind === 'tell-metrics') say({ kind: 'metrics', id: message.id, snapshot: metrics.snapshot() })
    else limits.hear(message)
  })
  try {
    const storage = await openRegistryStorage({ store, env }, config, {
      count: (result) => metrics.observeCache(result),
      onFetched: (bytes) => metrics.observeFetch(bytes),
    })
    const wanted = new Set(config.webhooks.flatMap(({ events }) => events))
    const served = await serveRequests(config, {
      store,
      storage,
      metrics,
      limits,
      isPortShared: true,
      print,
      observe: (record) => {
        const action = actionOf(record)
        if (action !== undefined && wanted.has(action)) say({ kind: 'event', record })
      },
    })
    say({ kind: 'ready' })
    await end.promise
    await served.stop()
    await storage.close()
  } catch (error) {
    if (!(error instanceof CairnError)) throw error
    say({ kind: 'failed', message: error.message })
  }
}

function say(message: FromWorker): void {
  if (process.connected) process.send?.(message)
}

/** Limits that the process counts which has started this one. */
class DistantLimits implements RequestLimits {
  readonly #areRequestsCounted: boolean
  /** Addresses that are let nowhere, and until when. */
  readonly #blocked = new Map<string, number>()
  readonly #questions = new Map<number, (allowance: Allowance | undefined) => void>()
  #lastQuestion = 0

  constructor({ requests }: RegistrySettings) {
    this.#areRequestsCounted = requests !== undefined
  }

  takeRequest(client: string): Promise<Allowance> | undefined {
    if (!this.#areRequestsCounted) return undefined
    return this.#ask((id) => ({ kind: 'take-request', id, client })) as Promise<Allowance>
  }

  async noteFailedLogin(address: string): Promise<void> {
    await this.#ask((id) => ({ kind: 'failed-login', id, address }))
  }

  loginWait(address: string): number {
    const until = this.#blocked.get(address)
    if (until === undefined) return 0
    const wait = until - Date.now()
    if (wait <= 0) this.#blocked.delete(address)
    return Math.max(0, wait)
  }

  hear(message: Exclude<ToWorker, { kind: 'stop' | 'tell-metrics' }>): void {
    if (message.kind === 'blocked') {
      this.#forgetOld()
      this.#blocked.set(message.address, Date.now() + message.wait)
      return
    }
    this.#questions.get(message.id)?.(message.kind === 'allowance' ? message.allowance : undefined)
    this.#questions.delete(message.id)
  }

  #ask(question: (id: number) => FromWorker): Promise<Allowance | undefined> {
    const id = ++this.#lastQuestion
    const answer = new Promise<Allowance | undefined>((resolve) => this.#questions.set(id, resolve))
    say(question(id))
    return answer
  }

  #forgetOld(): void {
    const now = Date.now()
    for (const [address, until] of this.#blocked) if (until <= now) this.#blocked.delete(address)
  }
}
