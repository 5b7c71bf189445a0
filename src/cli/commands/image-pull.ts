import { pullAllTags, pullImage } from '../../engine/images/pull-image.ts'
import { usageError } from '../../errors/error.ts'
import { formatReference, parseReference, pinned } from '../../oci/reference.ts'
import { createTransferDisplay } from '../../progress/transfer-display.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { platformOfFlag, withDefaultPlatform } from '../platform-flag.ts'
import { registryAccessOf } from '../registry-access.ts'

export default defineCommand({
  usage: '[OPTIONS] NAME[:TAG|@DIGEST]',
  description:
    'Layers are verified and unpacked while they arrive. A pull that was interrupted goes on where it was when it is\nrepeated. Mirrors, blocked and insecure registries are those of registries.conf; see docs/registries.md.',
  examples: [
    { text: 'The image for this machine', command: 'cairn pull alpine:3.20' },
    { text: 'One that cannot change', command: 'cairn pull ghcr.io/me/app@sha256:…' },
    { text: 'For another platform', command: 'cairn pull --platform linux/arm64 alpine' },
    { text: 'With all its platforms, as to copy it elsewhere', command: 'cairn pull --all-platforms alpine' },
  ],
  args: { min: 1, max: 1 },
  flags: {
    'all-platforms': { type: 'bool', summary: 'Pull the images of all platforms' },
    'all-tags': { type: 'bool', short: 'a', summary: 'Download all tagged images in the repository' },
    'disable-content-trust': {
      type: 'bool',
      default: true,
      hidden: true,
      summary: 'Skip image verification; there is none',
    },
    platform: { type: 'string', value: 'string', summary: 'Set platform if server is multi-platform capable' },
    quiet: { type: 'bool', short: 'q', summary: 'Suppress verbose output' },
  },
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, [name = '']) {
    const reference = parseReference(name)
    if (flags['all-tags'] && (reference.tag !== undefined || reference.digest !== undefined))
      throw usageError("tag can't be used with --all-tags/-a")
    if (platformOfFlag(flags.platform) !== undefined && flags['all-platforms'])
      throw usageError('conflicting options: --platform and --all-platforms')
    const store = await ctx.use(openStoreOf)
    const display = createTransferDisplay(ctx.stdout, { isQuiet: flags.quiet, env: ctx.env })
    const options = {
      access: registryAccessOf(ctx),
      platform: flags['all-platforms'] ? undefined : platformOfFlag(withDefaultPlatform(ctx.env, flags.platform)),
      isComplete: flags['all-platforms'],
      startWorker: ctx.startWorker,
      listener: (event: Parameters<typeof display.handle>[0]) => display.handle(event),
    }
    try {
      if (flags['all-tags']) {
        await pullAllTags(store, reference, options)
        return
      }
      const isDefault = reference.tag === undefined && reference.digest === undefined
      if (isDefault) display.handle({ id: undefined, text: 'Using default tag: latest' })
      await pullImage(store, reference, options)
      display.finish()
      ctx.stdout.write(`${formatReference(pinned(reference))}\n`)
    } finally {
      display.finish()
    }
  },
})
