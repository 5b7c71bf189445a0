import { recover } from '../../content/recovery.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { tryStat } from '../../linux/file-status.ts'
import { type AccessControl, controlAccess, openAccess } from '../../registry/access/access-control.ts'
import { type ApiToken, parseApiTokens } from '../../registry/access/api-tokens.ts'
import { parsePasswords, type Passwords } from '../../registry/access/htpasswd.ts'
import { parseRules, repositoryActions, type Rule } from '../../registry/access/rules.ts'
import { WatchedFile } from '../../registry/access/watched-file.ts'
import { ManifestCache } from '../../registry/server/manifest-cache.ts'
import { Metrics } from '../../registry/server/metrics.ts'
import type { Address, AuthConfig, RegistryConfig, WebhookConfig } from '../../registry/server/registry-config.ts'
import { type ServerCertificate, startRegistryServer } from '../../registry/server/registry-server.ts'
import { requestHandler } from '../../registry/server/request-handler.ts'
import { auditLog, requestLog } from '../../registry/server/request-log.ts'
import { Webhooks, type WebhookTarget } from '../../registry/server/webhooks.ts'
import type { RegistryStorage } from '../../registry/storage/registry-storage.ts'
import { openRegistryStorage, type RegistryPlace } from './open-registry-storage.ts'
import { registryTokenKey } from './registry-token-key.ts'
import type { Digest } from '../../oci/digest.ts'

/** Bytes of manifests that are kept in memory. */
const manifestCacheSize = 32 * 1024 * 1024
/** How often the files of the certificate are looked at, in milliseconds. */
const certificateInterval = 5_000
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
 * Serves a registry from the store, or from the bucket that the configuration names. Throws CONFIG_INVALID where a file
 * that the configuration names is wrong, NAME_IN_USE where the address is taken, and as {@link openRegistryStorage}.
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
  const complain = (error: CairnError) => print(`${new Date().toISOString()} ${error.message}`)
  const webhooks = new Webhooks(await Promise.all(config.webhooks.map(openWebhook)), (message) =>
    print(`${new Date().toISOString()} ${message}`),
  )
  const log = requestLog(config.log, print)
  const audit = config.log.audit === undefined ? undefined : auditLog(config.log.audit)
  const access = config.auth === undefined ? openAccess : await openAccessControl(store, config.auth, complain)
  const host = `${config.address.hostname}:${config.address.port}`
  const handle = requestHandler(
    { storage, settings: config.settings, manifests: new ManifestCache(manifestCacheSize) },
    {
      access,
      begin: () => metrics.begin(),
      observe: (record) => {
        metrics.observe(record)
        try {
          audit?.(record)
        } catch (error) {
          // It is done already; the client must hear so.
          if (!(error instanceof CairnError)) throw error
          complain(error)
        }
        log(record)
        webhooks.observe(record, host)
      },
    },
  )
  const { hostname } = config.address
  const listen = (tls: ServerCertificate | undefined, port: number) =>
    // A new certificate needs a second server on the port, until the first one has ended.
    startRegistryServer({
      hostname,
      port,
      tls,
      isPortShared: tls !== undefined,
      idleTimeout: config.idleTimeout,
      handle,
    })
  if (config.tls !== undefined)
    listening(config.address, () => Bun.listen({ ...config.address, socket: { data: () => {} } }).stop(true))
  const certificate = await readCertificate(config.tls)
  let server = listening(config.address, () => listen(certificate, config.address.port))
  const port = Number(server.url.port)
  const stopWatching = watchCertificate(config.tls, complain, (tls) => {
    // Both listen for a moment, so no client is turned away.
    const old = server
    server = listen(tls, port)
    void old.stop(config.drain)
  })
  const metricsServer = serveMetricsAt(config.metrics, metrics)
  const stopCollecting = collectRegularly(storage, config, metrics, complain)
  return {
    url: server.url,
    metricsUrl: metricsServer?.url,
    stop: async () => {
      stopWatching()
      await stopCollecting()
      await server.stop(config.drain)
      await webhooks.end(webhookPatience)
      await metricsServer?.stop(true)
      await storage.close()
    },
  }
}

