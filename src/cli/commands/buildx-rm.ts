import { builderFlag } from '../build/one-builder.ts'
import { defineCommand } from '../command.ts'

export default defineCommand({
  usage: '[OPTIONS] [NAME...]',
  description: 'Every name means the one builder that there is, which stays. "cairn builder prune" empties its cache.',
  examples: [{ text: 'As scripts have it', command: 'cairn buildx rm ci' }],
  args: {},
  flags: {
    'all-inactive': { type: 'bool', summary: 'Remove all inactive builders' },
    builder: builderFlag,
    force: { type: 'bool', short: 'f', summary: 'Do not prompt for confirmation' },
    'keep-daemon': { type: 'bool', summary: 'Keep the BuildKit daemon running' },
    'keep-state': { type: 'bool', summary: 'Keep BuildKit state' },
  },
  output: 'collected',
  run(ctx, { builder }, names) {
    const given = names.length > 0 || builder === undefined ? names : [builder]
    for (const name of given) ctx.stderr.write(`${name} removed\n`)
    return Promise.resolve()
  },
})
