import { parseDockerfile } from '../../dockerfile/parser.ts'
import type { ContainerConfig } from '../../oci/config.ts'
import { digestOf } from '../../oci/digest.ts'
import { parsePlatform } from '../../oci/platform.ts'
import type { BaseImage } from '../graph.ts'
import { planBuild, type PlannedBuild } from './plan.ts'
import type { PlanOptions } from './plan-options.ts'

export const amd64 = parsePlatform('linux/amd64')

/** An image of one layer as resolveImage() gives it. */
export function plainImage(name: string, config: ContainerConfig = {}): BaseImage {
  const rootfs = { type: 'layers' as const, diff_ids: [digestOf(name)] }
  return {
    name,
    digest: digestOf(name),
    platform: amd64,
    config: { architecture: 'amd64', os: 'linux', rootfs, config },
  }
}

/** Plans a Dockerfile with nothing asked for but what `options` say, every image being there. */
export async function planOf(source: string, options: Partial<PlanOptions> = {}): Promise<PlannedBuild> {
  return await planBuild({
    dockerfile: parseDockerfile(source, 'Dockerfile'),
    target: undefined,
    buildArgs: new Map(),
    labels: new Map(),
    platform: undefined,
    buildPlatform: amd64,
    network: 'default',
    extraHosts: [],
    allow: new Set(),
    noCache: false,
    noCacheFilter: new Set(),
    resolveImage: async (name) => await Promise.resolve(plainImage(name)),
    ...options,
  })
}
