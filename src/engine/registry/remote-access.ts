import type { SecretSource } from '../../build/build-secrets.ts'
import type { Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { usageError } from '../../errors/error.ts'
import { makeDirectories } from '../../linux/names.ts'
import { readTextFile } from '../../linux/text-file.ts'
import { defaultLimits, type RemoteAccess } from '../../remote/access.ts'
import type { SourceLock } from '../../remote/source-lock.ts'
import type { SshAgent } from '../../ssh/agent.ts'
import { serveAgent, type ServedAgent } from '../../ssh/serve-agent.ts'

export interface RemoteAccessOptions {
  readonly store: Store
  readonly lease: Lease
  /** Environment of the command. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** `--secret`s by id. */
  readonly secrets: ReadonlyMap<string, SecretSource>
  /** `--ssh` by id; repositories are fetched with the one called `default`. */
  readonly agents?: ReadonlyMap<string, SshAgent> | undefined
  /** `--lock`. */
  readonly lock?: SourceLock | undefined
  readonly signal: () => AbortSignal
}

/**
 * How a build reaches servers and repositories: with the secrets of the command line, within CAIRN_FETCH_LIMIT bytes.
 * Its socket for SSH is there until it is disposed of. Throws USAGE for a limit that is no number.
 */
export function remoteAccess(options: RemoteAccessOptions): RemoteAccess & Disposable {
  const { store, lease, env, secrets, agents, lock, signal } = options
  let served: { readonly agent: ServedAgent; readonly path: string } | undefined
  return {
    store,
    lease,
    lock,
    env,
    get signal() {
      return signal()
    },
    secret: (id) => secretText(secrets.get(id)),
    get sshAgent() {
      const agent = agents?.get('default')
      if (agent !== undefined) served ??= serve(store, agent)
      return served?.path
    },
    [Symbol.dispose]: () => served?.agent.close(),
    limits: { ...defaultLimits, size: fetchLimit(env['CAIRN_FETCH_LIMIT']) },
  }
}

function serve(store: Store, agent: SshAgent): { readonly agent: ServedAgent; readonly path: string } {
  const directory = store.session.temporaryPath('ssh')
  makeDirectories(directory, 0o700)
  const owner = { mode: 0o600, uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }
  return { agent: serveAgent(agent, directory, 'agent', owner), path: `${directory}/agent` }
}

function secretText(source: SecretSource | undefined): string | undefined {
  if (source === undefined) return undefined
  if (source.from === 'file') return readTextFile(source.path)
  return typeof source.value === 'string' ? source.value : new TextDecoder().decode(source.value)
}

function fetchLimit(text: string | undefined): number {
  if (text === undefined || text === '') return defaultLimits.size
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw usageError(`invalid CAIRN_FETCH_LIMIT: ${JSON.stringify(text)} is no number of bytes`)
}
