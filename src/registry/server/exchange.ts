import type { Digest } from '../../oci/digest.ts'
import { registryHeaders } from '../protocol.ts'
import type { RegistryStorage } from '../storage/registry-storage.ts'
import type { ManifestCache } from './manifest-cache.ts'
import type { RequestFacts } from './request-record.ts'
import type { RegistrySettings } from './settings.ts'

/** What the handlers of all requests work with. */
export interface Registry {
  readonly storage: RegistryStorage
  readonly settings: RegistrySettings
  readonly manifests: ManifestCache
}

/** One request that is being answered. */
export interface Exchange extends Registry {
  readonly request: Request
  readonly query: URLSearchParams
  /** Name of who asks; undefined where clients have no names. */
  readonly user: string | undefined
  /** Whether who asks may pull from a repository: mounting needs it of the one it mounts from. */
  readonly mayPull: (repository: string) => boolean
  readonly mayOverwrite: (repository: string) => boolean
  /** What the handler tells of the request. */
  readonly facts: RequestFacts
}

/** How long anybody may keep what a digest names: it never changes. */
const immutable = 'max-age=31536000, immutable'

/** Headers of an answer whose content has a digest. `isByDigest` is false where a tag led to it, which may move. */
export function contentHeaders(digest: Digest, isByDigest: boolean): Record<string, string> {
  return {
    [registryHeaders.contentDigest]: digest,
    etag: `"${digest}"`,
    'cache-control': isByDigest ? `private, ${immutable}` : 'no-cache',
  }
}

/** True when the client has this content already: If-None-Match, RFC 9110 §13.1.2. */
export function isNotModified(request: Request, digest: Digest): boolean {
  const header = request.headers.get('if-none-match')
  return header !== null && entityTags(header).some((tag) => tag === '*' || tag === digest)
}

/** The digests that a list of entity tags names; weak ones count as strong, since no content is ever equivalent only. */
export function entityTags(header: string): string[] {
  return header.split(',').map((item) =>
    item
      .trim()
      .replace(/^W\//, '')
      .replace(/^"(.*)"$/, '$1'),
  )
}

/** An answer with a JSON document. */
export function jsonResponse(value: unknown, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(JSON.stringify(value), { headers: { 'content-type': 'application/json', ...headers } })
}

/** An answer without a body. */
export function emptyResponse(status: number, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(null, { status, headers: { ...headers } })
}
