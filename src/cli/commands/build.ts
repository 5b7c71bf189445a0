import type { Store } from '../../content/store.ts'
import { LayerThread } from '../../engine/threads/layer-thread.ts'
import { type BuildOptions, type BuildResult, build } from '../../engine/build/build.ts'
import { type BuildInputOptions, loadBuildInputs } from '../../engine/build/build-inputs.ts'
import { CompressThreads } from '../../engine/threads/compress-threads.ts'
import { progressLinter } from '../../engine/build/lint.ts'
import { basePuller } from '../../engine/build/pull-base.ts'
import { builtPusher } from '../../engine/build/push-built.ts'
import { OutputThread } from '../../engine/threads/output-thread.ts'
import { BuildRecording } from '../../engine/build/record-build.ts'
import type { Verification } from '../../engine/build/verify-build.ts'
import { formatReference } from '../../oci/reference.ts'
import type { DisplayMode } from '../../progress/display.ts'
import { buildFlags } from '../build/build-flags.ts'
import { BuildProgress } from '../build/build-progress.ts'
import type { FailureShell } from '../build/failure-shell.ts'
import { buildFailure, buildMetadata, reportBuild, reportRecording, sendTrace } from '../build/build-report.ts'
import { type BuildFlagValues, type BuildRequest, displayMode, parseBuildRequest } from '../build/build-request.ts'
import { defineCommand } from '../command.ts'
import type { CommandContext } from '../context.ts'
import { openStoreOf, openStoreToBuild } from '../open-store.ts'
import { registryAccessOf } from '../registry-access.ts'
import { version } from '../version.ts'
import { writeFile } from '../write-file.ts'

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
    {
      text: 'A secret and an SSH agent for the steps that mount them',
      command: 'cairn build --secret id=token,src=token.txt --ssh default .',
    },
    { text: 'Look around where a step failed', command: 'cairn build --on-error shell .' },
    { text: 'Does it give the same bytes again?', command: 'cairn build --verify-reproducible .' },
    {
      text: 'Date everything by the commit',
      command: 'SOURCE_DATE_EPOCH=git cairn build -t app .',
    },
  ],
  args: { min: 1, max: 1 },
  flags: buildFlags,
  async run(ctx, given, [path = '']) {
    const flags = withoutEmpty(given)
    const mode = displayMode(ctx, flags)
    const request = await parseBuildRequest(ctx, flags, path)
    const input = {
      context: path,
      file: flags.file,
      cwd: ctx.cwd,
      stdin: () => ctx.stdin.bytes(),
      env: ctx.env,
      secrets: request.run.secrets,
      agents: request.run.agents,
      signal: ctx.signal,
    }
    if (!flags.check && flags.call === 'build') return await runBuild(ctx, flags, { ...request, ...input }, mode)
    const { parseCall, runCall } = await import('../build/build-call.ts')
    const call = parseCall(flags.check ? 'check' : flags.call)
    if (call === undefined) return await runBuild(ctx, flags, { ...request, ...input }, mode)
    const callOptions = { mode, metadataFile: flags['metadata-file'], store: () => ctx.use(openStoreOf) }
    return await runCall(ctx, { ...callOptions, call, request: { ...request, ...input } })
  },
})

/** Scripts say `--target "$TARGET"` where there is none: as with docker it is as if the flag was not given. */
function withoutEmpty(flags: BuildFlagValues): BuildFlagValues {
  return {
    ...flags,
    'add-host': flags['add-host'].filter((host) => host !== ''),
    file: flags.file || undefined,
    iidfile: flags.iidfile || undefined,
    'metadata-file': flags['metadata-file'] || undefined,
    target: flags.target || undefined,
  }
}

/** What is to be built, and what has to be read for it. */
type Request = BuildRequest & Omit<BuildInputOptions, 'progress'>

