import { withLease } from '../../content/leased-work.ts'
import type { Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { type ImageLocation, parseImageLocation } from '../../images/image-location.ts'
import type { ImageSource } from '../../images/image-source.ts'
import { openLayoutTarget } from '../../images/layouts/layout-target.ts'
import { putReferrer, referrerDescriptor } from '../../images/referrers.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import { serializeManifest } from '../../oci/manifest.ts'
import { type ImageSignature, signImageDigest } from '../../signing/image-signature.ts'
import type { SigningKey } from '../../signing/key-pair.ts'
import type { ByteSource } from '../../streams/source.ts'
import { openSource } from './open-source.ts'
import { type RegistryAccess, registryClient } from '../registry/registry-access.ts'

/**
 * Signs the image that `location` means, an index as a whole, and puts the signature beside it: in the store, from where
 * pushes take it along, in the layout or in the registry. Gives the digest that was signed. Throws NOT_SUPPORTED for other places, and
 * as openSource and pushes.
 */
export async function signImage(
  store: Store,
  location: string,
  key: SigningKey,
  access?: RegistryAccess,
): Promise<Digest> {
  const place = parseImageLocation(location)
  if (place.transport !== 'store' && place.transport !== 'docker' && place.transport !== 'oci')
    throw new CairnError('NOT_SUPPORTED', `${location}: images are signed in the store, in a layout or in a registry`, {
      hint: 'Copy it into the store first: `cairn image copy`.',
    })
  return await withLease(store, async (lease) => {
    using source = await openSource(store, place, access)
    const signature = await signImageDigest(source.target, key)
    if (place.transport === 'oci') {
      await addSignature(place.path, signature)
      return source.target.digest
    }
    for (const blob of signature.blobs) await lease.put(blob)
    if (place.transport === 'store') await keepSignature(store, lease, source, signature)
    else if (place.transport === 'docker' && access !== undefined)
      await sendSignature(store, lease, { place, signature, access })
    return source.target.digest
  })
}

async function keepSignature(store: Store, lease: Lease, { target, name }: ImageSource, { manifest }: ImageSignature) {
  if (!lease.claim(target.digest)) throw new CairnError('IMAGE_UNKNOWN', `No such image: ${name}`)
  await putReferrer(store, lease, manifest)
}

/** Adds a signature to an OCI layout, as one more entry of its index. */
async function addSignature(path: string, { manifest, blobs }: ImageSignature): Promise<void> {
  const bytes = serializeManifest(manifest)
  const root = referrerDescriptor(manifest, { digest: digestOf(bytes), size: bytes.length })
  using target = openLayoutTarget({ transport: 'oci', path })
  for (const blob of [...blobs, bytes]) {
    const descriptor = { mediaType: root.mediaType, digest: digestOf(blob), size: blob.length }
    await target.put({ descriptor, role: 'other' }, once(blob))
  }
  await target.commit({ root, manifests: [], blobs: [], references: [] })
}

// oxlint-disable-next-line typescript/require-await -- a source of bytes is asynchronous by type
async function* once(bytes: Uint8Array): ByteSource {
  yield bytes
}

async function sendSignature(
  store: Store,
  lease: Lease,
  {
    place,
    signature: { manifest },
    access,
  }: {
    readonly place: Extract<ImageLocation, { transport: 'docker' }>
    readonly signature: ImageSignature
    readonly access: RegistryAccess
  },
): Promise<void> {
  const { pushReferrer } = await import('../../registry/client/push.ts')
  const bytes = serializeManifest(manifest)
  await lease.put(bytes)
  const image = referrerDescriptor(manifest, { digest: digestOf(bytes), size: bytes.length })
  const { reference } = place
  await pushReferrer({ store, lease, client: registryClient(access), image, reference, signal: access.signal })
}
