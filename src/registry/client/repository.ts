import { CairnError } from '../../errors/error.ts'
import { redactUrl } from '../../errors/redact.ts'
import { type Digest, digestAlgorithm, digestOf, isDigest } from '../../oci/digest.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type ImageDocument, parseImageDocument, parseIndex } from '../../oci/image-index.ts'
import { largestDocument, parseJsonDocument } from '../../oci/json-document.ts'
import { isIndexType, isManifestType, mediaTypes } from '../../oci/media-types.ts'
import { isTag } from '../../oci/reference.ts'
import type { ByteSource } from '../../streams/source.ts'
import { registryHeaders, registryPaths } from '../protocol.ts'
import type { RegistryClient, RegistryConnection, RegistryRequest } from './connection.ts'
import type { Endpoint } from './hosts.ts'
import type { HttpAnswer } from './http-exchange.ts'
import { announceReferrer, findReferrer } from './referrers.ts'
import { pagesOf } from './pages.ts'
import { answerError, serverText, quoted } from './registry-answer.ts'

/** A manifest or index as a registry gave it, everything about it checked. */
export interface RemoteDocument {
  readonly descriptor: Descriptor
  readonly document: ImageDocument
}

/** Bytes of a blob from some position on. */
export interface BlobPart {
  /** Where the bytes begin: what was asked for, or 0 where the registry knows no ranges. */
  readonly start: number
  readonly body: ByteSource
  cancel(): void
}

/** An upload that a registry has begun. */
export interface UploadSession {
  readonly location: URL
  /** Bytes that the registry has. */
  readonly offset: number
}

const acceptedDocuments = [
  mediaTypes.ociIndex,
  mediaTypes.ociManifest,
  mediaTypes.dockerManifestList,
  mediaTypes.dockerManifest,
].join(', ')

/** One repository of one registry: distribution-spec as typed calls. */
export class Repository {
  /** As users write it, for errors. */
  readonly name: string
  readonly endpoint: Endpoint
  readonly #connection: RegistryConnection
  readonly #isPush: boolean
  readonly #isDelete: boolean
  /** Repositories of the same registry that may be mounted from. */
  readonly #alsoPull: readonly string[]

  constructor(
    client: RegistryClient,
    endpoint: Endpoint,
    options: {
      readonly name: string
      readonly isPush?: boolean
      readonly isDelete?: boolean
      readonly alsoPull?: readonly string[]
    },
  ) {
    this.endpoint = endpoint
    this.name = options.name
    this.#connection = client.connection(endpoint)
    this.#isPush = options.isPush ?? false
    this.#isDelete = options.isDelete ?? false
    this.#alsoPull = options.alsoPull ?? []
  }

