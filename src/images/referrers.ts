import { blobNode, link } from '../content/graph.ts'
import type { Lease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { largestDocument } from '../oci/json-document.ts'
import { type Manifest, parseManifest, serializeManifest } from '../oci/manifest.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { linkManifest } from './records/put-image.ts'

/**
 * Puts a manifest that refers to another (its `subject`) into the store, where it stays as long as that does. Its blobs
 * have to be there, protected by the lease. Gives its descriptor as lists of referrers have it.
 */
export async function putReferrer(store: Store, lease: Lease, manifest: Manifest): Promise<Descriptor> {
  const { subject } = manifest
  if (subject === undefined) throw new Error('a referrer has a subject')
  const bytes = serializeManifest(manifest)
  await lease.put(bytes)
  const digest = digestOf(bytes)
  recordReferrer(store, digest, manifest, subject.digest)
  return referrerDescriptor(manifest, { digest, size: bytes.length })
}

/** Lets `subject` keep a manifest that refers to it and is in the store, with its blobs. */
export function recordReferrer(store: Store, digest: Digest, manifest: Manifest, subject: Digest): void {
  store.database.transaction(() => {
    linkManifest(store, digest, manifest)
    link(store, blobNode(subject), [blobNode(digest)])
  })
}

/** A manifest as lists of referrers have it: with its artifact type and annotations (distribution-spec, listing referrers). */
export function referrerDescriptor(
  { mediaType = mediaTypes.ociManifest, artifactType, config, annotations }: Manifest,
  { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
): Descriptor {
  return {
    mediaType,
    digest,
    size,
    artifactType: artifactType ?? config.mediaType,
    ...(annotations === undefined ? {} : { annotations }),
  }
}

/** The manifests of the store that refer to `subject`, in the order of their digests. */
export function listReferrers(store: Store, subject: Digest): readonly Descriptor[] {
  const rows = store.database.all<{ digest: Digest }>(
    'SELECT manifests.digest FROM links JOIN manifests ON manifests.digest = links.child WHERE links.parent = ? ORDER BY manifests.digest',
    subject,
  )
  return rows.flatMap(({ digest }) => {
    const size = store.blobs.size(digest)
    if (size === undefined || size > largestDocument) return []
    const { value } = parseManifest(store.blobs.readAll(digest, largestDocument))
    return value.subject?.digest === subject ? [referrerDescriptor(value, { digest, size })] : []
  })
}
