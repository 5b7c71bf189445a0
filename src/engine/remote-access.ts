import type { SecretSource } from '../build/build-secrets.ts'
import type { Lease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { readTextFile } from '../linux/text-file.ts'
import { defaultLimits, type RemoteAccess } from '../remote/access.ts'

export interface RemoteAccessOptions {
  readonly store: Store
  readonly lease: Lease
  /** Environment of the command. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** `--secret`s by id. */
  readonly secrets: ReadonlyMap<string, SecretSource>
  readonly signal: () => AbortSignal
}

/**
 * How a build reaches servers and repositories: with the secrets of the command line, within CAIRN_FETCH_LIMIT bytes.
 * Throws USAGE for a limit that is no number.
 */
export function remoteAccess({ store, lease, env, secrets, signal }: RemoteAccessOptions): RemoteAccess {
  return {
    store,
    lease,
    env,
    get signal() {
      return signal()
    },
    secret: (id) => secretText(secrets.get(id)),
    limits: { ...defaultLimits, size: fetchLimit(env['CAIRN_FETCH_LIMIT']) },
  }
}

function secretText(source: SecretSource | undefined): string | undefined {
  if (source === undefined) return undefined
  if (source.from === 'file') return readTextFile(source.path)
  return typeof source.value === 'string' ? source.value : new TextDecoder().decode(source.value)
}

function fetchLimit(text: string | undefined): number {
  if (text === undefined || text === '') return defaultLimits.size
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new CairnError('USAGE', `invalid CAIRN_FETCH_LIMIT: ${JSON.stringify(text)} is no number of bytes`, {
    exitCode: 1,
  })
}
