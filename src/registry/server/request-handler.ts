import { CairnError } from '../../errors/error.ts'
import type { Subnet } from '../../networks/addresses.ts'
import { type AccessControl, type Need, type Principal, tokenPath, type Verdict } from '../access/access-control.ts'
import { registryHeaders } from '../protocol.ts'
import { deleteBlob, getBlob } from './blobs.ts'
import { clientAddress, countedAddress } from './client-address.ts'
import { emptyResponse, type Exchange, jsonResponse, type Registry } from './exchange.ts'
import { listReferrers, listRepositories, listTags } from './listings.ts'
import { deleteManifest, getManifest, putManifest } from './manifests.ts'
import { declaredLength } from './request-body.ts'
import { failureOf, failureResponse, RequestFailure } from './request-failure.ts'
import { type Allowance, allowanceHeaders, type RequestLimits } from './request-limits.ts'
import type { RequestFacts, RequestRecord } from './request-record.ts'
import { parseRoute, parseTarget, type Route, type Target } from './routes.ts'
import { answerTokenRequest } from './token-endpoint.ts'
import { beginUpload, cancelUpload, getUpload, patchUpload, putUpload } from './uploads.ts'

type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

const allowedMethods: Readonly<Record<Route['kind'], readonly Method[]>> = {
  base: ['GET', 'HEAD'],
  catalog: ['GET', 'HEAD'],
  tags: ['GET', 'HEAD'],
  manifest: ['GET', 'HEAD', 'PUT', 'DELETE'],
  blob: ['GET', 'HEAD', 'DELETE'],
  uploads: ['POST'],
  upload: ['GET', 'HEAD', 'PATCH', 'PUT', 'DELETE'],
  referrers: ['GET', 'HEAD'],
}

/** What a handler of requests works with besides the registry. */
export interface HandlerOptions {
  readonly access: AccessControl
  readonly limits: RequestLimits
  /** Who is believed when they tell for whom they ask. */
  readonly proxies?: readonly Subnet[]
  /** Told when a request begins, and of each one that was answered. */
  readonly begin?: () => void
  readonly observe?: (record: RequestRecord) => void
}

/** Answers a request of a connection from `peer`. */
export type HandleRequest = (request: Request, peer: string | undefined) => Promise<Response>

/** Answers requests to a registry. Never throws: whatever goes wrong becomes an answer of the specification's form. */
export function requestHandler(registry: Registry, options: HandlerOptions): HandleRequest {
  const handler = new Handler(registry, options)
  return (request, peer) => handler.handle(request, peer)
}

/** What becomes known of a request while it is answered. */
interface Progress {
  readonly address: string | undefined
  /** The address as limits count it. */
  readonly counted: string
  readonly facts: RequestFacts
  route: Route | undefined
  user: string | undefined
  allowance: Allowance | undefined
}

class Handler {
  readonly #registry: Registry
  readonly #options: HandlerOptions

  constructor(registry: Registry, options: HandlerOptions) {
    this.#registry = registry
    this.#options = options
  }

  async handle(request: Request, peer: string | undefined): Promise<Response> {
    const { begin, observe, proxies = [] } = this.#options
    begin?.()
    const start = performance.now()
    const target = parseTarget(request.url)
    const address = clientAddress(peer, request.headers.get('x-forwarded-for'), proxies)
    const counted = countedAddress(address ?? '')
    const progress: Progress = { address, counted, facts: {}, route: undefined, user: undefined, allowance: undefined }
    let failure: RequestFailure | undefined
    let response: Response
    try {
      response = await this.#answer(request, target, progress)
    } catch (error) {
      failure = failureOf(error)
      response = failureResponse(failure)
    }
    response.headers.set(registryHeaders.apiVersion, 'registry/2.0')
    response.headers.set('x-content-type-options', 'nosniff')
    if (progress.allowance !== undefined)
      for (const [name, value] of Object.entries(allowanceHeaders(progress.allowance)))
        response.headers.set(name, value)
    if (observe !== undefined) {
      const duration = performance.now() - start
      observe(recordOf(request, target, progress, response, failure, duration))
    }
    return response
  }

