import { type BuildResult, build } from '../../engine/build.ts'
import { LayerThread } from '../../engine/layer-thread.ts'
import { loadBuildInputs } from '../../engine/build-inputs.ts'
import { DockerfileError } from '../../dockerfile/dockerfile-error.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import { StepError } from '../../build/step-error.ts'
import { hostPlatform, parsePlatform } from '../../oci/platform.ts'
import { formatReference, parseReference, type Reference, withDefaultTag } from '../../oci/reference.ts'
import { renderFailure, renderWarnings } from '../../progress/failure.ts'
import { createDisplay } from '../../progress/create-display.ts'
import type { DisplayMode } from '../../progress/display.ts'
import { parseSecrets } from '../../engine/build-secrets.ts'
import { defineCommand } from '../command.ts'
import type { CommandContext } from '../context.ts'
import { openStoreOf } from '../open-store.ts'
import { keyValues } from '../key-values.ts'
import { writeFileAtomic } from '../write-file.ts'

const progressModes = ['auto', 'tty', 'plain', 'quiet', 'rawjson'] as const

export default defineCommand({
  usage: '[OPTIONS] PATH | URL | -',
  description:
    'Builds an image from a Dockerfile. Every step that has to run says why; every other one is taken from the cache.',
  examples: [
    { text: 'Build the directory you are in and name the image', command: 'cairn build -t app .' },
    { text: 'Build one stage, with an argument', command: 'cairn build --target test --build-arg NODE_ENV=test .' },
    {
      text: 'A Dockerfile from stdin, without a context',
      command: "printf 'FROM busybox\\nRUN true\\n' | cairn build -",
    },
    { text: 'The same digest on every machine', command: 'SOURCE_DATE_EPOCH=0 cairn build -t app .' },
  ],
  args: { min: 1, max: 1 },
  flags: {
    'add-host': { type: 'stringArray', summary: 'Add a custom host-to-IP mapping (format: "host:ip")' },
    allow: { type: 'stringArray', summary: 'Allow extra privileged entitlement (e.g., "network.host")' },
    'build-arg': { type: 'stringArray', summary: 'Set build-time variables' },
    file: {
      type: 'string',
      short: 'f',
      complete: 'file',
      summary: 'Name of the Dockerfile (default: "PATH/Dockerfile")',
    },
    'force-rm': { type: 'bool', hidden: true, summary: 'Always remove intermediate containers; there are none' },
    iidfile: { type: 'string', complete: 'file', summary: 'Write the image ID to a file' },
    label: { type: 'stringArray', summary: 'Set metadata for an image' },
    load: { type: 'bool', summary: 'Keep the image in the store; always done' },
    'metadata-file': { type: 'string', complete: 'file', summary: 'Write build result metadata to a file' },
    network: {
      type: 'string',
      default: 'default',
      oneOf: ['default', 'none', 'host'],
      summary: 'Set the networking mode for the "RUN" instructions during build',
    },
    'no-cache': { type: 'bool', summary: 'Do not use cache when building the image' },
    'no-cache-filter': { type: 'stringSlice', summary: 'Do not cache specified stages' },
    platform: { type: 'stringSlice', summary: 'Set target platform for build' },
    progress: {
      type: 'string',
      oneOf: progressModes,
      summary:
        'Set type of progress output ("auto", "plain", "quiet", "rawjson", "tty"). Use plain to show container output (default "auto")',
    },
    provenance: { type: 'string', bare: 'true', hidden: true, summary: 'Attestations; only "false" is supported' },
    pull: { type: 'bool', summary: 'Always attempt to pull all referenced images' },
    quiet: { type: 'bool', short: 'q', summary: 'Suppress the build output and print image ID on success' },
    rm: { type: 'bool', default: true, hidden: true, summary: 'Remove intermediate containers; there are none' },
    sbom: { type: 'string', bare: 'true', hidden: true, summary: 'Attestations; only "false" is supported' },
    secret: {
      type: 'stringArray',
      summary: 'Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")',
    },
    'shm-size': { type: 'bytes', summary: 'Shared memory size for build containers' },
    tag: { type: 'stringArray', short: 't', summary: 'Image identifier (format: "[registry/]repository[:tag]")' },
    target: { type: 'string', summary: 'Set the target build stage to build' },
  },
  async run(ctx, flags, [path = '']) {
    const mode = displayMode(ctx, flags)
    const tags = flags.tag.map(parseTag)
    const platform = targetPlatform(flags.platform)
    refuseUnsupported(flags)
    const buildArgs = buildArguments(flags['build-arg'], ctx.env)
    const secrets = parseSecrets(flags.secret, ctx.env, ctx.cwd)
    const extraHosts = flags['add-host'].map(parseHost)
    const store = await ctx.use(openStoreOf)
    const thread = ctx.startWorker === undefined ? undefined : await ctx.use(openLayerThread)
    const display = createDisplay(mode, ctx.stderr, ctx.env)
    let result: BuildResult
    try {
      const progress = display.handle.bind(display)
      const { dockerfile, context } = await loadBuildInputs(store, {
        context: path,
        file: flags.file,
        cwd: ctx.cwd,
        stdin: () => ctx.stdin.bytes(),
        progress,
      })
      result = await build(store, {
        dockerfile,
        context,
        tags,
        target: flags.target,
        buildArgs,
        labels: keyValues(flags.label, 'label'),
        platform,
        buildPlatform: hostPlatform(),
        network: flags.network,
        allow: new Set(flags.allow),
        noCache: flags['no-cache'],
        noCacheFilter: new Set(flags['no-cache-filter'].map((name) => name.toLowerCase())),
        extraHosts,
        run: { secrets, shmSize: flags['shm-size'], packLayer: thread?.packLayer },
        progress,
        signal: ctx.signal,
      })
      display.finish()
    } catch (error) {
      display.finish()
      throw buildFailure(ctx, error, mode)
    }
    report(ctx, result, mode)
    if (flags.iidfile !== undefined) await writeFileAtomic(flags.iidfile, result.imageId)
    if (flags['metadata-file'] !== undefined) await writeFileAtomic(flags['metadata-file'], metadata(result, tags))
  },
})

