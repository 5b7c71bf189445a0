import { containersOfImage } from '../containers/container-records.ts'
import { recoverContainers } from '../containers/recovery.ts'
import { collectFrom } from '../content/gc.ts'
import { blobNode } from '../content/graph.ts'
import type { Store } from '../content/store.ts'
import { type CairnError, isCairnError } from '../errors/error.ts'
import { type Removal, removeImage } from '../images/remove-image.ts'
import type { Digest } from '../oci/digest.ts'

export interface RemoveImagesOptions {
  /** Removes all names of an image given by its ID; an image that is not there is no failure. */
  readonly force?: boolean
  /** Leave the blobs for a later garbage collection. */
  readonly keepContent?: boolean
  readonly signal?: AbortSignal
  /** Told of each name and image that went, as it goes. */
  readonly onRemoval: (removal: Removal) => void
}

/**
 * Removes names and images, each on its own, then frees what nothing else needs. Gives the failures in the order of
 * `names`: those of the others are done. What is not there when `force` is set is told as a failure without counting
 * as one: `isIgnored`. Throws CANCELED.
 */
export async function removeImages(
  store: Store,
  names: readonly string[],
  options: RemoveImagesOptions,
): Promise<readonly { readonly error: CairnError; readonly isIgnored: boolean }[]> {
  const { force = false, keepContent = false, signal, onRemoval } = options
  const failures: { error: CairnError; isIgnored: boolean }[] = []
  const deleted: Digest[] = []
  // A container whose process died does not run any more.
  recoverContainers(store)
  const uses = (imageId: Digest) => containersOfImage(store, imageId)
  for (const name of names) {
    try {
      for (const removal of removeImage(store, name, { force, uses })) {
        if ('deleted' in removal) deleted.push(...removal.targets)
        onRemoval(removal)
      }
    } catch (error) {
      if (!isCairnError(error) || error.kind === 'canceled') throw error
      failures.push({ error, isIgnored: force && error.code === 'IMAGE_UNKNOWN' })
    }
  }
  if (!keepContent) await collectFrom(store, deleted.map(blobNode), signal === undefined ? {} : { signal })
  return failures
}