  async #answer(request: Request, target: Target, progress: Progress): Promise<Response> {
    const { path, query } = target
    if (path === '/healthz') return emptyResponse(200)
    const { access, limits } = this.#options
    const refuseGuessing = () => this.#refuseGuessing(progress)
    refuseGuessing()
    if (path === tokenPath && access.tokenServer !== undefined) {
      const response = await answerTokenRequest(access.tokenServer, request, query, refuseGuessing)
      if (response !== undefined) return response
      await limits.noteFailedLogin(progress.counted)
      throw new RequestFailure('UNAUTHORIZED', { headers: { 'www-authenticate': 'Basic realm="token"' } })
    }
    const route = parseRoute(path)
    if (route === undefined) throw new RequestFailure('UNSUPPORTED', { status: 404, message: 'no such endpoint' })
    progress.route = route
    const principal = await this.#admit(await access.judge(request, needOf(route, request), refuseGuessing), progress)
    await this.#checkRate(principal, progress)
    checkMethod(this.#registry, request, route)
    const { user, mayPull, mayOverwrite } = principal
    const { facts } = progress
    const exchange: Exchange = { ...this.#registry, request, query, user, mayPull, mayOverwrite, facts }
    return await handlers[route.kind](exchange, route as never)
  }

  /** Throws for a request that may not go on. */
  async #admit(verdict: Verdict, progress: Progress): Promise<Principal> {
    if (verdict.outcome === 'unauthorized') {
      if (verdict.reason === 'wrong') await this.#options.limits.noteFailedLogin(progress.counted)
      throw new RequestFailure('UNAUTHORIZED', { headers: { 'www-authenticate': verdict.challenge } })
    }
    progress.user = verdict.principal.user
    if (verdict.outcome === 'denied') throw new RequestFailure('DENIED')
    return verdict.principal
  }

  /** Lets nobody try passwords without end. */
  #refuseGuessing({ counted }: Progress): void {
    const wait = this.#options.limits.loginWait(counted)
    if (wait > 0) throw tooMany(wait, 'too many wrong credentials from this address')
  }

  async #checkRate({ user }: Principal, progress: Progress): Promise<void> {
    const client = user === undefined ? `address ${progress.counted}` : `user ${user}`
    progress.allowance = await this.#options.limits.takeRequest(client)
    const { wait = 0 } = progress.allowance ?? {}
    if (wait > 0) throw tooMany(wait, 'too many requests')
  }
}

function tooMany(wait: number, message: string): RequestFailure {
  return new RequestFailure('TOOMANYREQUESTS', {
    message,
    headers: { 'retry-after': String(Math.ceil(wait / 1000)) },
  })
}

/** What right a request needs. An upload is part of a push whatever is done with it. */
function needOf(route: Route, { method }: Request): Need {
  switch (route.kind) {
    case 'base':
    case 'catalog':
      return { kind: route.kind }
    case 'uploads':
    case 'upload':
      return { kind: 'repository', name: route.name, action: 'push' }
    default: {
      const action = method === 'GET' || method === 'HEAD' ? 'pull' : method === 'DELETE' ? 'delete' : 'push'
      return { kind: 'repository', name: route.name, action }
    }
  }
}

type RouteHandler<Kind extends Route['kind']> = (
  exchange: Exchange,
  route: Extract<Route, { kind: Kind }>,
) => Promise<Response> | Response

const handlers: { readonly [Kind in Route['kind']]: RouteHandler<Kind> } = {
  base: () => jsonResponse({}),
  catalog: (exchange) => listRepositories(exchange),
  tags: (exchange, { name }) => listTags(exchange, name),
  referrers: (exchange, { name, digest }) => listReferrers(exchange, name, digest),
  manifest: (exchange, { name, reference }) => {
    switch (exchange.request.method) {
      case 'PUT':
        return putManifest(exchange, name, reference)
      case 'DELETE':
        return deleteManifest(exchange, name, reference)
      default:
        return getManifest(exchange, name, reference)
    }
  },
  blob: (exchange, { name, digest }) =>
    exchange.request.method === 'DELETE' ? deleteBlob(exchange, name, digest) : getBlob(exchange, name, digest),
  uploads: (exchange, { name }) => beginUpload(exchange, name),
  upload: (exchange, { name, id }) => {
    switch (exchange.request.method) {
      case 'PATCH':
        return patchUpload(exchange, name, id)
      case 'PUT':
        return putUpload(exchange, name, id)
      case 'DELETE':
        return cancelUpload(exchange, name, id)
      default:
        return getUpload(exchange, name, id)
    }
  },
}

function checkMethod({ settings }: Registry, { method }: Request, { kind }: Route): void {
  const allowed = allowedMethods[kind].filter(
    (one) =>
      one === 'GET' ||
      one === 'HEAD' ||
      (!settings.isReadOnly && (one !== 'DELETE' || kind === 'upload' || settings.isDeleteEnabled)),
  )
  if (allowed.some((one) => one === method)) return
  const message = settings.isReadOnly ? 'the registry is read-only' : `${method} is not for this endpoint`
  throw new RequestFailure('UNSUPPORTED', { message, headers: { allow: allowed.join(', ') } })
}

function recordOf(
  request: Request,
  { path }: Target,
  { address, facts, route, user }: Progress,
  response: Response,
  failure: RequestFailure | undefined,
  duration: number,
): RequestRecord {
  return {
    id: crypto.randomUUID(),
    time: new Date(),
    method: request.method,
    path,
    route,
    status: response.status,
    errorCode: failure?.code,
    cause: response.status >= 500 && failure?.cause instanceof CairnError ? failure.cause.message : failure?.cause,
    duration,
    user,
    hasCredentials: request.headers.has('authorization'),
    address,
    userAgent: request.headers.get('user-agent') ?? undefined,
    received: declaredLength(request),
    sent: Number(response.headers.get('content-length') ?? 0),
    facts,
  }
}
