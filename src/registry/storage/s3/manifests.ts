import type { Descriptor } from '../../../oci/descriptor.ts'
import { type Digest, isDigest } from '../../../oci/digest.ts'
import type {
  ManifestEntry,
  ManifestReference,
  PushedManifest,
  PutOptions,
  PutResult,
  ReferrersPage,
  ReferrersResult,
} from '../registry-storage.ts'
import { addRepository, type S3Blobs, useResolution } from './blobs.ts'
import type { Bucket, FoundObject, ObjectInfo } from '../../../object-storage/bucket.ts'
import { freshMark, type GuardedObjects, isTombstone } from './guarded-objects.ts'
import { inParallel } from './in-parallel.ts'
import { digestInKey, keys } from './layout.ts'

/** The first line of a manifest's object; its bytes follow. */
export interface ManifestHeader {
  readonly mediaType: string
  readonly references: readonly Digest[]
  readonly subject?: Digest
  /** Makes each writing of the same manifest another object. */
  readonly mark: string
}

interface TagTarget {
  readonly etag: string
  readonly digest: Digest
}

/**
 * Manifests of repositories, tags and referrers. A tag is an object with a digest, replaced on condition; it leads
 * nowhere when the manifest is gone. A manifest is written anew before tags are set, so that garbage collection, which
 * removes what it has seen and nothing younger, leaves it alone.
 */
export class S3Manifests {
  readonly #bucket: Bucket
  readonly #guarded: GuardedObjects
  readonly #blobs: S3Blobs

  constructor(bucket: Bucket, guarded: GuardedObjects, blobs: S3Blobs) {
    this.#bucket = bucket
    this.#guarded = guarded
    this.#blobs = blobs
  }

  async resolve(repository: string, reference: string): Promise<ManifestEntry | undefined> {
    const digest = isDigest(reference) ? reference : (await this.#readTag(repository, reference))?.digest
    if (digest === undefined) return undefined
    const found = await this.#guarded.head(keys.manifest(repository, digest))
    return found === undefined ? undefined : entryOf(digest, found)
  }

  async read(repository: string, digest: Digest): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const found = await this.#guarded.get(keys.manifest(repository, digest))
    return found === undefined ? undefined : found.bytes.slice(headerEnd(found.bytes) + 1)
  }

