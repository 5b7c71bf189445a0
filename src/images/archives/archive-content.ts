import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import { type ImageIndex, isAttestation, parseIndex, serializeIndex } from '../../oci/image-index.ts'
import { largestDocument } from '../../oci/json-document.ts'
import { layoutAnnotations, layoutBlobPath } from '../../oci/layout.ts'
import { parseManifest } from '../../oci/manifest.ts'
import { isIndexType, isManifestType, mediaTypes } from '../../oci/media-types.ts'
import { familiarString, formatReference, type Reference } from '../../oci/reference.ts'
import type { DockerArchiveEntry } from './docker-archive.ts'
import { isImageConfigType } from '../image.ts'
import { preferredEntry } from '../records/put-image.ts'

/** An image to go into an archive. */
export interface ArchivedImage {
  readonly descriptor: Descriptor
  /** Names with a tag. */
  readonly references: readonly Reference[]
}

/** What goes into an archive that is an OCI image layout and a docker-archive; the same whatever order images come in. */
export class ArchiveContent {
  /** Blobs of the store. */
  readonly blobs = new Set<Digest>()
  /** Indexes made for this archive. */
  readonly documents = new Map<Digest, Uint8Array>()
  /** Manifests that an index names and the store does not have. */
  readonly missing: Descriptor[] = []
  readonly dockerEntries: DockerArchiveEntry[] = []
  readonly #store: Store
  readonly #images: ArchivedImage[] = []

  constructor(store: Store, images: readonly ArchivedImage[]) {
    this.#store = store
    const sorted = images.map(({ descriptor, references }) => ({
      descriptor,
      references: references.toSorted((a, b) => compare(formatReference(a), formatReference(b))),
    }))
    for (const image of sorted.toSorted((a, b) => compare(orderOf(a), orderOf(b)))) this.#add(image)
  }

  /** Manifests and indexes as they are in the archive. */
  get targets(): readonly Descriptor[] {
    return this.#images.map(({ descriptor }) => descriptor)
  }

  /** The layout's `index.json`: an entry for each name, or one without a name. */
  get index(): ImageIndex {
    const manifests = this.#images.flatMap(({ descriptor, references }) => {
      if (references.length === 0) return [descriptor]
      return references.map((reference) => ({ ...descriptor, annotations: nameAnnotations(descriptor, reference) }))
    })
    return { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }
  }

  #add({ descriptor, references }: ArchivedImage): void {
    if (isManifestType(descriptor.mediaType)) {
      this.#addManifest(descriptor, references)
      this.#images.push({ descriptor, references })
      return
    }
    const { value: index } = parseIndex(this.#store.blobs.readAll(descriptor.digest, largestDocument))
    const present = index.manifests.filter(({ digest }) => this.#store.blobs.has(digest))
    const images = present.filter((entry) => !isAttestation(entry))
    const preferred = preferredEntry(images)
    if (preferred === undefined)
      throw new CairnError('BLOB_UNKNOWN', `none of the images that index ${descriptor.digest} names is in the store`)
    const absent = index.manifests.filter((entry) => !present.includes(entry))
    this.missing.push(...absent)
    if (absent.length > 0 && images.length === 1) {
      this.#addManifest(preferred, references)
      this.#images.push({ descriptor: preferred, references })
      return
    }
    for (const entry of present) this.#addTree(entry, entry === preferred ? references : undefined)
    const target = absent.length === 0 ? descriptor : this.#addSubset(descriptor, index, present)
    if (target === descriptor) this.blobs.add(descriptor.digest)
    this.#images.push({ descriptor: target, references })
  }

  /** Most readers fail on an index that names what is not there, so the archive gets one of what is. */
  #addSubset(descriptor: Descriptor, index: ImageIndex, present: readonly Descriptor[]): Descriptor {
    const bytes = serializeIndex({ ...index, manifests: present })
    const digest = digestOf(bytes)
    this.documents.set(digest, bytes)
    return { mediaType: descriptor.mediaType, digest, size: bytes.length }
  }

  #addTree(entry: Descriptor, references: readonly Reference[] | undefined): void {
    if (isManifestType(entry.mediaType)) {
      this.#addManifest(entry, references)
      return
    }
    this.blobs.add(entry.digest)
    if (!isIndexType(entry.mediaType)) return
    const { value: nested } = parseIndex(this.#store.blobs.readAll(entry.digest, largestDocument))
    for (const child of nested.manifests) this.#addTree(child, undefined)
  }

  /** Adds a manifest's blobs, and where it is listed by `references` its entry in `manifest.json`. */
  #addManifest(descriptor: Descriptor, references: readonly Reference[] | undefined): void {
    const { config, layers } = parseManifest(this.#store.blobs.readAll(descriptor.digest, largestDocument)).value
    this.blobs.add(descriptor.digest)
    for (const blob of [config, ...layers]) {
      // A layer that is to be fetched from elsewhere need not be here.
      const isForeign = (blob.urls?.length ?? 0) > 0 && !this.#store.blobs.has(blob.digest)
      if (!isForeign) this.blobs.add(blob.digest)
    }
    if (references === undefined || !isImageConfigType(config.mediaType)) return
    this.dockerEntries.push({
      Config: layoutBlobPath(config.digest),
      RepoTags: references.length === 0 ? null : references.map(familiarString),
      Layers: layers.map(({ digest }) => layoutBlobPath(digest)),
    })
  }
}

/** The annotations of an entry of `index.json` with those that name it. */
export function nameAnnotations(descriptor: Descriptor, reference: Reference): Readonly<Record<string, string>> {
  return {
    ...descriptor.annotations,
    [layoutAnnotations.imageName]: formatReference(reference),
    // As docker has it: the tag alone.
    ...(reference.tag === undefined ? {} : { [layoutAnnotations.refName]: reference.tag }),
  }
}

function orderOf({ descriptor, references }: ArchivedImage): string {
  const [first] = references
  return first === undefined ? `~${descriptor.digest}` : formatReference(first)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
