import { formatEpoch, parseEpoch } from '../../build/epoch.ts'
import { commitContainer } from '../../engine/containers/commit-container.ts'
import { packUpper } from '../../layers/pack/pack-upper.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../containers/container-names.ts'
import { changeFlags, newImageName } from '../images/made-image-flags.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: '[OPTIONS] CONTAINER [REPOSITORY[:TAG]]',
  description:
    'What the container wrote becomes a layer on top of its image; what is mounted into it does not. An image from a\nDockerfile can be made again, one from a container cannot.',
  examples: [
    { text: 'Keep what was tried out', command: 'cairn commit -m "with curl" shell debian:curl' },
    { text: 'With another command', command: `cairn commit -c 'CMD ["nginx"]' web app:1` },
  ],
  args: { min: 1, max: 2 },
  flags: {
    author: {
      type: 'string',
      short: 'a',
      default: '',
      summary: 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")',
    },
    ...changeFlags,
    message: { type: 'string', short: 'm', default: '', summary: 'Commit message' },
    pause: { type: 'bool', short: 'p', default: true, summary: 'Pause container during commit' },
  },
  complete: (ctx, _text, args) => (args.length === 0 ? containerNames(ctx) : []),
  async run(ctx, flags, [container = '', name]) {
    const reference =
      name === undefined ? undefined : newImageName(name, 'refusing to create a tag with a digest reference')
    const epoch = parseEpoch(ctx.env['SOURCE_DATE_EPOCH'])
    const image = await commitContainer(await ctx.use(openStoreOf), container, {
      reference,
      author: flags.author,
      message: flags.message,
      changes: flags.change,
      pause: flags.pause,
      created: epoch === undefined ? new Date().toISOString() : formatEpoch(epoch),
      epoch,
      packLayer: (job) => Promise.resolve(packUpper(job)),
      signal: ctx.signal,
    })
    ctx.stdout.write(`${image.imageId}\n`)
  },
})
