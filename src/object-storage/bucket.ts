import { CairnError } from '../errors/error.ts'
import {
  encodeStrictly,
  presignedUrl,
  type S3Credentials,
  type S3Signer,
  sha256Hex,
  signedHeaders,
} from './signature.ts'
import { machineTrust } from '../linux/trusted-certificates.ts'
import { elementsOf, textOf } from './xml.ts'

export interface BucketOptions {
  readonly bucket: string
  /** Scheme, host and port of the server. */
  readonly endpoint: URL
  /** What clients reach it by, where that is another one. */
  readonly publicEndpoint: URL | undefined
  readonly region: string
  /** Whether the bucket is named in the path, or in front of the host. */
  readonly isPathStyle: boolean
  /** In front of all keys: empty, or ending in a slash. */
  readonly prefix: string
  /** Asked for with each request: they may change. */
  readonly credentials: () => Promise<S3Credentials> | S3Credentials
  /** How often a request is tried; five times by default. */
  readonly attempts?: number | undefined
}

/** An object as the server describes it. */
export interface ObjectInfo {
  readonly key: string
  /** In quotes, as it is on the wire. */
  readonly etag: string
  /** Bytes. */
  readonly size: number
  /** Milliseconds since 1970, by the server's clock. */
  readonly modifiedAt: number
}

/** An object that was just asked for. */
export interface FoundObject extends ObjectInfo {
  readonly headers: Headers
  /** Milliseconds since it was written, by the server's clock, which counts seconds. */
  readonly age: number
}

/** Bytes that need not be in memory, and the hex of their sha256. */
export interface HashedData {
  readonly data: Blob
  readonly sha256: string
}

type Body = string | Uint8Array<ArrayBuffer> | HashedData

export interface PutRequest {
  readonly key: string
  readonly body: Body
  readonly headers?: Readonly<Record<string, string>>
  /** Only where there is no such object, or where it is that with this entity tag. */
  readonly condition?: 'absent' | { readonly etag: string }
}

/** What a PUT has made. */
export interface WrittenObject {
  readonly etag: string
  /** When, by the server's clock. */
  readonly time: Date
}

export interface UploadedPart {
  readonly number: number
  readonly etag: string
  /** Bytes. */
  readonly size: number
}

interface Sent {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE'
  readonly key: string
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Body
  /** Statuses that are answers, not failures. */
  readonly accepts: readonly number[]
  readonly onRepeat?: () => void
}

const usualAttempts = 5
const firstPause = 100
/** How long the server may be silent, in milliseconds. */
const patience = 60_000
const passing: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504])
const longestErrorText = 300
/** Most bytes that one request copies: 5 GiB. */
const largestCopy = 5 * 1024 * 1024 * 1024

/**
 * One bucket of an S3-compatible server, below a prefix. Passing failures are waited out; others are STORE_UNUSABLE,
 * naming what the server said.
 */
export class Bucket {
  readonly #options: BucketOptions
  readonly #base: URL
  /** How the server wants entity tags in conditions: the standard has quotes, and Ceph before 17 knows them bare only. */
  #isEtagQuoted = false

  constructor(options: BucketOptions) {
    this.#options = options
    this.#base = baseOf(options, options.endpoint)
  }

  /**
   * Makes sure that the bucket is there and may be written, and that its server holds to the conditions of PUT: without
   * them servers that share it would overwrite each other's work. Throws STORE_UNUSABLE, and NOT_SUPPORTED where the
   * server knows no conditions.
   */
  async check(): Promise<void> {
    const key = `probes/${crypto.randomUUID()}`
    const written = await this.put({ key, body: '1', condition: 'absent' })
    try {
      const isOverwritten =
        (await this.put({ key, body: '2', condition: 'absent' })) !== undefined ||
        (await this.put({ key, body: '2', condition: { etag: `"${'0'.repeat(32)}"` } })) !== undefined
      const etag = written?.etag ?? ''
      if (!isOverwritten && (await this.put({ key, body: '1', condition: { etag } })) !== undefined) return
      this.#isEtagQuoted = true
      if (!isOverwritten && (await this.put({ key, body: '1', condition: { etag } })) !== undefined) return
    } finally {
      await this.delete(key)
    }
    throw new CairnError('NOT_SUPPORTED', `the object storage at ${this.#base.host} does not hold to If-Match of PUT`, {
      hint: "Registries that share a bucket need it. Amazon's, Ceph's and MinIO's know it.",
    })
  }

