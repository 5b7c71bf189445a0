import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { tryStat } from '../../linux/file-status.ts'
import type { Digest } from '../../oci/digest.ts'
import { type AccessControl, controlAccess, openAccess } from '../../registry/access/access-control.ts'
import { type ApiToken, parseApiTokens } from '../../registry/access/api-tokens.ts'
import { readConfigFile } from '../../registry/access/config-file.ts'
import { parsePasswords, type Passwords } from '../../registry/access/htpasswd.ts'
import { parseRules, repositoryActions, type Rule } from '../../registry/access/rules.ts'
import { WatchedFile } from '../../registry/access/watched-file.ts'
import { parseProxies } from '../../registry/server/client-address.ts'
import { ManifestCache } from '../../registry/server/manifest-cache.ts'
import type { Metrics } from '../../registry/server/metrics.ts'
import type { ListenAddress, AuthConfig, RegistryConfig } from '../../registry/server/registry-config.ts'
import {
  type RegistryServer,
  type ServerCertificate,
  startRegistryServer,
} from '../../registry/server/registry-server.ts'
import { requestHandler } from '../../registry/server/request-handler.ts'
import type { RequestLimits } from '../../registry/server/request-limits.ts'
import { auditLog, requestLog } from '../../registry/server/request-log.ts'
import type { RequestRecord } from '../../registry/server/request-record.ts'
import type { RegistryStorage } from '../../registry/storage/registry-storage.ts'
import { registryTokenKey } from './registry-token-key.ts'

/** Bytes of manifests that are kept in memory. */
const manifestCacheSize = 32 * 1024 * 1024
/** How often the files of the certificate are looked at, in milliseconds. */
const certificateInterval = 5_000

/** What answering requests takes besides the configuration. */
export interface RequestSurroundings {
  /** Holds the key of tokens. */
  readonly store: Store
  readonly storage: RegistryStorage
  readonly metrics: Metrics
  readonly limits: RequestLimits
  /** Whether other processes answer requests at the same address. */
  readonly isPortShared: boolean
  /** Gets lines of the log. */
  readonly print: (line: string) => void
  /** Told of each request that was answered. */
  readonly observe: (record: RequestRecord) => void
}

/** Answers requests until it is stopped. */
export interface ServedRequests {
  readonly url: URL
  /** Lets requests under way end, as long as the configuration says, and ends. */
  stop(): Promise<void>
}

/**
 * Answers requests at the address of the configuration. Throws CONFIG_INVALID where a file that the configuration names
 * is wrong, NAME_IN_USE where the address is taken.
 */
export async function serveRequests(
  config: RegistryConfig,
  { store, storage, metrics, limits, isPortShared, print, observe }: RequestSurroundings,
): Promise<ServedRequests> {
  const complain = (error: CairnError) => print(`${new Date().toISOString()} ${error.message}`)
  const log = requestLog(config.log, print)
  const audit = config.log.audit === undefined ? undefined : auditLog(config.log.audit)
  const access = config.auth === undefined ? openAccess : await openAccessControl(store, config.auth, complain)
  const handle = requestHandler(
    { storage, settings: config.settings, manifests: new ManifestCache(manifestCacheSize) },
    {
      access,
      limits,
      proxies: config.trustedProxies.flatMap((one) => parseProxies(one) ?? []),
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
        observe(record)
      },
    },
  )
  const { address, idleTimeout, drain } = config
  const listen = (tls: ServerCertificate | undefined, port: number) =>
    startRegistryServer({
      hostname: address.hostname,
      port,
      tls,
      // A new certificate needs a second server on the port, until the first one has ended.
      isPortShared: isPortShared || tls !== undefined,
      idleTimeout,
      handle,
    })
  const certificate = await readCertificate(config.tls)
  let server = listening(address, () => listen(certificate, address.port))
  const port = Number(server.url.port)
  // Those that had certificates before, until the last request to them has ended.
  const retired = new Set<RegistryServer>()
  const stopWatching = watchCertificate(config.tls, complain, (tls) => {
    // Both listen for a moment, so no client is turned away.
    const old = server
    server = listen(tls, port)
    retired.add(old)
    void old.stop().then(() => retired.delete(old))
  })
  return {
    url: server.url,
    stop: async () => {
      stopWatching()
      await Promise.all([server, ...retired].map((one) => one.stop(drain)))
    },
  }
}

/** Runs what takes an address. Throws NAME_IN_USE where that is taken already, CONFIG_INVALID where it cannot be had. */
export function listening<T>({ hostname, port }: ListenAddress, start: () => T): T {
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

async function readCertificate(tls: RegistryConfig['tls']): Promise<ServerCertificate | undefined> {
  if (tls === undefined) return undefined
  const { clientCa } = tls
  return {
    cert: await readConfigFile(tls.cert),
    key: await readConfigFile(tls.key),
    clientAuthorities: clientCa === undefined ? undefined : await readConfigFile(clientCa),
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
