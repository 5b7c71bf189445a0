import { type Rate, RateLimit } from './rate-limit.ts'
import type { RegistrySettings } from './settings.ts'

/** What is left to a client. */
export interface Allowance {
  /** Milliseconds to wait before the request may go on; 0 where it may. */
  readonly wait: number
  /** Requests that may follow at once. */
  readonly remaining: number
  readonly rate: Rate
}

/** How many requests, and wrong credentials, clients are allowed. */
export interface RequestLimits {
  /** Takes one request of a client; undefined where requests are not counted. */
  takeRequest(client: string): Allowance | Promise<Allowance> | undefined
  /** Takes note of wrong credentials. */
  noteFailedLogin(address: string): void | Promise<void>
  /** Milliseconds for which an address is let nowhere, after too many wrong credentials. */
  loginWait(address: string): number
}

/** Limits that this process counts. */
export class CountedLimits implements RequestLimits {
  readonly #requests: RateLimit | undefined
  readonly #failedLogins: RateLimit
  readonly #onBlocked: (address: string, wait: number) => void

  /** `onBlocked` is told of addresses that have used up their wrong credentials, and for how many milliseconds. */
  constructor(
    { requests, failedLogins }: Pick<RegistrySettings, 'requests' | 'failedLogins'>,
    onBlocked: (address: string, wait: number) => void = () => {},
  ) {
    this.#requests = requests === undefined ? undefined : new RateLimit(requests)
    this.#failedLogins = new RateLimit(failedLogins)
    this.#onBlocked = onBlocked
  }

  takeRequest(client: string): Allowance | undefined {
    const limit = this.#requests
    if (limit === undefined) return undefined
    const now = Date.now()
    const wait = limit.take(client, now)
    return { wait, remaining: limit.left(client, now), rate: limit.rate }
  }

  noteFailedLogin(address: string): void {
    this.#failedLogins.take(address, Date.now())
    const wait = this.loginWait(address)
    if (wait > 0) this.#onBlocked(address, wait)
  }

  loginWait(address: string): number {
    return this.#failedLogins.wait(address, Date.now())
  }
}

/** What a client is told of its limit, as Docker Hub does: `RateLimit-Limit: 100;w=60`, the window in seconds. */
export function allowanceHeaders({ rate, remaining }: Allowance): Readonly<Record<string, string>> {
  const window = `w=${Math.ceil(rate.period / 1000)}`
  return { 'ratelimit-limit': `${rate.count};${window}`, 'ratelimit-remaining': `${remaining};${window}` }
}