  /** Undefined where there is no such object. */
  async head(key: string): Promise<FoundObject | undefined> {
    const response = await this.#send({ method: 'HEAD', key, accepts: [200, 404] })
    return response.status === 404 ? undefined : foundObject(key, response)
  }

  /** A small object with its bytes. */
  async get(
    key: string,
  ): Promise<{ readonly object: FoundObject; readonly bytes: Uint8Array<ArrayBuffer> } | undefined> {
    const response = await this.#send({ method: 'GET', key, accepts: [200, 404] })
    const bytes = new Uint8Array(await response.arrayBuffer())
    return response.status === 404 ? undefined : { object: foundObject(key, response), bytes }
  }

  /** The bytes of an object as they come, `range` of them; undefined where there is no such object. */
  async open(
    key: string,
    range?: { readonly start: number; readonly end?: number },
  ): Promise<ReadableStream<Uint8Array> | undefined> {
    const headers =
      range === undefined ? {} : { range: `bytes=${range.start}-${range.end === undefined ? '' : range.end - 1}` }
    const response = await this.#send({ method: 'GET', key, headers, accepts: [200, 206, 404] })
    if (response.status === 404) return undefined
    if (range !== undefined && response.status === 200)
      throw new CairnError('STORE_UNUSABLE', `${this.#base.host} does not give ranges of objects`)
    return response.body ?? new Blob([]).stream()
  }