function openLayerThread({ startWorker }: CommandContext): LayerThread {
  if (startWorker === undefined) throw new Error('there is no layer thread')
  return new LayerThread(startWorker)
}

function displayMode(ctx: CommandContext, flags: { quiet: boolean; progress: string | undefined }): DisplayMode {
  const wanted = flags.progress ?? ctx.env['BUILDKIT_PROGRESS']
  if (flags.quiet) {
    if (flags.progress !== undefined && flags.progress !== 'quiet' && flags.progress !== 'auto')
      throw new CairnError('USAGE', `progress=${flags.progress} and quiet cannot be used together`, { exitCode: 1 })
    return 'quiet'
  }
  return progressModes.find((mode) => mode === wanted) ?? 'auto'
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

function targetPlatform(platforms: readonly string[]): ReturnType<typeof parsePlatform> | undefined {
  if (platforms.length > 1)
    throw new CairnError('NOT_SUPPORTED', 'building for several platforms at once is not supported yet', {
      hint: 'Build once for each platform.',
    })
  return platforms[0] === undefined ? undefined : parsePlatform(platforms[0])
}

function refuseUnsupported(flags: { pull: boolean; provenance: string | undefined; sbom: string | undefined }): void {
  if (flags.pull)
    throw new CairnError('NOT_SUPPORTED', 'build --pull: pulling from a registry is not supported yet', {
      hint: 'Leave --pull off to use the base images in the store.',
    })
  for (const name of ['provenance', 'sbom'] as const)
    if (flags[name] !== undefined && flags[name] !== 'false')
      throw new CairnError('NOT_SUPPORTED', `build --${name}=${flags[name]} is not supported yet`)
}

/** `KEY=value`, or `KEY` with the value of that name in the environment, if there is one; SOURCE_DATE_EPOCH comes by itself. */
function buildArguments(given: readonly string[], env: CommandContext['env']): Map<string, string> {
  const values = new Map<string, string>()
  const epoch = env['SOURCE_DATE_EPOCH']
  if (epoch !== undefined) values.set('SOURCE_DATE_EPOCH', epoch)
  for (const item of given) {
    const equals = item.indexOf('=')
    const name = equals < 0 ? item : item.slice(0, equals)
    if (name === '')
      throw new CairnError('USAGE', `invalid build-arg ${JSON.stringify(item)}: it has no name`, { exitCode: 1 })
    const value = equals < 0 ? env[name] : item.slice(equals + 1)
    if (value !== undefined) values.set(name, value)
  }
  return values
}

function parseHost(text: string): { name: string; address: string } {
  const [, name, address] = /^([^:=]+)[:=]\[?([^\]]+)\]?$/.exec(text) ?? []
  if (name === undefined || address === undefined)
    throw new CairnError('USAGE', `bad format for add-host: ${JSON.stringify(text)}`, {
      exitCode: 1,
      hint: 'Write it as host:ip.',
    })
  return { name, address }
}

/** Prints where a step failed; what is left for the caller is the last line. */
function buildFailure(ctx: CommandContext, error: unknown, mode: DisplayMode): unknown {
  if (error instanceof StepError) {
    ctx.stderr.write(
      renderFailure({
        ...(error.title === undefined ? {} : { vertexName: error.title }),
        logTail: mode === 'plain' || mode === 'auto' || mode === 'tty' || mode === 'quiet' ? error.logTail : [],
        excerpt: error.excerpt,
      }),
    )
    return new CairnError(error.code, `failed to build: failed to solve: ${error.message}`, {
      cause: error,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    })
  }
  if (error instanceof DockerfileError) {
    ctx.stderr.write(`${error.excerpt()}\n`)
    return new CairnError(error.code, `failed to build: failed to solve: ${error.message}`, { cause: error })
  }
  if (isCairnError(error) && error.kind !== 'canceled')
    return new CairnError(error.code, `failed to build: ${error.message}`, {
      cause: error,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    })
  return error
}

function report(ctx: CommandContext, result: BuildResult, mode: DisplayMode): void {
  if (mode === 'quiet') {
    ctx.stdout.write(`${result.imageId}\n`)
    return
  }
  if (mode === 'rawjson') return
  ctx.stderr.write(renderWarnings(result.warnings))
}

function metadata(result: BuildResult, tags: readonly Reference[]): string {
  const names = tags.map((tag) => formatReference(tag)).join(',')
  return `${JSON.stringify(
    {
      'containerimage.config.digest': result.imageId,
      'containerimage.descriptor': result.manifest,
      'containerimage.digest': result.manifest.digest,
      ...(names === '' ? {} : { 'image.name': names }),
    },
    undefined,
    2,
  )}\n`
}
