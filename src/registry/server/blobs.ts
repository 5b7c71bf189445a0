import type { Digest } from '../../oci/digest.ts'
import { registryHeaders } from '../protocol.ts'
import type { BlobRange, StoredBlob } from '../storage/registry-storage.ts'
import { multipartResponse, severalRanges } from './byte-ranges.ts'
import { contentHeaders, emptyResponse, type Exchange, isNotModified } from './exchange.ts'
import { RequestFailure } from './request-failure.ts'

/** end-2: a blob, or a range of it (RFC 9110 §14). */
export async function getBlob(exchange: Exchange, name: string, digest: Digest): Promise<Response> {
  const { request, storage } = exchange
  const blob = await storage.findBlob(name, digest)
  if (blob === undefined) throw await unknownBlob(exchange, name, digest)
  Object.assign(exchange.facts, { digest, size: blob.size })
  const headers = {
    'content-type': 'application/octet-stream',
    'accept-ranges': 'bytes',
    ...contentHeaders(digest, true),
  }
  if (isNotModified(request, digest)) return emptyResponse(304, headers)
  // A range is of GET alone: RFC 9110 §14.2.
  if (request.method === 'HEAD') return emptyResponse(200, { ...headers, 'content-length': String(blob.size) })
  const range = requestedRange(request, blob.size, digest)
  if (Array.isArray(range)) return await rangesResponse(blob, range, headers)
  return await contentResponse(blob, range, headers)
}

/** end-10 */
export async function deleteBlob(exchange: Exchange, name: string, digest: Digest): Promise<Response> {
  if (!(await exchange.storage.deleteBlob(name, digest))) throw await unknownBlob(exchange, name, digest)
  exchange.facts.digest = digest
  return emptyResponse(202)
}

async function contentResponse(
  blob: StoredBlob,
  range: BlobRange | undefined,
  headers: Readonly<Record<string, string>>,
): Promise<Response> {
  const content = await blob.read(range)
  if (content.kind === 'elsewhere')
    return emptyResponse(307, {
      location: content.url,
      [registryHeaders.contentDigest]: headers[registryHeaders.contentDigest] ?? '',
      'cache-control': 'no-store',
    })
  const { start, end } = range ?? { start: 0, end: blob.size }
  const own = { ...headers, 'content-length': String(end - start) }
  if (range === undefined) return new Response(content.body, { headers: own })
  const contentRange = `bytes ${start}-${end - 1}/${blob.size}`
  return new Response(content.body, { status: 206, headers: { ...own, 'content-range': contentRange } })
}

async function rangesResponse(
  blob: StoredBlob,
  ranges: BlobRange[],
  headers: Readonly<Record<string, string>>,
): Promise<Response> {
  const [first] = ranges
  const content = await blob.read(first)
  // Where the bytes are elsewhere, that place gets to see the ranges.
  if (content.kind === 'elsewhere') return await contentResponse(blob, undefined, headers)
  if (!(content.body instanceof Blob)) await content.body.cancel()
  return multipartResponse(blob, ranges, headers)
}

/**
 * The range that a request asks for, or several; undefined for all of it: no Range header, another unit, several that are
 * left aside, or content that has changed since (If-Range). Throws 416 for what cannot be served.
 */
function requestedRange({ headers }: Request, size: number, digest: Digest): BlobRange | BlobRange[] | undefined {
  const header = headers.get('range')
  if (header === null || !/^bytes\s*=/i.test(header)) return undefined
  const ifRange = headers.get('if-range')
  if (ifRange !== null && ifRange !== `"${digest}"`) return undefined
  const text = header.slice(header.indexOf('=') + 1).trim()
  if (text.includes(',')) return severalRanges(text, size, parseRange)
  const range = parseRange(text, size)
  if (range !== undefined) return range
  throw new RequestFailure('SIZE_INVALID', {
    status: 416,
    message: `the blob of ${size} bytes has no range ${JSON.stringify(header.slice(0, 80))}`,
    headers: { 'content-range': `bytes */${size}` },
  })
}

function parseRange(text: string, size: number): BlobRange | undefined {
  const match = /^(\d{0,16})-(\d{0,16})$/.exec(text)
  const [, first = '', last = ''] = match ?? []
  if (first === '' && last === '') return undefined
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first)
  const end = first === '' || last === '' ? size : Math.min(Number(last) + 1, size)
  return start < end ? { start, end } : undefined
}

async function unknownBlob({ storage }: Exchange, name: string, digest: Digest): Promise<RequestFailure> {
  if (!(await storage.hasRepository(name))) return new RequestFailure('NAME_UNKNOWN', { detail: { name } })
  return new RequestFailure('BLOB_UNKNOWN', { detail: { name, digest } })
}