  /** Writes an object; undefined where its condition does not hold. */
  async put({ key, body, headers = {}, condition }: PutRequest): Promise<WrittenObject | undefined> {
    const conditions =
      condition === undefined
        ? {}
        : condition === 'absent'
          ? { 'if-none-match': '*' }
          : { 'if-match': this.#isEtagQuoted ? condition.etag : condition.etag.replaceAll('"', '') }
    // 404 is for If-Match where nothing is there; 409 for a race with another condition.
    const accepts = condition === undefined ? [200] : [200, 404, 409, 412]
    let isRepeated = false
    const onRepeat = () => void (isRepeated = true)
    const sent = { method: 'PUT', key, headers: { ...headers, ...conditions }, body, accepts, onRepeat } as const
    const response = await this.#send(sent)
    await response.arrayBuffer()
    if (response.status === 200) return { etag: etagOf(response), time: timeOf(response) }
    if (!isRepeated) return undefined
    // What was sent again may fail because it succeeded before.
    const there = await this.get(key)
    if (there === undefined || sha256Hex(there.bytes) !== hashOf(body)) return undefined
    return { etag: there.object.etag, time: new Date(there.object.modifiedAt) }
  }

  async delete(key: string): Promise<void> {
    const response = await this.#send({ method: 'DELETE', key, accepts: [200, 204, 404] })
    await response.arrayBuffer()
  }

  /**
   * Deletes an object if the server gets to it within `lifetime` seconds after `time`, and else not at all, however
   * long this process or the network may be held up.
   */
  async deleteBefore(key: string, time: Date, lifetime: number): Promise<void> {
    const url = presignedUrl(await this.#signer(), 'DELETE', this.#url(key), lifetime, time)
    try {
      const response = await this.#fetch(url, { method: 'DELETE' })
      await response.arrayBuffer()
    } catch (error) {
      if (!(error instanceof Error)) throw error
      // Somebody else will find it.
    }
  }

  /** A URL by which anybody may read the object for `lifetime` seconds. */
  async presign(key: string, lifetime: number): Promise<string> {
    const { publicEndpoint } = this.#options
    const base = publicEndpoint === undefined ? this.#base : baseOf(this.#options, publicEndpoint)
    return presignedUrl(await this.#signer(), 'GET', this.#url(key, base), lifetime, new Date()).href
  }

  /** Objects whose keys begin with `prefix`, in the order of bytes, those after `after`, page by page. */
  async *list(prefix: string, { after, pageSize = 1000 }: { after?: string | undefined; pageSize?: number } = {}) {
    const { prefix: own } = this.#options
    let token: string | undefined
    do {
      const query: Record<string, string> = {
        'list-type': '2',
        prefix: own + prefix,
        'max-keys': String(Math.min(1000, pageSize)),
        ...(after === undefined ? {} : { 'start-after': own + after }),
        ...(token === undefined ? {} : { 'continuation-token': token }),
      }
      const response = await this.#send({ method: 'GET', key: '', query, accepts: [200] })
      const xml = await response.text()
      for (const item of elementsOf(xml, 'Contents'))
        yield {
          key: textOf(item, 'Key').slice(own.length),
          etag: textOf(item, 'ETag'),
          size: Number(textOf(item, 'Size')),
          modifiedAt: Date.parse(textOf(item, 'LastModified')),
        } satisfies ObjectInfo
      token = textOf(xml, 'IsTruncated') === 'true' ? textOf(xml, 'NextContinuationToken') : undefined
    } while (token !== undefined && token !== '')
  }

  /** Begins a multipart upload and gives its ID. */
  async beginMultipart(key: string): Promise<string> {
    const response = await this.#send({ method: 'POST', key, query: { uploads: '' }, accepts: [200] })
    const id = textOf(await response.text(), 'UploadId')
    if (id === '') throw new CairnError('STORE_UNUSABLE', `${this.#base.host} begins no multipart upload`)
    return id
  }

  async putPart(key: string, upload: string, number: number, body: Exclude<Body, string>): Promise<UploadedPart> {
    const query = { partNumber: String(number), uploadId: upload }
    const response = await this.#send({ method: 'PUT', key, query, body, accepts: [200] })
    await response.arrayBuffer()
    return { number, etag: etagOf(response), size: body instanceof Uint8Array ? body.length : body.data.size }
  }

  /** Makes the parts one object. False where the server does not know the upload: it may be complete already. */
  async completeMultipart(key: string, upload: string, parts: readonly UploadedPart[]): Promise<boolean> {
    const list = parts.map(({ number, etag }) => `<Part><PartNumber>${number}</PartNumber><ETag>${etag}</ETag></Part>`)
    const body = `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${list.join('')}</CompleteMultipartUpload>`
    const headers = { 'content-type': 'application/xml' }
    const query = { uploadId: upload }
    const response = await this.#send({ method: 'POST', key, query, headers, body, accepts: [200, 404] })
    const answer = await response.text()
    if (response.status === 404) return false
    // The status comes before the work is done.
    const code = textOf(answer, 'Code')
    if (code !== '')
      throw new CairnError('STORE_UNUSABLE', `${this.#base.host} completes no upload: ${printable(code)}`)
    return true
  }

  /** Makes an object of `size` bytes young, by copying it onto itself. */
  async touch(key: string, size: number): Promise<void> {
    const { bucket, prefix } = this.#options
    const source = `${bucket}/${(prefix + key).split('/').map(encodeStrictly).join('/')}`
    if (size < largestCopy) {
      const headers = {
        'x-amz-copy-source': source,
        'x-amz-metadata-directive': 'REPLACE',
        'x-amz-meta-updated-at': new Date().toISOString(),
      }
      checkCopied(await (await this.#send({ method: 'PUT', key, headers, accepts: [200] })).text(), this.#base)
      return
    }
    const upload = await this.beginMultipart(key)
    try {
      const parts: UploadedPart[] = []
      for (let start = 0; start < size; start += largestCopy) {
        const end = Math.min(size, start + largestCopy)
        const headers = { 'x-amz-copy-source': source, 'x-amz-copy-source-range': `bytes=${start}-${end - 1}` }
        const query = { partNumber: String(parts.length + 1), uploadId: upload }
        const answer = await (await this.#send({ method: 'PUT', key, query, headers, accepts: [200] })).text()
        checkCopied(answer, this.#base)
        parts.push({ number: parts.length + 1, etag: textOf(answer, 'ETag'), size: end - start })
      }
      await this.completeMultipart(key, upload, parts)
    } catch (error) {
      await this.abortMultipart(key, upload)
      throw error
    }
  }

  async abortMultipart(key: string, upload: string): Promise<void> {
    const query = { uploadId: upload }
    const response = await this.#send({ method: 'DELETE', key, query, accepts: [200, 204, 404] })
    await response.arrayBuffer()
  }

  /** Multipart uploads that have not ended, of keys that begin with `prefix`. */
  async *listMultiparts(prefix: string) {
    const { prefix: own } = this.#options
    let after: Record<string, string> | undefined = {}
    while (after !== undefined) {
      const query = { uploads: '', prefix: own + prefix, 'max-uploads': '1000', ...after }
      const response = await this.#send({ method: 'GET', key: '', query, accepts: [200] })
      const xml = await response.text()
      for (const item of elementsOf(xml, 'Upload'))
        yield {
          key: textOf(item, 'Key').slice(own.length),
          upload: textOf(item, 'UploadId'),
          startedAt: Date.parse(textOf(item, 'Initiated')),
        }
      const isTruncated = textOf(xml, 'IsTruncated') === 'true'
      after = isTruncated
        ? { 'key-marker': textOf(xml, 'NextKeyMarker'), 'upload-id-marker': textOf(xml, 'NextUploadIdMarker') }
        : undefined
    }
  }

  async #send(sent: Sent): Promise<Response> {
    const { attempts = usualAttempts } = this.#options
    for (let attempt = 1, pause = firstPause; ; attempt++, pause *= 2) {
      let failure: unknown
      try {
        const response = await this.#sendOnce(sent)
        if (sent.accepts.includes(response.status)) return response
        if (!passing.has(response.status) || attempt === attempts) throw await refusal(sent, response)
        await response.arrayBuffer()
      } catch (error) {
        if (error instanceof CairnError) throw error
        failure = error
      }
      if (attempt === attempts) throw unreachable(this.#base, failure)
      sent.onRepeat?.()
      await Bun.sleep(pause * (0.75 + Math.random() / 2))
    }
  }

  async #sendOnce({ method, key, query = {}, headers = {}, body }: Sent): Promise<Response> {
    const url = this.#url(key)
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
    const payloadHash = hashOf(body ?? '')
    const signed = signedHeaders(await this.#signer(), { method, url, headers, payloadHash }, new Date())
    const sent = body === undefined ? {} : { body: typeof body === 'object' && 'data' in body ? body.data : body }
    return await this.#fetch(url, { method, headers: signed, ...sent })
  }

  async #fetch(url: URL, init: RequestInit): Promise<Response> {
    const controller = new AbortController()
    const timer = setTimeout(() => controller.abort(new Error('no answer')), patience)
    try {
      return await fetch(url, {
        ...init,
        redirect: 'manual',
        decompress: false,
        timeout: false,
        ...(url.protocol === 'https:' ? machineTrust() : {}),
        signal: controller.signal,
      } as RequestInit)
    } finally {
      clearTimeout(timer)
    }
  }

  #url(key: string, base = this.#base): URL {
    const url = new URL(base)
    const whole = key === '' ? '' : this.#options.prefix + key
    // Keys are of unreserved characters, so the URL's own form is the one that is signed.
    url.pathname += whole.split('/').map(encodeStrictly).join('/')
    return url
  }

  async #signer(): Promise<S3Signer> {
    return { region: this.#options.region, credentials: await this.#options.credentials() }
  }
}

function hashOf(body: Body): string {
  return typeof body === 'object' && 'data' in body ? body.sha256 : sha256Hex(body)
}

function baseOf({ bucket, isPathStyle }: BucketOptions, endpoint: URL): URL {
  const base = new URL(endpoint)
  if (isPathStyle) base.pathname = `${base.pathname.replace(/\/$/, '')}/${bucket}/`
  else base.hostname = `${bucket}.${base.hostname}`
  return base
}

function foundObject(key: string, { headers }: Response): FoundObject {
  const modifiedAt = Date.parse(headers.get('last-modified') ?? '')
  const now = Date.parse(headers.get('date') ?? '')
  return {
    key,
    headers,
    etag: headers.get('etag') ?? '',
    size: Number(headers.get('content-length') ?? 0),
    modifiedAt,
    age: Math.max(0, now - modifiedAt) || 0,
  }
}

/** The status of a copy comes before the work is done. */
function checkCopied(answer: string, { host }: URL): void {
  const code = textOf(answer, 'Code')
  if (code !== '') throw new CairnError('STORE_UNUSABLE', `${host} copies no object: ${printable(code)}`)
}

function etagOf({ headers }: Response): string {
  return headers.get('etag') ?? ''
}

function timeOf({ headers }: Response): Date {
  const time = Date.parse(headers.get('date') ?? '')
  return Number.isNaN(time) ? new Date() : new Date(time)
}

async function refusal({ method, key }: Sent, response: Response): Promise<CairnError> {
  const text = await response.text().catch(() => '')
  const said = [textOf(text, 'Code'), textOf(text, 'Message')].filter((one) => one !== '').join(': ')
  const what = `object storage: ${method} ${key === '' ? 'of the bucket' : key} is answered with ${response.status}`
  const hint =
    response.status === 403
      ? 'Are the keys right, may they use this bucket, and is the clock of this machine right?'
      : 'Does the bucket exist, and are endpoint and region right?'
  return new CairnError('STORE_UNUSABLE', said === '' ? what : `${what} ${printable(said)}`, { hint })
}

function unreachable({ host }: URL, cause: unknown): CairnError {
  const why = cause instanceof Error ? `: ${printable(cause.message)}` : ''
  return new CairnError('STORE_UNUSABLE', `object storage at ${host} does not answer${why}`, { cause })
}

function printable(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f]+/g, ' ').slice(0, longestErrorText)
}
