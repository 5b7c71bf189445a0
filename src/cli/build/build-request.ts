import { parseAttestations } from '../../attest/attestation-settings.ts'
import { parseGoBool } from '../../dockerfile/go-bool.ts'
import type { BuildOptions } from '../../engine/build/build.ts'
import { parseAgents } from '../../engine/build/build-agents.ts'
import { parseEntitlements } from '../../engine/build/build-devices.ts'
import { parseSecrets } from '../../engine/build/build-secrets.ts'
import { isIndexWanted } from '../../engine/build/index-wanted.ts'
import { parseNamedContexts } from '../../engine/build/named-context-flags.ts'
import { CairnError, isCairnError, usageError } from '../../errors/error.ts'
import { formatPlatform, hostPlatform, parsePlatform, type Platform } from '../../oci/platform.ts'
import { parseReference, type Reference, withDefaultTag } from '../../oci/reference.ts'
import type { BuildOutput } from '../../outputs/output.ts'
import { type OutputOptions, parseAnnotations, parseOutputs } from '../../outputs/parse-output.ts'
import { type CacheExport, parseCacheExports, parseCacheImports } from '../../remote-cache/cache-options.ts'
import { SourceLock } from '../../remote/source-lock.ts'
import { parseDisplayMode } from '../../progress/create-display.ts'
import type { DisplayMode } from '../../progress/display.ts'
import type { buildFlags } from './build-flags.ts'
import type { CommandContext } from '../context.ts'
import type { FlagValues } from '../flags.ts'
import { parseExtraHost } from '../containers/host-addresses.ts'
import { keyValues } from '../key-values.ts'
import { parseUlimits } from '../containers/ulimit-flags.ts'
import { version } from '../version.ts'

/** What the flags of `build` read as. */
export type BuildFlagValues = FlagValues<typeof buildFlags>

/** What the command line asks for, without what has to be read for it. */
export interface BuildRequest extends Omit<
  BuildOptions,
  'dockerfile' | 'context' | 'contextTime' | 'definition' | 'run' | 'progress' | 'signal'
> {
  readonly run: Omit<BuildOptions['run'], 'packLayer' | 'readOutput'>
}

/** What the command line asks for of `context`. Texts of errors are docker's. Throws USAGE, REFERENCE_INVALID, NOT_SUPPORTED. */
export async function parseBuildRequest(
  ctx: CommandContext,
  flags: BuildFlagValues,
  context: string,
): Promise<BuildRequest> {
  const attesting = parseAttestations(flags)
  const told = flags['metadata-file'] === undefined ? undefined : metadataProvenance(ctx.env)
  const opened = await openLock(flags)
  const lock = opened ?? (attesting === undefined && told === undefined ? undefined : SourceLock.unlocked())
  const run = await runSettings(ctx, flags)
  const outputs = buildOutputs(ctx, flags, attesting?.store === 'index')
  const cacheTo = parseCacheExports(flags['cache-to'], ctx)
  refuseInlineStargz(outputs, cacheTo)
  return {
    tags: flags.tag.map(parseTag),
    outputs,
    env: ctx.env,
    target: flags.target,
    allStages: flags['all-stages'],
    squash: flags.squash,
    buildArgs: buildArguments(flags['build-arg'], ctx.env),
    labels: keyValues(flags.label, 'label'),
    timestamps: timestampsOf(ctx, flags),
    platforms: targetPlatforms(ctx, flags),
    buildPlatform: hostPlatform(),
    network: flags.network,
    allow: parseEntitlements(flags.allow),
    isPullForced: flags.pull,
    failOnMiss: flags['fail-on-miss'],
    cacheFrom: parseCacheImports(flags['cache-from'], ctx),
    cacheTo,
    noCache: flags['no-cache'],
    noCacheFilter: new Set(flags['no-cache-filter'].map((name) => name.toLowerCase())),
    extraHosts: flags['add-host'].flatMap(parseExtraHost),
    lock,
    attestations:
      lock === undefined
        ? undefined
        : { settings: attesting, told, context, cwd: ctx.cwd, sources: lock, toolVersion: version },
    namedContexts: parseNamedContexts(flags['build-context'], ctx.cwd),
    run,
  }
}

/** An inline cache names the layers of its image by their diff IDs, which as eStargz are others. */
function refuseInlineStargz(outputs: readonly BuildOutput[], cacheTo: readonly CacheExport[]): void {
  const isStargz = outputs.some((output) => 'form' in output && output.form.compression === 'estargz')
  if (isStargz && cacheTo.some(({ place }) => place === undefined))
    throw new CairnError('NOT_SUPPORTED', '--cache-to type=inline cannot be in an image with compression=estargz', {
      exitCode: 1,
      hint: 'Write the cache to a place of its own, as type=registry.',
    })
}

async function openLock(flags: BuildFlagValues): Promise<SourceLock | undefined> {
  const { lock, 'update-lock': update } = flags
  if (lock !== undefined) return await SourceLock.open(lock, { update })
  if (update) throw usageError('--update-lock needs a lock file', { hint: 'Name it with --lock FILE.' })
  return undefined
}

