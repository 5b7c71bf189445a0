import { CairnError } from '../errors/error.ts'
import { type Digest, isDigest } from './digest.ts'

declare const brand: unique symbol

/**
 * The name of an image, normalised: `nginx` is `{domain: 'docker.io', path: 'library/nginx'}`. Made only by the
 * functions of this module, so whoever holds one needs no further checks. Grammar and normalisation are those of
 * distribution/reference.
 */
export interface Reference {
  /** Host of the registry with its port, as written: `docker.io`, `localhost:5000`, `[::1]:5000`. */
  readonly domain: string
  /** Repository within the registry: `library/nginx`. */
  readonly path: string
  readonly tag?: string
  readonly digest?: Digest
  readonly [brand]: 'Reference'
}

const defaultDomain = 'docker.io'
const legacyDefaultDomain = 'index.docker.io'
const officialPrefix = 'library/'
/** The tag that is meant where none is given. */
export const defaultTag = 'latest'
const longestPath = 255
/** Nothing valid is longer than this: a path of 255, a tag of 128, a sha512 digest, and a host of any sane length. */
const longestReference = 4096

const domainComponent = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])'
const domainPattern = `(?:${domainComponent}(?:\\.${domainComponent})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`
const pathComponent = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*'
const pathPattern = `${pathComponent}(?:/${pathComponent})*`
const tagPattern = '[\\w][\\w.-]{0,127}'
const digestPattern = '[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}'

const namedExpression = new RegExp(`^(${domainPattern})/(${pathPattern})(?::(${tagPattern}))?(?:@(${digestPattern}))?$`)
const tagExpression = new RegExp(`^${tagPattern}$`)
const identifierExpression = /^[a-f0-9]{64}$/
const identifierLength = 64

/** True for 64 lower-case hex characters: an image ID, which can never be a name. */
export function isIdentifier(text: string): boolean {
  return text.length === identifierLength && identifierExpression.test(text)
}

/** True when `text` can be a tag. */
export function isTag(text: string): boolean {
  return tagExpression.test(text)
}

/**
 * What a user writes as a reference: `nginx`, `nginx:1.27`, `ghcr.io/me/app@sha256:…`, `[::1]:5000/x`. No tag is
 * added. Throws REFERENCE_INVALID with docker's texts.
 */
export function parseReference(text: string): Reference {
  if (isIdentifier(text)) throw invalid(`invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`)
  if (text.length > longestReference) throw invalid('invalid reference format')
  const [domain, rest] = splitDomain(text)
  const colon = rest.indexOf(':')
  const remote = colon < 0 ? rest : rest.slice(0, colon)
  if (remote.toLowerCase() !== remote)
    throw invalid(`invalid reference format: repository name (${remote}) must be lowercase`)
  const match = namedExpression.exec(`${domain}/${rest}`)
  if (match === null) throw invalid('invalid reference format')
  const [, , path = '', tag, digest] = match
  if (path.length > longestPath) throw invalid(`repository name must not be more than ${longestPath} characters`)
  return make(domain, path, tag, digest === undefined ? undefined : checkDigest(digest))
}

/**
 * A reference that is already in its normal form, as Cairn stores it. Throws REFERENCE_INVALID for `nginx`, which
 * {@link parseReference} takes.
 */
export function parseNormalizedReference(text: string): Reference {
  const reference = parseReference(text)
  if (formatReference(reference) !== text) throw invalid('repository name must be canonical')
  return reference
}

/** The reference that {@link formatReference} made `text` of, which is not checked again. */
export function readReference(text: string): Reference {
  const at = text.indexOf('@')
  const name = at < 0 ? text : text.slice(0, at)
  const slash = name.indexOf('/')
  const colon = name.lastIndexOf(':')
  const isTagged = colon > slash
  const path = name.slice(slash + 1, isTagged ? colon : undefined)
  const digest = at < 0 ? undefined : (text.slice(at + 1) as Digest)
  return make(name.slice(0, slash), path, isTagged ? name.slice(colon + 1) : undefined, digest)
}

/** The whole reference in normal form: `docker.io/library/nginx:1.27@sha256:…`. */
export function formatReference(reference: Reference): string {
  return suffixed(repositoryName(reference), reference)
}

