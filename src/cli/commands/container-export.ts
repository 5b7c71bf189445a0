import { exportContainer } from '../../engine/containers/export-container.ts'
import { openFileSink } from '../../linux/file-sink.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../containers/container-names.ts'
import { openStoreOf } from '../open-store.ts'
import { checkOutputPath, outputFlag, refuseTerminal } from '../output-path.ts'

export default defineCommand({
  usage: '[OPTIONS] CONTAINER',
  description: 'The archive is a tar of all files of the container, without what is mounted into it.',
  examples: [
    { text: 'To a file', command: 'cairn export -o rootfs.tar web' },
    { text: 'One file of it', command: 'cairn export web | tar -xO etc/nginx/nginx.conf' },
  ],
  args: { min: 1, max: 1 },
  flags: {
    output: outputFlag,
  },
  complete: (ctx) => containerNames(ctx),
  async run(ctx, flags, [container = '']) {
    refuseTerminal(ctx, flags.output, 'cowardly refusing to save to a terminal. Use the -o flag or redirect')
    if (flags.output !== '') checkOutputPath(flags.output, 'failed to export container')
    const store = await ctx.use(openStoreOf)
    if (flags.output === '') return await exportContainer(store, container, (bytes) => ctx.stdout.write(bytes))
    using file = openFileSink(flags.output)
    await exportContainer(store, container, (bytes) => file.write(bytes))
    file.commit()
  },
})
