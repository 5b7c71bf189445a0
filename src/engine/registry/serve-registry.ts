import { recover } from '../../content/recovery.ts'
import { CairnError } from '../../errors/error.ts'
import { readConfigFile } from '../../registry/access/config-file.ts'
import { Metrics } from '../../registry/server/metrics.ts'
import type { ListenAddress, RegistryConfig, WebhookConfig } from '../../registry/server/registry-config.ts'
import { Webhooks, type WebhookTarget } from '../../registry/server/webhooks.ts'
import type { RegistryStorage } from '../../registry/storage/registry-storage.ts'
import { openRegistryStorage, type RegistryPlace } from './open-registry-storage.ts'
import { RegistryWorkers } from './registry-workers.ts'
import { listening, serveRequests } from './serve-requests.ts'

/** How long webhooks may take to send what waits when the server ends, in milliseconds. */
const webhookPatience = 3_000

/** A registry that serves until it is stopped. */
export interface RunningRegistry {
  readonly url: URL
  readonly metricsUrl: URL | undefined
  /** Lets requests under way end, as long as the configuration says, and ends. */
  stop(): Promise<void>
}

/** What a registry works with besides its configuration. */
export interface RegistrySurroundings extends RegistryPlace {
  /** Gets lines of the log. */
  readonly print: (line: string) => void
}

/**
 * Serves a registry from the store, or from the bucket that the configuration names, by as many processes as it says:
 * this one, which also collects garbage, sends webhooks and counts for all, and workers. Throws CONFIG_INVALID where a
 * file that the configuration names is wrong, NAME_IN_USE where the address is taken, and as {@link openRegistryStorage}.
 */
export async function serveRegistry(
  config: RegistryConfig,
  { store, env, print }: RegistrySurroundings,
): Promise<RunningRegistry> {
  recover(store)
  const metrics = new Metrics()
  const storage = await openRegistryStorage({ store, env }, config, {
    count: (result) => metrics.observeCache(result),
    onFetched: (bytes) => metrics.observeFetch(bytes),
  })
  const tell = (message: string) => print(`${new Date().toISOString()} ${message}`)
  const webhooks = new Webhooks(await Promise.all(config.webhooks.map(openWebhook)), tell)
  const { address, settings, workers: count } = config
  const host = `${address.hostname}:${address.port}`
  const workers = new RegistryWorkers({ store, settings, tell, observe: (record) => webhooks.observe(record, host) })
  const isPortShared = count > 1
  // A shared port would also be shared with a server that was there before.
  if (config.tls !== undefined || isPortShared)
    listening(address, () => Bun.listen({ ...address, socket: { data: () => {} } }).stop(true))
  const served = await serveRequests(config, {
    store,
    storage,
    metrics,
    limits: workers.limits,
    isPortShared,
    print,
    observe: (record) => webhooks.observe(record, host),
  })
  await workers.start(count - 1, { ...config, address: { ...address, port: Number(served.url.port) } })
  const metricsServer = serveMetricsAt(config.metrics, async () => metrics.format(await workers.metrics()))
  const stopCollecting = collectRegularly(storage, config, metrics, ({ message }) => tell(message))
  return {
    url: served.url,
    metricsUrl: metricsServer?.url,
    stop: async () => {
      await stopCollecting()
      await Promise.all([served.stop(), workers.stop(config.drain)])
      await webhooks.end(webhookPatience)
      await metricsServer?.stop(true)
      await storage.close()
    },
  }
}

async function openWebhook({ url, events, secret }: WebhookConfig): Promise<WebhookTarget> {
  return { url, events, secret: secret === undefined ? undefined : (await readConfigFile(secret)).trim() }
}

function serveMetricsAt(
  address: ListenAddress | undefined,
  format: () => Promise<string>,
): Bun.Server<undefined> | undefined {
  return address === undefined ? undefined : listening(address, () => serveMetrics(address, format))
}

function serveMetrics(address: ListenAddress, format: () => Promise<string>): Bun.Server<undefined> {
  return Bun.serve({
    ...address,
    fetch: async ({ url }) => {
      const { pathname } = new URL(url)
      if (pathname === '/healthz') return new Response(null)
      if (pathname !== '/metrics') return new Response(null, { status: 404 })
      return new Response(await format(), { headers: { 'content-type': 'text/plain; version=0.0.4' } })
    },
  })
}

/** Collects garbage every now and then; the result stops that, and waits for a collection under way. */
function collectRegularly(
  storage: RegistryStorage,
  { gc, settings }: RegistryConfig,
  metrics: Metrics,
  complain: (error: CairnError) => void,
): () => Promise<void> {
  if (gc.interval === 0 || settings.isReadOnly) return () => Promise.resolve()
  const end = new AbortController()
  let work = Promise.resolve()
  const timer = setInterval(() => {
    work = work.then(collect)
  }, gc.interval)
  return async () => {
    clearInterval(timer)
    end.abort()
    await work
  }

  async function collect(): Promise<void> {
    if (end.signal.aborted) return
    try {
      const { freed } = await storage.collectGarbage({ ...gc, isDryRun: false, signal: end.signal })
      metrics.observeGarbage(freed)
    } catch (error) {
      if (error instanceof CairnError) complain(error)
      else if (!end.signal.aborted) throw error
    }
  }
}
