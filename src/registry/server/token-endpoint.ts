import type { BeforeHashing, TokenServer } from '../access/access-control.ts'
import { emptyResponse, jsonResponse } from './exchange.ts'
import { readBody } from './request-body.ts'
import { RequestFailure } from './request-failure.ts'

/** Scopes in one request; nobody needs more than two. */
const mostScopes = 32
const largestForm = 64 * 1024

/**
 * Answers a request to the token server: GET with Basic credentials or none (docker's token specification), and POST of
 * a form with a password (its OAuth 2 flavour). `undefined` stands for credentials that are wrong. Throws what
 * `beforeHashing` does, and RequestFailure for other requests.
 */
export async function answerTokenRequest(
  server: TokenServer,
  request: Request,
  query: URLSearchParams,
  beforeHashing: BeforeHashing,
): Promise<Response | undefined> {
  if (request.method === 'HEAD') return emptyResponse(200)
  if (request.method !== 'GET' && request.method !== 'POST')
    throw new RequestFailure('UNSUPPORTED', { headers: { allow: 'GET, HEAD, POST' } })
  const { authorization, fields } =
    request.method === 'POST'
      ? await readForm(request)
      : { authorization: request.headers.get('authorization'), fields: query }
  const scopes = fields.getAll('scope').flatMap((scope) => scope.split(' ').filter((one) => one !== ''))
  const issued = await server.issue(authorization, scopes.slice(0, mostScopes), beforeHashing)
  if (issued === 'wrong') return undefined
  const { token, expiresIn, issuedAt } = issued
  return jsonResponse(
    { token, access_token: token, expires_in: expiresIn, issued_at: issuedAt.toISOString() },
    { 'cache-control': 'no-store' },
  )
}

async function readForm(request: Request): Promise<{ authorization: string | null; fields: URLSearchParams }> {
  const fields = new URLSearchParams(new TextDecoder().decode(await readBody(request, largestForm)))
  const [username, password] = [fields.get('username'), fields.get('password')]
  if (fields.get('grant_type') !== 'password' || username === null || password === null)
    throw new RequestFailure('UNSUPPORTED', { status: 400, message: 'only grant_type=password is supported' })
  const credentials = new TextEncoder().encode(`${username}:${password}`).toBase64()
  return { authorization: `Basic ${credentials}`, fields }
}
