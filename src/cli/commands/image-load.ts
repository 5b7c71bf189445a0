import { recover } from '../../content/recovery.ts'
import { usageError } from '../../errors/error.ts'
import { loadImages } from '../../images/archives/load-images.ts'
import { familiarString, parseNormalizedReference } from '../../oci/reference.ts'
import { defineCommand } from '../command.ts'
import { openStoreOf } from '../open-store.ts'
import { checkedPlatformOfFlag } from '../platform-flag.ts'

export default defineCommand({
  usage: '[OPTIONS]',
  description:
    'Reads what "docker save" of any age, podman, skopeo and Cairn write, plain or compressed with gzip, bzip2, xz or\nzstd. Everything is verified before any image appears.',
  examples: [
    { text: 'From a file', command: 'cairn load -i app.tar' },
    { text: 'From a pipe', command: 'docker save app:1 | cairn load' },
  ],
  args: { max: 0 },
  flags: {
    input: {
      type: 'string',
      short: 'i',
      default: '',
      summary: 'Read from tar archive file, instead of STDIN',
      complete: 'file',
    },
    platform: {
      type: 'string',
      summary: 'Load only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
    },
    quiet: { type: 'bool', short: 'q', summary: 'Suppress the load output' },
  },
  async run(ctx, flags) {
    const platform = checkedPlatformOfFlag(flags.platform)
    if (flags.input === '' && ctx.stdin.isTTY)
      throw usageError('requested load from stdin, but stdin is empty', {
        hint: 'Give an archive with -i, or pipe one in.',
      })
    const store = await ctx.use(openStoreOf)
    recover(store)
    const source = flags.input === '' ? ctx.stdin.bytes() : flags.input
    const images = await loadImages(store, source, {
      name: flags.input === '' ? 'standard input' : flags.input,
      platform,
    })
    for (const { imageId, references, moved } of images) {
      for (const { name, digest } of moved)
        ctx.stdout.write(
          `The image ${familiarString(parseNormalizedReference(name))} already exists, renaming the old one with ID ${digest} to empty string\n`,
        )
      for (const reference of references) ctx.stdout.write(`Loaded image: ${familiarString(reference)}\n`)
      if (references.length === 0) ctx.stdout.write(`Loaded image ID: ${imageId}\n`)
    }
  },
})
