import type { LayerRequest } from './engine/layer-thread.ts'
import type { OutputRequest } from './engine/output-thread.ts'

declare const self: Worker

self.addEventListener('message', ({ data }: MessageEvent<LayerRequest | OutputRequest>) => void answer(data))

/** Each thread loads only what its own kind of work needs. */
async function answer(request: LayerRequest | OutputRequest): Promise<void> {
  if (request.kind === 'pack-upper') {
    const { answerLayerRequest } = await import('./engine/layer-thread.ts')
    self.postMessage(answerLayerRequest(request))
    return
  }
  const { takeOutputRequest } = await import('./engine/output-thread.ts')
  takeOutputRequest(request, (reply) => self.postMessage(reply))
}
