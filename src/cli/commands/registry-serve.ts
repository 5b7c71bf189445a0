import { serveRegistry } from '../../engine/registry/serve-registry.ts'
import { CairnError } from '../../errors/error.ts'
import {
  type AuthConfig,
  defaultAuth,
  mostWorkers,
  parseListenAddress,
  type RegistryConfig,
} from '../../registry/server/registry-config.ts'
import { defineCommand } from '../command.ts'
import { openStoreOf } from '../open-store.ts'
import { readRegistryConfig } from '../read-registry-config.ts'

interface ServeFlags {
  readonly addr: string | undefined
  readonly config: string | undefined
  readonly 'tls-cert': string | undefined
  readonly 'tls-key': string | undefined
  readonly htpasswd: string | undefined
  readonly rules: string | undefined
  readonly 'read-only': boolean
  readonly 'no-delete': boolean
  readonly workers: string | undefined
}

export default defineCommand({
  usage: '[OPTIONS]',
  description:
    'Serves the OCI distribution API from the store: blobs are kept once for the registry and for local images. With a configuration file, from a bucket of an object storage, and with other registries cached. Flags come before what the configuration file says. SIGTERM ends the server when the requests under way have ended.',
  examples: [
    { text: 'A registry for this machine', command: 'cairn registry serve' },
    {
      text: 'One for others, with TLS and users',
      command: 'cairn registry serve --addr :443 --tls-cert cert.pem --tls-key key.pem --htpasswd users',
    },
    { text: 'Check a configuration', command: 'cairn registry serve --config registry.toml --check' },
  ],
  args: { max: 0 },
  flags: {
    addr: { type: 'string', value: 'address', summary: 'Address and port to listen on (default 127.0.0.1:5000)' },
    config: { type: 'string', value: 'file', complete: 'file', summary: 'Configuration file (TOML)' },
    'tls-cert': { type: 'string', value: 'file', complete: 'file', summary: 'Certificate chain (PEM)' },
    'tls-key': { type: 'string', value: 'file', complete: 'file', summary: 'Key of the certificate (PEM)' },
    htpasswd: { type: 'string', value: 'file', complete: 'file', summary: 'Users and their bcrypt hashes' },
    rules: { type: 'string', value: 'file', complete: 'file', summary: 'Who may do what in which repositories (TOML)' },
    'read-only': { type: 'bool', summary: 'Refuse every change' },
    workers: { type: 'string', value: 'number', summary: 'Processes that answer requests (default 1)' },
    'no-delete': { type: 'bool', summary: 'Refuse deletion of tags, manifests and blobs' },
    check: { type: 'bool', summary: 'Only check the configuration' },
  },
  async run(ctx, flags) {
    // --config is docker's folder everywhere else; here it is the registry's file.
    const config = applyFlags(await readRegistryConfig(flags.config), flags)
    if (flags.check) return 0
    const { signal } = ctx
    const store = await ctx.use(openStoreOf)
    const print = (line: string) => ctx.stderr.write(`${line}\n`)
    const registry = await serveRegistry(config, { store, env: ctx.env, print })
    ctx.stderr.write(`Registry at ${registry.url.origin}\n`)
    if (registry.metricsUrl !== undefined) ctx.stderr.write(`Metrics at ${registry.metricsUrl.origin}/metrics\n`)
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    await registry.stop()
    return 0
  },
})

function applyFlags(config: RegistryConfig, flags: ServeFlags): RegistryConfig {
  const { addr, 'tls-cert': cert, 'tls-key': key } = flags
  if ((cert === undefined) !== (key === undefined))
    throw new CairnError('USAGE', '--tls-cert and --tls-key are needed together')
  return {
    ...config,
    workers: flags.workers === undefined ? config.workers : parseWorkers(flags.workers),
    address: addr === undefined ? config.address : parseListenAddress(addr),
    settings: {
      ...config.settings,
      isReadOnly: flags['read-only'] || config.settings.isReadOnly,
      isDeleteEnabled: !flags['no-delete'] && config.settings.isDeleteEnabled,
    },
    tls: cert === undefined || key === undefined ? config.tls : { cert, key, clientCa: config.tls?.clientCa },
    auth: applyAuthFlags(config.auth, flags),
  }
}

function parseWorkers(text: string): number {
  const workers = /^\d{1,3}$/.test(text) ? Number(text) : 0
  if (workers >= 1 && workers <= mostWorkers) return workers
  throw new CairnError('USAGE', `--workers takes a number from 1 to ${mostWorkers}, not ${JSON.stringify(text)}`)
}

function applyAuthFlags(auth: AuthConfig | undefined, { htpasswd, rules }: ServeFlags): AuthConfig | undefined {
  if (htpasswd === undefined && rules === undefined) return auth
  const base = auth ?? defaultAuth
  return { ...base, htpasswd: htpasswd ?? base.htpasswd, rules: rules ?? base.rules }
}
