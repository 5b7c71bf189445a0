import { type AttachedStatement, findStatements, knownPredicates } from '../../attest/find-statements.ts'
import type { Store } from '../../content/store.ts'
import { type ImageSource, imageOf, readDocument } from '../../images/image-source.ts'
import { isImageConfigType } from '../../images/image.ts'
import { type ImageConfig, platformOf } from '../../oci/config.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type ImageDocument, isAttestation } from '../../oci/image-index.ts'
import { isManifestType } from '../../oci/media-types.ts'
import { formatPlatform } from '../../oci/platform.ts'
import { pinned, type Reference } from '../../oci/reference.ts'
import { openSource } from '../images/open-source.ts'
import type { RegistryAccess } from './registry-access.ts'

/** An image for one platform, with what is attached to it. */
export interface RemoteImage {
  readonly platform: string
  readonly config: ImageConfig
  readonly provenance: readonly AttachedStatement[]
  readonly sbom: readonly AttachedStatement[]
}

/** What a name in a registry leads to. */
export interface InspectedRemote {
  readonly descriptor: Descriptor
  readonly document: ImageDocument
  /** Nothing where it was not asked for. */
  readonly images: readonly RemoteImage[]
}

export interface InspectRemoteOptions {
  readonly access: RegistryAccess
  /** Reads configurations and attestations, too. */
  readonly isWhole: boolean
}

/** Reads what a registry has under a name; no layer is fetched. Throws as openSource(), readDocument() and findStatements(). */
export async function inspectRemote(
  store: Store,
  reference: Reference,
  { access, isWhole }: InspectRemoteOptions,
): Promise<InspectedRemote> {
  using source = await openSource(store, { transport: 'docker', reference: pinned(reference) }, access)
  const { target } = source
  const document = await readDocument(source, target)
  const images = isWhole
    ? await Promise.all(imageEntries(target, document).map((entry) => readImage(source, entry)))
    : []
  return { descriptor: target, document, images: images.flat() }
}

function imageEntries(target: Descriptor, document: ImageDocument): readonly Descriptor[] {
  if (document.type === 'manifest') return [target]
  return document.value.manifests.filter((entry) => isManifestType(entry.mediaType) && !isAttestation(entry))
}

/** Nothing for an artifact that is no image. */
async function readImage(source: ImageSource, entry: Descriptor): Promise<readonly RemoteImage[]> {
  const document = await readDocument(source, entry)
  if (document.type === 'index' || !isImageConfigType(document.value.config.mediaType)) return []
  const { value: config } = await imageOf(source, entry).config()
  const provenance = await findStatements(source, entry, knownPredicates.provenance)
  const sbom = await findStatements(source, entry, [...knownPredicates.spdx, ...knownPredicates.cyclonedx])
  return [{ platform: formatPlatform(entry.platform ?? platformOf(config)), config, provenance, sbom }]
}