/** `--output`, with what `--push` and `--load` stand for as buildx has it. */
function buildOutputs(ctx: CommandContext, flags: BuildFlagValues, isAttested: boolean): readonly BuildOutput[] {
  const options = outputOptions(ctx, flags, isAttested)
  const outputs = parseOutputs(flags.output, options)
  const pushed = outputs.map((output) => (flags.push && output.kind === 'image' ? { ...output, push: true } : output))
  const isImage = outputs.some(({ kind }) => kind === 'image')
  const isWanted = flags.push || flags.load || (outputs.length === 0 && flags.annotation.length > 0)
  const implied = isImage || !isWanted ? [] : parseOutputs([flags.push ? 'type=registry' : 'type=image'], options)
  const all = [...pushed, ...implied]
  if (
    all.some((output) => output.kind === 'image' && output.push && flags.tag.length === 0 && output.names === undefined)
  )
    throw usageError('tag is needed when pushing to registry', { hint: 'Name the image with -t.' })
  return all
}

function outputOptions(ctx: CommandContext, flags: BuildFlagValues, isAttested: boolean): OutputOptions {
  const buildArgs = buildArguments(flags['build-arg'], ctx.env)
  const isIndex = isIndexWanted(targetPlatforms(ctx, flags).length, buildArgs) || isAttested
  return {
    isIndex,
    cwd: ctx.cwd,
    isTerminal: ctx.stdout.isTTY,
    annotations: parseAnnotations(flags.annotation, isIndex),
    allowsDelete: flags.allow.includes('buildx.local.delete'),
  }
}

/** How much provenance `--metadata-file` tells: BUILDX_METADATA_PROVENANCE, as buildx reads it. */
function metadataProvenance(env: CommandContext['env']): 'min' | 'max' | undefined {
  const given = env['BUILDX_METADATA_PROVENANCE'] ?? ''
  if (given === 'disabled' || parseGoBool(given) === false) return undefined
  return given === 'max' ? 'max' : 'min'
}

/** How progress is shown: `--quiet`, `--progress`, else BUILDKIT_PROGRESS. Throws USAGE. */
export function displayMode(ctx: CommandContext, flags: Pick<BuildFlagValues, 'quiet' | 'progress'>): DisplayMode {
  if (!flags.quiet) return parseDisplayMode(flags.progress ?? ctx.env['BUILDKIT_PROGRESS'] ?? '')
  const { progress = '' } = flags
  if (!['', 'auto', 'none', 'quiet'].includes(progress))
    throw usageError(`progress=${progress} and quiet cannot be used together`)
  return 'quiet'
}

function parseTag(text: string): Reference {
  try {
    const reference = parseReference(text)
    if (reference.digest !== undefined) throw new CairnError('REFERENCE_INVALID', 'cannot tag with a digest')
    return withDefaultTag(reference)
  } catch (error) {
    if (!isCairnError(error)) throw error
    throw new CairnError(
      'REFERENCE_INVALID',
      `failed to build: invalid tag ${JSON.stringify(text)}: ${error.message}`,
      { cause: error },
    )
  }
}

/** The platforms of `--platform`, else of DOCKER_DEFAULT_PLATFORM, each once. Throws PLATFORM_INVALID. */
function targetPlatforms({ env }: CommandContext, flags: Pick<BuildFlagValues, 'platform'>): Platform[] {
  const texts = flags.platform.length > 0 ? flags.platform : (env['DOCKER_DEFAULT_PLATFORM'] ?? '').split(',')
  const platforms = texts.filter((text) => text !== '').map(parsePlatform)
  return [...new Map(platforms.map((platform) => [formatPlatform(platform), platform])).values()]
}

/** `--timestamps`, else CAIRN_TIMESTAMPS. Throws USAGE. */
function timestampsOf(ctx: CommandContext, flags: BuildFlagValues): 'fixed' | 'real' | undefined {
  if (flags.timestamps !== undefined) return flags.timestamps
  const given = ctx.env['CAIRN_TIMESTAMPS'] ?? ''
  if (given === '' || given === 'fixed' || given === 'real') return given === '' ? undefined : given
  throw usageError(`CAIRN_TIMESTAMPS is ${JSON.stringify(given)}; it can be "fixed" or "real"`)
}

/** `KEY=value`, or `KEY` with the value of that name in the environment, if there is one; SOURCE_DATE_EPOCH comes by itself. */
function buildArguments(given: readonly string[], env: CommandContext['env']): Map<string, string> {
  const values = new Map<string, string>()
  const epoch = env['SOURCE_DATE_EPOCH']
  if (epoch !== undefined) values.set('SOURCE_DATE_EPOCH', epoch)
  for (const item of given) {
    const equals = item.indexOf('=')
    const name = equals < 0 ? item : item.slice(0, equals)
    if (name === '') throw usageError(`invalid build-arg ${JSON.stringify(item)}: it has no name`)
    const value = equals < 0 ? env[name] : item.slice(equals + 1)
    if (value !== undefined) values.set(name, value)
  }
  return values
}

async function runSettings(ctx: CommandContext, flags: BuildFlagValues): Promise<BuildRequest['run']> {
  const parent = flags['cgroup-parent'] ?? ''
  if (parent.endsWith(':'))
    throw new CairnError('NOT_SUPPORTED', `--cgroup-parent ${parent}: slices of systemd are not supported`, {
      hint: 'Give a path below /sys/fs/cgroup.',
    })
  return {
    secrets: parseSecrets(flags.secret, ctx.env, ctx.cwd),
    agents: await parseAgents(flags.ssh, ctx.env, ctx.cwd),
    shmSize: flags['shm-size'],
    ...(flags.ulimit.length === 0 ? {} : { rlimits: parseUlimits(flags.ulimit) }),
    ...(parent === '' ? {} : { cgroupParent: parent }),
  }
}
