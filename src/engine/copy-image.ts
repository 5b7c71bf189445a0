import { withLease } from '../content/leased-work.ts'
import { recover } from '../content/recovery.ts'
import type { Store } from '../content/store.ts'
import { copyImage as copy, type CopyOptions, type ImageCopy } from '../images/copy-image.ts'
import { parseImageLocation } from '../images/image-location.ts'
import { openImageSource } from '../images/image-source.ts'
import { openImageTarget } from '../images/image-target.ts'

/**
 * Copies the image at `from` to `to`, both as users write them: names of the store, `oci:`, `oci-archive:`,
 * `docker-archive:`, `dir:`. Throws as parseImageLocation, openImageSource, openImageTarget and copyImage.
 */
export async function copyImage(store: Store, from: string, to: string, options: CopyOptions = {}): Promise<ImageCopy> {
  const [source, target] = [parseImageLocation(from), parseImageLocation(to)]
  recover(store)
  return await withLease(store, async (lease) => {
    using reader = await openImageSource(store, source)
    using writer = await openImageTarget(store, lease, target)
    return await copy(store, reader, writer, options)
  })
}
