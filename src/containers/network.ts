import type { ContainerOptions } from '../runtime/spec.ts'
import type { NetworkMode } from './container.ts'

/**
 * The network a container is started in. Everything that is set up for one network mode and taken down at the
 * container's end belongs here.
 */
export function openNetwork(mode: NetworkMode): ContainerOptions['network'] {
  return mode === 'none' ? 'none' : 'host'
}