  /**
   * The manifest or index of a tag or digest: its size, digest and media type are what they should be. Throws
   * MANIFEST_UNKNOWN, NAME_UNKNOWN, UNAUTHORIZED, DENIED, TOOMANYREQUESTS; MANIFEST_INVALID, BLOB_CORRUPT and
   * REGISTRY_INVALID for an answer that is not to be trusted; and as {@link RegistryConnection.send}.
   */
  async document(reference: string): Promise<RemoteDocument> {
    const what = this.#manifestName(reference)
    const answer = await this.#send('GET', registryPaths.manifest(this.endpoint.path, reference), {
      headers: { Accept: acceptedDocuments },
    })
    if (answer.status !== 200) throw await answerError(answer, this.#asked(what))
    const mediaType = mediaTypeOf(answer)
    checkDocumentType(mediaType, what)
    const raw = await answer.bytes(largestDocument)
    const algorithm = isDigest(reference) ? digestAlgorithm(reference) : 'sha256'
    const digest = digestOf(raw, algorithm)
    checkDigest(isDigest(reference) ? reference : undefined, digest, what)
    const said = answer.headers.get(registryHeaders.contentDigest)
    if (said !== null && isDigest(said) && said !== digestOf(raw, digestAlgorithm(said)))
      throw new CairnError('BLOB_CORRUPT', `${what} arrived as ${digest}, but the registry says that it is ${said}`)
    return { descriptor: { mediaType, digest, size: raw.length }, document: parseDocument(raw, mediaType, what) }
  }

  /** What a tag or digest leads to, without reading it; undefined where there is nothing. Throws as {@link document}. */
  async describe(reference: string): Promise<Descriptor | undefined> {
    const answer = await this.#send('HEAD', registryPaths.manifest(this.endpoint.path, reference), {
      headers: { Accept: acceptedDocuments },
    })
    const { status } = answer
    if (status === 404) return undefined
    if (status === 408 || status === 429 || (status >= 500 && status !== 501))
      throw await answerError(answer, this.#asked(this.#manifestName(reference)))
    const mediaType = mediaTypeOf(answer)
    const digest = answer.headers.get(registryHeaders.contentDigest)
    const size = Number(answer.headers.get('content-length') ?? NaN)
    const isSaid = digest !== null && isDigest(digest) && Number.isSafeInteger(size) && size > 0 && mediaType !== ''
    if (status === 200 && isSaid) return { mediaType, digest, size }
    // A registry need not say it in a HEAD, know that method, or give its reasons there: then the document has to tell.
    return (await this.document(reference)).descriptor
  }

  /**
   * Puts a manifest under a tag or its digest. Where it has a subject that the registry does not say to know, what lists
   * referrers in place of the registry is kept (distribution-spec §pushing-manifests-with-subject). Throws as
   * {@link document}.
   */
  async putDocument(reference: string, raw: Uint8Array, mediaType: string): Promise<void> {
    const answer = await this.#send('PUT', registryPaths.manifest(this.endpoint.path, reference), {
      headers: { 'Content-Type': mediaType },
      body: raw,
    })
    if (answer.status !== 201 && answer.status !== 200)
      throw await answerError(answer, this.#asked(this.#manifestName(reference)))
    await answer.discard()
    const said = answer.headers.get(registryHeaders.contentDigest)
    if (said !== null && isDigest(said))
      checkDigest(said, digestOf(raw, digestAlgorithm(said)), this.#manifestName(reference))
    const referrer = answer.headers.has(registryHeaders.subject) ? undefined : findReferrer(raw, mediaType)
    if (referrer !== undefined) await announceReferrer(this, referrer.subject, referrer.descriptor)
  }

  /**
   * Deletes a tag, or by its digest a manifest with all its tags. False where the registry cannot delete such a thing.
   * Throws as {@link document}.
   */
  async deleteDocument(reference: string): Promise<boolean> {
    const answer = await this.#send('DELETE', registryPaths.manifest(this.endpoint.path, reference))
    const { status } = answer
    if (status === 202 || status === 200 || status === 204) {
      await answer.discard()
      return true
    }
    if (status === 405 || status === 400 || status === 501) {
      await answer.discard()
      return false
    }
    throw await answerError(answer, this.#asked(this.#manifestName(reference)))
  }

  /**
   * What refers to a manifest, page by page, of one artifact type where the registry filters; ends with false at once where
   * the registry does not know the question. distribution-spec end-12. Throws as {@link document}.
   */
  async *referrers(digest: Digest, artifactType?: string): AsyncGenerator<Descriptor, boolean> {
    const query = artifactType === undefined ? '' : `?${new URLSearchParams({ artifactType }).toString()}`
    const first = `${registryPaths.referrers(this.endpoint.path, digest)}${query}`
    for await (const answer of pagesOf(first, `list of referrers of ${digest}`, (page) => this.#send('GET', page))) {
      const isKnown = answer.status === 200 && mediaTypeOf(answer) === mediaTypes.ociIndex
      if (!isKnown && (answer.status === 200 || answer.status === 404 || answer.status === 405)) {
        answer.cancel()
        return false
      }
      if (answer.status !== 200) throw await answerError(answer, this.#asked(`referrers of ${this.name}@${digest}`))
      yield* parseIndex(await answer.bytes(largestDocument)).value.manifests
    }
    return true
  }

  /** True where the repository has the blob. Throws as {@link document}. */
  async hasBlob(digest: Digest): Promise<boolean> {
    const answer = await this.#send('HEAD', registryPaths.blob(this.endpoint.path, digest))
    if (answer.status === 200) return true
    // Whoever redirects has it; what object stores say to a HEAD there means nothing.
    if (answer.url.origin !== (await this.#connection.base()).origin) return true
    if (answer.status === 404) return false
    throw await answerError(answer, this.#asked(`blob ${digest}`))
  }

  /** Bytes of a blob, undefined where there is none. Throws REGISTRY_INVALID where the registry does not say, and as {@link document}. */
  async blobSize(digest: Digest): Promise<number | undefined> {
    const answer = await this.#send('HEAD', registryPaths.blob(this.endpoint.path, digest))
    if (answer.status === 404) return undefined
    if (answer.status !== 200) throw await answerError(answer, this.#asked(`blob ${digest}`))
    const size = Number(answer.headers.get('content-length') ?? NaN)
    if (Number.isSafeInteger(size)) return size
    throw new CairnError('REGISTRY_INVALID', `${answer.url.host} does not say how large blob ${digest} is`)
  }

  /** A blob from `start` on. The bytes are not checked. Throws BLOB_UNKNOWN, and as {@link document}. */
  async openBlob(blob: Pick<Descriptor, 'digest' | 'size' | 'urls'>, start = 0): Promise<BlobPart> {
    const { digest, size } = blob
    const answer = await this.#send('GET', registryPaths.blob(this.endpoint.path, digest), {
      headers: start === 0 ? {} : { Range: `bytes=${start}-` },
    })
    const { status, headers } = answer
    if (status === 404) throw blobUnknown(blob, this.name)
    if (status !== 200 && status !== 206) throw await answerError(answer, this.#asked(`blob ${digest}`))
    const part = { start: status === 206 ? start : 0, body: answer.body, cancel: () => answer.cancel() }
    const range = status === 206 ? headers.get('content-range') : undefined
    const announced = headers.get('content-length')
    const isWrongRange =
      range !== undefined && range?.replace(/\/\*$/, `/${size}`) !== `bytes ${start}-${size - 1}/${size}`
    const isWrongSize = announced !== null && Number(announced) !== size - part.start
    if (!isWrongRange && !isWrongSize) return part
    answer.cancel()
    throw new CairnError(
      isWrongRange ? 'REGISTRY_INVALID' : 'BLOB_CORRUPT',
      isWrongRange
        ? `blob ${digest}: ${answer.url.host} was asked for bytes ${start}- and answers with ${range ?? 'no range'}`
        : `blob ${digest} should have ${size} bytes, but ${answer.url.host} has ${Number(announced) + part.start}`,
    )
  }

  /**
   * Bytes `start` to `end` of a blob; undefined where the registry does not answer with just these. The bytes are not
   * checked. Throws as {@link document}.
   */
  async openRange(
    { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
    start: number,
    end: number,
  ): Promise<BlobPart | undefined> {
    const answer = await this.#send('GET', registryPaths.blob(this.endpoint.path, digest), {
      headers: { Range: `bytes=${start}-${end - 1}` },
    })
    const { status, headers } = answer
    const range = headers.get('content-range')?.replace(/\/\*$/, `/${size}`)
    if (status === 206 && range === `bytes ${start}-${end - 1}/${size}`)
      return { start, body: answer.body, cancel: () => answer.cancel() }
    answer.cancel()
    return undefined
  }

  /**
   * Has the registry take a blob from another repository of its own; where it does not, gives the upload that it began
   * instead. Throws as {@link document}.
   */
  async mountBlob(digest: Digest, from: string): Promise<UploadSession | undefined> {
    const query = new URLSearchParams({ mount: digest, from })
    return await this.#beginUpload(`${registryPaths.uploads(this.endpoint.path)}?${query.toString()}`, digest)
  }

  /** Begins an upload. Throws as {@link document}. */
  async beginUpload(): Promise<UploadSession> {
    return (await this.#beginUpload(registryPaths.uploads(this.endpoint.path), undefined)) as UploadSession
  }

  async #beginUpload(target: string, mounted: Digest | undefined): Promise<UploadSession | undefined> {
    const answer = await this.#send('POST', target, { headers: { 'Content-Length': '0' } })
    if (answer.status === 201 && mounted !== undefined) {
      await answer.discard()
      return undefined
    }
    if (answer.status !== 202) throw await answerError(answer, this.#asked(`upload to ${this.name}`))
    await answer.discard()
    return { location: await this.#location(answer), offset: 0 }
  }

  /** Sends bytes to an upload, from its offset on; gives where it stands then. Throws as {@link document}. */
  async sendPart(session: UploadSession, body: ByteSource | Blob, size: number | undefined): Promise<UploadSession> {
    const { location, offset } = session
    const range = size === undefined ? {} : { 'Content-Range': `${offset}-${offset + size - 1}` }
    const answer = await this.#send('PATCH', location, {
      headers: { 'Content-Type': 'application/octet-stream', ...range },
      body,
      isRepeatable: false,
    })
    if (answer.status !== 202 && answer.status !== 201)
      throw await answerError(answer, this.#asked(`upload to ${this.name}`))
    await answer.discard()
    return { location: await this.#location(answer), offset: offsetOf(answer) ?? offset }
  }

  /** Ends an upload, with the rest of the bytes or without. Throws BLOB_CORRUPT, and as {@link document}. */
  async finishUpload({ location }: UploadSession, digest: Digest, body?: Blob | Uint8Array): Promise<void> {
    const url = new URL(location)
    url.searchParams.set('digest', digest)
    const answer = await this.#send('PUT', url, {
      headers: body === undefined ? { 'Content-Length': '0' } : { 'Content-Type': 'application/octet-stream' },
      ...(body === undefined ? {} : { body }),
      isRepeatable: false,
    })
    if (answer.status !== 201 && answer.status !== 204) throw await answerError(answer, this.#asked(`blob ${digest}`))
    await answer.discard()
  }

  /** How far an upload got, undefined where the registry does not know it any more. Throws as {@link document}. */
  async uploadStatus({ location }: UploadSession): Promise<UploadSession | undefined> {
    const answer = await this.#send('GET', location)
    if (answer.status === 404 || answer.status === 400) {
      await answer.discard()
      return undefined
    }
    if (answer.status !== 204 && answer.status !== 202 && answer.status !== 200)
      throw await answerError(answer, this.#asked(`upload to ${this.name}`))
    await answer.discard()
    return { location: await this.#location(answer, location), offset: offsetOf(answer) ?? 0 }
  }

  /** All tags, page by page. Throws REGISTRY_INVALID for a list that holds anything else, and as {@link document}. */
  async *tags(): AsyncGenerator<string> {
    const first = `${registryPaths.tags(this.endpoint.path)}?n=1000`
    for await (const answer of pagesOf(first, `tag list of ${this.name}`, (page) => this.#send('GET', page))) {
      if (answer.status !== 200) throw await answerError(answer, this.#asked(`tags of ${this.name}`))
      const { value } = parseJsonDocument(await answer.bytes(largestDocument), {
        name: 'tag list',
        code: 'REGISTRY_INVALID',
      })
      const { tags } = value
      if (tags !== null && (!Array.isArray(tags) || tags.some((tag) => typeof tag !== 'string')))
        throw new CairnError('REGISTRY_INVALID', `${answer.url.host} gives a tag list without tags`)
      for (const tag of (tags ?? []) as string[]) {
        if (!isTag(tag))
          throw new CairnError('REGISTRY_INVALID', `${answer.url.host} lists ${quoted(tag)}, which is no tag`)
        yield tag
      }
    }
  }

  #asked(what: string): { readonly what: string; readonly name: string; readonly isPush: boolean } {
    return { what, name: this.name, isPush: this.#isPush }
  }

  #manifestName(reference: string): string {
    return `manifest for ${this.name}${isDigest(reference) ? '@' : ':'}${reference}`
  }

  async #send(
    method: RegistryRequest['method'],
    target: string | URL,
    more: Pick<RegistryRequest, 'headers' | 'body' | 'isRepeatable'> = {},
  ): Promise<HttpAnswer> {
    const actions = `pull${this.#isPush ? ',push' : ''}${this.#isDelete ? ',delete' : ''}`
    const scopes = [
      `repository:${this.endpoint.path}:${actions}`,
      ...this.#alsoPull.map((name) => `repository:${name}:pull`),
    ]
    return await this.#connection.send({
      method,
      target,
      scopes,
      name: this.name,
      repository: this.endpoint.path,
      ...more,
    })
  }

  async #location(answer: HttpAnswer, fallback?: URL): Promise<URL> {
    const text = answer.headers.get('location')
    const base = await this.#connection.base()
    if (text === null && fallback !== undefined) return fallback
    if (text === null || !URL.canParse(text, answer.url.href))
      throw new CairnError('REGISTRY_INVALID', `${base.host} does not say where to upload to`)
    const location = new URL(text, answer.url)
    // A registry behind a proxy that ends TLS may not know that it is spoken to by HTTPS.
    if (location.host === base.host && location.protocol === 'http:') location.protocol = base.protocol
    return location
  }
}

/** Bytes that `Range: 0-N` says the registry has. */
function offsetOf({ headers }: HttpAnswer): number | undefined {
  const match = /^(?:bytes=)?0-(\d+)$/.exec(headers.get('range') ?? '')
  if (match === null) return undefined
  const last = Number(match[1])
  // distribution says 0-0 for nothing as for one byte; one byte sent twice is found out by the digest.
  return last === 0 ? 0 : last + 1
}

function mediaTypeOf({ headers }: HttpAnswer): string {
  return (headers.get('content-type') ?? '').split(';')[0]?.trim() ?? ''
}

function checkDocumentType(mediaType: string, what: string): void {
  if (isIndexType(mediaType) || isManifestType(mediaType)) return
  const isOld = /manifest\.v1\+(?:json|prettyjws)$/.test(mediaType)
  throw new CairnError(
    'MANIFEST_INVALID',
    `${what} has the media type ${JSON.stringify(mediaType)}, which is ${isOld ? "docker's old schema 1" : 'not that of a manifest'}`,
    isOld ? { hint: 'Have it pushed again by a docker of this decade.' } : {},
  )
}

/** {@link parseImageDocument}, its errors beginning with what it is that is wrong. */
function parseDocument(raw: Uint8Array, mediaType: string, what: string): ImageDocument {
  try {
    return parseImageDocument(raw, mediaType)
  } catch (error) {
    if (!(error instanceof CairnError)) throw error
    const { code, message, hint } = error
    throw new CairnError(code, `${what}: ${message}`, { hint, cause: error })
  }
}

function blobUnknown({ digest, urls = [] }: Pick<Descriptor, 'digest' | 'urls'>, name: string): CairnError {
  const [url] = urls
  return new CairnError('BLOB_UNKNOWN', `blob ${digest} not found in ${name}`, {
    hint: url && `It is to be had from ${redactUrl(serverText(url))}, but layers are fetched from registries only.`,
  })
}

function checkDigest(wanted: Digest | undefined, found: Digest, what: string): void {
  if (wanted !== undefined && wanted !== found)
    throw new CairnError('BLOB_CORRUPT', `${what} arrived as ${found}, not as ${wanted}`)
}
