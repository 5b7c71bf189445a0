import { type ListedFile, listImageFiles, openImageFiles } from '../../engine/images/image-files.ts'
import { defineCommand } from '../command.ts'
import { formatMode } from '../file-mode.ts'
import { listFormatFlag } from '../format-flag.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { registryAccessOf } from '../registry-access.ts'
import { platformFlag, platformOfFlag } from '../platform-flag.ts'
import { type Listing, renderListing } from '../printer.ts'

export default defineCommand({
  usage: '[OPTIONS] IMAGE [PATH]',
  description:
    'Lists what is at and below PATH once all layers are stacked. LAYER is the number of the layer that a file comes from, 1\nfor the base. IMAGE may also be oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE or dir:DIR.',
  examples: [
    { text: 'All paths of an image', command: 'cairn image files alpine' },
    { text: 'Modes, owners and sizes below a directory', command: 'cairn image files -l alpine /etc' },
    {
      text: 'What the third layer brought',
      command: `cairn image files --format '{{.Layer}} {{.Path}}' app | grep '^3 '`,
    },
  ],
  args: { min: 1, max: 2 },
  flags: {
    format: listFormatFlag,
    long: { type: 'bool', short: 'l', summary: 'Show mode, owner, size, time and layer of each file' },
    platform: platformFlag,
  },
  complete: (ctx, _text, args) => (args.length === 0 ? imageNames(ctx) : []),
  async run(ctx, flags, [image = '', path = '/']) {
    using opened = await openImageFiles(
      await ctx.use(openStoreOf),
      image,
      platformOfFlag(flags.platform),
      registryAccessOf(ctx),
    )
    const rows = await listImageFiles(opened.files, path)
    const format = flags.format === '' && !flags.long ? '{{.Path}}' : flags.format
    ctx.stdout.write(renderListing(listing, rows, format))
  },
})

const listing: Listing<ListedFile> = {
  columns: {
    Path: { heading: 'PATH', value: ({ path }) => path },
    Name: {
      heading: 'PATH',
      value: ({ path, entry }) => (entry.type === 'symlink' ? `${path} -> ${entry.linkname}` : path),
    },
    Mode: { heading: 'MODE', value: ({ entry }) => formatMode(entry.type, entry.mode) },
    Type: { heading: 'TYPE', value: ({ entry }) => entry.type },
    Owner: { heading: 'OWNER', value: ({ entry }) => `${entry.uid}:${entry.gid}` },
    Size: { heading: 'SIZE', value: ({ entry }) => String(entry.size) },
    Modified: {
      heading: 'MODIFIED',
      value: ({ entry }) => new Date(entry.mtimeSeconds * 1000).toISOString().replace('.000', ''),
    },
    Target: { heading: 'TARGET', value: ({ entry }) => entry.linkname },
    Layer: { heading: 'LAYER', value: ({ layer }) => String(layer) },
  },
  shown: ['Mode', 'Owner', 'Size', 'Modified', 'Layer', 'Name'],
}
