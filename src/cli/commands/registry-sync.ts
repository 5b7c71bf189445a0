import { parseSyncJobs, type SyncJob } from '../../engine/registry/sync-jobs.ts'
import { type SyncedImage, syncImages } from '../../engine/registry/sync-images.ts'
import { parseSyncPlace } from '../../engine/registry/sync-places.ts'
import { CairnError } from '../../errors/error.ts'
import { readTextFile } from '../../linux/text-file.ts'
import { defineCommand } from '../command.ts'
import { compileTemplate } from '../go-template/go-template.ts'
import { openStoreOf } from '../open-store.ts'
import { platformFlag, platformOfFlag } from '../platform-flag.ts'
import { registryAccessOf } from '../registry-access.ts'
import { formatByteSize } from '../units.ts'

export default defineCommand({
  usage: '[OPTIONS] SOURCE DESTINATION | --file FILE',
  description:
    'Brings images from registries and directories to others and keeps them up to date. Places are\n  docker://HOST                a registry, by its catalog\n  docker://NAME[:TAG|@DIGEST]  a repository, or one image\n  oci:DIR                      an OCI image layout, or one for each repository below DIR\n  dir:DIR                      plain files, DIR/REPOSITORY:TAG for each image, as skopeo has them\nAn image that is there already costs two HEADs, and what is there of others is not moved again: a synchronisation that broke off\ngoes on when it is repeated. The exit status is 1 where an image failed.',
  examples: [
    {
      text: 'Mirror the versions of a repository from 1.2 on',
      command: "cairn registry sync --version '>=1.2' docker://app docker://registry.example.com/mirror/app",
    },
    {
      text: 'Everything into files, and back elsewhere',
      command: 'cairn registry sync docker://localhost:5000 oci:backup',
    },
    { text: 'What a file says, first only to see', command: 'cairn registry sync --dry-run --file sync.yaml' },
  ],
  args: { max: 2 },
  flags: {
    'dry-run': { type: 'bool', summary: 'Only tell what would be copied' },
    exclude: { type: 'stringArray', value: 'pattern', summary: 'No tags that fit a GLOB or /REGEX/' },
    file: { type: 'string', value: 'file', complete: 'file', summary: 'Do what a YAML or TOML file says' },
    format: { type: 'string', default: '', summary: 'Format each image: "json", or a Go template' },
    jobs: { type: 'int', short: 'j', default: 3, summary: 'Images copied at once' },
    'keep-going': { type: 'bool', short: 'k', summary: 'Go on with the others where an image fails' },
    newest: { type: 'int', value: 'n', summary: 'Only so many tags of each repository, the highest versions' },
    platform: platformFlag,
    quiet: { type: 'bool', short: 'q', summary: 'Only tell of failures' },
    referrers: { type: 'bool', summary: 'Also copy what refers to images (signatures, SBOMs)' },
    repository: { type: 'stringArray', value: 'pattern', summary: 'Only repositories that fit a GLOB or /REGEX/' },
    tag: { type: 'stringArray', value: 'pattern', summary: 'Only tags that fit a GLOB or /REGEX/' },
    version: { type: 'string', value: 'range', summary: 'Only tags that are versions in a range: ">=1.2 <2", "^1"' },
  },
  complete: () => [],
  async run(ctx, flags, args) {
    const { file, format, quiet } = flags
    if ((file === undefined) !== (args.length === 2) || (file !== undefined && args.length > 0))
      throw new CairnError('USAGE', '"cairn registry sync" needs SOURCE and DESTINATION, or --file')
    if (flags.jobs < 1 || flags.jobs > 32) throw new CairnError('USAGE', '--jobs goes from 1 to 32')
    const jobs: readonly SyncJob[] =
      file === undefined
        ? [
            {
              source: parseSyncPlace(args[0] ?? ''),
              target: parseSyncPlace(args[1] ?? ''),
              repositories: flags.repository,
              tags: flags.tag,
              exclude: flags.exclude,
              version: flags.version,
              newest: flags.newest,
              platform: platformOfFlag(flags.platform),
              withReferrers: flags.referrers,
            },
          ]
        : parseSyncJobs(textOf(file), file)
    const template = format === '' || format === 'json' ? undefined : compileTemplate(format)
    const sums = { copied: 0, current: 0, failed: 0, bytes: 0 }
    const store = await ctx.use(openStoreOf)
    const synced = syncImages(store, jobs, {
      access: registryAccessOf(ctx),
      isDryRun: flags['dry-run'],
      keepsGoing: flags['keep-going'],
      concurrency: flags.jobs,
    })
    for await (const image of synced) {
      if (image.outcome === 'failed') sums.failed++
      else if (image.outcome === 'current') sums.current++
      else sums.copied++
      sums.bytes += image.bytes
      if (image.outcome === 'failed' && format !== 'json')
        ctx.stderr.write(`Error: ${image.source}: ${image.error?.message ?? ''}\n`)
      else if (format !== '') ctx.stdout.write(`${template?.render(row(image)) ?? JSON.stringify(row(image))}\n`)
      else if (!quiet) ctx.stdout.write(`${line(image)}\n`)
    }
    if (format === '' && !quiet) {
      const verb = flags['dry-run'] ? 'to be copied' : 'copied'
      ctx.stderr.write(
        `${sums.copied} ${verb}, ${sums.current} up to date, ${sums.failed} failed; ${formatByteSize(sums.bytes)} moved\n`,
      )
    }
    return sums.failed > 0 ? 1 : 0
  },
})

function textOf(file: string): string {
  const text = readTextFile(file)
  if (text === undefined) throw new CairnError('FILE_UNKNOWN', `${file}: there is no such file`)
  return text
}

function row({ source, target, outcome, digest, blobs, bytes, error }: SyncedImage): object {
  return {
    Source: source,
    Target: target,
    Outcome: outcome,
    Digest: digest ?? '',
    Blobs: blobs,
    Bytes: bytes,
    Error: error?.message ?? '',
  }
}

function line({ source, target, outcome, blobs, bytes }: SyncedImage): string {
  const names = `${source} -> ${target}`
  if (outcome === 'copied') return `Copied: ${names} (${blobs} blobs, ${formatByteSize(bytes)})`
  return outcome === 'current' ? `Up to date: ${names}` : `Would copy: ${names}`
}
