import { LayerThread } from '../../engine/layer-thread.ts'
import { type BuildResult, build } from '../../engine/build.ts'
import { loadBuildInputs } from '../../engine/build-inputs.ts'
import { OutputThread } from '../../engine/output-thread.ts'
import { createDisplay } from '../../progress/create-display.ts'
import { buildFlags } from '../build-flags.ts'
import { buildFailure, buildMetadata, reportBuild } from '../build-report.ts'
import { displayMode, parseBuildRequest } from '../build-request.ts'
import { defineCommand } from '../command.ts'
import type { CommandContext } from '../context.ts'
import { FailureShell } from '../failure-shell.ts'
import { openStoreOf } from '../open-store.ts'
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
    { text: 'The same digest on every machine', command: 'SOURCE_DATE_EPOCH=0 cairn build -t app .' },
  ],
  args: { min: 1, max: 1 },
  flags: buildFlags,
  async run(ctx, flags, [path = '']) {
    const mode = displayMode(ctx, flags)
    const request = await parseBuildRequest(ctx, flags)
    const store = await ctx.use(openStoreOf)
    const layers = ctx.startWorker === undefined ? undefined : await ctx.use(openLayerThread)
    const outputs = ctx.startWorker === undefined ? undefined : await ctx.use(openOutputThread)
    const display = createDisplay(mode, ctx.stderr, ctx.env)
    const shell = flags['on-error'] === undefined ? undefined : new FailureShell(ctx, mode, display)
    let result: BuildResult
    try {
      const progress = display.handle.bind(display)
      using inputs = await loadBuildInputs(store, {
        context: path,
        file: flags.file,
        cwd: ctx.cwd,
        buildArgs: request.buildArgs,
        stdin: () => ctx.stdin.bytes(),
        env: ctx.env,
        secrets: request.run.secrets,
        signal: ctx.signal,
        progress,
      })
      const run = { ...request.run, packLayer: layers?.packLayer, readOutput: outputs?.readOutput }
      result = await build(store, { ...request, ...inputs, run, progress, signal: ctx.signal, onFailure: shell?.open })
      display.finish()
    } catch (error) {
      display.finish()
      throw shell?.failure ?? buildFailure(ctx, error, mode)
    }
    reportBuild(ctx, result, mode)
    if (flags.iidfile !== undefined) await writeFileAtomic(flags.iidfile, result.imageId)
    if (flags['metadata-file'] !== undefined)
      await writeFileAtomic(flags['metadata-file'], buildMetadata(result, request.tags))
  },
})

function openLayerThread({ startWorker }: CommandContext): LayerThread {
  if (startWorker === undefined) throw new Error('there is no layer thread')
  return new LayerThread(startWorker)
}

function openOutputThread({ startWorker }: CommandContext): OutputThread {
  if (startWorker === undefined) throw new Error('there is no output thread')
  return new OutputThread(startWorker)
}
