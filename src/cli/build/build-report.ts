import { StepError } from '../../build/step-error.ts'
import type { Store } from '../../content/store.ts'
import { DockerfileError } from '../../dockerfile/dockerfile-error.ts'
import type { BuildResult } from '../../engine/build/build.ts'
import { isCairnError, reworded } from '../../errors/error.ts'
import type { BuildRecording } from '../../engine/build/record-build.ts'
import type { Verification } from '../../engine/build/verify-build.ts'
import { formatReference, type Reference } from '../../oci/reference.ts'
import type { DisplayMode } from '../../progress/display.ts'
import { renderFailure } from '../../progress/failure.ts'
import { traceEndpoint } from '../../records/otlp.ts'
import type { CommandContext } from '../context.ts'
import { renderExplanation } from './explanation-text.ts'
import { verificationMetadata } from './reproducibility-report.ts'

/** Prints where a step failed; what is left for the caller is the last line. */
export function buildFailure(ctx: CommandContext, error: unknown, mode: DisplayMode): unknown {
  if (error instanceof StepError) {
    ctx.stderr.write(
      renderFailure({
        ...(error.title === undefined ? {} : { vertexName: error.title }),
        logTail: mode === 'rawjson' ? [] : error.logTail,
        excerpt: error.excerpt,
      }),
    )
    return reworded(error, `failed to build: failed to solve: ${error.message}`)
  }
  if (error instanceof DockerfileError) {
    ctx.stderr.write(`${error.excerpt()}\n`)
    return reworded(error, `failed to build: failed to solve: ${error.message}`)
  }
  if (isCairnError(error) && error.kind !== 'canceled') {
    const solving = error.code === 'DOCKERFILE_INVALID' || error.code === 'STAGE_UNKNOWN' ? 'failed to solve: ' : ''
    return reworded(error, `failed to build: ${solving}${error.message}`)
  }
  return error
}

/** Prints what a build did step by step where that was asked for, sends it where traces go, and warns of what failed. */
export async function reportRecording(
  ctx: CommandContext,
  store: Store,
  { id, steps, failure }: BuildRecording,
  explain: boolean,
): Promise<void> {
  if (explain) ctx.stderr.write(`\n${renderExplanation(steps)}`)
  if (failure !== undefined) ctx.stderr.write(`WARNING: this build could not be recorded: ${failure.message}\n`)
  if (id === undefined || failure !== undefined || traceEndpoint(ctx.env) === undefined) return
  try {
    const { exportTrace } = await import('../../engine/build/export-trace.ts')
    await exportTrace(store, id, ctx.env)
  } catch (error) {
    if (!isCairnError(error)) throw error
    ctx.stderr.write(`WARNING: ${error.message}\n`)
  }
}

/** Prints what a build that ended well leaves to say: the image ID when quiet. */
export function reportBuild(ctx: CommandContext, result: BuildResult, mode: DisplayMode): void {
  if (mode === 'quiet') ctx.stdout.write(`${result.imageId}\n`)
}

interface MetadataOptions {
  readonly tags: readonly Reference[]
  /** Names the build's record, where one is kept. */
  readonly record: string | undefined
  readonly verification: Verification | undefined
}

/** Contents of `--metadata-file`, with the keys of buildx and, where it was built twice, what that came to. */
export function buildMetadata(
  { imageId, manifest }: BuildResult,
  { tags, record, verification }: MetadataOptions,
): string {
  const names = tags.map((tag) => formatReference(tag)).join(',')
  return `${JSON.stringify(
    {
      ...(record === undefined ? {} : { 'buildx.build.ref': record }),
      'containerimage.config.digest': imageId,
      ...(manifest === undefined
        ? {}
        : { 'containerimage.descriptor': manifest, 'containerimage.digest': manifest.digest }),
      ...(names === '' ? {} : { 'image.name': names }),
      ...(verification === undefined ? {} : { 'cairn.reproducible': verificationMetadata(verification) }),
    },
    undefined,
    2,
  )}\n`
}
