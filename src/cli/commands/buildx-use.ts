import { builderFlag } from '../build/one-builder.ts'
import { defineCommand } from '../command.ts'

export default defineCommand({
  usage: '[OPTIONS] NAME',
  description: 'Every name means the one builder that there is, so this changes nothing.',
  examples: [{ text: 'As scripts have it', command: 'cairn buildx use ci' }],
  args: { min: 1, max: 1 },
  flags: {
    builder: builderFlag,
    default: { type: 'bool', summary: 'Set builder as default for current context' },
    global: { type: 'bool', summary: 'Builder persists context changes' },
  },
  output: 'collected',
  run: () => Promise.resolve(),
})
