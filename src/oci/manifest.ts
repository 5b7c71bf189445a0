import { CairnError } from '../errors/error.ts'
import { type Descriptor, parseDescriptor, parseStringMap } from './descriptor.ts'
import { descriptorInOrder, goJson, inOrder } from './go-json.ts'
import { type DocumentKind, type ParsedDocument, parseJsonDocument, refuseCaseVariants } from './json-document.ts'
import { isManifestType } from './media-types.ts'

/** image-spec manifest.md; Docker's image manifest v2, schema 2 has the same fields. */
export interface Manifest {
  readonly schemaVersion: 2
  readonly mediaType?: string
  readonly artifactType?: string
  readonly config: Descriptor
  /** Base layer first. */
  readonly layers: readonly Descriptor[]
  readonly subject?: Descriptor
  readonly annotations?: Readonly<Record<string, string>>
}

const kind: DocumentKind = { name: 'manifest', code: 'MANIFEST_INVALID' }
const fields = ['schemaVersion', 'mediaType', 'artifactType', 'config', 'layers', 'subject', 'annotations', 'manifests']

/**
 * Reads an image manifest. `mediaType` is what the descriptor or Content-Type said of it; the document's own must
 * agree. Unknown fields are kept in `value`. Throws MANIFEST_INVALID naming the field, also for a document that
 * carries an index's fields too, for keys given twice and for more than 4 MiB.
 */
export function parseManifest(input: Uint8Array | string, mediaType?: string): ParsedDocument<Manifest> {
  const { raw, value } = parseJsonDocument(input, kind)
  refuseCaseVariants(value, fields, kind)
  if (value['schemaVersion'] !== 2)
    throw invalid(`manifest schemaVersion is not 2: ${JSON.stringify(value['schemaVersion']) ?? 'missing'}`)
  if (value['manifests'] !== undefined) throw invalid('manifest has the field "manifests" of an image index')
  checkMediaType(value['mediaType'], mediaType)
  if (value['artifactType'] !== undefined && typeof value['artifactType'] !== 'string')
    throw invalid('manifest artifactType is not text')
  parseDescriptor(value['config'], 'config')
  const { layers } = value
  if (!Array.isArray(layers)) throw invalid('manifest layers is not a list')
  for (const [index, layer] of layers.entries()) parseDescriptor(layer, `layers[${index}]`)
  if (value['subject'] !== undefined) parseDescriptor(value['subject'], 'subject')
  if (value['annotations'] !== undefined) parseStringMap(value['annotations'], 'annotations')
  return { raw, value: value as unknown as Manifest }
}

/** The bytes of a manifest: compact JSON with the fields in the specification's order, so equal manifests have equal digests. */
export function serializeManifest(manifest: Manifest): Uint8Array<ArrayBuffer> {
  const ordered = {
    ...manifest,
    config: descriptorInOrder(manifest.config),
    layers: manifest.layers.map(descriptorInOrder),
    subject: manifest.subject === undefined ? undefined : descriptorInOrder(manifest.subject),
  }
  return new TextEncoder().encode(goJson(inOrder(ordered, fields)))
}

function checkMediaType(own: unknown, expected: string | undefined): void {
  if (own !== undefined && (typeof own !== 'string' || !isManifestType(own)))
    throw invalid(`manifest mediaType is not that of a manifest: ${JSON.stringify(own)}`)
  if (expected === undefined) return
  if (!isManifestType(expected)) throw invalid(`a document of type ${expected} is not a manifest`)
  if (own !== undefined && own !== expected)
    throw invalid(`manifest mediaType is ${own} although it was given as ${expected}`)
}

function invalid(message: string): CairnError {
  return new CairnError('MANIFEST_INVALID', message)
}
