import type { Lease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
import type { SourceLock } from './source-lock.ts'

/** What reaching a remote source needs of the command that asks for it. */
export interface RemoteAccess {
  readonly store: Store
  /** Keeps what is fetched for as long as the caller needs it. */
  readonly lease: Lease
  /** Ends whatever is under way; the call then fails with the signal's reason. */
  readonly signal: AbortSignal
  /** The environment of the command: where programs, certificates and proxies are. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Value of a build secret, undefined where none of this name was given. Asked for by the names that docs/security.md lists. */
  readonly secret: (id: string) => string | undefined
  /** Socket of the SSH agent whose keys repositories may be fetched with; undefined for none. */
  readonly sshAgent?: string | undefined
  readonly limits: RemoteLimits
  /** What sources were resolved to before, where the build holds to it. */
  readonly lock?: SourceLock | undefined
}

/** How much and how long a server may take. */
export interface RemoteLimits {
  /** Bytes that one file, or all files of one checkout, may have. */
  readonly size: number
  /** Files that one checkout may have. */
  readonly files: number
  /** Milliseconds without a byte after which a server counts as gone. */
  readonly stall: number
}

export const defaultLimits: RemoteLimits = { size: 32 * 1024 ** 3, files: 5_000_000, stall: 60_000 }

/** The URL without its credentials. */
export function withoutUserInfo(url: URL): URL {
  const bare = new URL(url)
  bare.username = ''
  bare.password = ''
  return bare
}

/** Value of the header `Authorization` for the user info of a URL (RFC 7617), undefined where it has none. */
export function basicAuthorization({ username, password }: URL): string | undefined {
  if (username === '' && password === '') return undefined
  const text = `${decoded(username)}:${decoded(password)}`
  return `Basic ${Buffer.from(text).toString('base64')}`
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
