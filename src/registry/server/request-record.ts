import type { Digest } from '../../oci/digest.ts'
import type { Route } from './routes.ts'

/** What a handler tells of the request it answered. */
export interface RequestFacts {
  digest?: Digest
  /** Tags that were set, or the one that was asked for. */
  tags?: readonly string[]
  mediaType?: string
  /** Bytes of the blob or manifest. */
  size?: number
  /** Repository that a blob was mounted from. */
  mountedFrom?: string
}

/** One request that was answered: what logs, metrics and webhooks are made from. Holds no credential. */
export interface RequestRecord {
  readonly id: string
  readonly time: Date
  readonly method: string
  readonly path: string
  /** Undefined for paths of nothing, health and tokens. */
  readonly route: Route | undefined
  readonly status: number
  /** Code of the specification where it was refused. */
  readonly errorCode: string | undefined
  /** What went wrong in the server; of status 500 and above. */
  readonly cause: unknown
  /** Milliseconds until the answer began. */
  readonly duration: number
  readonly user: string | undefined
  /** Whether the client has said who it is, rightly or not. */
  readonly hasCredentials: boolean
  readonly address: string | undefined
  readonly userAgent: string | undefined
  /** Bytes of bodies as their headers say; 0 where those do not. */
  readonly received: number
  readonly sent: number
  readonly facts: RequestFacts
}

/** Kind of change or use that a request was; undefined for what changes and fetches nothing. */
export function actionOf({
  route,
  method,
  status,
  facts,
}: RequestRecord): 'pull' | 'push' | 'mount' | 'delete' | undefined {
  // A redirect is to the bytes of a blob.
  if ((status >= 300 && status !== 307) || route === undefined) return undefined
  if (method === 'DELETE') return route.kind === 'manifest' || route.kind === 'blob' ? 'delete' : undefined
  if (facts.digest === undefined) return undefined
  if (method === 'GET') return route.kind === 'manifest' || route.kind === 'blob' ? 'pull' : undefined
  if (status !== 201) return undefined
  return facts.mountedFrom === undefined ? 'push' : 'mount'
}
