import { redactUrl } from '../../errors/redact.ts'
import type { WebhookAction } from './registry-config.ts'
import { actionOf, type RequestRecord } from './request-record.ts'

/** Where events go. */
export interface WebhookTarget {
  readonly url: string
  readonly events: readonly WebhookAction[]
  /** Signs what is sent; undefined for no signature. */
  readonly secret: string | undefined
}

/** Events that wait for one target; further ones are dropped and told of. */
const longestQueue = 10_000
const eventsAtOnce = 100
const patience = 10_000
/** Pauses after failures in a row, in milliseconds; the last one goes on until the target answers. */
const pauses = [1_000, 5_000, 30_000, 120_000]

/** Sends events in the form of docker's registry, in order, again and again until the target takes them. */
export class Webhooks {
  readonly #queues: readonly WebhookQueue[]

  constructor(targets: readonly WebhookTarget[], complain: (message: string) => void) {
    this.#queues = targets.map((target) => new WebhookQueue(target, complain))
  }

  observe(record: RequestRecord, host: string): void {
    const action = actionOf(record)
    if (action === undefined) return
    for (const queue of this.#queues) if (queue.wants(action)) queue.add(eventOf(record, action, host))
  }

  /** Sends what waits, for up to `limit` milliseconds; the rest is lost. */
  async end(limit: number): Promise<void> {
    await Promise.race([Promise.all(this.#queues.map((queue) => queue.end())), Bun.sleep(limit)])
  }
}

class WebhookQueue {
  readonly #target: WebhookTarget
  readonly #complain: (message: string) => void
  readonly #events: unknown[] = []
  #failures = 0
  #hasDropped = false
  #work: Promise<void> | undefined
  #isEnding = false

  constructor(target: WebhookTarget, complain: (message: string) => void) {
    this.#target = target
    this.#complain = complain
  }

  wants(action: WebhookAction): boolean {
    return this.#target.events.includes(action)
  }

  add(event: unknown): void {
    if (this.#events.length >= longestQueue) {
      if (!this.#hasDropped) this.#tell('its queue is full, events are dropped')
      this.#hasDropped = true
      return
    }
    this.#events.push(event)
    this.#work ??= this.#sendAll().finally(() => (this.#work = undefined))
  }

  async end(): Promise<void> {
    this.#isEnding = true
    await this.#work
  }

  async #sendAll(): Promise<void> {
    while (this.#events.length > 0) {
      const batch = this.#events.slice(0, eventsAtOnce)
      const problem = await this.#send(batch)
      if (problem === undefined) {
        this.#events.splice(0, batch.length)
        this.#failures = 0
        this.#hasDropped = false
        continue
      }
      if (this.#failures === 0) this.#tell(problem)
      if (this.#isEnding) return
      await Bun.sleep(pauses[Math.min(this.#failures++, pauses.length - 1)] ?? 0)
    }
  }

  /** What went wrong, or undefined. */
  async #send(events: readonly unknown[]): Promise<string | undefined> {
    const { url, secret } = this.#target
    const body = JSON.stringify({ events })
    const signature =
      secret === undefined
        ? {}
        : { 'x-cairn-signature': `sha256=${new Bun.CryptoHasher('sha256', secret).update(body).digest('hex')}` }
    try {
      const response = await fetch(url, {
        method: 'POST',
        body,
        headers: { 'content-type': 'application/vnd.docker.distribution.events.v2+json', ...signature },
        redirect: 'manual',
        signal: AbortSignal.timeout(patience),
      })
      await response.body?.cancel()
      return response.ok ? undefined : `it answers ${response.status}`
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }

  #tell(problem: string): void {
    this.#complain(`webhook ${redactUrl(this.#target.url)}: ${problem}`)
  }
}

/** One event as docker's registry tells it. */
function eventOf(record: RequestRecord, action: WebhookAction, host: string): unknown {
  const { id, time, method, route, user, address, userAgent, facts } = record
  const repository = route !== undefined && 'name' in route ? route.name : ''
  const { digest, mediaType = 'application/octet-stream', size, tags = [], mountedFrom } = facts
  return {
    id,
    timestamp: time.toISOString(),
    action,
    target: { mediaType, digest, size, length: size, repository, fromRepository: mountedFrom, tag: tags[0], tags },
    request: { id, addr: address, host, method, useragent: userAgent },
    actor: { name: user },
  }
}
