import type { Store } from '../../content/store.ts'
import type { BuildOptions, BuildResult } from '../../engine/build/build.ts'
import type { Verification } from '../../engine/build/verify-build.ts'
import type { DisplayMode } from '../../progress/display.ts'
import { BuildProgress } from './build-progress.ts'
import type { CommandContext } from '../context.ts'
import { renderVerification } from './reproducibility-report.ts'

/** A build that is to be verified. */
interface BuiltOnce {
  readonly mode: DisplayMode
  readonly options: BuildOptions
  readonly first: BuildResult
}

/** Builds a second time, shown as the first was, and says on stderr whether the result is the same. Throws as verifyBuild(). */
export async function verifyShown(
  ctx: CommandContext,
  store: Store,
  { mode, options, first }: BuiltOnce,
): Promise<Verification> {
  const { verifyBuild } = await import('../../engine/build/verify-build.ts')
  if (mode !== 'quiet' && mode !== 'none' && mode !== 'rawjson')
    ctx.stderr.write('\nBuilding again, apart from the first.\n')
  const shown = new BuildProgress(ctx, mode)
  try {
    const verification = await verifyBuild(store, { ...options, progress: shown.listener }, first)
    shown.finish()
    ctx.stderr.write(`\n${renderVerification(verification, options.dockerfile.filename)}`)
    return verification
  } finally {
    shown.finish()
  }
}
