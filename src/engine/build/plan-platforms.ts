import type { BuildContexts } from '../../build/context/context.ts'
import { planBuild, type PlannedBuild } from '../../build/plan/plan.ts'
import type { JoinedPlans, PlanOptions } from '../../build/plan/plan-options.ts'
import type { Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import type { Platform } from '../../oci/platform.ts'
import type { RemoteAccess } from '../../remote/access.ts'
import type { DeviceRegistry } from '../../runtime/cdi.ts'
import { resolveBaseImage } from './base-images.ts'
import type { BuildOptions } from './build.ts'
import { findDevices } from './build-devices.ts'
import type { NamedSource } from './named-context-flags.ts'
import { BuildNamedContexts } from './named-contexts.ts'
import { secretFingerprint } from './secret-fingerprint.ts'

/** Where what a plan asks for is found. */
export interface PlanSources {
  readonly store: Store
  readonly lease: Lease
  readonly contexts: BuildContexts
  readonly access: RemoteAccess
  readonly devices: DeviceRegistry
}

/** The plans for all platforms of a build, which fix the times of its contexts; warnings of several are told once. */
export async function planPlatforms(
  options: BuildOptions,
  { store, lease, contexts, access, devices }: PlanSources,
): Promise<readonly PlannedBuild[]> {
  const { context, pullBase, isPullForced, progress } = options
  const bases = { store, lease, lock: options.lock, pullBase, isPullForced }
  const sources = options.namedContexts ?? new Map<string, NamedSource>()
  const plans = await planAll(options.platforms, {
    ...options,
    ignore: context.ignore,
    findDevices: (wanted) => findDevices(devices, options.allow, wanted),
    secretFingerprint: secretFingerprint(store, options.run.secrets),
    namedContexts: new BuildNamedContexts({ sources, contexts, access, bases, progress }),
    resolveImage: (reference, platform) => resolveBaseImage(bases, reference, platform, progress),
  })
  contexts.fixTimes(plans[0]?.fixedTime)
  for (const message of new Set(plans.flatMap(({ warnings }) => warnings.map((warning) => warning.message))))
    progress({ type: 'warning', vertex: options.definition, level: 1, short: message })
  return plans
}

/** All plans, in one graph where there are several; the Dockerfile is judged once. */
async function planAll(
  platforms: readonly Platform[],
  options: Omit<PlanOptions, 'platform' | 'joined'>,
): Promise<readonly PlannedBuild[]> {
  if (platforms.length < 2) return [await planBuild({ ...options, platform: platforms[0] })]
  const joined: JoinedPlans = { ops: [], bases: new Map() }
  const plans: PlannedBuild[] = []
  for (const platform of platforms) {
    const linter = plans.length === 0 ? options.linter : undefined
    plans.push(await planBuild({ ...options, platform, joined, linter }))
  }
  return plans
}
