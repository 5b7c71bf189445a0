import type { Store } from '../../content/store.ts'
import { type HistoryRow, imageHistory } from '../../images/history.ts'
import { storedImage } from '../../images/image.ts'
import { platformManifest, resolveImage } from '../../images/records/resolve-image.ts'
import type { Platform } from '../../oci/platform.ts'

/**
 * The steps that made the image `name` means, newest first; of one for several platforms, those of `platform`, by
 * default this machine's. Throws as resolveImage, and IMAGE_PLATFORM.
 */
export async function historyOf(store: Store, name: string, platform?: Platform): Promise<HistoryRow[]> {
  const { record } = resolveImage(store, name)
  const image = storedImage(store, (await platformManifest(store, record, platform, name)).digest)
  return imageHistory(store, await image.id(), (await image.config()).value, record.createdAt)
}
