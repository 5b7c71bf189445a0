import { defineCommand } from '../command.ts'
import { version } from '../version.ts'

/** The release of buildx whose commands and flags Cairn has: scripts and actions decide by it which flags they give. */
const buildxVersion = '0.29.1'

export default defineCommand({
  usage: '',
  description: "Prints the version of buildx that these commands follow, and Cairn's own.",
  examples: [{ text: 'Which flags there are', command: 'cairn buildx version' }],
  args: { max: 0 },
  flags: {},
  output: 'collected',
  run(ctx) {
    ctx.stdout.write(`github.com/docker/buildx v${buildxVersion} cairn-${version}\n`)
    return Promise.resolve()
  },
})
