import { isCairnError } from '../../errors/error.ts'
import { type Digest, type DigestAlgorithm, digestAlgorithm, digestOf } from '../../oci/digest.ts'
import { registryHeaders, registryPaths } from '../protocol.ts'
import type { UploadState, UploadWriter } from '../storage/registry-storage.ts'
import { emptyResponse, type Exchange } from './exchange.ts'
import { declaredLength } from './request-body.ts'
import { RequestFailure } from './request-failure.ts'
import { isRepositoryName, parseDigestWord } from './routes.ts'

/** Repositories that are asked for when a blob is to be mounted from wherever it is. */
const mountCandidates = 100

/** end-4 and end-11: begins an upload, takes a blob at once, or mounts it from another repository. */
export async function beginUpload(exchange: Exchange, name: string): Promise<Response> {
  const { query, storage, user } = exchange
  const mount = query.get('mount')
  if (mount !== null) {
    const digest = parseDigestWord(mount)
    if (await mountBlob(exchange, name, digest)) return created(exchange, name, digest)
    return accepted(name, await storage.beginUpload(name, { algorithm: digestAlgorithm(digest), owner: user }))
  }
  const wanted = query.get('digest')
  const digest = wanted === null ? undefined : parseDigestWord(wanted)
  const algorithm = digest === undefined ? parseAlgorithm(query.get('digest-algorithm')) : digestAlgorithm(digest)
  const upload = await storage.beginUpload(name, { algorithm, owner: user })
  if (digest === undefined || !hasContent(exchange.request, digest)) return accepted(name, upload)
  await using writer = await openUpload(exchange, name, upload.id, algorithm)
  try {
    await receive(exchange, name, writer)
  } catch (error) {
    await writer.cancel()
    throw error
  }
  return await finish(exchange, writer, name, digest)
}

/** end-13. A connection that broke off may be about to leave its last bytes, so its writer is waited for. */
export async function getUpload(exchange: Exchange, name: string, id: string): Promise<Response> {
  try {
    await using writer = await openUpload(exchange, name, id)
    return emptyResponse(204, uploadHeaders(name, { id, owner: writer.owner, size: writer.size }))
  } catch (error) {
    if (!(error instanceof RequestFailure) || error.status !== 409) throw error
  }
  const upload = await exchange.storage.findUpload(name, id)
  if (upload === undefined) throw unknownUpload(id)
  return emptyResponse(204, uploadHeaders(name, upload))
}

/** end-5: adds a chunk, or all of the bytes as a stream. */
export async function patchUpload(exchange: Exchange, name: string, id: string): Promise<Response> {
  await using writer = await openUpload(exchange, name, id)
  await receiveChunk(exchange, name, id, writer)
  return accepted(name, { id, owner: writer.owner, size: writer.size })
}

/** end-6: ends an upload, with the last of its bytes if there are any. */
export async function putUpload(exchange: Exchange, name: string, id: string): Promise<Response> {
  const wanted = exchange.query.get('digest')
  if (wanted === null)
    throw new RequestFailure('DIGEST_INVALID', {
      message: 'the request that ends an upload needs the parameter digest',
    })
  const digest = parseDigestWord(wanted)
  await using writer = await openUpload(exchange, name, id, digestAlgorithm(digest))
  await receiveChunk(exchange, name, id, writer)
  return await finish(exchange, writer, name, digest)
}

/** end-14 */
export async function cancelUpload(exchange: Exchange, name: string, id: string): Promise<Response> {
  await using writer = await openUpload(exchange, name, id)
  await writer.cancel()
  return emptyResponse(204)
}

async function mountBlob(exchange: Exchange, name: string, digest: Digest): Promise<boolean> {
  const { query, storage, mayPull } = exchange
  const from = query.get('from')
  const candidates =
    from === null
      ? await storage.repositoriesWith(digest, { limit: mountCandidates })
      : [from].filter((one) => isRepositoryName(one))
  for (const candidate of candidates.filter((one) => mayPull(one)))
    if (await mountFrom(exchange, name, digest, candidate)) return true
  return false
}

async function mountFrom(exchange: Exchange, name: string, digest: Digest, from: string): Promise<boolean> {
  const { storage, facts } = exchange
  if (quotaOf(exchange) !== undefined && (await storage.findBlob(name, digest)) === undefined) {
    const blob = await storage.findBlob(from, digest)
    const { largest, failure } = await allowance(exchange, name)
    if (blob !== undefined && blob.size > largest) throw failure
  }
  if (!(await storage.mountBlob(name, digest, from, quotaOf(exchange)))) return false
  facts.mountedFrom = from
  return true
}

function parseAlgorithm(text: string | null): DigestAlgorithm {
  if (text === null) return 'sha256'
  if (text === 'sha256' || text === 'sha512') return text
  throw new RequestFailure('DIGEST_INVALID', { message: `digest-algorithm is neither sha256 nor sha512` })
}

/** Whether a POST with a digest brings the blob. One without a body begins an upload, unless the blob is empty. */
function hasContent(request: Request, digest: Digest): boolean {
  return request.body !== null || digest === digestOf('', digestAlgorithm(digest))
}

async function openUpload(
  { storage, user }: Exchange,
  name: string,
  id: string,
  algorithm?: DigestAlgorithm,
): Promise<UploadWriter> {
  const upload = await storage.findUpload(name, id)
  const writer = upload?.owner === user ? await openWriter() : undefined
  if (writer === undefined) throw unknownUpload(id)
  return writer

  async function openWriter(): Promise<UploadWriter | undefined> {
    if (upload === undefined) return undefined
    try {
      return await storage.openUpload(name, id, algorithm)
    } catch (error) {
      if (!isCairnError(error, 'STORE_BUSY')) throw error
      throw new RequestFailure('BLOB_UPLOAD_INVALID', { status: 409, message: error.message, cause: error })
    }
  }
}

