import { exportCacheMount } from '../../engine/build/transfer-cache-mount.ts'
import { openFileSink } from '../../linux/file-sink.ts'
import { cacheMountIds } from '../build/cache-names.ts'
import { defineCommand } from '../command.ts'
import { openStoreOf } from '../open-store.ts'
import { outputFlag, refuseTerminal } from '../output-path.ts'

export default defineCommand({
  usage: '[OPTIONS] CACHE',
  description:
    'Writes a cache mount as a tar; the same files give the same bytes. CACHE is its id, or its name where several have\nthe id.',
  examples: [
    { text: 'Keep a cache between runs of a CI job', command: 'cairn cache export /root/.npm | zstd > npm.tar.zst' },
  ],
  args: { min: 1, max: 1 },
  flags: {
    output: outputFlag,
  },
  complete: (ctx) => cacheMountIds(ctx),
  async run(ctx, flags, [text = '']) {
    refuseTerminal(ctx, flags.output, 'cowardly refusing to export to a terminal. Use the -o option or redirect')
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
