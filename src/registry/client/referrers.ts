import { CairnError, isCairnError } from '../../errors/error.ts'
import { referrerDescriptor } from '../../images/referrers.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, digestAlgorithm, digestHex, digestOf } from '../../oci/digest.ts'
import { type ImageIndex, parseImageDocument, serializeIndex } from '../../oci/image-index.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import type { Repository } from './repository.ts'

const attempts = 5

/**
 * What refers to a manifest, of one artifact type if that is given: by the registry's list, where it has none by the index
 * under the tag that stands in for it (distribution-spec §referrers-tag-schema). Throws as {@link Repository.document}.
 */
export async function* listReferrers(
  repository: Repository,
  digest: Digest,
  artifactType?: string,
): AsyncGenerator<Descriptor> {
  const wanted = (found: Descriptor): boolean => artifactType === undefined || found.artifactType === artifactType
  const listed = repository.referrers(digest, artifactType)
  for (;;) {
    const { done, value } = await listed.next()
    if (done !== true) {
      if (wanted(value)) yield value
      continue
    }
    if (!value) yield* (await taggedReferrers(repository, digest)).manifests.filter(wanted)
    return
  }
}

/**
 * Has a registry that keeps no list of referrers know of one, by the tag that stands in for it; others know already. Of
 * several who do so at once each looks whether its own entry stayed. Throws as {@link Repository.document}.
 */
export async function announceReferrer(repository: Repository, subject: Digest, referrer: Descriptor): Promise<void> {
  const first = await repository.referrers(subject).next()
  if (first.done !== true || first.value) return
  for (let attempt = 1; attempt <= attempts; attempt++) {
    const index = await taggedReferrers(repository, subject)
    if (index.manifests.some(({ digest }) => digest === referrer.digest)) return
    const raw = serializeIndex({ ...index, manifests: [...index.manifests, referrer] })
    await repository.putDocument(referrersTag(subject), raw, mediaTypes.ociIndex)
  }
  throw new CairnError('REGISTRY_FAILED', `${repository.name}: others keep changing the referrers of ${subject}`)
}

/** What a manifest refers to and how lists tell of it (distribution-spec §listing-referrers); undefined without a subject. */
export function findReferrer(
  raw: Uint8Array,
  mediaType: string,
): { readonly subject: Digest; readonly descriptor: Descriptor } | undefined {
  const { type, value } = parseImageDocument(raw, mediaType)
  const { subject, artifactType, annotations } = value
  if (subject === undefined) return undefined
  const identity = { digest: digestOf(raw), size: raw.length }
  if (type === 'manifest') return { subject: subject.digest, descriptor: referrerDescriptor(value, identity) }
  const more = { ...(artifactType && { artifactType }), ...(annotations && { annotations }) }
  return { subject: subject.digest, descriptor: { mediaType, ...identity, ...more } }
}

/** `sha256-<hex>`: the tag for the referrers of a manifest where the registry has no list of them. */
export function referrersTag(digest: Digest): string {
  return `${digestAlgorithm(digest)}-${digestHex(digest)}`.slice(0, 128)
}

async function taggedReferrers(repository: Repository, digest: Digest): Promise<ImageIndex> {
  const none = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] } as const
  try {
    const { document } = await repository.document(referrersTag(digest))
    return document.type === 'index' ? document.value : none
  } catch (error) {
    if (isCairnError(error, 'MANIFEST_UNKNOWN') || isCairnError(error, 'NAME_UNKNOWN')) return none
    throw error
  }
}
