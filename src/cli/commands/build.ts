import { LayerThread } from '../../engine/threads/layer-thread.ts'
import { type BuildResult, build } from '../../engine/build/build.ts'
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
import { buildFailure, buildMetadata, reportBuild, reportRecording } from '../build/build-report.ts'
import { type BuildFlagValues, type BuildRequest, displayMode, parseBuildRequest } from '../build/build-request.ts'
import { defineCommand } from '../command.ts'
import type { CommandContext } from '../context.ts'
import { openStoreOf } from '../open-store.ts'
import { registryAccessOf } from '../registry-access.ts'
import { version } from '../version.ts'
import { writeFileAtomic } from '../write-file.ts'

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
  async run(ctx, flags, [path = '']) {
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

async function runBuild(
  ctx: CommandContext,
  flags: BuildFlagValues,
  request: BuildRequest & Omit<BuildInputOptions, 'progress'>,
  mode: DisplayMode,
): Promise<number> {
  const store = await ctx.use(openStoreOf)
  const layers = ctx.startWorker === undefined ? undefined : await ctx.use(openLayerThread)
  const outputs = ctx.startWorker === undefined ? undefined : await ctx.use(openOutputThread)
  const { tags, target, buildArgs, cwd, context, file } = { ...request }
  const recording = new BuildRecording(store, {
    context,
    file,
    cwd,
    target,
    buildArgs,
    tags: tags.map(formatReference),
    platforms: flags.platform,
    cairnVersion: version,
  })
  const shown = new BuildProgress(ctx, mode, recording.listener)
  if (!ctx.given('quiet')) store.tell = (message) => shown.tell(message)
  const progress = shown.listener
  const shell = flags['on-error'] === undefined ? undefined : await openFailureShell(ctx, mode, shown)
  const onFailure = shell?.open
  let result: BuildResult
  let isBuilt = false
  let verification: Verification | undefined
  try {
    const makeLinter = progressLinter(request.buildArgs, progress)
    using inputs = await loadBuildInputs(store, { ...request, progress, makeLinter })
    recording.source(inputs.dockerfile)
    const run = { ...request.run, packLayer: layers?.packLayer, readOutput: outputs?.readOutput }
    const onSteps = recording.takeSteps
    const pullBase = basePuller(store, registryAccessOf(ctx), ctx.startWorker)
    const push = builtPusher(store, registryAccessOf(ctx), ctx.startWorker)
    const threads = ctx.startWorker === undefined ? undefined : await ctx.use(openCompressThreads)
    const exporting = {
      push,
      registry: registryAccessOf(ctx),
      stdout: (bytes: Uint8Array) => ctx.stdout.write(bytes),
      compressor: threads?.compressBlock,
      concurrency: threads?.concurrency,
    }
    const options = { ...request, ...inputs, ...exporting, run, progress, onFailure, onSteps, pullBase }
    result = await build(store, options)
    recording.completed(result)
    isBuilt = true
    if (flags['verify-reproducible']) {
      shown.finish()
      const { verifyShown } = await import('../build/verify-shown.ts')
      verification = await verifyShown(ctx, store, { mode, options, first: result })
    }
  } catch (error) {
    if (!isBuilt) recording.failed(error)
    shown.finish()
    await reportRecording(ctx, store, recording, flags.explain)
    throw shell?.failure ?? buildFailure(ctx, error, mode)
  }
  shown.finish()
  await reportRecording(ctx, store, recording, flags.explain)
  const lock = request.lock?.changed()
  if (lock !== undefined && flags.lock !== undefined) await writeFileAtomic(flags.lock, lock)
  reportBuild(ctx, result, mode)
  if (flags.iidfile !== undefined) await writeFileAtomic(flags.iidfile, result.imageId)
  if (flags['metadata-file'] !== undefined)
    await writeFileAtomic(flags['metadata-file'], buildMetadata(result, request.tags, verification))
  return verification?.isReproducible === false ? 1 : 0
}

async function openFailureShell(ctx: CommandContext, mode: DisplayMode, shown: BuildProgress): Promise<FailureShell> {
  const { FailureShell: Shell } = await import('../build/failure-shell.ts')
  return new Shell(ctx, mode, shown)
}

function openLayerThread({ startWorker }: CommandContext): LayerThread {
  if (startWorker === undefined) throw new Error('there is no layer thread')
  return new LayerThread(startWorker)
}

function openCompressThreads({ startWorker }: CommandContext): CompressThreads {
  if (startWorker === undefined) throw new Error('there are no threads')
  return new CompressThreads(startWorker)
}

function openOutputThread({ startWorker }: CommandContext): OutputThread {
  if (startWorker === undefined) throw new Error('there is no output thread')
  return new OutputThread(startWorker)
}