async function runBuild(
  ctx: CommandContext,
  flags: BuildFlagValues,
  request: Request,
  mode: DisplayMode,
): Promise<number> {
  const { store } = await ctx.use(openStoreToBuild)
  const recording = openRecording(store, flags, request)
  const shown = new BuildProgress(ctx, mode, recording.listener)
  if (!ctx.given('quiet')) store.tell = (message) => shown.tell(message)
  const shell = flags['on-error'] === undefined ? undefined : await openFailureShell(ctx, mode, shown)
  const isVerified = flags['verify-reproducible']
  let built: Built
  try {
    built = await buildShown(ctx, store, { request, mode, recording, shown, onFailure: shell?.open, isVerified })
  } catch (error) {
    recording.failed(error)
    shown.finish()
    reportRecording(ctx, recording, flags.explain)
    const failure = shell?.failure ?? buildFailure(ctx, error, mode)
    await sendTrace(ctx, store, recording)
    throw failure
  }
  shown.finish()
  reportRecording(ctx, recording, flags.explain)
  const { result, verification } = built
  const lock = request.lock?.changed()
  if (lock !== undefined && flags.lock !== undefined) writeFile(flags.lock, lock)
  reportBuild(ctx, result, mode)
  if (flags.iidfile !== undefined) writeFile(flags.iidfile, result.imageId)
  if (flags['metadata-file'] !== undefined) {
    const { warnings } = shown
    writeFile(flags['metadata-file'], buildMetadata(ctx.env, result, { record: recording.id, verification, warnings }))
  }
  await sendTrace(ctx, store, recording)
  return verification?.isReproducible === false ? 1 : 0
}

function openRecording(store: Store, flags: BuildFlagValues, request: Request): BuildRecording {
  const { tags, target, buildArgs, cwd, context, file } = request
  return new BuildRecording(store, {
    context,
    file,
    cwd,
    target,
    buildArgs,
    tags: tags.map(formatReference),
    platforms: flags.platform,
    cairnVersion: version,
  })
}

interface ShownBuild {
  readonly request: Request
  readonly mode: DisplayMode
  readonly recording: BuildRecording
  readonly shown: BuildProgress
  readonly onFailure: FailureShell['open'] | undefined
  readonly isVerified: boolean
}

interface Built {
  readonly result: BuildResult
  /** Undefined where it was not asked for. */
  readonly verification: Verification | undefined
}

async function buildShown(
  ctx: CommandContext,
  store: Store,
  { request, mode, recording, shown, onFailure, isVerified }: ShownBuild,
): Promise<Built> {
  const { startWorker } = ctx
  using layers = startWorker === undefined ? undefined : new LayerThread(startWorker)
  using outputs = startWorker === undefined ? undefined : new OutputThread(startWorker)
  using threads = startWorker === undefined ? undefined : new CompressThreads(startWorker)
  const registry = registryAccessOf(ctx)
  const progress = shown.listener
  const makeLinter = progressLinter(request.buildArgs, progress)
  using inputs = await loadBuildInputs(store, { ...request, progress, makeLinter })
  recording.source(inputs.dockerfile)
  const options: BuildOptions = {
    ...request,
    ...inputs,
    run: { ...request.run, packLayer: layers?.packLayer, readOutput: outputs?.readOutput },
    progress,
    onFailure,
    onSteps: recording.takeSteps,
    registry,
    pullBase: basePuller(store, registry, startWorker),
    push: builtPusher(store, registry, startWorker),
    stdout: (bytes) => ctx.stdout.write(bytes),
    compressor: threads?.compressBlock,
    concurrency: threads?.concurrency,
  }
  const result = await build(store, options)
  recording.completed(result)
  if (!isVerified) return { result, verification: undefined }
  shown.finish()
  const { verifyShown } = await import('../build/verify-shown.ts')
  return { result, verification: await verifyShown(ctx, store, { mode, options, first: result }) }
}

async function openFailureShell(ctx: CommandContext, mode: DisplayMode, shown: BuildProgress): Promise<FailureShell> {
  const { FailureShell: Shell } = await import('../build/failure-shell.ts')
  return new Shell(ctx, mode, shown)
}
