import { RequestFailure } from './request-failure.ts'

/** The whole body of a request. Throws MANIFEST_INVALID with 413 past `limit` bytes, without reading on. */
export async function readBody(request: Request, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  if (declaredLength(request) > limit) throw tooLarge(limit)
  if (request.body === null) return new Uint8Array(0)
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of request.body) {
    size += chunk.length
    if (size > limit) throw tooLarge(limit)
    chunks.push(chunk)
  }
  const bytes = new Uint8Array(new ArrayBuffer(size))
  let position = 0
  for (const chunk of chunks) {
    bytes.set(chunk, position)
    position += chunk.length
  }
  return bytes
}

/** Content-Length; 0 where the client does not say. */
export function declaredLength(request: Request): number {
  return Number(request.headers.get('content-length') ?? 0)
}

function tooLarge(limit: number): RequestFailure {
  return new RequestFailure('MANIFEST_INVALID', {
    status: 413,
    message: `the manifest is larger than the ${limit} bytes that are accepted`,
  })
}
