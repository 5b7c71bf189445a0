import { CairnError } from '../errors/error.ts'
import { systemProgram } from '../linux/system-program.ts'
import { inInitialUserNamespace } from '../linux/user-namespace.ts'
import { type CgroupLayout, cgroupLayout, enterCgroup2View, withHostCgroups } from './cgroups.ts'

/** An OCI runtime on this machine. */
export interface OciRuntime {
  readonly name: 'crun' | 'runc'
  /** Absolute path of its program. */
  readonly path: string
}

const installHint = 'Install one: `apt-get install crun` (or runc).'

/**
 * The runtime to use: crun, else runc, in PATH and the directories of system programs. Costs some stat(2). Throws
 * RUNTIME_MISSING.
 *
 * @param wanted - take this one only
 */
export function detectRuntime(wanted?: OciRuntime['name']): OciRuntime {
  const found = findRuntime(wanted)
  if (found !== undefined) return found
  throw new CairnError(
    'RUNTIME_MISSING',
    wanted === undefined ? 'no OCI runtime found: neither crun nor runc' : `the OCI runtime ${wanted} is not installed`,
    { hint: wanted === undefined ? installHint : `Install it: \`apt-get install ${wanted}\`.` },
  )
}

function findRuntime(wanted?: OciRuntime['name']): OciRuntime | undefined {
  for (const name of wanted === undefined ? (['crun', 'runc'] as const) : [wanted]) {
    const path = systemProgram(name)
    if (path !== undefined) return { name, path }
  }
  return undefined
}

/**
 * The runtime for a container with a terminal: runc where it is installed. crun (1.8, and later ones by their source) now
 * and then puts the last that a container writes to its terminal into its own log instead.
 */
export function terminalRuntime(): { readonly runtime?: OciRuntime } {
  const runtime = findRuntime('runc')
  return runtime === undefined ? {} : { runtime }
}

/** How a runtime is started on this machine. */
export interface RuntimeLaunch {
  readonly runtime: OciRuntime
  /** Arguments before the command, without `--root`. */
  readonly globalArguments: readonly string[]
  /** Calls the function that spawns it where the cgroups look as this runtime needs them. */
  readonly spawn: <Result>(start: () => Result) => Result
}

let layout: CgroupLayout | undefined

/**
 * How to start `runtime`, or the one that suits best if absent, for a container with or without a cgroup of its own.
 * Known ways: crun keeps out of cgroups where none is wanted and is shown a v2 hierarchy, since it refuses a hybrid
 * layout; a cgroup on a hybrid host is runc's. Throws RUNTIME_MISSING.
 */
export function planLaunch(ownCgroup: boolean, runtime?: OciRuntime): RuntimeLaunch {
  // Found out once, before anything here changes what is mounted.
  const found = (layout ??= cgroupLayout())
  if (ownCgroup && !inInitialUserNamespace())
    throw new CairnError('NOT_SUPPORTED', 'resource limits need a cgroup, and without root Cairn makes none', {
      hint: 'Leave the limits out, or run cairn as root.',
    })
  if (ownCgroup && found === 'none')
    throw new CairnError('NOT_SUPPORTED', 'resource limits need cgroups, and none are mounted at /sys/fs/cgroup')
  const onHybrid = ownCgroup && found === 'hybrid'
  const chosen = runtime ?? (onHybrid ? detectRuntime('runc') : detectRuntime())
  if (chosen.name === 'runc') return { runtime: chosen, globalArguments: [], spawn: withHostCgroups }
  if (onHybrid)
    throw new CairnError('NOT_SUPPORTED', 'crun cannot limit resources on a host with hybrid cgroups (v1 beside v2)', {
      hint: 'Install runc: `apt-get install runc`.',
    })
  if (ownCgroup) return { runtime: chosen, globalArguments: ['--cgroup-manager=cgroupfs'], spawn: withHostCgroups }
  return {
    runtime: chosen,
    globalArguments: ['--cgroup-manager=disabled'],
    spawn: (start) => {
      enterCgroup2View(found)
      return start()
    },
  }
}
