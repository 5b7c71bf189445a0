import { writeTextFile } from '../linux/text-file.ts'
import { inInitialUserNamespace } from '../linux/user-namespace.ts'
import type { RuntimeSpec } from '../oci/runtime-spec.ts'
import { withoutForeignDevices } from './device-access.ts'
import { type OciRuntime, type RuntimeLaunch, planLaunch } from './runtime.ts'
import { compiledSeccomp } from './seccomp-filter.ts'
import { withoutRoot } from './without-root.ts'

/** What {@link writeBundle} is given. */
export interface BundleOptions {
  readonly id: string
  readonly spec: RuntimeSpec
  /** Existing directory. */
  readonly bundle: string
  /** Existing directory of all containers' state; keeps what is made once for all of them. */
  readonly stateDirectory: string
  /** The runtime to use, the best one at hand if absent. */
  readonly runtime?: OciRuntime | undefined
}

/**
 * Writes the config.json of a container as the runtime that will run it needs it, and says how to start that. Throws
 * RUNTIME_MISSING, NOT_SUPPORTED for limits that this machine cannot set, SystemCallError.
 */
export function writeBundle({ id, spec, bundle, stateDirectory, runtime }: BundleOptions): RuntimeLaunch {
  const launch = planLaunch(spec.linux.cgroupsPath !== undefined, runtime)
  const possible = inInitialUserNamespace() ? spec : withoutRoot(spec)
  const guarded = withoutForeignDevices(possible, launch.runtime, id, stateDirectory)
  const filtered = withFilter(guarded, launch.runtime, stateDirectory)
  writeTextFile(`${bundle}/config.json`, JSON.stringify(filtered))
  return launch
}

/** crun takes the filter ready made, which saves 15 ms; whoever does not know the annotation reads the JSON. */
function withFilter(spec: RuntimeSpec, runtime: OciRuntime, stateDirectory: string): RuntimeSpec {
  const profile = spec.linux.seccomp
  if (runtime.name !== 'crun' || profile === undefined) return spec
  const filter = compiledSeccomp(profile, `${stateDirectory}/seccomp`)
  if (filter === undefined) return spec
  return { ...spec, annotations: { ...spec.annotations, 'run.oci.seccomp_bpf_data': filter.toBase64() } }
}
