import type { Store } from '../../content/store.ts'
import type { PushBuilt } from './export-build.ts'
import type { RegistryAccess } from '../registry/registry-access.ts'
import { shownTransfer } from '../shown-transfer.ts'

/**
 * Pushes images of builds, by digest where the reference has one, told of as BuildKit tells of it. Layers that the image's form leaves as the store has them
 * are compressed by gzip on the way. Throws as pushImage().
 */
export function builtPusher(store: Store, access: RegistryAccess, startWorker: (() => Worker) | undefined): PushBuilt {
  return async (reference, form, progress, vertex) => {
    const { pushByDigest, pushImage } = await import('../images/push-image.ts')
    const listener = shownTransfer(progress, vertex, ['Pushed', 'Layer already exists'])
    const compression = form.compression === undefined ? ({ format: 'gzip' } as const) : 'none'
    const push = reference.digest === undefined ? pushImage : pushByDigest
    return (await push(store, reference, { access, compression, listener, startWorker })).target
  }
}
