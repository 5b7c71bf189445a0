import { answerLayerRequest, type LayerRequest } from './engine/layer-thread.ts'

declare const self: Worker

self.addEventListener('message', ({ data }: MessageEvent<LayerRequest>) => {
  self.postMessage(answerLayerRequest(data))
})
