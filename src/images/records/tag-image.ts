import { putTag } from '../../content/image-records.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import type { Digest } from '../../oci/digest.ts'
import { familiarString, formatReference, type Reference, withDefaultTag } from '../../oci/reference.ts'
import { recordImageEvent } from './image-events.ts'
import { resolveImage } from './resolve-image.ts'

/**
 * Gives the image that `source` means the name `target` (`latest` where it has no tag), taking it from an image that
 * had it; that one's digest is returned. Throws as resolveImage, and REFERENCE_INVALID for a name with a digest.
 */
export function tagImage(store: Store, source: string, target: Reference): Digest | undefined {
  if (target.digest !== undefined)
    throw new CairnError('REFERENCE_INVALID', 'refusing to create a tag with a digest reference')
  return store.database.transaction(() => {
    const { record } = resolveImage(store, source)
    const name = withDefaultTag(target)
    const before = putTag(store, formatReference(name), record.digest)
    recordImageEvent(store, 'tag', record, familiarString(name))
    return before === record.digest ? undefined : before
  })
}