/** Domain and path without tag or digest: `docker.io/library/nginx`. */
export function repositoryName(reference: Reference): string {
  return `${reference.domain}/${reference.path}`
}

/**
 * The repository as docker prints it: `nginx` for `docker.io/library/nginx`, `me/app` for `docker.io/me/app`. The
 * domain stays where the short form would be read as another name (`docker.io/localhost/x`).
 */
export function familiarName(reference: Reference): string {
  const { domain, path } = reference
  if (domain !== defaultDomain) return repositoryName(reference)
  const official = path.startsWith(officialPrefix) ? path.slice(officialPrefix.length) : undefined
  // A name of one component can only be read as an official one.
  if (official !== undefined && !official.includes('/'))
    return isIdentifier(official) ? repositoryName(reference) : official
  const [readDomain, readPath] = splitDomain(path)
  return readDomain === domain && readPath === path ? path : repositoryName(reference)
}

/** The whole reference as docker prints it: `nginx:1.27`. */
export function familiarString(reference: Reference): string {
  return suffixed(familiarName(reference), reference)
}

/** The reference with the tag `latest` where it has neither tag nor digest. */
export function withDefaultTag(reference: Reference): Reference {
  if (reference.tag !== undefined || reference.digest !== undefined) return reference
  return make(reference.domain, reference.path, defaultTag, undefined)
}

/** The repository of `reference` with this tag and no digest. Throws REFERENCE_INVALID. */
export function withTag(reference: Reference, tag: string): Reference {
  if (!isTag(tag)) throw invalid('invalid tag format')
  return make(reference.domain, reference.path, tag, undefined)
}

/** The repository of `reference` with this digest and no tag. */
export function withDigest(reference: Reference, digest: Digest): Reference {
  return make(reference.domain, reference.path, undefined, digest)
}

/** The repository of `reference` alone. */
export function withoutTag(reference: Reference): Reference {
  return make(reference.domain, reference.path, undefined, undefined)
}

/**
 * The one thing a reference stands for: with tag and digest the digest wins and the tag is dropped, with neither the
 * tag is `latest` (ParseDockerRef).
 */
export function pinned(reference: Reference): Reference {
  return reference.digest === undefined ? withDefaultTag(reference) : withDigest(reference, reference.digest)
}

/** Domain and rest as docker tells them apart: the first component is a host only if it looks like one. */
function splitDomain(text: string): readonly [domain: string, rest: string] {
  const slash = text.indexOf('/')
  if (slash < 0) return [defaultDomain, officialPrefix + text]
  const first = text.slice(0, slash)
  const rest = text.slice(slash + 1)
  const isHost = first === 'localhost' || /[.:]/.test(first) || first.toLowerCase() !== first
  if (!isHost) return [defaultDomain, text]
  const domain = first === legacyDefaultDomain ? defaultDomain : first
  if (domain === defaultDomain && !rest.includes('/')) return [domain, officialPrefix + rest]
  return [domain, rest]
}

function checkDigest(text: string): Digest {
  if (isDigest(text)) return text
  const algorithm = text.slice(0, text.indexOf(':'))
  if (algorithm !== 'sha256' && algorithm !== 'sha512') throw invalid('unsupported digest algorithm')
  const length = text.length - algorithm.length - 1
  const wanted = algorithm === 'sha256' ? 64 : 128
  throw invalid(length === wanted ? 'invalid checksum digest format' : 'invalid checksum digest length')
}

function suffixed(name: string, { tag, digest }: Reference): string {
  const tagged = tag === undefined ? name : `${name}:${tag}`
  return digest === undefined ? tagged : `${tagged}@${digest}`
}

function make(domain: string, path: string, tag: string | undefined, digest: Digest | undefined): Reference {
  const reference: { domain: string; path: string; tag?: string; digest?: Digest } = { domain, path }
  if (tag !== undefined) reference.tag = tag
  if (digest !== undefined) reference.digest = digest
  return Object.freeze(reference) as Reference
}

function invalid(message: string): CairnError {
  return new CairnError('REFERENCE_INVALID', message)
}
