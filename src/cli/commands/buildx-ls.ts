import { type Builder, builderName, describeBuilder } from '../build/one-builder.ts'
import { defineCommand } from '../command.ts'
import { listFormatFlag } from '../format-flag.ts'
import { type Listing, renderListing } from '../printer.ts'

export default defineCommand({
  usage: '[OPTIONS]',
  description: 'Cairn builds in the process that is called: there is one builder, and every name means it.',
  examples: [{ text: 'What can be built for here', command: "cairn buildx ls --format '{{.Platforms}}'" }],
  args: { max: 0 },
  flags: {
    format: listFormatFlag,
    'no-trunc': { type: 'bool', summary: "Don't truncate output; it never is" },
  },
  output: 'collected',
  run(ctx, flags) {
    ctx.stdout.write(renderListing(listing, [describeBuilder(ctx)], flags.format))
    return Promise.resolve()
  },
})

const listing: Listing<Builder> = {
  columns: {
    Name: { heading: 'NAME/NODE', value: () => `${builderName}*` },
    DriverEndpoint: { heading: 'DRIVER/ENDPOINT', value: ({ driver }) => driver },
    Status: { heading: 'STATUS', value: ({ status }) => status },
    Buildkit: { heading: 'BUILDKIT', value: ({ version }) => version },
    Platforms: { heading: 'PLATFORMS', value: ({ platforms }) => platforms.join(', ') },
  },
  shown: ['Name', 'DriverEndpoint', 'Status', 'Buildkit', 'Platforms'],
  json: ({ driver, endpoint, status, version, platforms }) => ({
    Current: true,
    Driver: driver,
    Dynamic: false,
    Name: builderName,
    Nodes: [{ Endpoint: endpoint, Name: builderName, Platforms: platforms, Status: status, Version: version }],
  }),
}
