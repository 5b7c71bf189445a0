import { CairnError } from '../../errors/error.ts'
import { builderName } from '../build/one-builder.ts'
import { defineCommand } from '../command.ts'
import type { FlagDefinition } from '../flags.ts'

/** What is set elsewhere here, or not at all. */
const withoutEffect = { deprecated: 'it has no effect', summary: '' } as const satisfies Partial<FlagDefinition>

/** Drivers that build on this machine. */
const localDrivers: ReadonlySet<string> = new Set(['', 'docker', 'docker-container', 'cairn'])

export default defineCommand({
  usage: '[OPTIONS] [CONTEXT]',
  description: `Cairn builds in the process that is called: there is one builder, and every name means it. So this makes nothing, and prints
the name for scripts to use. A builder on another machine is refused.`,
  examples: [{ text: 'As scripts have it', command: 'cairn buildx create --name ci --driver docker-container --use' }],
  args: { max: 1 },
  flags: {
    append: { type: 'bool', summary: 'Append a node to builder instead of changing it' },
    bootstrap: { type: 'bool', summary: 'Boot builder after creation' },
    'buildkitd-config': { ...withoutEffect, type: 'string' },
    config: { ...withoutEffect, type: 'string' },
    'buildkitd-flags': { ...withoutEffect, type: 'string' },
    driver: { type: 'string', summary: 'Driver to use (available: "docker-container")' },
    'driver-opt': { ...withoutEffect, type: 'stringArray' },
    leave: { type: 'bool', summary: 'Remove a node from builder instead of changing it' },
    name: { type: 'string', summary: 'Builder instance name' },
    node: { type: 'string', summary: 'Create/modify node with given name' },
    platform: { type: 'stringArray', summary: 'Fixed platforms for current node' },
    use: { type: 'bool', summary: 'Set the current builder instance' },
  },
  output: 'collected',
  run(ctx, { driver = '', name = builderName }, [endpoint = builderName]) {
    const hint = 'Builds run here, also for other platforms: see cairn buildx ls.'
    if (!localDrivers.has(driver)) throw new CairnError('NOT_SUPPORTED', `there is no driver ${driver}`, { hint })
    if (endpoint !== builderName)
      throw new CairnError('NOT_SUPPORTED', `there are no builders at ${endpoint}`, { hint })
    ctx.stdout.write(`${name}\n`)
    return Promise.resolve()
  },
})
