/** Starts the layer thread. Here, beside worker.ts: only so is it found in the sources and in the compiled binary. */
export function startWorker(): Worker {
  return new Worker(new URL('./worker.ts', import.meta.url))
}
