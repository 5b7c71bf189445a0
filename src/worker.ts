import type { CompressRequest } from './engine/threads/compress-threads.ts'
import type { LayerRequest } from './engine/threads/layer-thread.ts'
import type { OutputRequest } from './engine/threads/output-thread.ts'
import type { UnpackRequest } from './engine/threads/unpack-threads.ts'

declare const self: Worker

type ThreadRequest = CompressRequest | LayerRequest | OutputRequest | UnpackRequest

// A thread is there for what is large.
Bun.unsafe.setJITPolicy(1)

/** Settles when what came so far has begun: import() of what still loads settles in any order. */
let begun = Promise.resolve()
self.addEventListener('message', ({ data }: MessageEvent<ThreadRequest>) => {
  begun = begun.then(async () => await begin(data))
})

/** Each thread loads only what its own kind of work needs. Does not wait until the work is done. */
async function begin(request: ThreadRequest): Promise<void> {
  if (request.kind === 'pack-upper') {
    const { answerLayerRequest } = await import('./engine/threads/layer-thread.ts')
    void answerLayerRequest(request).then((reply) => self.postMessage(reply))
    return
  }
  if (request.kind === 'compress') {
    const { answerCompressRequest } = await import('./engine/threads/compress-threads.ts')
    void answerCompressRequest(request).then((reply) =>
      self.postMessage(reply, reply.kind === 'done' ? [reply.result.buffer] : []),
    )
    return
  }
  if (
    request.kind === 'unpack' ||
    request.kind === 'unpack-segments' ||
    request.kind === 'unpack-expected' ||
    request.kind === 'unpack-grown' ||
    request.kind === 'unpack-canceled'
  ) {
    const { takeUnpackRequest } = await import('./engine/threads/unpack-threads.ts')
    takeUnpackRequest(request, (reply) => self.postMessage(reply))
    return
  }
  const { takeOutputRequest } = await import('./engine/threads/output-thread.ts')
  takeOutputRequest(request, (reply) => self.postMessage(reply))
}
