import type { Store } from '../../content/store.ts'
import { compilePathPattern } from '../../dockerfile/path-match.ts'
import { isCairnError, usageError } from '../../errors/error.ts'
import { type ImageSummary, listImages } from '../../images/records/list-images.ts'
import { resolveImage } from '../../images/records/resolve-image.ts'
import { familiarName, familiarString, type Reference } from '../../oci/reference.ts'
import { booleanFilter, checkFilters, type Filters, suitsLabels } from '../filters.ts'
import { Moment } from '../moment.ts'

const accepted = ['before', 'dangling', 'label', 'label!', 'reference', 'since', 'until']

/**
 * The images that suit `filters`, the newest first: `dangling` (no name at all, of any kind), `label`, `label!`,
 * `before` and `since` (made before or after an image), `until` (made before a moment), `reference` (a pattern with
 * `*`, `?` and `[]` of a name; an image keeps only the names that match one of them). `now` is in milliseconds since
 * 1970. Throws USAGE (status 1) for a filter that is none of these or cannot be read, and as resolveImage.
 */
export function findImages(store: Store, filters: Filters = new Map(), now: number = Date.now()): ImageSummary[] {
  checkFilters(filters, accepted)
  const dangling = booleanFilter(filters, 'dangling')
  const suitsReference = referenceFilter(filters)
  const asksLabels = filters.has('label') || filters.has('label!')
  const all = listImages(store)
  const suitsAge = ageFilter(store, filters, all, now)
  const suitable = all.filter(
    (image) =>
      (dangling === undefined || image.isDangling === dangling) &&
      (!asksLabels || suitsLabels(filters, image.labels)) &&
      suitsAge(image),
  )
  return (suitsReference === undefined ? suitable : withSuitableNames(suitable, suitsReference))
    .map((image) => ({ image, created: Date.parse(image.created ?? '') }))
    .sort((a, b) => b.created - a.created || compareAge(a.image.created, b.image.created))
    .map(({ image }) => image)
}

/** The images that have a name which suits, with only such names. */
function withSuitableNames(
  images: readonly ImageSummary[],
  suits: (reference: Reference) => boolean,
): readonly ImageSummary[] {
  return images
    .map((image) => ({ ...image, tags: image.tags.filter(suits), digests: image.digests.filter(suits) }))
    .filter(({ tags, digests }) => tags.length + digests.length > 0)
}

/** Times of the same millisecond, or of which one cannot be read: the newest first, what does not say when it was made last. */
function compareAge(a: string | undefined, b: string | undefined): number {
  const [first, second] = [Moment.ofText(a), Moment.ofText(b)]
  if (first === undefined || second === undefined) return Number(first === undefined) - Number(second === undefined)
  return Number(second.isAfter(first)) - Number(first.isAfter(second))
}

/** Whether a name matches a pattern of the filter `reference`, as a whole or without tag and digest. */
function referenceFilter(filters: Filters): ((reference: Reference) => boolean) | undefined {
  const patterns = (filters.get('reference') ?? []).map((pattern) => {
    try {
      return compilePathPattern(pattern)
    } catch (error) {
      if (!isCairnError(error)) throw error
      throw usageError('syntax error in pattern', {
        hint: `In the filter reference=${pattern}: ${error.hint ?? 'it cannot be read.'}`,
      })
    }
  })
  if (patterns.length === 0) return undefined
  return (reference) =>
    patterns.some((matches) => matches(familiarString(reference)) || matches(familiarName(reference)))
}

/** Whether an image was made before all of `before` and `until` and after all of `since`. */
function ageFilter(
  store: Store,
  filters: Filters,
  images: readonly ImageSummary[],
  now: number,
): (image: ImageSummary) => boolean {
  const createdOf = (name: string): Moment | undefined => {
    const { imageId } = resolveImage(store, name).record
    return Moment.ofText(images.find((image) => image.imageId === imageId)?.created)
  }
  const before = [
    ...(filters.get('before') ?? []).map(createdOf),
    ...(filters.get('until') ?? []).map((text) => Moment.parse(text, now)),
  ]
  const since = (filters.get('since') ?? []).map(createdOf)
  if (before.length + since.length === 0) return () => true
  return (image) => {
    const created = Moment.ofText(image.created)
    if (created === undefined) return false
    return (
      before.every((limit) => limit !== undefined && created.isBefore(limit)) &&
      since.every((limit) => limit !== undefined && created.isAfter(limit))
    )
  }
}
