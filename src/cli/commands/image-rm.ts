import { removeImages } from '../../engine/images/remove-images.ts'
import { parsePlatform } from '../../oci/platform.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreToFree } from '../open-store.ts'

export default defineCommand({
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  description:
    'A name takes only that name away; the image goes with its last one. An ID removes the image with all its names.\nDisk space is freed at once, except for what other images and the build cache share.',
  examples: [
    { text: 'Take one name away', command: 'cairn rmi app:old' },
    { text: 'Remove an image with all its names', command: 'cairn rmi -f 1f2e3d4c5b6a' },
  ],
  args: { min: 1 },
  flags: {
    force: { type: 'bool', short: 'f', summary: 'Force removal of the image' },
    platform: {
      type: 'stringSlice',
      summary: 'Remove only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
    },
    'no-prune': { type: 'bool', summary: 'Keep what only this image needed on disk until the next prune' },
  },
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, names) {
    const failures = await removeImages(await ctx.use(openStoreToFree), names, {
      force: flags.force,
      keepContent: flags['no-prune'],
      platforms: flags.platform.map(parsePlatform),
      signal: ctx.signal,
      onRemoval: (removal) =>
        ctx.stdout.write('untagged' in removal ? `Untagged: ${removal.untagged}\n` : `Deleted: ${removal.deleted}\n`),
    })
    for (const { error } of failures) {
      ctx.stderr.write(`cairn: ${error.message}\n`)
      if (error.hint !== undefined) ctx.stderr.write(`${error.hint}\n`)
    }
    return failures.some(({ isIgnored }) => !isIgnored) ? 1 : 0
  },
})
