import type { Container } from '../../containers/container.ts'
import { healthOf } from '../../containers/health.ts'
import { commandLine } from '../../containers/settings.ts'
import { writtenSize } from '../../containers/written-size.ts'
import type { Store } from '../../content/store.ts'
import { findContainers } from '../../engine/containers/list-containers.ts'
import { findImage } from '../../images/records/resolve-image.ts'
import { listImages } from '../../images/records/list-images.ts'
import { ImageSizes } from '../../images/size.ts'
import { isCairnError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { containerPorts, networkNames } from '../../engine/containers/container-networks.ts'
import { filterFlag, parseFilters } from '../filters.ts'
import { listFormatFlag } from '../format-flag.ts'
import { quote } from '../go-template/go-format.ts'
import { formatGoTime } from '../go-template/go-time.ts'
import { shownId } from '../images/image-names.ts'
import { portsText } from '../containers/port-text.ts'
import { openStoreOf } from '../open-store.ts'
import { ellipsis, type Listing, renderListing } from '../printer.ts'
import { formatAge, formatByteSize, humanDuration } from '../units.ts'

export default defineCommand({
  usage: '[OPTIONS]',
  examples: [
    { text: 'Those that ended with a failure', command: 'cairn ps -a --filter exited=1' },
    { text: 'Names and states', command: "cairn ps -a --format '{{.Names}}: {{.Status}}'" },
  ],
  args: { max: 0 },
  flags: {
    all: { type: 'bool', short: 'a', summary: 'Show all containers (default shows just running)' },
    filter: filterFlag,
    format: listFormatFlag,
    last: { type: 'int', short: 'n', default: -1, summary: 'Show n last created containers (includes all states)' },
    latest: { type: 'bool', short: 'l', summary: 'Show the latest created container (includes all states)' },
    'no-trunc': { type: 'bool', summary: "Don't truncate output" },
    quiet: { type: 'bool', short: 'q', summary: 'Only display container IDs' },
    size: { type: 'bool', short: 's', summary: 'Display total file sizes' },
  },
  output: 'collected',
  async run(ctx, flags) {
    const store = await ctx.use(openStoreOf)
    const limit = flags.last > 0 ? flags.last : flags.latest ? 1 : undefined
    const containers = findContainers(store, {
      all: flags.all,
      filters: parseFilters(flags.filter),
      limit,
    })
    const isPlain = flags.format === '' || flags.format === 'table'
    if (flags.quiet && !isPlain)
      ctx.stderr.write('WARNING: Ignoring custom format, because both --format and --quiet are set.\n')
    const format = flags.quiet ? '{{.ID}}' : flags.format
    ctx.stdout.write(
      renderListing(
        listing(store, !flags['no-trunc'], flags.size || flags.format.includes('.Size'), Date.now()),
        containers,
        format,
      ),
    )
  },
})

/** Characters of a command and of a mount that a table shows. */
const shownCommand = 20
const shownMount = 15

function listing(store: Store, trunc: boolean, withSize: boolean, now: number): Listing<Container> {
  const shorten = (text: string, width: number): string => (trunc ? ellipsis(text, width) : text)
  return {
    columns: {
      ID: { heading: 'CONTAINER ID', value: ({ id }) => shownId(id, trunc) },
      Image: { heading: 'IMAGE', value: (container) => imageName(store, container, trunc) },
      Command: {
        heading: 'COMMAND',
        value: ({ settings }) => quote(shorten(commandText(commandLine(settings.config)), shownCommand)),
      },
      CreatedAt: { heading: 'CREATED AT', value: ({ createdAt }) => formatGoTime(Math.trunc(createdAt / 1000) * 1000) },
      RunningFor: { heading: 'CREATED', value: ({ createdAt }) => formatAge(createdAt, now) },
      Status: { heading: 'STATUS', value: (container) => statusOf(store, container, now) },
      State: { heading: 'STATE', value: ({ state }) => state },
      Ports: { heading: 'PORTS', value: (container) => portsText(containerPorts(store, container)) },
      Names: { heading: 'NAMES', value: ({ name }) => name },
      Size: { heading: 'SIZE', value: (container) => (withSize ? sizeOf(store, container) : '0B') },
      Labels: {
        heading: 'LABELS',
        value: ({ settings }) =>
          Object.entries(settings.config.Labels ?? {})
            .toSorted(([a], [b]) => (a < b ? -1 : 1))
            .map(([key, value]) => `${key}=${value}`)
            .join(','),
      },
      LocalVolumes: { heading: 'LOCAL VOLUMES', value: ({ settings }) => String(volumeCount(settings.mounts)) },
      Mounts: {
        heading: 'MOUNTS',
        value: ({ settings }) =>
          mountNames(settings.mounts)
            .map((name) => shorten(name, shownMount))
            .join(','),
      },
      Networks: { heading: 'NETWORKS', value: (container) => networkNames(container).join(',') },
    },
    shown: ['ID', 'Image', 'Command', 'RunningFor', 'Status', 'Ports', 'Names', ...(withSize ? ['Size'] : [])],
    labels: ({ settings }) => settings.config.Labels ?? {},
  }
}

/** What the container was made from, or the image's ID where that name leads elsewhere by now. */
function imageName(store: Store, { settings, imageId }: Container, trunc: boolean): string {
  try {
    if (findImage(store, settings.image)?.record.imageId === imageId) return settings.image
  } catch (error) {
    if (!isCairnError(error)) throw error
  }
  return shownId(imageId, trunc)
}

function commandText(args: readonly string[]): string {
  const [program = '', ...rest] = args
  return [program, ...rest.map((arg) => (arg.includes(' ') ? `'${arg}'` : arg))].join(' ')
}

function statusOf(store: Store, container: Container, now: number): string {
  const { state, startedAt, finishedAt, exitCode, createdAt } = container
  switch (state) {
    case 'created':
      return 'Created'
    case 'running':
      return `Up ${humanDuration(now - (startedAt ?? createdAt))}${healthText(store, container)}`
    case 'paused':
      return `Up ${humanDuration(now - (startedAt ?? createdAt))} (Paused)`
    case 'restarting':
      return `Restarting (${exitCode ?? 0}) ${formatAge(finishedAt ?? createdAt, now)}`
    case 'exited':
      return `Exited (${exitCode ?? 0}) ${formatAge(finishedAt ?? createdAt, now)}`
  }
}

function healthText(store: Store, container: Container): string {
  const health = healthOf(store, container)
  if (health === undefined) return ''
  return health.status === 'starting' ? ' (health: starting)' : ` (${health.status})`
}

function sizeOf(store: Store, container: Container): string {
  const written = writtenSize(store, container)
  const image = listImages(store).find(({ imageId }) => imageId === container.imageId)
  const virtual =
    image === undefined ? '' : ` (virtual ${formatByteSize(written + new ImageSizes(store).unpacked(image), 3)})`
  return `${formatByteSize(written, 3)}${virtual}`
}

function volumeCount(mounts: Container['settings']['mounts']): number {
  return mounts.filter(({ type }) => type === 'volume').length
}

function mountNames(mounts: Container['settings']['mounts']): string[] {
  return mounts.flatMap((mount) => {
    if (mount.type === 'volume') return [mount.name]
    return mount.type === 'bind' ? [mount.source] : []
  })
}

export { listing as containerListing }
