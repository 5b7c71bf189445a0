import { listRemoteTags } from '../../engine/registry/list-remote.ts'
import { CairnError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { printNames } from '../print-names.ts'
import { registryAccessOf } from '../registry-access.ts'

export default defineCommand({
  usage: '[OPTIONS] REPOSITORY',
  description: 'Lists the tags of a repository as they come; with --sort once all are known.',
  examples: [
    {
      text: 'Versions of a range, the highest first',
      command: "cairn registry tags --version '>=1.2 <2' --sort -version app",
    },
    { text: 'The ten highest versions', command: 'cairn registry tags --sort -version --limit 10 app' },
  ],
  args: { min: 1, max: 1 },
  flags: {
    filter: { type: 'stringArray', short: 'f', value: 'pattern', summary: 'Only tags that fit a GLOB or /REGEX/' },
    exclude: { type: 'stringArray', value: 'pattern', summary: 'No tags that fit a GLOB or /REGEX/' },
    format: { type: 'string', default: '', summary: 'Format each tag: "json", or a Go template' },
    limit: { type: 'int', default: 0, summary: 'At most so many tags' },
    sort: {
      type: 'string',
      default: '',
      oneOf: ['', 'name', '-name', 'version', '-version'],
      summary: 'Order: "name", "version", or with "-" before it the other way round',
    },
    version: { type: 'string', value: 'range', summary: 'Only versions in a range: ">=1.2 <2", "^1", "1.x"' },
  },
  complete: () => [],
  async run(ctx, flags, [repository = '']) {
    if (flags.limit < 0) throw new CairnError('USAGE', '--limit is below zero')
    const tags = listRemoteTags(repository, registryAccessOf(ctx), {
      include: flags.filter,
      exclude: flags.exclude,
      version: flags.version,
      order: flags.sort,
    })
    await printNames(ctx, tags, { field: 'Tag', limit: flags.limit, format: flags.format })
  },
})
