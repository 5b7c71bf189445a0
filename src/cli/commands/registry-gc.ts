import { collectRegistryGarbage } from '../../engine/registry/collect-registry-garbage.ts'
import { defineCommand } from '../command.ts'
import { openStoreToFree } from '../open-store.ts'
import { readRegistryConfig } from '../read-registry-config.ts'
import { formatByteSize } from '../units.ts'

const day = 24 * 3_600_000

export default defineCommand({
  usage: '[OPTIONS]',
  description:
    'Removes uploads that nobody went on with and blobs that no manifest names, and with --untagged manifests that no tag, index or subject leads to. Servers and pushes may go on meanwhile. A server collects every hour by itself.',
  examples: [
    { text: 'What would go', command: 'cairn registry gc --dry-run --untagged 168h' },
    {
      text: 'Everything that nothing needs, while nobody pushes',
      command: 'cairn registry gc --grace 0s --untagged 0s',
    },
  ],
  args: { max: 0 },
  flags: {
    config: {
      type: 'string',
      value: 'file',
      complete: 'file',
      summary: "The server's configuration file, where it has a bucket or caches",
    },
    'dry-run': { type: 'bool', summary: 'Only show what would be removed' },
    grace: {
      type: 'duration',
      default: day,
      summary: 'Keep blobs that were pushed or asked for this recently; no push may take longer',
    },
    'upload-grace': {
      type: 'duration',
      default: day,
      summary: 'Keep uploads on which something happened this recently',
    },
    untagged: { type: 'duration', summary: 'Remove manifests without a tag that were pushed longer ago than this' },
    quiet: { type: 'bool', short: 'q', summary: 'Only show the space' },
  },
  async run(ctx, flags) {
    // --config is docker's folder everywhere else; here it is the registry's file.
    const config = await readRegistryConfig(flags.config)
    const store = await ctx.use(openStoreToFree)
    const place = { store, env: ctx.env }
    const { items, freed } = await collectRegistryGarbage(place, config, {
      isDryRun: flags['dry-run'],
      blobGrace: flags.grace,
      uploadGrace: flags['upload-grace'],
      untaggedGrace: flags.untagged,
      signal: ctx.signal,
    })
    for (const { kind, repository, name, size } of flags.quiet ? [] : items)
      ctx.stdout.write(`${kind}\t${repository}\t${name}\t${formatByteSize(size)}\n`)
    ctx.stdout.write(`Total ${flags['dry-run'] ? 'reclaimable' : 'reclaimed'} space: ${formatByteSize(freed)}\n`)
  },
})
