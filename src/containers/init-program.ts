import { CairnError } from '../errors/error.ts'
import type { ContainerMount } from '../runtime/spec.ts'

/** Where a container with `--init` finds its first process; docker's place. */
export const initPath = '/sbin/docker-init'

const programs = ['docker-init', 'tini-static', 'tini', 'catatonit'] as const

/**
 * The mount of the program that is pid 1 of a container with `--init`: it passes signals on and takes care of orphans.
 * Throws TOOL_MISSING.
 */
export function initMount(): ContainerMount {
  const PATH = `${process.env['PATH'] ?? ''}:/usr/libexec/podman:/usr/libexec/docker:/usr/local/bin:/usr/bin:/sbin:/bin`
  for (const name of programs) {
    const source = Bun.which(name, { PATH })
    if (source !== null) return { type: 'bind', source, target: initPath, readonly: true }
  }
  throw new CairnError('TOOL_MISSING', '--init needs tini or catatonit, and neither is installed', {
    hint: 'Install one: `apt-get install tini`.',
  })
}
