import { CairnError } from '../../errors/error.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { isIndexType, isManifestType } from '../../oci/media-types.ts'
import { familiarName, withDigest, withTag } from '../../oci/reference.ts'
import { copyRemote, type RemoteCopyOptions } from './copy.ts'
import { announceReferrer, listReferrers, referrersTag } from './referrers.ts'
import { Repository } from './repository.ts'

const deepest = 8
const mostReferrers = 10_000

/** What came along with an image. */
export interface CopiedReferrers {
  readonly referrers: number
  readonly tags: number
  readonly written: { readonly blobs: number; readonly bytes: number }
}

/**
 * Copies what refers to an image that was copied, and to its platforms: referrers with their own referrers, and the tags
 * that cosign derives from a digest (`sha256-<hex>.sig`). Throws as copyRemote() and listReferrers().
 */
export async function copyReferrers(options: RemoteCopyOptions, root: Descriptor): Promise<CopiedReferrers> {
  return await new ReferrersCopy(options).run(root)
}

class ReferrersCopy {
  readonly #options: RemoteCopyOptions
  readonly #source: Repository
  readonly #target: Repository
  readonly #seen = new Set<Digest>()
  readonly #written = { blobs: 0, bytes: 0 }
  #referrers = 0
  #tags = 0

  constructor(options: RemoteCopyOptions) {
    const { client, from, to } = options
    this.#options = options
    this.#source = new Repository(client, client.hosts.endpointFor(from), { name: familiarName(from) })
    this.#target = new Repository(client, client.hosts.endpointFor(to), { name: familiarName(to), isPush: true })
  }

  async run(root: Descriptor): Promise<CopiedReferrers> {
    await this.#follow(root, 0)
    await this.#copyTags()
    return { referrers: this.#referrers, tags: this.#tags, written: this.#written }
  }

  async #follow(descriptor: Descriptor, depth: number): Promise<void> {
    if (depth > deepest)
      throw new CairnError('MANIFEST_INVALID', `referrers of referrers are followed ${deepest} deep and no further`)
    const { digest, mediaType } = descriptor
    if (this.#seen.has(digest) || (!isIndexType(mediaType) && !isManifestType(mediaType))) return
    this.#seen.add(digest)
    if (this.#seen.size > mostReferrers)
      throw new CairnError('LIMIT_EXCEEDED', `more than ${mostReferrers} manifests refer to one image`)
    for await (const referrer of listReferrers(this.#source, digest)) {
      if (!this.#seen.has(referrer.digest)) await this.#copy(referrer.digest)
      this.#referrers++
      await announceReferrer(this.#target, digest, referrer)
      await this.#follow(referrer, depth + 1)
    }
    if (!isIndexType(mediaType)) return
    const { document } = await this.#source.document(digest)
    if (document.type === 'index') for (const entry of document.value.manifests) await this.#follow(entry, depth + 1)
  }

  async #copy(digest: Digest): Promise<void> {
    const { from, to } = this.#options
    await this.#add({ from: withDigest(from, digest), to: withDigest(to, digest) })
  }

  async #add(names: Pick<RemoteCopyOptions, 'from' | 'to'>): Promise<void> {
    const { written } = await copyRemote({ ...this.#options, platform: undefined, ...names })
    this.#written.blobs += written.blobs
    this.#written.bytes += written.bytes
  }

  async #copyTags(): Promise<void> {
    const { from, to } = this.#options
    for await (const tag of this.#source.tags()) {
      const digest = /^(sha(?:256|512)-[0-9a-f]{64,128})\.[\w.-]+$/.exec(tag)?.[1]?.replace('-', ':') ?? ''
      if (!isDigest(digest) || !this.#seen.has(digest) || tag === referrersTag(digest)) continue
      await this.#add({ from: withTag(from, tag), to: withTag(to, tag) })
      this.#tags++
    }
  }
}
