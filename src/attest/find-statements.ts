import { CairnError } from '../errors/error.ts'
import { type ImageSource, openBlob, readDocument } from '../images/image-source.ts'
import { isJsonObject } from '../oci/descriptor.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { digestAlgorithm, digestHex } from '../oci/digest.ts'
import { isAttestation } from '../oci/image-index.ts'
import { parseJsonDocument } from '../oci/json-document.ts'
import { isIndexType, isManifestType } from '../oci/media-types.ts'
import { collect } from '../streams/source.ts'
import { attestationArtifactType, predicateTypeAnnotation } from './attestation-manifest.ts'
import { predicateTypes, statementType } from './statement.ts'

/** Bytes; BuildKit makes none larger. */
const largestStatement = 64 * 1024 * 1024
const mostManifests = 100

/** A claim about an image that was found with it. Nobody says that it is true. */
export interface AttachedStatement {
  readonly predicateType: string
  readonly predicate: Readonly<Record<string, unknown>>
}

/** Predicate types of a kind, of all versions that are read. */
export const knownPredicates = {
  provenance: Object.values(predicateTypes.provenance),
  spdx: [predicateTypes.sbom.spdx],
  cyclonedx: [predicateTypes.sbom.cyclonedx],
} as const satisfies Record<string, readonly string[]>

/**
 * The statements of the given types that are attached to the image with the manifest `image`: in the index it is in, as
 * BuildKit keeps them, or as referrers. Throws MANIFEST_INVALID for one that is not about this image, or no statement;
 * BLOB_UNKNOWN where one is missing.
 */
export async function findStatements(
  source: ImageSource,
  image: Descriptor,
  types: readonly string[],
): Promise<readonly AttachedStatement[]> {
  const manifests = [...(await attachedInIndex(source, image)), ...(await attachedAsReferrers(source, image))]
  const found: AttachedStatement[] = []
  for (const manifest of new Map(manifests.map((one) => [one.digest, one])).values()) {
    const document = await readDocument(source, manifest)
    if (document.type !== 'manifest') continue
    for (const layer of document.value.layers) {
      const type = layer.annotations?.[predicateTypeAnnotation]
      if (layer.mediaType === statementType && type !== undefined && types.includes(type))
        found.push(await readStatement(source, layer, image))
    }
  }
  return found
}

async function attachedInIndex(source: ImageSource, image: Descriptor): Promise<readonly Descriptor[]> {
  if (!isIndexType(source.target.mediaType)) return []
  const document = await readDocument(source, source.target)
  if (document.type !== 'index') return []
  return document.value.manifests
    .filter((entry) => isAttestation(entry) && isManifestType(entry.mediaType))
    .filter(({ annotations }) => annotations?.['vnd.docker.reference.digest'] === image.digest)
    .slice(0, mostManifests)
}

async function attachedAsReferrers(source: ImageSource, image: Descriptor): Promise<readonly Descriptor[]> {
  const referrers = (await source.referrers?.(image.digest)) ?? []
  return referrers.filter(({ artifactType }) => artifactType === attestationArtifactType).slice(0, mostManifests)
}

async function readStatement(source: ImageSource, layer: Descriptor, image: Descriptor): Promise<AttachedStatement> {
  if (layer.size > largestStatement)
    throw new CairnError('LIMIT_EXCEEDED', `attestation ${layer.digest} has more than ${largestStatement} bytes`)
  const bytes = await collect(openBlob(source, layer), largestStatement, layer.digest)
  const kind = { name: `attestation ${layer.digest}`, code: 'MANIFEST_INVALID' } as const
  const { value } = parseJsonDocument(bytes, kind, largestStatement)
  const { predicateType, predicate, subject } = value
  if (typeof predicateType !== 'string' || !isJsonObject(predicate) || !Array.isArray(subject))
    throw new CairnError('MANIFEST_INVALID', `attestation ${layer.digest} is no in-toto statement`)
  const [algorithm, hex] = [digestAlgorithm(image.digest), digestHex(image.digest)]
  const isAboutImage = subject.some(
    (one) => isJsonObject(one) && isJsonObject(one['digest']) && one['digest'][algorithm] === hex,
  )
  if (!isAboutImage)
    throw new CairnError('MANIFEST_INVALID', `attestation ${layer.digest} is not about the image ${image.digest}`)
  return { predicateType, predicate }
}
