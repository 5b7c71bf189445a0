import { containerDiskSize } from '../../containers/written-size.ts'
import { listContainerRecords } from '../../containers/container-records.ts'
import type { Store } from '../../content/store.ts'
import { buildCacheRecords } from '../../engine/store/build-cache-records.ts'
import { type DiskUsage, diskUsage } from '../../engine/store/disk-usage.ts'
import { findImages } from '../../engine/images/list-images.ts'
import { findVolumes } from '../../engine/containers/volumes.ts'
import { buildCacheUsageListing } from '../build/build-cache-listing.ts'
import { defineCommand } from '../command.ts'
import { listFormatFlag } from '../format-flag.ts'
import { renderTemplate } from '../go-template/go-template.ts'
import { imageListing, imageRows } from '../images/image-listing.ts'
import { openStoreOf } from '../open-store.ts'
import { type Listing, renderListing, rowObjects } from '../printer.ts'
import { formatByteSize } from '../units.ts'
import { volumeListing } from '../containers/volume-listing.ts'
import { containerListing } from './container-ls.ts'

export default defineCommand({
  usage: '[OPTIONS]',
  description:
    'SIZE is what is on disk, in whole blocks as du tells it: layers as they are stored and as they are unpacked, each\nonce. A layer counts for the build cache only when no image has it. The row Registry, where registry serve\nkeeps content here, has what nothing else has. What RECLAIMABLE says is what pruning frees.',
  examples: [
    { text: 'What pruning would free', command: "cairn system df --format '{{.Type}}: {{.Reclaimable}}'" },
    { text: 'Every image, container, volume and record of the build cache', command: 'cairn system df -v' },
  ],
  args: { max: 0 },
  flags: {
    format: listFormatFlag,
    verbose: { type: 'bool', short: 'v', summary: 'Show detailed information on space usage' },
  },
  output: 'collected',
  async run(ctx, flags) {
    const store = await ctx.use(openStoreOf)
    if (flags.verbose) return ctx.stdout.write(details(store, flags.format))
    const format = flags.format === 'raw' ? rawFormat : flags.format
    ctx.stdout.write(renderListing(listing, diskUsage(store), format))
  },
})

const rawFormat =
  'type: {{.Type}}\ntotal: {{.TotalCount}}\nactive: {{.Active}}\nsize: {{.Size}}\nreclaimable: {{.Reclaimable}}{{println}}'

const listing: Listing<DiskUsage> = {
  columns: {
    Type: { heading: 'TYPE', value: ({ type }) => type },
    TotalCount: { heading: 'TOTAL', value: ({ total }) => String(total) },
    Active: { heading: 'ACTIVE', value: ({ active }) => String(active) },
    Size: { heading: 'SIZE', value: ({ size }) => formatByteSize(size) },
    Reclaimable: {
      heading: 'RECLAIMABLE',
      value: ({ type, size, reclaimable }) => {
        const share = size === 0 || type === 'Build Cache' ? '' : ` (${Math.trunc((reclaimable / size) * 100)}%)`
        return `${formatByteSize(reclaimable)}${share}`
      },
    },
  },
  shown: ['Type', 'TotalCount', 'Active', 'Size', 'Reclaimable'],
}

/** A list with its columns. */
interface Section<Row> {
  readonly listing: Listing<Row>
  readonly rows: readonly Row[]
}

/** Four lists under headings, or a template that sees them as `.Images`, `.Containers`, `.Volumes` and `.BuildCache`. */
function details(store: Store, format: string): string {
  const [, , , cache, registry] = diskUsage(store)
  const now = Date.now()
  // As docker, IDs are whole where a template or a program reads them.
  const isTemplate = format !== '' && format !== 'table'
  const images: Section<ReturnType<typeof imageRows>[number]> = {
    listing: { ...imageListing(store, !isTemplate, false), shown: imageColumns },
    // One row for each image, under its first name.
    rows: findImages(store).flatMap((image) => imageRows(image, false).slice(0, 1)),
  }
  const containers: Section<ReturnType<typeof listContainerRecords>[number]> = {
    listing: measuredContainers(store, !isTemplate, now),
    rows: listContainerRecords(store),
  }
  const volumes = { listing: volumeListing(store, true), rows: findVolumes(store) }
  const records = { listing: buildCacheUsageListing(now, !isTemplate), rows: buildCacheRecords(store) }
  if (isTemplate) {
    const objects = {
      Images: rowObjects(images.listing, images.rows),
      Containers: rowObjects(containers.listing, containers.rows),
      Volumes: rowObjects(volumes.listing, volumes.rows),
      BuildCache: rowObjects(records.listing, records.rows),
    }
    return renderTemplate(format === 'json' ? '{{json .}}' : format.replace(/^table\s+/, ''), objects)
  }
  const sections = [
    ['Images space usage:', renderListing(images.listing, images.rows)],
    ['Containers space usage:', renderListing(containers.listing, containers.rows)],
    ['Local Volumes space usage:', renderListing(volumes.listing, volumes.rows)],
    [`Build cache usage: ${formatByteSize(cache?.size ?? 0)}`, renderListing(records.listing, records.rows)],
  ]
  const served = registry === undefined ? '' : `\nRegistry usage: ${formatByteSize(registry.size)}\n`
  return sections.map(([title, table]) => `${title}\n\n${table}`).join('\n') + served
}

const imageColumns = ['Repository', 'Tag', 'ID', 'CreatedSince', 'Size', 'SharedSize', 'UniqueSize', 'Containers']
const containerColumns = ['ID', 'Image', 'Command', 'LocalVolumes', 'Size', 'RunningFor', 'Status', 'Names']

/** Containers with what they take on the disk. */
function measuredContainers(store: Store, trunc: boolean, now: number): ReturnType<typeof containerListing> {
  const plain = containerListing(store, trunc, false, now)
  return {
    ...plain,
    columns: {
      ...plain.columns,
      Size: { heading: 'SIZE', value: (container) => formatByteSize(containerDiskSize(store, container), 3) },
    },
    shown: containerColumns,
  }
}
