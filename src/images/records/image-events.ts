import { recordEvent } from '../../content/events.ts'
import { getImageLabels } from '../../content/manifest-records.ts'
import type { Store } from '../../content/store.ts'
import type { Digest } from '../../oci/digest.ts'
import { familiarName, familiarString, type Reference } from '../../oci/reference.ts'

/** How an image came into the store. */
export type ImageArrival = 'create' | 'import' | 'load' | 'pull'

/** What events call an image: its ID, and the manifest or index it is recorded by. */
export interface EventImage {
  readonly imageId: Digest
  readonly digest: Digest
}

/**
 * Records what happened to an image as docker tells it: the image's ID, `name` and its labels. To be called in the
 * transaction of the change, while the image is recorded.
 */
export function recordImageEvent(
  store: Store,
  action: ImageArrival | 'tag' | 'untag' | 'delete' | 'save',
  image: EventImage,
  name: string = image.imageId,
): void {
  // Docker has no labels left to tell when an image is gone.
  const labels = action === 'delete' ? {} : getImageLabels(store, image.digest, image.imageId)
  recordEvent(store, 'image', action, image.imageId, { ...labels, name })
}

/** Records that an image was pulled or pushed by a name, which docker tells in place of its ID. */
export function recordTransferEvent(
  store: Store,
  action: 'pull' | 'push',
  image: EventImage,
  reference: Reference,
): void {
  const labels = getImageLabels(store, image.digest, image.imageId)
  recordEvent(store, 'image', action, familiarString(reference), { ...labels, name: familiarName(reference) })
}
