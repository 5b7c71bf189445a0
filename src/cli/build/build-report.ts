import { StepError } from '../../build/step-error.ts'
import type { Store } from '../../content/store.ts'
import { DockerfileError } from '../../dockerfile/dockerfile-error.ts'
import { parseGoBool } from '../../dockerfile/go-bool.ts'
import type { BuildResult } from '../../engine/build/build.ts'
import { isCairnError, reworded } from '../../errors/error.ts'
import type { BuildRecording } from '../../engine/build/record-build.ts'
import type { Verification } from '../../engine/build/verify-build.ts'
import { platformOf } from '../../oci/config.ts'
import { isIndexType } from '../../oci/media-types.ts'
import { formatPlatform } from '../../oci/platform.ts'
import { formatReference } from '../../oci/reference.ts'
import type { DisplayMode } from '../../progress/display.ts'
import type { WarningEvent } from '../../progress/events.ts'
import { renderFailure } from '../../progress/failure.ts'
import { solveStatus } from '../../progress/rawjson.ts'
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

/** Prints what a build did step by step where that was asked for, and warns of a record that could not be written. */
export function reportRecording(ctx: CommandContext, { steps, failure }: BuildRecording, explain: boolean): void {
  if (explain) ctx.stderr.write(`\n${renderExplanation(steps)}`)
  if (failure !== undefined) ctx.stderr.write(`WARNING: there is no whole record of this build: ${failure.message}\n`)
}

/** Sends what a build did to where the environment wants traces, and warns where that fails: the last thing a build does. */
export async function sendTrace(ctx: CommandContext, store: Store, { id, failure }: BuildRecording): Promise<void> {
  if (id === undefined || failure !== undefined) return
  try {
    if (traceEndpoint(ctx.env) === undefined) return
    const { exportTrace } = await import('../../engine/build/export-trace.ts')
    await exportTrace(store, id, ctx.env, ctx.signal)
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
  /** Told where BUILDX_METADATA_WARNINGS asks for them. */
  readonly warnings: readonly WarningEvent[]
  /** Names the build's record, where one is kept. */
  readonly record: string | undefined
  readonly verification: Verification | undefined
}

/**
 * Contents of `--metadata-file`, with the keys of buildx and, where it was built twice, what that came to. The image is
 * that of the last output that has one.
 */
export function buildMetadata(
  env: CommandContext['env'],
  { imageId, manifest, names, configs, provenance }: BuildResult,
  { record, verification, warnings }: MetadataOptions,
): string {
  const isIndex = manifest !== undefined && isIndexType(manifest.mediaType)
  const isAsked = parseGoBool(env['BUILDX_METADATA_WARNINGS'] ?? '') === true
  const metadata: Record<string, unknown> = {}
  for (const [index, content] of (provenance ?? []).entries()) {
    const platform = configs[index]
    const suffix = configs.length > 1 && platform !== undefined ? `/${formatPlatform(platformOf(platform))}` : ''
    metadata[`buildx.build.provenance${suffix}`] = content
  }
  if (record !== undefined) metadata['buildx.build.ref'] = record
  if (isAsked && warnings.length > 0)
    metadata['buildx.build.warnings'] = warnings.flatMap((warning) => solveStatus(warning)['warnings'])
  if (manifest !== undefined) {
    if (!isIndex) metadata['containerimage.config.digest'] = imageId
    metadata['containerimage.descriptor'] = manifest
    metadata['containerimage.digest'] = manifest.digest
  }
  if (names.length > 0) metadata['image.name'] = names.map(formatReference).join(',')
  if (verification !== undefined) metadata['cairn.reproducible'] = verificationMetadata(verification)
  return `${JSON.stringify(metadata, undefined, 2)}\n`
}
