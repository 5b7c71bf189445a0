/**
 * Signatures of Amazon's version 4, as S3 and those that speak its protocol check them: in headers for requests of this
 * process, in the query for URLs that others may use for some time.
 */

export interface S3Credentials {
  readonly accessKey: string
  readonly secretKey: string
  readonly sessionToken: string | undefined
}

/** Who signs, and for which region. */
export interface S3Signer {
  readonly region: string
  readonly credentials: S3Credentials
}

/** What is signed of a request. `payloadHash` is the hex of the body's sha256. */
export interface SignedRequest {
  readonly method: string
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly payloadHash: string
}

/** The headers of a request, signed at `now`. All that are given are covered by the signature. */
export function signedHeaders(signer: S3Signer, request: SignedRequest, now: Date): Record<string, string> {
  const time = signingTime(now)
  const { sessionToken } = signer.credentials
  const headers: Record<string, string> = {
    ...request.headers,
    'x-amz-date': time,
    'x-amz-content-sha256': request.payloadHash,
    ...(sessionToken === undefined ? {} : { 'x-amz-security-token': sessionToken }),
  }
  const { names, signature } = sign(signer, { ...request, headers: { ...headers, host: request.url.host } }, time)
  const credential = `${signer.credentials.accessKey}/${scopeOf(signer, time)}`
  headers['authorization'] = `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names}, Signature=${signature}`
  return headers
}

/** A URL with which anybody may send this one request within `lifetime` seconds after `now`. */
export function presignedUrl(signer: S3Signer, method: string, target: URL, lifetime: number, now: Date): URL {
  const time = signingTime(now)
  const url = new URL(target)
  const { accessKey, sessionToken } = signer.credentials
  url.searchParams.set('X-Amz-Algorithm', 'AWS4-HMAC-SHA256')
  url.searchParams.set('X-Amz-Credential', `${accessKey}/${scopeOf(signer, time)}`)
  url.searchParams.set('X-Amz-Date', time)
  url.searchParams.set('X-Amz-Expires', String(lifetime))
  url.searchParams.set('X-Amz-SignedHeaders', 'host')
  if (sessionToken !== undefined) url.searchParams.set('X-Amz-Security-Token', sessionToken)
  const request = { method, url, headers: { host: url.host }, payloadHash: 'UNSIGNED-PAYLOAD' }
  url.searchParams.set('X-Amz-Signature', sign(signer, request, time).signature)
  return url
}

/** Everything but letters, digits and `-._~` by its UTF-8 bytes. */
export function encodeStrictly(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

function sign(
  signer: S3Signer,
  { method, url, headers, payloadHash }: SignedRequest,
  time: string,
): { readonly names: string; readonly signature: string } {
  const lines = Object.entries(headers)
    .map(([name, value]) => [name.toLowerCase(), value.trim().replace(/ +/g, ' ')] as const)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
  const names = lines.map(([name]) => name).join(';')
  const canonical = [
    method,
    url.pathname,
    canonicalQuery(url.searchParams),
    ...lines.map(([name, value]) => `${name}:${value}`),
    '',
    names,
    payloadHash,
  ].join('\n')
  const scope = scopeOf(signer, time)
  const text = ['AWS4-HMAC-SHA256', time, scope, sha256Hex(canonical)].join('\n')
  const { secretKey } = signer.credentials
  const key = scope.split('/').reduce<Uint8Array>((last, part) => hmac(last, part), utf8(`AWS4${secretKey}`))
  return { names, signature: Buffer.from(hmac(key, text)).toString('hex') }
}

function canonicalQuery(query: URLSearchParams): string {
  return [...query]
    .map(([name, value]) => `${encodeStrictly(name)}=${encodeStrictly(value)}`)
    .toSorted((a, b) => (a < b ? -1 : 1))
    .join('&')
}

function scopeOf({ region }: S3Signer, time: string): string {
  return `${time.slice(0, 8)}/${region}/s3/aws4_request`
}

/** `20261121T175300Z` */
function signingTime(now: Date): string {
  return now.toISOString().replace(/[-:]|\.\d+/g, '')
}

function hmac(key: Uint8Array, text: string): Uint8Array {
  return new Uint8Array(new Bun.CryptoHasher('sha256', key).update(text).digest())
}

/** The hex of the sha256 of a body. */
export function sha256Hex(data: string | Uint8Array): string {
  return new Bun.CryptoHasher('sha256').update(data).digest('hex')
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
