import { BuildContexts } from '../../build/context/context.ts'
import { planBuild, type PlannedBuild } from '../../build/plan/plan.ts'
import type { PlanOptions } from '../../build/plan/plan-options.ts'
import { acquireLease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { findBaseImage } from './base-images.ts'
import { type BuildInputOptions, loadBuildInputs } from './build-inputs.ts'
import type { LintedDockerfile, MakeLinter } from './lint.ts'
import type { NamedSource } from './named-context-flags.ts'
import type { Platform } from '../../oci/platform.ts'
import { BuildNamedContexts } from './named-contexts.ts'
import { remoteAccess } from '../registry/remote-access.ts'

/** What a plan that is only looked at is made from: what a build would be asked for, and where its files are. */
export interface PlanOnlyOptions
  extends
    Omit<
      PlanOptions,
      'dockerfile' | 'resolveImage' | 'linter' | 'ignore' | 'allow' | 'namedContexts' | 'platform' | 'joined'
    >,
    Omit<BuildInputOptions, 'makeLinter' | 'buildArgs'> {
  /** `--platform`: of several the first is looked at. */
  readonly platforms: readonly Platform[]
  /** `--build-context`. */
  readonly namedContexts?: ReadonlyMap<string, NamedSource>
}

/**
 * Plans a build without doing anything. What only running needs is not asked for: base images that are not in the
 * store, and what `--allow` would have to allow. Throws as loadBuildInputs and planBuild.
 */
export async function planOnly(
  store: Store,
  options: PlanOnlyOptions,
  makeLinter: MakeLinter,
): Promise<LintedDockerfile & { readonly plan: PlannedBuild }> {
  using lease = acquireLease(store)
  const { env, secrets, agents, signal, progress } = options
  using inputs = await loadBuildInputs(store, { ...options, makeLinter })
  const { dockerfile, linter, definition, context, contextTime } = inputs
  using contexts = new BuildContexts(context)
  using access = remoteAccess({ store, lease, env, secrets, agents, signal: () => signal })
  const sources = options.namedContexts ?? new Map<string, NamedSource>()
  const plan = await planBuild({
    ...options,
    platform: options.platforms[0],
    dockerfile,
    linter,
    contextTime,
    ignore: context.ignore,
    allow: new Set(['network.host', 'security.insecure', 'device']),
    namedContexts: new BuildNamedContexts({ sources, contexts, access, progress }),
    resolveImage: (reference, platform) => findBaseImage(store, lease, reference, platform, progress),
  })
  return { dockerfile, linter, definition, plan }
}
