import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { parseImageLocation } from '../../images/image-location.ts'
import { type ImageSource, imageOf, readDocument } from '../../images/image-source.ts'
import { isImageConfigType } from '../../images/image.ts'
import { findImage } from '../../images/records/resolve-image.ts'
import { platformOf } from '../../oci/config.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import type { ImageDocument } from '../../oci/image-index.ts'
import { isManifestType, mediaTypes } from '../../oci/media-types.ts'
import { formatReference, parseReference, withDefaultTag } from '../../oci/reference.ts'
import { sourceDigest } from './manifest-lists.ts'
import { openSource } from './open-source.ts'
import type { RegistryAccess } from '../registry/registry-access.ts'
import { fetchManifest, noSuchList } from '../registry/registry-manifests.ts'

export interface InspectOptions {
  /** Inspect the member of this list instead of an image. */
  readonly list?: string | undefined
  /** Tell more than what the manifest says. */
  readonly verbose?: boolean
  /** How registries are reached; without it only what is here is inspected. */
  readonly access?: RegistryAccess
}

export interface InspectedManifest {
  readonly document: ImageDocument
  /** With `verbose` what docker tells then: of an index, each manifest that is there. */
  readonly details?: ManifestDetails | readonly ManifestDetails[]
}

/** docker's names. */
export interface ManifestDetails {
  readonly Ref: string
  readonly Descriptor: Descriptor
  /** Base64 of the bytes. */
  readonly Raw: string
  readonly SchemaV2Manifest?: object
  readonly OCIManifest?: object
}

/**
 * The manifest or index that `name` means: a name or ID of the store, or a place as parseImageLocation reads it; with
 * `list` the manifest of that name in this list; a name that the store does not have is asked for at its registry. Throws
 * IMAGE_UNKNOWN, and as openSource and fetchManifest.
 */
export async function inspectManifest(
  store: Store,
  name: string,
  { list, verbose = false, access }: InspectOptions = {},
): Promise<InspectedManifest> {
  const location = parseImageLocation(list ?? name)
  if (location.transport === 'store' && findImage(store, location.name) === undefined) {
    if (list !== undefined) throw noSuchList(withDefaultTag(parseReference(list)))
    const { descriptor, document } = await fetchManifest(name, access)
    return { document, ...(verbose ? { details: detailsOf(nameOf(name), descriptor, document) } : {}) }
  }
  using source = await openSource(store, location, access)
  const entry = list === undefined ? source.target : await memberOf(store, source, list, name)
  const document = await readDocument(source, entry)
  return { document, ...(verbose ? { details: await allDetails(source, entry, document) } : {}) }
}

async function memberOf(store: Store, source: ImageSource, list: string, name: string): Promise<Descriptor> {
  const document = await readDocument(source, source.target)
  const digest = sourceDigest(store, name)
  const entries = document.type === 'index' ? document.value.manifests : []
  const entry = entries.find((one) => one.digest === digest)
  if (entry !== undefined) return entry
  throw new CairnError('IMAGE_UNKNOWN', `manifest for image ${name} does not exist in ${list}`)
}

async function allDetails(
  source: ImageSource,
  target: Descriptor,
  document: ImageDocument,
): Promise<ManifestDetails | readonly ManifestDetails[]> {
  const ref = nameOf(source.name)
  if (document.type === 'manifest') return detailsOf(ref, await withPlatform(source, target, document), document)
  const details: ManifestDetails[] = []
  for (const entry of document.value.manifests) {
    if (!isManifestType(entry.mediaType) || source.size(entry.digest) === undefined) continue
    details.push(detailsOf(`${ref}@${entry.digest}`, entry, await readDocument(source, entry)))
  }
  return details
}

function detailsOf(Ref: string, descriptor: Descriptor, { raw, value }: ImageDocument): ManifestDetails {
  const isDocker = descriptor.mediaType === mediaTypes.dockerManifest
  return {
    Ref,
    Descriptor: descriptor,
    Raw: Buffer.from(raw).toString('base64'),
    ...(isDocker ? { SchemaV2Manifest: value } : { OCIManifest: value }),
  }
}

async function withPlatform(source: ImageSource, target: Descriptor, document: ImageDocument): Promise<Descriptor> {
  if (target.platform !== undefined || document.type === 'index') return target
  if (!isImageConfigType(document.value.config.mediaType)) return target
  const { mediaType, digest, size } = target
  return { mediaType, digest, size, platform: platformOf((await imageOf(source, target).config()).value) }
}

/** A name of the store in full; a place or ID as it was written. */
function nameOf(text: string): string {
  if (parseImageLocation(text).transport !== 'store' || /^(?:sha256:)?[0-9a-f]{12,64}$/.test(text)) return text
  return formatReference(withDefaultTag(parseReference(text)))
}
