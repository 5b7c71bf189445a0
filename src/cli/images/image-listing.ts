import { containersOfImage } from '../../containers/container-records.ts'
import type { Store } from '../../content/store.ts'
import type { ImageSummary } from '../../images/records/list-images.ts'
import { ImageSizes } from '../../images/size.ts'
import { familiarName, type Reference } from '../../oci/reference.ts'
import { formatGoTime } from '../go-template/go-time.ts'
import { shownId } from './image-names.ts'
import type { Listing } from '../printer.ts'
import { formatAge, formatByteSize } from '../units.ts'

/** One line of the table: an image under one of its names. */
export interface ImageRow {
  readonly image: ImageSummary
  readonly repository: string
  readonly tag: string
  readonly digest: string
}

const none = '<none>'

/** A row for each tag, once for each digest of its repository where digests are shown; then digests without a tag. */
export function imageRows(image: ImageSummary, withDigests: boolean): readonly ImageRow[] {
  if (image.digests.length === 0 && image.tags.length > 0)
    return image.tags.map((tag) => row(image, familiarName(tag), tag.tag, none))
  const digests = Map.groupBy(image.digests, familiarName)
  const tagged = image.tags.flatMap((tag) => {
    const repository = familiarName(tag)
    return digestsShown(digests.get(repository), withDigests).map((digest) => row(image, repository, tag.tag, digest))
  })
  const repositories = new Set(image.tags.map(familiarName))
  const untagged = [...digests]
    .filter(([repository]) => !repositories.has(repository))
    .flatMap(([repository, own]) =>
      digestsShown(own, withDigests).map((digest) => row(image, repository, undefined, digest)),
    )
  const rows = [...tagged, ...untagged]
  return rows.length === 0 ? [row(image, none, undefined, none)] : rows
}

function digestsShown(digests: readonly Reference[] = [], withDigests: boolean): readonly string[] {
  return withDigests && digests.length > 0 ? digests.map(({ digest }) => digest ?? none) : [none]
}

function row(image: ImageSummary, repository: string, tag: string | undefined, digest: string): ImageRow {
  return { image, repository, tag: tag ?? none, digest }
}

/** The columns of images; IDs are cut short with `trunc`. */
export function imageListing(store: Store, trunc: boolean, withDigests: boolean): Listing<ImageRow> {
  const sizes = new ImageSizes(store)
  const created = ({ image }: ImageRow): number | undefined =>
    image.created === undefined ? undefined : Date.parse(image.created)
  const age = (time: number | undefined): string => (time === undefined ? 'N/A' : formatAge(time, Date.now()))
  return {
    columns: {
      Repository: { heading: 'REPOSITORY', value: ({ repository }) => repository },
      Tag: { heading: 'TAG', value: ({ tag }) => tag },
      Digest: { heading: 'DIGEST', value: ({ digest }) => digest },
      ID: { heading: 'IMAGE ID', value: ({ image }) => shownId(image.imageId, trunc) },
      CreatedSince: { heading: 'CREATED', value: (one) => age(created(one)) },
      CreatedAt: { heading: 'CREATED AT', value: (one) => timeOf(created(one)) },
      Size: { heading: 'SIZE', value: ({ image }) => formatByteSize(sizes.unpacked(image), 3) },
      VirtualSize: { heading: 'SIZE', value: ({ image }) => formatByteSize(sizes.unpacked(image)) },
      SharedSize: { heading: 'SHARED SIZE', value: ({ image }) => formatByteSize(sizes.shared(image)) },
      UniqueSize: { heading: 'UNIQUE SIZE', value: ({ image }) => formatByteSize(sizes.unique(image)) },
      ContentSize: { heading: 'CONTENT SIZE', value: ({ image }) => formatByteSize(sizes.content(image)) },
      Containers: {
        heading: 'CONTAINERS',
        value: ({ image }) => String(containersOfImage(store, image.imageId).length),
      },
    },
    shown: ['Repository', 'Tag', ...(withDigests ? ['Digest'] : []), 'ID', 'CreatedSince', 'Size'],
    labels: ({ image }) => image.labels,
  }
}

function timeOf(time: number | undefined): string {
  return time === undefined ? 'N/A' : formatGoTime(Math.trunc(time / 1000) * 1000)
}
