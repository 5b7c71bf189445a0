import { ownCommand } from '../../containers/own-command.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import type { MetricsSnapshot } from '../../registry/server/metrics.ts'
import type { RegistryConfig } from '../../registry/server/registry-config.ts'
import { CountedLimits, type RequestLimits } from '../../registry/server/request-limits.ts'
import type { RequestRecord } from '../../registry/server/request-record.ts'
import type { RegistrySettings } from '../../registry/server/settings.ts'
import { formatWorkerConfig, type FromWorker, type ToWorker } from './worker-messages.ts'

/** How long a worker may take to tell what it has counted, in milliseconds. */
const metricsPatience = 2_000
/** How long it may take to end beyond the time for requests under way. */
const endPatience = 5_000
/** Pause before a worker that ended is started again. */
const restartPause = 1_000

interface WorkersOptions {
  readonly store: Store
  readonly settings: RegistrySettings
  readonly tell: (message: string) => void
  /** Told of what webhooks are told of. */
  readonly observe: (record: RequestRecord) => void
}

type Child = Bun.Subprocess<Uint8Array, 'ignore', 'inherit'>

/**
 * Processes that answer requests at the address of this one. What has to be counted for all is counted here, so limits
 * hold however connections are spread. A worker that dies is started again; all of them end with this process.
 */
export class RegistryWorkers {
  readonly limits: RequestLimits
  readonly #options: WorkersOptions
  readonly #children = new Set<Child>()
  readonly #questions = new Map<number, (snapshot: MetricsSnapshot) => void>()
  #lastQuestion = 0
  #isEnding = false

  constructor(options: WorkersOptions) {
    this.#options = options
    this.limits = new CountedLimits(options.settings, (address, wait) => {
      for (const child of this.#children) send(child, { kind: 'blocked', address, wait })
    })
  }

  /** Starts workers and waits until all of them listen. Throws CONFIG_INVALID where one cannot. */
  async start(count: number, config: RegistryConfig): Promise<void> {
    const text = formatWorkerConfig(config)
    try {
      await Promise.all(Array.from({ length: count }, () => this.#startOne(text)))
    } catch (error) {
      await this.stop(0)
      throw error
    }
  }

  /** What all workers have counted that answer in time. */
  async metrics(): Promise<readonly MetricsSnapshot[]> {
    const asked = [...this.#children].map(async (child) => {
      const id = ++this.#lastQuestion
      const answer = new Promise<MetricsSnapshot>((resolve) => this.#questions.set(id, resolve))
      send(child, { kind: 'tell-metrics', id })
      const snapshot = await Promise.race([answer, Bun.sleep(metricsPatience)])
      this.#questions.delete(id)
      return snapshot
    })
    return (await Promise.all(asked)).flatMap((snapshot) => snapshot ?? [])
  }

  /** Has them end the requests under way, for up to `drain` milliseconds, and end. */
  async stop(drain: number): Promise<void> {
    this.#isEnding = true
    const ended = [...this.#children].map(async (child) => {
      send(child, { kind: 'stop' })
      const timer = setTimeout(() => child.kill('SIGKILL'), drain + endPatience)
      await child.exited
      clearTimeout(timer)
    })
    await Promise.all(ended)
  }

  async #startOne(config: string): Promise<void> {
    const ready = Promise.withResolvers<void>()
    const child: Child = Bun.spawn([...ownCommand(this.#options.store, 'registry', 'worker')], {
      stdin: new TextEncoder().encode(config),
      stdout: 'ignore',
      stderr: 'inherit',
      serialization: 'advanced',
      ipc: (message: FromWorker) => {
        if (message.kind === 'ready') ready.resolve()
        else if (message.kind === 'failed') ready.reject(new CairnError('CONFIG_INVALID', message.message))
        else void this.#answer(child, message)
      },
    })
    this.#children.add(child)
    void child.exited.then(() => {
      this.#children.delete(child)
      ready.reject(new CairnError('CONFIG_INVALID', 'a worker of the registry ended before it listened'))
    })
    await ready.promise
    void child.exited.then(() => this.#restart(config))
  }

  async #restart(config: string): Promise<void> {
    // A signal to the whole group ends workers first.
    await Bun.sleep(restartPause)
    if (this.#isEnding) return
    this.#options.tell('a worker has died; another one takes its place')
    try {
      await this.#startOne(config)
    } catch (error) {
      if (!(error instanceof CairnError)) throw error
      this.#options.tell(error.message)
      await this.#restart(config)
    }
  }

  async #answer(child: Child, message: Exclude<FromWorker, { kind: 'ready' | 'failed' }>): Promise<void> {
    switch (message.kind) {
      case 'event':
        this.#options.observe(message.record)
        return
      case 'take-request':
        send(child, { kind: 'allowance', id: message.id, allowance: await this.limits.takeRequest(message.client) })
        return
      case 'failed-login':
        await this.limits.noteFailedLogin(message.address)
        send(child, { kind: 'noted', id: message.id })
        return
      case 'metrics':
        this.#questions.get(message.id)?.(message.snapshot)
        return
      default:
        message satisfies never
    }
  }
}

function send(child: Child, message: ToWorker): void {
  // One that has just died hears nothing any more.
  if (child.exitCode === null && child.signalCode === null) child.send(message)
}
