import { registryHeaders } from '../protocol.ts'
import { deleteBlob, getBlob } from './blobs.ts'
import { type Exchange, jsonResponse, type Registry } from './exchange.ts'
import { listReferrers, listRepositories, listTags } from './listings.ts'
import { deleteManifest, getManifest, putManifest } from './manifests.ts'
import { failureOf, failureResponse, RequestFailure } from './request-failure.ts'
import { parseRoute, parseTarget, type Route } from './routes.ts'
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

/** Answers requests to a registry. Never throws: whatever goes wrong becomes an answer of the specification's form. */
export function requestHandler(registry: Registry): (request: Request) => Promise<Response> {
  return async (request) => {
    let response: Response
    try {
      response = await answer(registry, request)
    } catch (error) {
      response = failureResponse(failureOf(error))
    }
    response.headers.set(registryHeaders.apiVersion, 'registry/2.0')
    response.headers.set('x-content-type-options', 'nosniff')
    return response
  }
}

async function answer(registry: Registry, request: Request): Promise<Response> {
  const { path, query } = parseTarget(request.url)
  const route = parseRoute(path)
  if (route === undefined) throw new RequestFailure('UNSUPPORTED', { status: 404, message: 'no such endpoint' })
  checkMethod(registry, request, route)
  const exchange: Exchange = { ...registry, request, query, user: undefined, mayPull: () => true }
  return await handlers[route.kind](exchange, route as never)
}

type Handler<Kind extends Route['kind']> = (
  exchange: Exchange,
  route: Extract<Route, { kind: Kind }>,
) => Promise<Response> | Response

const handlers: { readonly [Kind in Route['kind']]: Handler<Kind> } = {
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
