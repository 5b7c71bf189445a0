import {
  areEqual,
  type ComparedEntry,
  type ComparedFile,
  diffImages,
  type ImageDifference,
} from '../../engine/images/diff-images.ts'
import type { ConfigDifference } from '../../oci/compare-configs.ts'
import { defineCommand } from '../command.ts'
import { formatMode } from '../file-mode.ts'
import { objectFormatFlag } from '../format-flag.ts'
import { imageNames, shownId } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { registryAccessOf } from '../registry-access.ts'
import { platformFlag, platformOfFlag } from '../platform-flag.ts'
import { ellipsis } from '../printer.ts'
import { renderReport } from '../build/render-report.ts'
import { formatByteSize } from '../units.ts'

export default defineCommand({
  usage: '[OPTIONS] IMAGE IMAGE',
  description:
    'Compares what containers would see: settings, and files once all layers are stacked. A and + are added, D and - removed,\nC and ~ changed. Times count only with --times. Each IMAGE may also be oci:DIR[:TAG], oci-archive:FILE,\ndocker-archive:FILE or dir:DIR.',
  examples: [
    { text: 'What a rebuild changed', command: 'cairn image diff app:1 app:2' },
    { text: 'In a script: is it the same?', command: 'cairn image diff --exit-code -q app:1 oci:layout:1' },
  ],
  args: { min: 2, max: 2 },
  flags: {
    'exit-code': { type: 'bool', summary: 'End with status 1 where the images differ' },
    format: objectFormatFlag,
    platform: platformFlag,
    quiet: { type: 'bool', short: 'q', summary: 'Print nothing' },
    times: { type: 'bool', summary: 'Also compare modification times of files and when the image was created' },
  },
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, [from = '', to = '']) {
    const { times } = flags
    const platform = platformOfFlag(flags.platform)
    const difference = await diffImages(await ctx.use(openStoreOf), from, to, {
      platform,
      times,
      access: registryAccessOf(ctx),
    })
    if (!flags.quiet) ctx.stdout.write(renderReport(difference, flags.format, () => describe(difference)))
    return flags['exit-code'] && !areEqual(difference) ? 1 : 0
  },
})

/** Width of instructions in a line. */
const instructionWidth = 60

function describe({ from, to, layers, config, files }: ImageDifference): string {
  const { common, removed, added } = layers
  const lines = [
    `--- ${from.name}  ${shownId(from.imageId)}  ${from.platform}`,
    `+++ ${to.name}  ${shownId(to.imageId)}  ${to.platform}`,
    `Layers: ${common.length} common, ${removed.length} removed, ${added.length} added`,
    ...removed.map((layer) => `  - ${describeLayer(layer)}`),
    ...added.map((layer) => `  + ${describeLayer(layer)}`),
    `Config: ${config.length === 0 ? 'no difference' : `${config.length} changed`}`,
    ...config.map(describeField),
    `Files: ${summarize(files)}`,
    ...files.map(describeFile),
  ]
  return lines.map((line) => `${line}\n`).join('')
}

function describeLayer(layer: ImageDifference['layers']['added'][number]): string {
  const made = ellipsis(layer.createdBy.replaceAll(/\s+/g, ' '), instructionWidth)
  return `${shownId(layer.diffId)}  ${formatByteSize(layer.size, 3)}  ${made}`.trimEnd()
}

function describeField({ field, from, to }: ConfigDifference): string {
  if (from === undefined) return `  + ${field}: ${JSON.stringify(to)}`
  if (to === undefined) return `  - ${field}: ${JSON.stringify(from)}`
  return `  ~ ${field}: ${JSON.stringify(from)} -> ${JSON.stringify(to)}`
}

function summarize(files: readonly ComparedFile[]): string {
  if (files.length === 0) return 'no difference'
  const of = (change: ComparedFile['change']) => files.filter((file) => file.change === change)
  const bytes = (some: readonly ComparedFile[]): string =>
    formatByteSize(
      some.reduce((sum, { from, to }) => sum + (to?.size ?? from?.size ?? 0), 0),
      3,
    )
  const [added, changed, removed] = [of('added'), of('changed'), of('removed')]
  return `${added.length} added (${bytes(added)}), ${changed.length} changed, ${removed.length} removed (${bytes(removed)})`
}

function describeFile({ path, change, aspects, from, to }: ComparedFile): string {
  // A name may hold anything, and a terminal would obey it.
  const shown = /[\p{Cc}]/u.test(path) ? JSON.stringify(path) : path
  if (change === 'added') return `  A ${shown}${to?.type === 'file' ? `  ${formatByteSize(to.size, 3)}` : ''}`
  if (change === 'removed') return `  D ${shown}${from?.type === 'file' ? `  ${formatByteSize(from.size, 3)}` : ''}`
  if (from === undefined || to === undefined) return `  C ${shown}`
  return `  C ${shown}  ${aspects.map((aspect) => describeAspect(aspect, from, to)).join(', ')}`
}

function describeAspect(aspect: ComparedFile['aspects'][number], from: ComparedEntry, to: ComparedEntry): string {
  switch (aspect) {
    case 'content':
      return from.size === to.size ? 'content' : `size ${formatByteSize(from.size, 3)} -> ${formatByteSize(to.size, 3)}`
    case 'mode':
      return `mode ${formatMode(from.type, from.mode)} -> ${formatMode(to.type, to.mode)}`
    case 'owner':
      return `owner ${from.uid}:${from.gid} -> ${to.uid}:${to.gid}`
    case 'target':
      return `target ${JSON.stringify(from.target ?? '')} -> ${JSON.stringify(to.target ?? '')}`
    case 'type':
      return `${from.type} -> ${to.type}`
    case 'time':
      return `time ${from.modified} -> ${to.modified}`
    case 'device':
    case 'attributes':
      return aspect
    default:
      return aspect satisfies never
  }
}
