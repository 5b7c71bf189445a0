import { containersOfImage } from '../../containers/container-records.ts'
import type { Store } from '../../content/store.ts'
import { ImageDiskSizes } from '../../engine/store/image-disk-sizes.ts'
import type { ImageSummary } from '../../images/records/list-images.ts'
import { ImageSizes } from '../../images/size.ts'
import { formatPlatform } from '../../oci/platform.ts'
import { familiarString } from '../../oci/reference.ts'
import { shownId } from './image-names.ts'
import { formatByteSize } from '../units.ts'

/** One line: an image, or the image of one of its platforms below it. */
interface Line {
  readonly names: readonly string[]
  readonly id: string
  readonly diskUsage: number
  readonly contentSize: number
  readonly isInUse: boolean
}

const gap = '   '
/** Widths of the columns after the first. */
const widths = { id: 12, diskUsage: 10, contentSize: 12, extra: 5 } as const
const otherColumns = widths.id + widths.diskUsage + widths.contentSize + widths.extra + 4 * gap.length

/**
 * Images with their platforms below them, as `docker images --tree` lays them out: several names of one image stand above
 * each other. DISK USAGE is all that it takes on the disk, shared with others or not; CONTENT SIZE its blobs.
 *
 * @param columns - width to fill
 */
export function imageTree(store: Store, images: readonly ImageSummary[], columns: number): string {
  const disk = new ImageDiskSizes(store)
  const sizes = new ImageSizes(store)
  const width = Math.max(columns - otherColumns, 'IMAGE'.length)
  const groups = images.map((image) => {
    const top: Line = {
      names: image.isDangling ? ['<untagged>'] : [...image.tags, ...image.digests].map(familiarString),
      id: image.imageId,
      diskUsage: disk.image(image),
      contentSize: sizes.content(image),
      isInUse: containersOfImage(store, image.imageId).length > 0,
    }
    return [top, ...platformLines(store, image, disk)]
  })
  // Images stand apart where some have platforms below them.
  const separator = groups.some((lines) => lines.length > 1) ? '\n\n' : '\n'
  const legend = 'Info ->  U In Use '
  const heading = row('IMAGE', 'ID', 'DISK USAGE', 'CONTENT SIZE', 'EXTRA', width).trimEnd()
  const body = groups.map((lines) => lines.map((line) => formatLine(line, width)).join('\n')).join(separator)
  return `${legend.padStart(columns)}\n\n${heading}\n${body === '' ? '' : `${body}\n`}`
}

function platformLines(store: Store, { platforms }: ImageSummary, disk: ImageDiskSizes): Line[] {
  if (platforms.length < 2) return []
  return platforms.map(({ digest, imageId, platform, contentSize }, index) => ({
    names: [`${index === platforms.length - 1 ? '└─' : '├─'} ${formatPlatform(platform)}`],
    id: imageId,
    diskUsage: disk.layers([digest]),
    contentSize,
    isInUse: containersOfImage(store, imageId).length > 0,
  }))
}

function formatLine({ names, id, diskUsage, contentSize, isInUse }: Line, width: number): string {
  const last = names.at(-1) ?? ''
  const extra = isInUse ? '  U' : ''
  const values = row(
    last,
    shownId(id, true),
    formatByteSize(diskUsage, 3),
    formatByteSize(contentSize, 3),
    extra,
    width,
  )
  return [...names.slice(0, -1), values.trimEnd()].join('\n')
}

function row(name: string, id: string, diskUsage: string, contentSize: string, extra: string, width: number): string {
  const cells = [
    name.padEnd(width),
    id.padEnd(widths.id),
    diskUsage.padStart(widths.diskUsage),
    contentSize.padStart(widths.contentSize),
    extra.padEnd(widths.extra),
  ]
  return cells.join(gap)
}
