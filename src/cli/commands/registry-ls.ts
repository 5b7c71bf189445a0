import { listRemoteRepositories } from '../../engine/registry/list-remote.ts'
import { defineCommand } from '../command.ts'
import { printNames } from '../print-names.ts'
import { registryAccessOf } from '../registry-access.ts'

export default defineCommand({
  usage: '[OPTIONS] REGISTRY',
  description:
    'Lists the repositories in the catalog of a registry as they come. Many public registries show their catalog to nobody.',
  examples: [{ text: 'Repositories of one team', command: "cairn registry ls --filter 'team/*' registry.example.com" }],
  args: { min: 1, max: 1 },
  flags: {
    filter: { type: 'stringArray', short: 'f', value: 'pattern', summary: 'Only names that fit a GLOB or /REGEX/' },
    exclude: { type: 'stringArray', value: 'pattern', summary: 'No names that fit a GLOB or /REGEX/' },
    format: { type: 'string', default: '', summary: 'Format each name: "json", or a Go template' },
    limit: { type: 'int', default: 0, summary: 'At most so many names' },
  },
  complete: () => [],
  async run(ctx, flags, [registry = '']) {
    const names = listRemoteRepositories(registry, registryAccessOf(ctx), {
      include: flags.filter,
      exclude: flags.exclude,
    })
    await printNames(ctx, names, { field: 'Repository', limit: flags.limit, format: flags.format })
  },
})
