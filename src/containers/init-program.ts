import { CairnError } from '../errors/error.ts'
import type { ContainerMount } from '../runtime/spec.ts'
import { systemProgram } from '../linux/system-program.ts'

/** Where a container with `--init` finds its first process; docker's place. */
export const initPath = '/sbin/docker-init'

const programs = ['docker-init', 'tini-static', 'tini', 'catatonit'] as const

/**
 * The mount of the program that is pid 1 of a container with `--init`: it passes signals on and takes care of orphans.
 * Throws TOOL_MISSING.
 */
export function initMount(): ContainerMount {
  for (const name of programs) {
    const source = systemProgram(name, { libexec: '/usr/libexec/podman:/usr/libexec/docker' })
    if (source !== undefined) return { type: 'bind', source, target: initPath, readonly: true }
  }
  throw new CairnError('TOOL_MISSING', '--init needs tini or catatonit, and neither is installed', {
    hint: 'Install one: `apt-get install tini`.',
  })
}
