import type { Container } from '../../containers/container.ts'
import { createContainer } from '../../containers/create-container.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import type { ContainerRequest } from '../../containers/settings.ts'
import { acquireLease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { Snapshots } from '../../snapshots/snapshots.ts'
import { type ContainerImageRequest, containerImage } from './container-image.ts'

export interface CreateContainerOptions extends ContainerImageRequest {
  readonly request: ContainerRequest
}

/**
 * Makes a container that startContainers() can start. Throws IMAGE_UNKNOWN, IMAGE_PLATFORM, NAME_IN_USE,
 * CONFIG_INVALID, USAGE.
 */
export async function createMonitoredContainer(store: Store, options: CreateContainerOptions): Promise<Container> {
  recoverContainers(store)
  const image = await containerImage(store, options)
  using lease = acquireLease(store)
  const snapshots = new Snapshots(store, lease)
  return createContainer(store, lease, snapshots, image, options.request, 'monitored').container
}
