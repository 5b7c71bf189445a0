import { exportContainer } from '../../engine/export-container.ts'
import { CairnError } from '../../errors/error.ts'
import { openFileSink } from '../../linux/file-sink.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../container-names.ts'
import { openStoreOf } from '../open-store.ts'
import { checkOutputPath } from '../output-path.ts'

export default defineCommand({
  usage: '[OPTIONS] CONTAINER',
  description: 'The archive is a tar of all files of the container, without what is mounted into it.',
  examples: [
    { text: 'To a file', command: 'cairn export -o rootfs.tar web' },
    { text: 'One file of it', command: 'cairn export web | tar -xO etc/nginx/nginx.conf' },
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
  complete: (ctx) => containerNames(ctx),
  async run(ctx, flags, [container = '']) {
    if (flags.output === '' && ctx.stdout.isTTY)
      throw new CairnError('USAGE', 'cowardly refusing to save to a terminal. Use the -o flag or redirect', {
        exitCode: 1,
      })
    if (flags.output !== '') checkOutputPath(flags.output, 'failed to export container')
    const store = await ctx.use(openStoreOf)
    if (flags.output === '') return await exportContainer(store, container, (bytes) => ctx.stdout.write(bytes))
    using file = openFileSink(flags.output)
    await exportContainer(store, container, (bytes) => file.write(bytes))
    file.commit()
  },
})
