import { type Digest, isDigest } from '../../oci/digest.ts'
import { isTag } from '../../oci/reference.ts'
import { RequestFailure } from './request-failure.ts'

/** What a path means. Names, tags and digests in it were checked. */
export type Route =
  | { readonly kind: 'base' }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'tags'; readonly name: string }
  | { readonly kind: 'manifest'; readonly name: string; readonly reference: Digest | Tag }
  | { readonly kind: 'blob'; readonly name: string; readonly digest: Digest }
  | { readonly kind: 'uploads'; readonly name: string }
  | { readonly kind: 'upload'; readonly name: string; readonly id: string }
  | { readonly kind: 'referrers'; readonly name: string; readonly digest: Digest }

declare const brand: unique symbol

/** A name that {@link isTag} has taken. */
export type Tag = string & { readonly [brand]: 'Tag' }

/** A path of the URL and what follows its question mark. */
export interface Target {
  readonly path: string
  readonly query: URLSearchParams
}

/** Longest repository name: what clients take with a host before it. */
const longestName = 255
const nameExpression = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/
const noQuery = new URLSearchParams()

/** Splits the URL of a request. It is a path alone where the client names no host, or none that can be one. */
export function parseTarget(url: string): Target {
  const start = url.startsWith('/') ? 0 : url.indexOf('/', url.indexOf('://') + 3)
  const question = url.indexOf('?', start)
  if (question < 0) return { path: url.slice(start), query: noQuery }
  return { path: url.slice(start, question), query: new URLSearchParams(url.slice(question + 1)) }
}

/**
 * Finds what a path means (distribution-spec §endpoints); undefined for paths of nothing. A name may have components
 * such as `blobs`, so the end of the path decides. Throws RequestFailure for a name, tag or digest that cannot be one.
 */
export function parseRoute(path: string): Route | undefined {
  if (path === '/v2/' || path === '/v2') return { kind: 'base' }
  if (!path.startsWith('/v2/')) return undefined
  if (path === '/v2/_catalog') return { kind: 'catalog' }
  const words = decoded(path).slice('/v2/'.length).split('/')
  const [beforeLast = '', last = ''] = words.slice(-2)
  const name = () => parseName(words.slice(0, -2))
  if (beforeLast === 'manifests') return { kind: 'manifest', name: name(), reference: parseManifestReference(last) }
  if (beforeLast === 'tags' && last === 'list') return { kind: 'tags', name: name() }
  if (beforeLast === 'referrers') return { kind: 'referrers', name: name(), digest: parseDigestWord(last) }
  if (beforeLast === 'blobs' && last === 'uploads') return { kind: 'uploads', name: name() }
  if (beforeLast === 'blobs') return { kind: 'blob', name: name(), digest: parseDigestWord(last) }
  if (beforeLast !== 'uploads' || words.at(-3) !== 'blobs') return undefined
  const repository = parseName(words.slice(0, -3))
  return last === '' ? { kind: 'uploads', name: repository } : { kind: 'upload', name: repository, id: last }
}

/** True when `text` can be the name of a repository: distribution-spec §pulling-manifests. */
export function isRepositoryName(text: string): boolean {
  return text.length <= longestName && nameExpression.test(text)
}

/** `text` as a digest. Throws DIGEST_INVALID. */
export function parseDigestWord(text: string): Digest {
  if (isDigest(text)) return text
  throw new RequestFailure('DIGEST_INVALID', {
    message: `not a sha256 or sha512 digest: ${quoted(text)}`,
  })
}

/** `text` as a tag. Throws MANIFEST_INVALID, since the specification has no code for tags. */
export function parseTagWord(text: string): Tag {
  if (isTag(text)) return text as Tag
  throw new RequestFailure('MANIFEST_INVALID', { message: `not a tag: ${quoted(text)}` })
}

function parseManifestReference(text: string): Digest | Tag {
  return text.includes(':') ? parseDigestWord(text) : parseTagWord(text)
}

function parseName(words: readonly string[]): string {
  const name = words.join('/')
  if (isRepositoryName(name)) return name
  throw new RequestFailure('NAME_INVALID', { message: `not a repository name: ${quoted(name)}` })
}

function decoded(path: string): string {
  if (!path.includes('%')) return path
  try {
    return decodeURIComponent(path)
  } catch {
    throw new RequestFailure('NAME_INVALID', { message: 'the path is not valid percent-encoding' })
  }
}

/** Text of a client in a message, no longer than anybody needs. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 160 ? `${text.slice(0, 160)}…` : text)
}
