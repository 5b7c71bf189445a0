import { listImageRecords, listTags } from '../../content/image-records.ts'
import type { Store } from '../../content/store.ts'
import { parseImageLocation } from '../../images/image-location.ts'
import { storeSource } from '../../images/image-source.ts'
import { type ImageValidation, validateImage as validate } from '../../images/validate-image.ts'
import { familiarString, parseNormalizedReference } from '../../oci/reference.ts'
import { openSource } from './open-source.ts'
import type { RegistryAccess } from '../registry/registry-access.ts'

/** What is wrong with the images at `locations`, names of the store or `oci:…` and the like. Throws as openSource. */
export async function validateImages(
  store: Store,
  locations: readonly string[],
  access?: RegistryAccess,
): Promise<ImageValidation[]> {
  const validations: ImageValidation[] = []
  for (const location of locations) {
    using source = await openSource(store, parseImageLocation(location), access, true)
    validations.push(await validate(store, source))
  }
  return validations
}

/** What is wrong with each image of the store. */
export async function validateStore(store: Store): Promise<ImageValidation[]> {
  const validations: ImageValidation[] = []
  for (const { digest, mediaType, size, imageId } of listImageRecords(store)) {
    const [tag] = listTags(store, digest)
    const name = tag === undefined ? imageId : familiarString(parseNormalizedReference(tag.name))
    using source = storeSource(store, { digest, mediaType, size }, name)
    validations.push(await validate(store, source))
  }
  return validations
}
