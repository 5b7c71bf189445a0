import { exportCacheMount } from '../../engine/transfer-cache-mount.ts'
import { CairnError } from '../../errors/error.ts'
import { openFileSink } from '../../linux/file-sink.ts'
import { cacheMountIds } from '../cache-names.ts'
import { defineCommand } from '../command.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: '[OPTIONS] CACHE',
  description:
    'Writes a cache mount as a tar; the same files give the same bytes. CACHE is its id, or its name where several have\nthe id.',
  examples: [
    { text: 'Keep a cache between runs of a CI job', command: 'cairn cache export /root/.npm | zstd > npm.tar.zst' },
  ],
  args: { min: 1, max: 1 },
  flags: {
    output: {
      type: 'string',
      short: 'o',
      default: '',
      summary: 'Write to a file, instead of STDOUT',
      complete: 'file',
    },
  },
  complete: (ctx) => cacheMountIds(ctx),
  async run(ctx, flags, [text = '']) {
    if (flags.output === '' && ctx.stdout.isTTY)
      throw new CairnError('USAGE', 'cowardly refusing to export to a terminal. Use the -o option or redirect', {
        exitCode: 1,
      })
    const store = await ctx.use(openStoreOf)
    const onWait = (holder: string): void => ctx.stderr.write(`waiting for ${holder} to release the cache mount\n`)
    const options = { signal: ctx.signal, onWait }
    if (flags.output === '') {
      await exportCacheMount(store, text, (bytes) => ctx.stdout.write(bytes), options)
      return
    }
    using file = openFileSink(flags.output)
    await exportCacheMount(store, text, (bytes) => file.write(bytes), options)
    file.commit()
  },
})
