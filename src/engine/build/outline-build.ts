import type { Outline } from '../../build/plan/outline.ts'
import type { Store } from '../../content/store.ts'
import type { ReadText } from '../../dockerfile/instruction.ts'
import { progressLinter } from './lint.ts'
import { planOnly, type PlanOnlyOptions } from './plan-only.ts'

/** What a target can be given, and the file that says so. */
export interface OutlineReport {
  readonly outline: Outline
  readonly source: ReadText['source']
}

/** Lists the build arguments, secrets and SSH agents that the target takes. BuildKit's `outline` request. */
export async function outlineBuild(store: Store, options: PlanOnlyOptions): Promise<OutlineReport> {
  const { dockerfile, plan } = await planOnly(store, options, progressLinter(options.buildArgs, options.progress))
  return { outline: plan.outline(), source: dockerfile.source }
}
