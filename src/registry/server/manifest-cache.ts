import type { Digest } from '../../oci/digest.ts'

/** Bytes of manifests that were read lately. A digest names its bytes for ever, so nothing here goes stale. */
export class ManifestCache {
  readonly #capacity: number
  readonly #entries = new Map<Digest, Uint8Array<ArrayBuffer>>()
  #size = 0

  /** Keeps up to `capacity` bytes. */
  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get(digest: Digest): Uint8Array<ArrayBuffer> | undefined {
    const bytes = this.#entries.get(digest)
    if (bytes === undefined) return undefined
    // A Map keeps the order of insertion: the first one is the one longest unused.
    this.#entries.delete(digest)
    this.#entries.set(digest, bytes)
    return bytes
  }

  put(digest: Digest, bytes: Uint8Array<ArrayBuffer>): void {
    if (bytes.length > this.#capacity / 8 || this.#entries.has(digest)) return
    this.#entries.set(digest, bytes)
    this.#size += bytes.length
    for (const [oldest, { length }] of this.#entries) {
      if (this.#size <= this.#capacity) return
      this.#entries.delete(oldest)
      this.#size -= length
    }
  }
}
