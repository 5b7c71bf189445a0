import { type Digest, digestAlgorithm, digestOf, isDigest } from '../../oci/digest.ts'
import { registryHeaders, registryPaths } from '../protocol.ts'
import type { ManifestEntry, PutResult } from '../storage/registry-storage.ts'
import { contentHeaders, emptyResponse, entityTags, type Exchange, isNotModified } from './exchange.ts'
import { parsePushedManifest } from './pushed-manifest.ts'
import { readBody } from './request-body.ts'
import { RequestFailure } from './request-failure.ts'
import { parseDigestWord, parseTagWord, type Tag } from './routes.ts'

/** Tags that one request may set; the specification asks for 10 at least. */
const mostTags = 100

/** end-3: a manifest by tag or digest. */
export async function getManifest(exchange: Exchange, name: string, reference: Digest | Tag): Promise<Response> {
  const { request, storage } = exchange
  const entry = await storage.resolveManifest(name, reference)
  if (entry === undefined) throw await unknownManifest(exchange, name, reference)
  noteManifest(exchange, entry, isDigest(reference) ? [] : [reference])
  const headers = { 'content-type': entry.mediaType, ...contentHeaders(entry.digest, isDigest(reference)) }
  if (isNotModified(request, entry.digest)) return emptyResponse(304, headers)
  if (request.method === 'HEAD') return emptyResponse(200, { ...headers, 'content-length': String(entry.size) })
  const bytes = await readManifest(exchange, name, entry)
  if (bytes === undefined) throw await unknownManifest(exchange, name, reference)
  return new Response(bytes, { headers })
}

async function readManifest(
  { storage, manifests }: Exchange,
  name: string,
  { digest }: ManifestEntry,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const known = manifests.get(digest)
  if (known !== undefined) return known
  const bytes = await storage.readManifest(name, digest)
  if (bytes !== undefined) manifests.put(digest, bytes)
  return bytes
}

/** end-7: stores a manifest under a tag, or under its digest with any number of tags. */
export async function putManifest(exchange: Exchange, name: string, reference: Digest | Tag): Promise<Response> {
  const { request, settings, storage } = exchange
  const tags = tagsOf(exchange.query, reference)
  const bytes = await readBody(request, settings.largestManifest)
  const digest = digestOf(bytes, isDigest(reference) ? digestAlgorithm(reference) : 'sha256')
  if (isDigest(reference) && digest !== reference)
    throw new RequestFailure('DIGEST_INVALID', { message: `the manifest hashes to ${digest}, not ${reference}` })
  const manifest = parsePushedManifest(bytes, digest, contentType(request))
  const condition = conditionOf(request)
  const result = await storage.putManifest(name, manifest, {
    tags,
    missing: settings.missingContent,
    existingTags: exchange.mayOverwrite(name) ? 'move' : 'keep',
    condition,
  })
  if (result.outcome !== 'stored') throw refusal(result)
  noteManifest(exchange, manifest, tags)
  return emptyResponse(201, {
    location: registryPaths.manifest(name, digest),
    [registryHeaders.contentDigest]: digest,
    etag: `"${digest}"`,
    ...(manifest.subject === undefined ? {} : { [registryHeaders.subject]: manifest.subject }),
    ...(isDigest(reference) && tags.length > 0 ? { [registryHeaders.tag]: tags.join(', ') } : {}),
  })
}

/** end-9: deletes a tag, or a manifest with all of its tags. */
export async function deleteManifest(exchange: Exchange, name: string, reference: Digest | Tag): Promise<Response> {
  const { storage } = exchange
  const deleted = isDigest(reference)
    ? await storage.deleteManifest(name, reference)
    : await storage.deleteTag(name, reference)
  if (!deleted) throw await unknownManifest(exchange, name, reference)
  if (isDigest(reference)) exchange.facts.digest = reference
  else exchange.facts.tags = [reference]
  return emptyResponse(202)
}

function noteManifest({ facts }: Exchange, { digest, mediaType, size }: ManifestEntry, tags: readonly string[]): void {
  Object.assign(facts, { digest, mediaType, size, tags })
}

function tagsOf(query: URLSearchParams, reference: Digest | Tag): Tag[] {
  const asked = query.getAll('tag')
  if (asked.length > mostTags)
    throw new RequestFailure('UNSUPPORTED', {
      status: 414,
      message: `${asked.length} tags in one request; up to ${mostTags} are taken`,
    })
  if (!isDigest(reference)) {
    if (asked.length === 0) return [reference]
    throw new RequestFailure('UNSUPPORTED', {
      status: 400,
      message: 'tags as parameters are for manifests that are pushed by digest',
    })
  }
  return [...new Set(asked.map(parseTagWord))]
}

/** The media type that a request gives its body; parameters do not count. */
function contentType(request: Request): string | undefined {
  const type = (request.headers.get('content-type') ?? '').split(';', 1)[0]?.trim() ?? ''
  return type === '' ? undefined : type
}

/** If-Match and If-None-Match of a push, RFC 9110 §13.1: what the tag has to lead to for it to go ahead. */
function conditionOf({ headers }: Request): 'absent' | Digest | undefined {
  const none = headers.get('if-none-match')
  if (none !== null) {
    if (none.trim() === '*') return 'absent'
    throw new RequestFailure('UNSUPPORTED', { status: 400, message: 'If-None-Match of a push can only be *' })
  }
  const match = headers.get('if-match')
  if (match === null) return undefined
  const [tag = '', ...more] = entityTags(match)
  if (more.length > 0 || tag === '*')
    throw new RequestFailure('UNSUPPORTED', { status: 400, message: 'If-Match of a push is one entity tag' })
  return parseDigestWord(tag)
}

function refusal(result: Exclude<PutResult, { outcome: 'stored' }>): RequestFailure {
  switch (result.outcome) {
    case 'missing':
      return new RequestFailure('MANIFEST_BLOB_UNKNOWN', {
        detail: result.references.slice(0, 100).map(({ kind, digest }) => ({ kind, digest })),
      })
    case 'size-differs': {
      const { kind, digest, size } = result.reference
      const message = `the manifest says that ${kind} ${digest} has ${size} bytes; it has ${result.size}`
      return new RequestFailure('MANIFEST_INVALID', { message })
    }
    case 'tag-exists': {
      const message = `the tag ${result.tag} leads to another manifest; to move it needs the right to overwrite`
      return new RequestFailure('DENIED', { message })
    }
    case 'condition-failed':
      return new RequestFailure('DENIED', { status: 412, message: 'the tag leads to another manifest by now' })
    default:
      return result satisfies never
  }
}

/** Why there is no such manifest: the repository, or the manifest in it. */
async function unknownManifest({ storage }: Exchange, name: string, reference: Digest | Tag): Promise<RequestFailure> {
  if (!(await storage.hasRepository(name))) return new RequestFailure('NAME_UNKNOWN', { detail: { name } })
  return new RequestFailure('MANIFEST_UNKNOWN', { detail: { name, reference } })
}
