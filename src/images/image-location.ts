import { CairnError, usageError } from '../errors/error.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { familiarString, parseReference, pinned, type Reference } from '../oci/reference.ts'

/** Ways in which files hold images, under skopeo's names. */
export type FileTransport = 'oci' | 'oci-archive' | 'docker-archive' | 'dir'

/** Where an image is or shall be. */
export type ImageLocation =
  /** A name or ID in Cairn's own store. */
  { readonly transport: 'store'; readonly name: string } | FileLocation | RegistryLocation

/** An image in a registry. */
export interface RegistryLocation {
  readonly transport: 'docker'
  /** With a tag or a digest. */
  readonly reference: Reference
}

/** A place that is reached without a network. */
export type LocalLocation = Exclude<ImageLocation, RegistryLocation>

/** An image in a file or directory. */
export interface FileLocation {
  readonly transport: FileTransport
  readonly path: string
  /** Which image of several: a tag or a whole name, as written. */
  readonly name?: string
  readonly digest?: Digest
}

const registryPrefix = 'docker://'
const transports: ReadonlySet<string> = new Set(['oci', 'oci-archive', 'docker-archive', 'dir'])
const foreign: ReadonlySet<string> = new Set(['docker-daemon', 'containers-storage', 'ostree', 'tarball', 'sif'])

/**
 * What a user writes for a place of an image: `oci:DIR[:TAG][@DIGEST]`, `oci-archive:FILE[:NAME]`,
 * `docker-archive:FILE[:NAME]`, `dir:DIR`, `docker://NAME[:TAG|@DIGEST]`; anything else is a name or ID in the store. Paths cannot hold a colon but
 * for `dir:`. Throws USAGE, REFERENCE_INVALID, and NOT_SUPPORTED for skopeo's other transports.
 */
export function parseImageLocation(text: string): ImageLocation {
  const colon = text.indexOf(':')
  const transport = colon < 0 ? '' : text.slice(0, colon)
  const rest = text.slice(colon + 1)
  if (text.startsWith(registryPrefix))
    return { transport: 'docker', reference: pinned(parseReference(text.slice(registryPrefix.length))) }
  if (foreign.has(transport))
    throw new CairnError('NOT_SUPPORTED', `${JSON.stringify(text)}: images cannot be read or written there`, {
      hint: 'Places are a name of the store, oci:DIR[:TAG], oci-archive:FILE[:NAME], docker-archive:FILE[:NAME], dir:DIR, docker://NAME.',
    })
  if (!isFileTransport(transport)) return { transport: 'store', name: text }
  const location = transport === 'dir' ? { transport, path: rest } : splitPath(transport, rest)
  if (location.path === '') throw invalid(text, 'it has no path')
  if (location.name === '') throw invalid(text, 'the name after the path is empty')
  return location
}

/** As {@link parseImageLocation} where registries are not reached. Throws NOT_SUPPORTED for a place there. */
export function parseLocalLocation(text: string): LocalLocation {
  const location = parseImageLocation(text)
  if (location.transport !== 'docker') return location
  throw new CairnError('NOT_SUPPORTED', `${text}: images are changed in the store`, {
    hint: 'Pull it first, and push what came of it.',
  })
}

/** True for what {@link parseImageLocation} takes for a file or directory and not for a name. */
export function isFileLocation(location: ImageLocation): location is FileLocation {
  return location.transport !== 'store' && location.transport !== 'docker'
}

/** A location as it is written. */
export function formatImageLocation(location: ImageLocation): string {
  if (location.transport === 'store') return location.name
  if (location.transport === 'docker') return `${registryPrefix}${familiarString(location.reference)}`
  const { transport, path, name, digest } = location
  return `${transport}:${path}${name === undefined ? '' : `:${name}`}${digest === undefined ? '' : `@${digest}`}`
}

function isFileTransport(text: string): text is FileTransport {
  return transports.has(text)
}

function splitPath(transport: FileTransport, text: string): FileLocation {
  const at = text.lastIndexOf('@')
  const digest = text.slice(at + 1)
  const pin = at >= 0 && isDigest(digest) ? digest : undefined
  const named = pin === undefined ? text : text.slice(0, at)
  const colon = named.indexOf(':')
  return {
    transport,
    path: colon < 0 ? named : named.slice(0, colon),
    ...(colon < 0 ? {} : { name: named.slice(colon + 1) }),
    ...(pin === undefined ? {} : { digest: pin }),
  }
}

function invalid(text: string, why: string): CairnError {
  return usageError(`invalid image location ${JSON.stringify(text)}: ${why}`)
}
