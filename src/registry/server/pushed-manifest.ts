import { CairnError } from '../../errors/error.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, digestAlgorithm, digestOf } from '../../oci/digest.ts'
import { type ImageDocument, parseImageDocument } from '../../oci/image-index.ts'
import { isIndexType, isManifestType } from '../../oci/media-types.ts'
import type { ManifestReference, PushedManifest } from '../storage/registry-storage.ts'

/** Layers that need not be in a registry: image-spec layer.md §non-distributable-layers, docker's foreign layers. */
const nonDistributable = /^application\/vnd\.(?:oci\.image\.layer\.nondistributable\.|docker\.image\.rootfs\.foreign\.)/

/**
 * Checks the bytes of a manifest or index. `mediaType` is the Content-Type it was pushed with; without one the
 * document's own counts. Throws MANIFEST_INVALID naming the field, also where the document could be read as two things
 * and where inline `data` is not what its digest and size say.
 */
export function parsePushedManifest(
  bytes: Uint8Array<ArrayBuffer>,
  digest: Digest,
  mediaType: string | undefined,
): PushedManifest {
  const type = mediaType ?? ownMediaType(bytes)
  const document = parseImageDocument(bytes, type)
  const references = referencesOf(document)
  const subject = document.value.subject?.digest
  return {
    digest,
    mediaType: type,
    size: bytes.length,
    bytes,
    references,
    subject,
    descriptor: descriptorOf(document, { mediaType: type, digest, size: bytes.length }),
  }
}

function ownMediaType(bytes: Uint8Array): string {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    value = undefined
  }
  const type = typeof value === 'object' && value !== null && 'mediaType' in value ? value.mediaType : undefined
  if (typeof type === 'string') return type
  throw invalid('the manifest has neither a Content-Type nor a mediaType')
}

function referencesOf(document: ImageDocument): ManifestReference[] {
  if (document.type === 'index')
    return document.value.manifests.map((entry, index) =>
      referenceTo(entry, isDocument(entry) ? 'manifest' : 'blob', `manifests[${index}]`),
    )
  const { config, layers } = document.value
  return [
    referenceTo(config, 'blob', 'config'),
    ...layers.map((layer, index) => referenceTo(layer, 'blob', `layers[${index}]`)),
  ]
}

function isDocument({ mediaType }: Descriptor): boolean {
  return isManifestType(mediaType) || isIndexType(mediaType)
}

function referenceTo(descriptor: Descriptor, kind: ManifestReference['kind'], where: string): ManifestReference {
  const { digest, size, mediaType, data } = descriptor
  if (data !== undefined) checkData(data, digest, size, where)
  return { kind, digest, size, isOptional: nonDistributable.test(mediaType) }
}

/** image-spec descriptor.md §embedded-content: `data` must be the content. */
function checkData(data: unknown, digest: Digest, size: number, where: string): void {
  const bytes = typeof data === 'string' ? decodeBase64(data) : undefined
  if (bytes === undefined) throw invalid(`${where}.data is not base64`)
  if (bytes.length !== size || digestOf(bytes, digestAlgorithm(digest)) !== digest)
    throw invalid(`${where}.data is not what its digest and size say`)
}

/** The bytes of padded base64 without spaces; undefined for any other text. */
function decodeBase64(text: string): Uint8Array | undefined {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined
  try {
    return Uint8Array.fromBase64(text, { lastChunkHandling: 'strict' })
  } catch {
    return undefined
  }
}

/** distribution-spec §listing-referrers: what the list shows of a manifest. */
function descriptorOf(
  document: ImageDocument,
  identity: Pick<Descriptor, 'mediaType' | 'digest' | 'size'>,
): Descriptor {
  const { artifactType, annotations } = document.value
  const ownType = artifactType === '' ? undefined : artifactType
  const type = ownType ?? (document.type === 'manifest' ? document.value.config.mediaType : undefined)
  return {
    ...identity,
    ...(type === undefined ? {} : { artifactType: type }),
    ...(annotations === undefined || annotations === null ? {} : { annotations }),
  }
}

function invalid(message: string): CairnError {
  return new CairnError('MANIFEST_INVALID', message)
}