  async put(repository: string, manifest: PushedManifest, options: PutOptions): Promise<PutResult> {
    const refused = await this.#check(repository, manifest, options)
    if (refused !== undefined) return refused
    const { digest, subject, descriptor } = manifest
    if (subject !== undefined)
      await this.#bucket.put({
        key: keys.referrer(repository, subject, digest),
        body: JSON.stringify(descriptor),
      })
    const mustBeNew = options.tags.length === 0 && options.condition === 'absent'
    if (!(await this.#write(repository, manifest, mustBeNew))) return { outcome: 'condition-failed' }
    await addRepository(this.#guarded, repository)
    const [first, ...others] = options.tags
    const outcome = first === undefined ? undefined : await this.#setTag(repository, first, digest, options)
    if (outcome !== undefined) return outcome
    const rest = await inParallel(others, (tag) =>
      this.#setTag(repository, tag, digest, { existingTags: options.existingTags }),
    )
    return rest.find((one) => one !== undefined) ?? { outcome: 'stored' }
  }

  async delete(repository: string, digest: Digest): Promise<boolean> {
    const key = keys.manifest(repository, digest)
    for (;;) {
      const found = await this.#guarded.get(key)
      if (found === undefined) return false
      const tags = await this.tagTargets(repository)
      await inParallel(
        [...tags].filter(([, target]) => target.digest === digest),
        ([tag, { etag }]) => this.#guarded.remove(keys.tag(repository, tag), etag),
      )
      // It may have been pushed again meanwhile, which came before this deletion then.
      if (await this.remove(repository, digest, found.object.etag, headerOf(found.bytes))) return true
    }
  }

  /** Removes a manifest that has this entity tag, with its entry among the referrers. */
  async remove(repository: string, digest: Digest, etag: string, { subject }: ManifestHeader): Promise<boolean> {
    if (!(await this.#guarded.remove(keys.manifest(repository, digest), etag))) return false
    if (subject !== undefined) await this.#bucket.delete(keys.referrer(repository, subject, digest))
    return true
  }

  async deleteTag(repository: string, tag: string): Promise<boolean> {
    const key = keys.tag(repository, tag)
    for (;;) {
      const found = await this.#guarded.head(key)
      if (found === undefined) return false
      if (await this.#guarded.remove(key, found.etag)) return true
    }
  }

  async referrers(repository: string, subject: Digest, page: ReferrersPage): Promise<ReferrersResult> {
    const prefix = keys.referrers(repository, subject)
    const after = page.after === undefined ? undefined : prefix + page.after.replace(':', '/')
    const descriptors: Descriptor[] = []
    let bytes = 0
    let batch: ObjectInfo[] = []
    const take = async (): Promise<boolean> => {
      const read = await inParallel(batch, ({ key }) => this.#bucket.get(key))
      batch = []
      for (const one of read) {
        const text = new TextDecoder().decode(one?.bytes)
        if (text === '') continue
        const descriptor = JSON.parse(text) as Descriptor
        if (page.artifactType !== undefined && descriptor.artifactType !== page.artifactType) continue
        bytes += text.length
        if (bytes > page.bytes && descriptors.length > 0) return true
        descriptors.push(descriptor)
      }
      return false
    }
    for await (const object of this.#bucket.list(prefix, { after })) {
      batch.push(object)
      if (batch.length === 16 && (await take())) return { descriptors, hasMore: true }
    }
    return { hasMore: await take(), descriptors }
  }

  /**
   * What the tags of a repository lead to. Mostly the lists tell: an entity tag is the MD5 of the bytes on most servers,
   * and those are a digest that is there. Else one of the tags with the same entity tag is read.
   */
  async tagTargets(repository: string): Promise<ReadonlyMap<string, TagTarget>> {
    const known = new Map<string, Digest>()
    const prefix = keys.manifests(repository)
    for await (const { key } of this.#bucket.list(prefix)) {
      const digest = digestInKey(key, prefix)
      if (digest !== undefined) known.set(`"${new Bun.CryptoHasher('md5').update(digest).digest('hex')}"`, digest)
    }
    const tags: { readonly tag: string; readonly etag: string }[] = []
    for await (const object of this.#bucket.list(keys.tags(repository)))
      if (!isTombstone(object)) tags.push({ tag: object.key.slice(keys.tags(repository).length), etag: object.etag })
    const unknown = new Map(tags.filter(({ etag }) => !known.has(etag)).map(({ tag, etag }) => [etag, tag]))
    await inParallel([...unknown], async ([etag, tag]) => {
      const read = await this.#readTag(repository, tag)
      if (read !== undefined) known.set(etag, read.digest)
    })
    const targets = new Map<string, TagTarget>()
    for (const { tag, etag } of tags) {
      const digest = known.get(etag)
      if (digest !== undefined) targets.set(tag, { etag, digest })
    }
    return targets
  }

  /** Why the manifest is not taken, or undefined. */
  async #check(repository: string, manifest: PushedManifest, options: PutOptions): Promise<PutResult | undefined> {
    const { condition, tags } = options
    if (condition !== undefined) {
      const found = (await this.resolve(repository, tags[0] ?? manifest.digest))?.digest
      if (condition === 'absent' ? found !== undefined : found !== condition) return { outcome: 'condition-failed' }
    }
    if (options.existingTags === 'keep') {
      const found = await inParallel(tags, (tag) => this.resolve(repository, tag))
      const moved = tags.find((_, index) => (found[index]?.digest ?? manifest.digest) !== manifest.digest)
      if (moved !== undefined) return { outcome: 'tag-exists', tag: moved }
    }
    const { references } = manifest
    const sizes = await inParallel(references, (reference) => this.#sizeOf(repository, reference))
    const missing = references.filter(({ isOptional }, index) => sizes[index] === undefined && !isOptional)
    for (const [index, reference] of references.entries()) {
      const size = sizes[index]
      if (size !== undefined && size !== reference.size) return { outcome: 'size-differs', reference, size }
    }
    return missing.length > 0 && options.missing === 'refuse' ? { outcome: 'missing', references: missing } : undefined
  }

  /** The size of what a manifest names, which is renewed where it is old. */
  async #sizeOf(repository: string, { kind, digest }: ManifestReference): Promise<number | undefined> {
    if (kind === 'blob') return (await this.#blobs.find(repository, digest))?.size
    const key = keys.manifest(repository, digest)
    const found = await this.#guarded.head(key)
    if (found === undefined) return undefined
    if (found.age > useResolution) await this.#renew(key)
    return entryOf(digest, found).size
  }

  async #renew(key: string): Promise<void> {
    const found = await this.#guarded.get(key)
    if (found === undefined) return
    const header = { ...headerOf(found.bytes), mark: freshMark() }
    const bytes = found.bytes.subarray(headerEnd(found.bytes) + 1)
    await this.#guarded.replace(key, found.object.etag, withHeader(header, bytes), metadataOf(found.object))
  }

  /** Writes a manifest, anew where it is there. False only where it had to be new. */
  async #write(repository: string, manifest: PushedManifest, mustBeNew: boolean): Promise<boolean> {
    const { digest, mediaType, size, bytes, references, subject } = manifest
    const key = keys.manifest(repository, digest)
    const header = {
      mediaType,
      references: references.map((reference) => reference.digest),
      ...(subject === undefined ? {} : { subject }),
      mark: freshMark(),
    }
    const body = withHeader(header, bytes)
    const metadata = { 'x-amz-meta-media-type': mediaType, 'x-amz-meta-size': String(size) }
    for (;;) {
      if ((await this.#guarded.create(key, body, metadata)) !== undefined) return true
      if (mustBeNew) return false
      const found = await this.#guarded.head(key)
      if (found !== undefined && (await this.#guarded.replace(key, found.etag, body, metadata)) !== undefined)
        return true
    }
  }

  /** Lets a tag lead to a manifest; gives why not, or undefined. */
  async #setTag(
    repository: string,
    tag: string,
    digest: Digest,
    { existingTags, condition }: Pick<PutOptions, 'existingTags' | 'condition'>,
  ): Promise<PutResult | undefined> {
    const key = keys.tag(repository, tag)
    for (;;) {
      const found = await this.#readTag(repository, tag)
      const isAsked = condition !== undefined || existingTags === 'keep'
      const isDead = isAsked && found !== undefined && (await this.resolve(repository, found.digest)) === undefined
      const leadsTo = isDead ? undefined : found?.digest
      if (condition !== undefined && (condition === 'absent' ? leadsTo !== undefined : leadsTo !== condition))
        return { outcome: 'condition-failed' }
      if (existingTags === 'keep' && leadsTo !== undefined && leadsTo !== digest) return { outcome: 'tag-exists', tag }
      if (found?.digest === digest) return undefined
      const written =
        found === undefined
          ? await this.#guarded.create(key, digest)
          : await this.#guarded.replace(key, found.etag, digest)
      if (written !== undefined) return undefined
    }
  }

  async #readTag(repository: string, tag: string): Promise<TagTarget | undefined> {
    const found = await this.#guarded.get(keys.tag(repository, tag))
    const digest = new TextDecoder().decode(found?.bytes)
    return found === undefined || !isDigest(digest) ? undefined : { etag: found.object.etag, digest }
  }
}

/** The header of a manifest's object, of which at least that line is there. */
export function headerOf(bytes: Uint8Array): ManifestHeader {
  return JSON.parse(new TextDecoder().decode(bytes.subarray(0, headerEnd(bytes)))) as ManifestHeader
}

function headerEnd(bytes: Uint8Array): number {
  return bytes.indexOf(10)
}

function withHeader(header: ManifestHeader, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), bytes]))
}

function metadataOf({ headers }: FoundObject): Record<string, string> {
  return Object.fromEntries([...headers].filter(([name]) => name.startsWith('x-amz-meta-')))
}

function entryOf(digest: Digest, { headers }: FoundObject): ManifestEntry {
  return {
    digest,
    mediaType: headers.get('x-amz-meta-media-type') ?? '',
    size: Number(headers.get('x-amz-meta-size') ?? 0),
  }
}
