import type { CompressRequest } from './engine/compress-threads.ts'
import type { LayerRequest } from './engine/layer-thread.ts'
import type { OutputRequest } from './engine/build/output-thread.ts'
import type { UnpackRequest } from './engine/unpack-threads.ts'

declare const self: Worker

type ThreadRequest = CompressRequest | LayerRequest | OutputRequest | UnpackRequest

self.addEventListener('message', ({ data }: MessageEvent<ThreadRequest>) => void answer(data))

/** Each thread loads only what its own kind of work needs. */
async function answer(request: ThreadRequest): Promise<void> {
  if (request.kind === 'pack-upper') {
    const { answerLayerRequest } = await import('./engine/layer-thread.ts')
    self.postMessage(answerLayerRequest(request))
    return
  }
  if (request.kind === 'compress') {
    const { answerCompressRequest } = await import('./engine/compress-threads.ts')
    const reply = answerCompressRequest(request)
    self.postMessage(reply, reply.bytes === undefined ? [] : [reply.bytes.buffer])
    return
  }
  if (request.kind === 'unpack' || request.kind === 'unpack-grown' || request.kind === 'unpack-canceled') {
    const { takeUnpackRequest } = await import('./engine/unpack-threads.ts')
    takeUnpackRequest(request, (reply) => self.postMessage(reply))
    return
  }
  const { takeOutputRequest } = await import('./engine/build/output-thread.ts')
  takeOutputRequest(request, (reply) => self.postMessage(reply))
}
