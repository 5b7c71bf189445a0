import { listContainerRecords } from '../../../containers/container-records.ts'
import { blobNode, link, type StoreNode } from '../../../content/graph.ts'
import { listImageRecords, listTags } from '../../../content/image-records.ts'
import { acquireLease } from '../../../content/leases.ts'
import type { Store } from '../../../content/store.ts'
import { isCairnError } from '../../../errors/error.ts'
import { isImageConfigType, storedImage } from '../../../images/image.ts'
import { verifyLayers } from '../../../images/layer-verification.ts'
import { parseImageConfig } from '../../../oci/config.ts'
import type { Descriptor } from '../../../oci/descriptor.ts'
import type { Digest } from '../../../oci/digest.ts'
import { type ImageDocument, parseImageDocument } from '../../../oci/image-index.ts'
import { largestDocument } from '../../../oci/json-document.ts'
import { type Manifest, parseManifest } from '../../../oci/manifest.ts'
import { isIndexType, isManifestType, layerCompression } from '../../../oci/media-types.ts'
import { familiarString, parseNormalizedReference } from '../../../oci/reference.ts'
import { listed, type StoreProblem } from './problem.ts'

/** What a blob is of the images that have it. */
type Part = 'index' | 'manifest' | 'config' | 'layer'

/** Indexes within indexes are followed this deep. */
const deepestIndex = 4

/**
 * Follows what images and containers are made of, from index to manifest to config and layers: which blobs they need,
 * what these must be, and whether the records keep them. Documents are read, layers only looked at.
 */
export class ImageParts {
  /** Images and containers, as users call them, that need a blob. */
  readonly users = new Map<Digest, Set<string>>()
  /** Damaged or missing blobs: what is wrong. */
  readonly #faults = new Map<Digest, { readonly part: Part; readonly fault: string }>()
  readonly #unlinked = new Map<StoreNode, Set<StoreNode>>()
  /** Manifests with a layer of which it is not recorded what it unpacks to. */
  readonly #unknown = new Set<Digest>()
  readonly #layers: ReadonlySet<Digest>
  readonly #store: Store
  readonly #links: ReadonlyMap<string, ReadonlySet<string>>
  readonly #documents = new Map<Digest, ImageDocument | undefined>()

  constructor(store: Store) {
    this.#store = store
    const rows = store.database.all<{ parent: string; child: string }>('SELECT parent, child FROM links')
    const grouped = Map.groupBy(rows, ({ parent }) => parent)
    this.#links = new Map([...grouped].map(([parent, own]) => [parent, new Set(own.map(({ child }) => child))]))
    const layers = store.database.all<{ digest: Digest }>('SELECT digest FROM layers')
    this.#layers = new Set(layers.map(({ digest }) => digest))
    for (const { digest, mediaType, size } of listImageRecords(store))
      this.#visit({ digest, mediaType, size }, nameOf(store, digest), 0)
    for (const { id, name, settings } of listContainerRecords(store)) {
      const digest = settings.manifest
      const size = store.blobs.size(digest) ?? -1
      this.#visit({ digest, mediaType: undefined, size }, `container ${name === '' ? id.slice(0, 12) : name}`, 0)
    }
  }

