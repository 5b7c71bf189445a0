import { pushAllTags, pushImage } from '../../engine/images/push-image.ts'
import { usageError } from '../../errors/error.ts'
import { formatReference, parseReference, withDefaultTag } from '../../oci/reference.ts'
import { createTransferDisplay } from '../../progress/transfer-display.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { platformOfFlag } from '../platform-flag.ts'
import { registryAccessOf } from '../registry-access.ts'

export default defineCommand({
  usage: '[OPTIONS] NAME[:TAG]',
  description:
    'What the registry has already, in this or another of its repositories, is not sent. Layers of images that were built\nhere are compressed on the way, the same layer always to the same bytes. A push that was interrupted goes on where it\nwas when it is repeated.',
  examples: [
    { text: 'An image with its tag', command: 'cairn push registry.example.com/app:1' },
    {
      text: 'Smaller and faster, for registries and runtimes that know zstd',
      command: 'cairn push --compression zstd registry.example.com/app:1',
    },
    {
      text: 'So that others who pull the next version fetch only the files that changed',
      command: 'cairn push --compression zstd:chunked registry.example.com/app:1',
    },
    {
      text: 'For nodes that start containers before their images are there (stargz snapshotter)',
      command: 'cairn push --compression estargz registry.example.com/app:1',
    },
    { text: 'One platform of several', command: 'cairn push --platform linux/arm64 registry.example.com/app:1' },
  ],
  args: { min: 1, max: 1 },
  flags: {
    'all-tags': { type: 'bool', short: 'a', summary: 'Push all tags of an image to the repository' },
    compression: {
      type: 'string',
      default: 'gzip',
      oneOf: ['gzip', 'estargz', 'zstd', 'zstd:chunked', 'none'],
      summary: 'How layers are compressed that are not: "gzip", "estargz", "zstd", "zstd:chunked" or "none"',
    },
    'compression-level': {
      type: 'int',
      summary: 'Level of the compression: gzip 0 to 12 (default 2), zstd 0 to 22 (default 2)',
    },
    'disable-content-trust': {
      type: 'bool',
      default: true,
      hidden: true,
      summary: 'Skip image signing; there is none',
    },
    platform: {
      type: 'string',
      value: 'string',
      summary:
        'Push a platform-specific manifest as a single-platform image. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
    },
    quiet: { type: 'bool', short: 'q', summary: 'Suppress verbose output' },
  },
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, [name = '']) {
    const reference = parseReference(name)
    if (flags['all-tags'] && (reference.tag !== undefined || reference.digest !== undefined))
      throw usageError("tag can't be used with --all-tags/-a")
    const store = await ctx.use(openStoreOf)
    const display = createTransferDisplay(ctx.stdout, { isQuiet: flags.quiet, env: ctx.env })
    const level = flags['compression-level']
    const options = {
      access: registryAccessOf(ctx),
      platform: platformOfFlag(flags.platform),
      compression: compressionOf(flags.compression, level),
      startWorker: ctx.startWorker,
      listener: (event: Parameters<typeof display.handle>[0]) => display.handle(event),
    }
    try {
      if (flags['all-tags']) {
        await pushAllTags(store, reference, options)
        return
      }
      if (reference.tag === undefined && reference.digest === undefined)
        display.handle({ id: undefined, text: 'Using default tag: latest' })
      await pushImage(store, reference, options)
      display.finish()
      if (flags.quiet) ctx.stdout.write(`${formatReference(withDefaultTag(reference))}\n`)
    } finally {
      display.finish()
    }
  },
})

function compressionOf(
  name: 'gzip' | 'estargz' | 'zstd' | 'zstd:chunked' | 'none',
  level: number | undefined,
): Parameters<typeof pushImage>[2]['compression'] {
  if (name === 'none') return 'none'
  if (name === 'estargz') return { format: name, level }
  const isChunked = name === 'zstd:chunked'
  return { format: isChunked ? 'zstd' : name, isChunked, level }
}
