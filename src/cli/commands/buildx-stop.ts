import { builderFlag } from '../build/one-builder.ts'
import { defineCommand } from '../command.ts'

export default defineCommand({
  usage: '[NAME]',
  description: 'Between builds nothing runs, so this changes nothing.',
  examples: [{ text: 'As scripts have it', command: 'cairn buildx stop ci' }],
  args: { max: 1 },
  flags: { builder: builderFlag },
  output: 'collected',
  run: () => Promise.resolve(),
})