  /** Notes that a blob was found to be damaged, where images or containers need it. */
  addFault(digest: Digest, fault: string): void {
    if (this.users.has(digest) && !this.#faults.has(digest)) this.#faults.set(digest, { part: 'layer', fault })
  }

  isFaulty(digest: Digest): boolean {
    return this.#faults.has(digest)
  }

  problems(): StoreProblem[] {
    const broken = [...this.#faults].map(([digest, { part, fault }]): StoreProblem => {
      const users = [...(this.users.get(digest) ?? [])]
      return {
        area: 'images',
        subject: digest,
        problem: `this ${part} of ${listed(users)} ${fault}: nothing that needs it works`,
        remedy: 'Load, pull or build the image again, which heals it, or remove it with `cairn rmi`.',
      }
    })
    const unlinked = [...this.#unlinked].map(([parent, children]): StoreProblem => ({
      area: 'images',
      subject: parent,
      problem: `the database does not say that it needs ${listed([...children])}, which a prune would take for garbage`,
      remedy: 'Repairing records it.',
      repair: () => link(this.#store, parent, [...children]),
    }))
    const unknown = [...this.#unknown].map((digest): StoreProblem => ({
      area: 'images',
      subject: digest,
      problem: 'what its layers unpack to is not recorded, so it cannot be run',
      remedy: 'Repairing reads them and records it.',
      repair: () => recordLayers(this.#store, digest),
    }))
    return [...broken, ...unlinked, ...unknown]
  }

  #visit(
    blob: Pick<Descriptor, 'digest' | 'size'> & { readonly mediaType: string | undefined },
    user: string,
    depth: number,
  ): void {
    const { digest, mediaType, size } = blob
    const part = mediaType !== undefined && isIndexType(mediaType) ? 'index' : 'manifest'
    if (!this.#isThere(digest, part, size, user) || depth > deepestIndex) return
    const document = this.#document(digest, part, mediaType)
    if (document?.type === 'manifest') return this.#visitManifest(digest, document.value, user)
    const children = this.#links.get(digest)
    for (const entry of document?.value.manifests ?? [])
      if (children?.has(entry.digest) === true && (isManifestType(entry.mediaType) || isIndexType(entry.mediaType)))
        this.#visit(entry, user, depth + 1)
  }

  #visitManifest(digest: Digest, { config, layers }: Manifest, user: string): void {
    this.#checkLink(digest, config.digest)
    if (this.#isThere(config.digest, 'config', config.size, user) && isImageConfigType(config.mediaType))
      this.#readConfig(config.digest)
    for (const layer of layers) {
      const isForeign = (layer.urls?.length ?? 0) > 0 && !this.#store.blobs.has(layer.digest)
      if (isForeign) continue
      this.#checkLink(digest, layer.digest)
      const isThere = this.#isThere(layer.digest, 'layer', layer.size, user)
      const unpacks = isImageConfigType(config.mediaType) && layerCompression(layer.mediaType) !== undefined
      if (isThere && unpacks && !this.#layers.has(layer.digest)) this.#unknown.add(digest)
    }
  }

  #checkLink(parent: Digest, child: Digest): void {
    if (this.#links.get(parent)?.has(child) === true) return
    const node = blobNode(parent)
    this.#unlinked.set(node, (this.#unlinked.get(node) ?? new Set()).add(blobNode(child)))
  }

  #isThere(digest: Digest, part: Part, size: number, user: string): boolean {
    const users = this.users.get(digest)
    if (users !== undefined) {
      users.add(user)
      return !this.#faults.has(digest)
    }
    this.users.set(digest, new Set([user]))
    const found = this.#store.blobs.size(digest)
    if (found === size) return true
    this.#faults.set(digest, { part, fault: found === undefined ? 'is missing' : `has ${found} bytes, not ${size}` })
    return false
  }

  #document(digest: Digest, part: Part, mediaType: string | undefined): ImageDocument | undefined {
    if (this.#documents.has(digest)) return this.#documents.get(digest)
    const document = this.#attempt(digest, part, (): ImageDocument => {
      const bytes = this.#store.blobs.readAll(digest, largestDocument)
      return mediaType === undefined
        ? { type: 'manifest', ...parseManifest(bytes) }
        : parseImageDocument(bytes, mediaType)
    })
    this.#documents.set(digest, document)
    return document
  }

  #readConfig(digest: Digest): void {
    if (this.#documents.has(digest)) return
    this.#documents.set(digest, undefined)
    this.#attempt(digest, 'config', () => parseImageConfig(this.#store.blobs.readAll(digest, largestDocument)))
  }

  #attempt<Result>(digest: Digest, part: Part, read: () => Result): Result | undefined {
    try {
      return read()
    } catch (error) {
      if (!isCairnError(error)) throw error
      const fault = error.code === 'BLOB_CORRUPT' ? 'is damaged' : `cannot be read (${error.message})`
      this.#faults.set(digest, { part, fault })
      return undefined
    }
  }
}

/** Reads the layers of the image with this manifest, verifies and records them. */
export async function recordLayers(store: Store, manifest: Digest): Promise<void> {
  using lease = acquireLease(store)
  await verifyLayers(store, lease, await storedImage(store, manifest).layers())
}

function nameOf(store: Store, digest: Digest): string {
  const [tag] = listTags(store, digest)
  return tag === undefined ? `the image ${digest.slice(0, 19)}` : familiarString(parseNormalizedReference(tag.name))
}