/** Runs what takes an address, with the error of an address that is taken already. */
function listening<T>({ hostname, port }: Address, start: () => T): T {
  try {
    return start()
  } catch (cause) {
    if (!(cause instanceof Error) || !('code' in cause)) throw cause
    const where = `${hostname}:${port}`
    const isTaken = cause.code === 'EADDRINUSE'
    const message = isTaken ? `${where} is in use by another server` : `cannot listen on ${where}: ${cause.message}`
    throw new CairnError(isTaken ? 'NAME_IN_USE' : 'CONFIG_INVALID', message, {
      cause,
      hint: 'Choose another address with --addr.',
    })
  }
}

async function openAccessControl(
  store: Store,
  auth: AuthConfig,
  complain: (error: CairnError) => void,
): Promise<AccessControl> {
  const { htpasswd, rules, apiTokens, scheme, service, realm, tokenKey, tokenLifetime } = auth
  const passwords = await watched<Passwords>(htpasswd, parsePasswords, new Map(), complain)
  const tokens = await watched<ReadonlyMap<Digest, ApiToken>>(apiTokens, parseApiTokens, new Map(), complain)
  return controlAccess({
    passwords,
    apiTokens: tokens,
    rules: await watched<readonly Rule[]>(rules, parseRules, everybodyKnown, complain),
    scheme,
    service,
    realm,
    key: await registryTokenKey(store, tokenKey),
    tokenLifetime: Math.floor(tokenLifetime / 1000),
  })
}

/** Where no rules are given, whoever has a name may do everything. */
const everybodyKnown: readonly Rule[] = [
  { repositories: ['**'], users: ['*'], isAnonymous: false, allow: repositoryActions },
]

async function watched<T>(
  path: string | undefined,
  parse: (text: string, path: string) => T,
  absent: T,
  complain: (error: CairnError) => void,
): Promise<() => Promise<T>> {
  if (path === undefined) return () => Promise.resolve(absent)
  const file = await WatchedFile.open(path, (text) => parse(text, path), complain)
  return () => file.get()
}

async function openWebhook({ url, events, secret }: WebhookConfig): Promise<WebhookTarget> {
  return { url, events, secret: secret === undefined ? undefined : (await readText(secret)).trim() }
}

async function readCertificate(tls: RegistryConfig['tls']): Promise<ServerCertificate | undefined> {
  if (tls === undefined) return undefined
  const { clientCa } = tls
  return {
    cert: await readText(tls.cert),
    key: await readText(tls.key),
    clientAuthorities: clientCa === undefined ? undefined : await readText(clientCa),
  }
}

/** Calls `change` whenever the files of the certificate have changed and can be used. */
function watchCertificate(
  tls: RegistryConfig['tls'],
  complain: (error: CairnError) => void,
  change: (certificate: ServerCertificate | undefined) => void,
): () => void {
  if (tls === undefined) return () => {}
  const mark = () => [tls.cert, tls.key, tls.clientCa ?? ''].map((path) => JSON.stringify(tryStat(path) ?? null)).join()
  let known = mark()
  const timer = setInterval(() => void look(), certificateInterval)
  return () => clearInterval(timer)

  async function look(): Promise<void> {
    const now = mark()
    if (now === known) return
    known = now
    try {
      change(await readCertificate(tls))
    } catch (cause) {
      complain(
        cause instanceof CairnError ? cause : new CairnError('CONFIG_INVALID', `TLS: ${String(cause)}`, { cause }),
      )
    }
  }
}

async function readText(path: string): Promise<string> {
  try {
    return await Bun.file(path).text()
  } catch (cause) {
    throw new CairnError('CONFIG_INVALID', `${path} cannot be read`, { cause })
  }
}

function serveMetricsAt(address: Address | undefined, metrics: Metrics): Bun.Server<undefined> | undefined {
  return address === undefined ? undefined : listening(address, () => serveMetrics(address, metrics))
}

function serveMetrics(address: Address, metrics: Metrics): Bun.Server<undefined> {
  return Bun.serve({
    ...address,
    fetch: ({ url }) => {
      const { pathname } = new URL(url)
      if (pathname === '/healthz') return new Response(null)
      if (pathname !== '/metrics') return new Response(null, { status: 404 })
      return new Response(metrics.format(), { headers: { 'content-type': 'text/plain; version=0.0.4' } })
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
