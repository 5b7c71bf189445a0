import type { Store } from '../../content/store.ts'
import type { PullBase } from './base-images.ts'
import type { RegistryAccess } from '../registry/registry-access.ts'
import { shownTransfer } from '../shown-transfer.ts'

/** Pulls base images of builds; layers are told of as BuildKit tells of them. Throws as pullImage(). */
export function basePuller(store: Store, access: RegistryAccess, startWorker: (() => Worker) | undefined): PullBase {
  return async (reference, { platform, isTagLeft }, progress, vertex) => {
    // Most builds have their base images and need nothing of this.
    const { pullImage } = await import('../images/pull-image.ts')
    const listener = shownTransfer(progress, vertex, ['Pull complete', 'Already exists'])
    const pulled = await pullImage(store, reference, { access, platform, isTagLeft, listener, startWorker })
    return { manifest: pulled.manifest.digest, target: pulled.target.digest }
  }
}
