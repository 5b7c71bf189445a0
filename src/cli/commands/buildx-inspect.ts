import { builderFlag, builderName, describeBuilder } from '../build/one-builder.ts'
import { defineCommand } from '../command.ts'

export default defineCommand({
  usage: '[NAME]',
  description: 'Cairn builds in the process that is called: there is one builder, and every name means it.',
  examples: [{ text: 'As scripts have it', command: 'cairn buildx inspect --bootstrap' }],
  args: { max: 1 },
  flags: {
    bootstrap: { type: 'bool', summary: 'Ensure builder has booted before inspecting; nothing has to be' },
    builder: builderFlag,
  },
  output: 'collected',
  run(ctx, flags, [name = flags.builder ?? builderName]) {
    const { driver, endpoint, status, version, platforms } = describeBuilder(ctx)
    ctx.stdout.write(
      [
        `Name:   ${name}\nDriver: ${driver}\n\nNodes:`,
        `Name:             ${name}`,
        `Endpoint:         ${endpoint}`,
        `Status:           ${status}`,
        `Cairn version:    ${version}`,
        `Platforms:        ${platforms.join(', ')}\n`,
      ].join('\n'),
    )
    return Promise.resolve()
  },
})
