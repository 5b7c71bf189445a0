import { CairnError } from '../errors/error.ts'
import { type Descriptor, parseDescriptor, parseStringMap } from './descriptor.ts'
import { descriptorInOrder, goJson, inOrder } from './go-json.ts'
import { type DocumentKind, type ParsedDocument, parseJsonDocument, refuseCaseVariants } from './json-document.ts'
import { type Manifest, parseManifest } from './manifest.ts'
import { isIndexType, isManifestType } from './media-types.ts'

/** image-spec image-index.md; Docker's manifest list has the same fields. */
export interface ImageIndex {
  readonly schemaVersion: 2
  readonly mediaType?: string
  readonly artifactType?: string
  readonly manifests: readonly Descriptor[]
  readonly subject?: Descriptor
  readonly annotations?: Readonly<Record<string, string>>
}

const kind: DocumentKind = { name: 'image index', code: 'MANIFEST_INVALID' }
const fields = ['schemaVersion', 'mediaType', 'artifactType', 'manifests', 'subject', 'annotations', 'config', 'layers']

/**
 * Reads an image index, or the `index.json` of an OCI layout. `mediaType` is what the descriptor or Content-Type said
 * of it; the document's own must agree. Unknown fields are kept in `value`. Throws MANIFEST_INVALID naming the field,
 * also for a document that carries a manifest's fields too, for keys given twice and for more than 4 MiB.
 */
export function parseIndex(input: Uint8Array | string, mediaType?: string): ParsedDocument<ImageIndex> {
  const { raw, value } = parseJsonDocument(input, kind)
  refuseCaseVariants(value, fields, kind)
  if (value['schemaVersion'] !== 2)
    throw invalid(`image index schemaVersion is not 2: ${JSON.stringify(value['schemaVersion']) ?? 'missing'}`)
  for (const field of ['layers', 'config'])
    if (value[field] !== undefined) throw invalid(`image index has the field ${JSON.stringify(field)} of a manifest`)
  checkMediaType(value['mediaType'], mediaType)
  if (value['artifactType'] !== undefined && typeof value['artifactType'] !== 'string')
    throw invalid('image index artifactType is not text')
  const { manifests } = value
  if (!Array.isArray(manifests)) throw invalid('image index manifests is not a list')
  for (const [index, manifest] of manifests.entries()) parseDescriptor(manifest, `manifests[${index}]`)
  if (value['subject'] !== undefined) parseDescriptor(value['subject'], 'subject')
  if (value['annotations'] !== undefined) parseStringMap(value['annotations'], 'annotations')
  return { raw, value: value as unknown as ImageIndex }
}

/** The bytes of an index: compact JSON with the fields in the specification's order. */
export function serializeIndex(index: ImageIndex): Uint8Array<ArrayBuffer> {
  const ordered = {
    ...index,
    manifests: index.manifests.map(descriptorInOrder),
    subject: index.subject === undefined ? undefined : descriptorInOrder(index.subject),
  }
  return new TextEncoder().encode(goJson(inOrder(ordered, fields)))
}

/** A manifest or an index, whichever a digest or tag led to. */
export type ImageDocument =
  | ({ readonly type: 'manifest' } & ParsedDocument<Manifest>)
  | ({ readonly type: 'index' } & ParsedDocument<ImageIndex>)

/** Reads what `mediaType` says it is. Throws MANIFEST_INVALID, also for any other media type. */
export function parseImageDocument(input: Uint8Array | string, mediaType: string): ImageDocument {
  if (isIndexType(mediaType)) return { type: 'index', ...parseIndex(input, mediaType) }
  if (isManifestType(mediaType)) return { type: 'manifest', ...parseManifest(input, mediaType) }
  throw invalid(`${JSON.stringify(mediaType)} is not the media type of an image manifest or index`)
}

const referenceType = 'vnd.docker.reference.type'

/** True for an index entry that describes another entry (SBOM, provenance) and is no image of a platform. */
export function isAttestation(descriptor: Descriptor): boolean {
  return (
    descriptor.annotations?.[referenceType] === 'attestation-manifest' ||
    (descriptor.platform?.os === 'unknown' && descriptor.platform.architecture === 'unknown')
  )
}

function checkMediaType(own: unknown, expected: string | undefined): void {
  if (own !== undefined && (typeof own !== 'string' || !isIndexType(own)))
    throw invalid(`image index mediaType is not that of an index: ${JSON.stringify(own)}`)
  if (expected === undefined) return
  if (!isIndexType(expected)) throw invalid(`a document of type ${expected} is not an image index`)
  if (own !== undefined && own !== expected)
    throw invalid(`image index mediaType is ${own} although it was given as ${expected}`)
}

function invalid(message: string): CairnError {
  return new CairnError('MANIFEST_INVALID', message)
}
