import {
  deleteImageRecord,
  deleteTag,
  findImageRecords,
  type ImageRecord,
  listTags,
} from '../../content/image-records.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import type { Digest } from '../../oci/digest.ts'
import { familiarString, formatReference, pinned, type Reference, repositoryName } from '../../oci/reference.ts'
import { recordImageEvent } from './image-events.ts'
import { referencesOf, resolveImage } from './resolve-image.ts'

/** One line of what a removal did: a name taken away (as docker prints it), or an image deleted. */
export type Removal = RemovedName | DeletedImage

export interface RemovedName {
  readonly untagged: string
  /** Manifests and indexes of an image that stays, which no name leads to any more. */
  readonly released?: readonly Digest[]
}

export interface DeletedImage {
  /** The image ID. */
  readonly deleted: Digest
  /** Its manifests and indexes, which nothing keeps any more. */
  readonly targets: readonly Digest[]
}

/** A container that was made from the image. */
export interface ImageUse {
  readonly containerId: string
  readonly isRunning: boolean
}

export interface RemoveOptions {
  /** Removes all names of an image given by its ID, and images that stopped containers need. */
  readonly force?: boolean
  /** The containers that use an image. */
  readonly uses?: (imageId: Digest) => readonly ImageUse[]
}

/**
 * Removes a name, and the image with its last name; or an image by its ID with all its names. Rules and texts are
 * those of docker: IMAGE_IN_USE for an ID with names in several repositories and for images that containers need,
 * where `force` allows all but running ones. The blobs go with the next garbage collection.
 */
export function removeImage(store: Store, text: string, options: RemoveOptions = {}): Removal[] {
  return store.database.transaction(() => {
    const { record, reference } = resolveImage(store, text)
    const image = new ImageNames(store, record)
    const uses = options.uses?.(record.imageId) ?? []
    if (reference !== undefined) return removeByName(image, text, pinned(reference), uses, options.force === true)
    return removeById(image, uses, options.force === true)
  })
}

/** Forgets those manifests and indexes of one image that no name leads to, unless none has one. Gives their digests. */
export function forgetNameless(store: Store, records: readonly Pick<ImageRecord, 'digest'>[]): readonly Digest[] {
  const digests = records.map(({ digest }) => digest)
  const nameless = digests.filter((digest) => listTags(store, digest).length === 0)
  if (nameless.length === digests.length) return []
  for (const digest of nameless) deleteImageRecord(store, digest)
  return nameless
}

/** An image ID, the manifests and indexes that have it, and their names. */
class ImageNames {
  readonly imageId: Digest
  readonly removals: Removal[] = []
  readonly #store: Store
  readonly #record: ImageRecord
  readonly #records: readonly ImageRecord[]

  constructor(store: Store, record: ImageRecord) {
    this.#store = store
    this.#record = record
    this.imageId = record.imageId
    this.#records = findImageRecords(store, record.imageId).filter(({ imageId }) => imageId === record.imageId)
  }

  get references(): Reference[] {
    return this.#records.flatMap(({ digest }) => referencesOf(this.#store, digest))
  }

  untag(reference: Reference): void {
    if (!deleteTag(this.#store, formatReference(reference))) return
    recordImageEvent(this.#store, 'untag', this.#record)
    this.removals.push({ untagged: familiarString(reference) })
  }

  /**
   * Forgets what no name leads to of an image that has names: an index, say, whose image for this machine has a name
   * of its own. Lists go by image ID, so nobody would ever see that it is still there.
   */
  release(): Removal[] {
    const last = this.removals.pop()
    if (last === undefined || 'deleted' in last) return this.removals
    const released = forgetNameless(this.#store, this.#records)
    return [...this.removals, { ...last, ...(released.length === 0 ? {} : { released }) }]
  }

  delete(): Removal[] {
    for (const reference of this.references) this.untag(reference)
    const targets = this.#records.map(({ digest }) => digest)
    for (const digest of targets) deleteImageRecord(this.#store, digest)
    recordImageEvent(this.#store, 'delete', this.#record)
    this.removals.push({ deleted: this.imageId, targets })
    return this.removals
  }
}

function removeByName(
  image: ImageNames,
  text: string,
  name: Reference,
  uses: readonly ImageUse[],
  force: boolean,
): Removal[] {
  const [user] = uses
  if (!force && user !== undefined && isSingleReference(image.references))
    throw new CairnError(
      'IMAGE_IN_USE',
      `conflict: unable to remove repository reference ${JSON.stringify(text)} (must force) - ` +
        `container ${short(user.containerId)} is using its referenced image ${short(image.imageId)}`,
    )
  image.untag(name)
  const inRepository = image.references.filter((other) => repositoryName(other) === repositoryName(name))
  // Digests are names of the repository's tags and go with the last of these.
  if (name.digest === undefined && inRepository.every((other) => other.digest !== undefined))
    for (const other of inRepository) image.untag(other)
  if (image.references.length > 0) return image.release()
  // The name is gone in any case; only an image that something needs stays, without a name.
  if (uses.some(({ isRunning }) => isRunning) || (!force && uses.length > 0)) return image.removals
  return image.delete()
}

function removeById(image: ImageNames, uses: readonly ImageUse[], force: boolean): Removal[] {
  const { imageId, references } = image
  const isRunning = uses.some((use) => use.isRunning)
  if (!isRunning && !force && !isSingleReference(references))
    throw conflict(imageId, 'must be forced', 'image is referenced in multiple repositories')
  checkUses(imageId, uses, force)
  return image.delete()
}

/** Throws IMAGE_IN_USE for an image that a container needs; with `force` only a running one counts. */
export function checkUses(imageId: Digest, uses: readonly ImageUse[], force: boolean): void {
  const running = uses.find(({ isRunning }) => isRunning)
  if (running !== undefined)
    throw conflict(
      imageId,
      'cannot be forced',
      `image is being used by running container ${short(running.containerId)}`,
    )
  const [stopped] = uses
  if (!force && stopped !== undefined)
    throw conflict(imageId, 'must be forced', `image is being used by stopped container ${short(stopped.containerId)}`)
}

/** One tag at most, and digests only of its repository. */
function isSingleReference(references: readonly Reference[]): boolean {
  const tags = references.filter((reference) => reference.digest === undefined)
  return tags.length <= 1 && new Set(references.map(repositoryName)).size <= 1
}

function conflict(imageId: Digest, force: string, reason: string): CairnError {
  return new CairnError('IMAGE_IN_USE', `conflict: unable to delete ${short(imageId)} (${force}) - ${reason}`)
}

/** Twelve characters of an ID, as docker shows it. */
function short(id: string): string {
  return id.slice(id.indexOf(':') + 1).slice(0, 12)
}
