import { hostPlatform } from '../../oci/platform.ts'
import { runnableArchitectures } from '../../runtime/emulation.ts'
import type { CommandContext } from '../context.ts'
import type { FlagDefinition } from '../flags.ts'
import { version } from '../version.ts'

/**
 * What buildx calls a builder is a daemon that builds. Cairn builds in the process that is called, so there is one, and
 * every name means it: scripts that make a builder of their own, use it and remove it go on working.
 */
export const builderName = 'default'

/** `--builder`: whatever it names. */
export const builderFlag = {
  type: 'string',
  hidden: true,
  summary: 'Override the configured builder instance, of which there is one',
} as const satisfies FlagDefinition

/** The one builder, in the words of `buildx ls` and `buildx inspect`. */
export interface Builder {
  readonly driver: string
  /** Where its store is. */
  readonly endpoint: string
  readonly status: string
  readonly version: string
  readonly platforms: readonly string[]
}

/** What is to be told of the builder. */
export function describeBuilder({ root, env }: Pick<CommandContext, 'root' | 'env'>): Builder {
  const { os, architecture } = hostPlatform()
  return {
    driver: 'cairn',
    endpoint: root,
    status: 'running',
    version: `v${version}`,
    platforms: runnableArchitectures(architecture, env).map((one) => `${os}/${one}`),
  }
}
