import type { Store } from '../../content/store.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import { isFileLocation, parseImageLocation } from '../../images/image-location.ts'
import { type ImageSource, openBlob, readDocument } from '../../images/image-source.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import type { Digest } from '../../oci/digest.ts'
import { isIndexType, isManifestType } from '../../oci/media-types.ts'
import { bundleType, largestBundle, verifyBundle } from '../../signing/image-signature.ts'
import type { VerifyingKey } from '../../signing/key-pair.ts'
import { collect } from '../../streams/source.ts'
import { openSource } from './open-source.ts'
import type { RegistryAccess } from '../registry/registry-access.ts'

/** Signatures of one image that are looked at. */
const mostSignatures = 100

/** What was found of an image's signatures. */
export interface VerifiedSignatures {
  /** What is signed: the manifest or index. */
  readonly digest: Digest
  /** How many were made with the key. */
  readonly valid: number
  /** Why others do not count, a sentence each. */
  readonly others: readonly string[]
}

/**
 * Checks that the image that `location` means is signed with a key, and that it is what was signed: each document's
 * digest, and of an image on this machine each blob's. Throws SIGNATURE_UNKNOWN where there is no signature,
 * SIGNATURE_INVALID where none is right, BLOB_CORRUPT for an image that was changed, and as openSource.
 */
export async function verifyImage(
  store: Store,
  location: string,
  key: VerifyingKey,
  access?: RegistryAccess,
): Promise<VerifiedSignatures> {
  const place = parseImageLocation(location)
  using source = await openSource(store, place, access)
  const { target } = source
  const signatures = ((await source.referrers?.(target.digest)) ?? []).filter(
    ({ artifactType }) => artifactType === bundleType,
  )
  if (signatures.length === 0)
    throw new CairnError('SIGNATURE_UNKNOWN', `${source.name} (${target.digest}) has no signature`, {
      hint:
        isFileLocation(place) && place.transport !== 'oci' && place.transport !== 'oci-archive'
          ? 'Signatures are looked for in the store, in layouts and in registries.'
          : '`cairn image sign` makes one.',
    })
  const others: string[] = []
  let valid = 0
  for (const signature of signatures.slice(0, mostSignatures)) {
    try {
      await verifySignature(source, signature, target.digest, key)
      valid++
    } catch (error) {
      if (!isCairnError(error) || (error.kind !== 'forbidden' && error.kind !== 'invalid')) throw error
      others.push(`${signature.digest}: ${error.message}`)
    }
  }
  if (valid === 0)
    throw new CairnError('SIGNATURE_INVALID', `no signature of ${source.name} (${target.digest}) is right`, {
      hint: others.join('\n'),
    })
  await checkContent(source, target, place.transport !== 'docker')
  return { digest: target.digest, valid, others }
}

async function verifySignature(
  source: ImageSource,
  signature: Descriptor,
  image: Digest,
  key: VerifyingKey,
): Promise<void> {
  const document = await readDocument(source, signature)
  const [layer] = document.type === 'manifest' ? document.value.layers : []
  if (layer?.mediaType !== bundleType || layer.size > largestBundle)
    throw new CairnError('SIGNATURE_INVALID', 'it has no sigstore bundle')
  await verifyBundle(await collect(openBlob(source, layer), largestBundle, layer.digest), image, key)
}

/** Reads what the image leads to; `isWhole` includes its layers. What a place does not have is not part of what it gives. */
async function checkContent(source: ImageSource, descriptor: Descriptor, isWhole: boolean): Promise<void> {
  if (isIndexType(descriptor.mediaType) || isManifestType(descriptor.mediaType)) {
    const document = await readDocument(source, descriptor)
    const parts =
      document.type === 'index' ? document.value.manifests : [document.value.config, ...document.value.layers]
    for (const part of parts)
      if (source.size(part.digest) !== undefined && (isWhole || document.type === 'index'))
        await checkContent(source, part, isWhole)
    return
  }
  // Checked as they go by.
  for await (const _bytes of openBlob(source, descriptor)) void _bytes
}