/** Takes a chunk where its Content-Range says, which must be where the upload is; without one it is added. */
async function receiveChunk(exchange: Exchange, name: string, id: string, writer: UploadWriter): Promise<void> {
  const range = parseContentRange(exchange.request.headers.get('content-range'))
  const length = exchange.request.headers.get('content-length')
  if (range === undefined) {
    await receive(exchange, name, writer)
    return
  }
  const state = { id, owner: writer.owner, size: writer.size }
  if (range.start !== writer.size)
    throw new RequestFailure('BLOB_UPLOAD_INVALID', {
      status: 416,
      message: `the chunk begins at ${range.start} where the upload is at ${writer.size}`,
      headers: uploadHeaders(name, state),
    })
  const wanted = range.end - range.start
  if (length !== null && Number(length) !== wanted) throw wrongLength(wanted, Number(length))
  await receive(exchange, name, writer, wanted)
  const got = writer.size - range.start
  if (got === wanted) return
  await writer.rollback()
  throw wrongLength(wanted, got)
}

function wrongLength(wanted: number, got: number): RequestFailure {
  return new RequestFailure('SIZE_INVALID', { message: `Content-Range names ${wanted} bytes, and ${got} came` })
}

/** `0-99`, as the specification has it, or `bytes 0-99/*` as HTTP has it; `end` is without. Throws BLOB_UPLOAD_INVALID. */
function parseContentRange(header: string | null): { readonly start: number; readonly end: number } | undefined {
  if (header === null) return undefined
  const match = /^(?:bytes )?(\d{1,16})-(\d{1,16})(?:\/(?:\d+|\*))?$/.exec(header.trim())
  const [start, end] = [Number(match?.[1]), Number(match?.[2]) + 1]
  if (match !== null && start < end) return { start, end }
  throw new RequestFailure('BLOB_UPLOAD_INVALID', {
    message: `Content-Range is not FIRST-LAST: ${JSON.stringify(header.slice(0, 80))}`,
  })
}

/**
 * Writes the body of a request, no more than `wanted` bytes of it. What came of a body that broke off stays, so that
 * the client can go on from there; where the disk is full, nothing does.
 */
async function receive(exchange: Exchange, name: string, writer: UploadWriter, wanted = Infinity): Promise<void> {
  const { request } = exchange
  const start = writer.size
  const { largest, failure } = await allowance(exchange, name)
  // What is too much already will never be a blob.
  if (start > largest) await writer.cancel()
  if (start + declaredLength(request) > largest) throw failure
  if (request.body === null) return
  try {
    for await (const chunk of request.body) {
      if (writer.size + chunk.length > largest) throw failure
      await writer.write(chunk)
      if (writer.size - start > wanted) return
    }
  } catch (error) {
    if (isCairnError(error, 'DISK_FULL')) await writer.cancel()
    throw error
  }
}

/** Bytes that the blobs of a repository may have; undefined where nobody counts. */
function quotaOf({ settings: { quota } }: Pick<Exchange, 'settings'>): number | undefined {
  return quota === Number.MAX_SAFE_INTEGER ? undefined : quota
}

/** How large a blob of the repository may be, and how a larger one is refused. */
async function allowance(
  { settings, storage }: Exchange,
  name: string,
): Promise<{ readonly largest: number; readonly failure: RequestFailure }> {
  const { quota, largestBlob } = settings
  const left = quotaOf({ settings }) === undefined ? quota : Math.max(0, quota - (await storage.blobBytes(name)))
  if (left < largestBlob) {
    const message = `the quota of ${quota} bytes for the repository leaves ${left}`
    return { largest: left, failure: new RequestFailure('DENIED', { message }) }
  }
  const message = `the blob is larger than the ${largestBlob} bytes that are accepted`
  return { largest: largestBlob, failure: new RequestFailure('SIZE_INVALID', { status: 413, message }) }
}

async function finish(exchange: Exchange, writer: UploadWriter, name: string, digest: Digest): Promise<Response> {
  exchange.facts.size = writer.size
  if (await writer.commit(digest, quotaOf(exchange))) return created(exchange, name, digest)
  throw new RequestFailure('DIGEST_INVALID', { message: `the bytes that came do not hash to ${digest}` })
}

function created({ facts }: Exchange, name: string, digest: Digest): Response {
  facts.digest = digest
  return emptyResponse(201, {
    location: registryPaths.blob(name, digest),
    [registryHeaders.contentDigest]: digest,
  })
}

function accepted(name: string, upload: UploadState): Response {
  return emptyResponse(202, uploadHeaders(name, upload))
}

/** Where an upload goes on. Nothing and one byte look the same, as in docker's registry: the range cannot say none. */
function uploadHeaders(name: string, { id, size }: UploadState): Readonly<Record<string, string>> {
  return {
    location: `${registryPaths.uploads(name)}${id}`,
    range: `0-${Math.max(0, size - 1)}`,
    [registryHeaders.uploadUuid]: id,
  }
}

function unknownUpload(id: string): RequestFailure {
  return new RequestFailure('BLOB_UPLOAD_UNKNOWN', { detail: { id: id.slice(0, 64) } })
}
