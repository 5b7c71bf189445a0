import { containersOfImage } from '../../containers/container-records.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import { collectFrom } from '../../content/gc.ts'
import { blobNode } from '../../content/graph.ts'
import type { Store } from '../../content/store.ts'
import { type CairnError, isCairnError } from '../../errors/error.ts'
import { checkUses, type Removal, removeImage } from '../../images/records/remove-image.ts'
import { removePlatforms } from '../../images/records/remove-platforms.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Platform } from '../../oci/platform.ts'
import { FreedLayers } from '../store/freed-layers.ts'

export interface RemoveImagesOptions {
  /** Removes all names of an image given by its ID; an image that is not there is no failure. */
  readonly force?: boolean
  /** Leave the blobs for a later garbage collection. */
  readonly keepContent?: boolean
  /** Removes only these platforms of images that have others. */
  readonly platforms?: readonly Platform[]
  readonly signal?: AbortSignal
  /** Told of each name, image and layer that went, as it goes. */
  readonly onRemoval: (removal: Removal) => void
}

/**
 * Removes names and images, each on its own, and frees what nothing else needs. Gives the failures in the order of
 * `names`: those of the others are done. What is not there when `force` is set is told as a failure without counting
 * as one: `isIgnored`. Throws CANCELED.
 */
export async function removeImages(
  store: Store,
  names: readonly string[],
  options: RemoveImagesOptions,
): Promise<readonly { readonly error: CairnError; readonly isIgnored: boolean }[]> {
  const { force = false } = options
  const failures: { error: CairnError; isIgnored: boolean }[] = []
  // A container whose process died does not run any more.
  recoverContainers(store)
  for (const name of names) {
    try {
      // oxlint-disable-next-line no-await-in-loop -- a name may stand for what the one before has left
      await removeOne(store, name, options)
    } catch (error) {
      if (!isCairnError(error) || error.kind === 'canceled') throw error
      failures.push({ error, isIgnored: force && error.code === 'IMAGE_UNKNOWN' })
    }
  }
  return failures
}

async function removeOne(store: Store, name: string, options: RemoveImagesOptions): Promise<void> {
  const { force = false, keepContent = false, platforms = [], signal, onRemoval } = options
  const uses = (imageId: Digest) => containersOfImage(store, imageId)
  const check = (imageId: Digest): void => checkUses(imageId, uses(imageId), force)
  const parts = platforms.length === 0 ? undefined : await removePlatforms(store, name, platforms, check)
  const removals = parts ?? removeImage(store, name, { force, uses })
  for (const removal of removals) onRemoval(removal)
  const targets = removals.flatMap((removal) => ('deleted' in removal ? removal.targets : (removal.released ?? [])))
  if (keepContent || targets.length === 0) return
  const layers = new FreedLayers(store, targets)
  await collectFrom(store, targets.map(blobNode), signal === undefined ? {} : { signal })
  for (const deleted of layers.chainIds()) onRemoval({ deleted, targets: [] })
}
