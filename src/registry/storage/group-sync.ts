import type { Store } from '../../content/store.ts'

/**
 * Brings to the disk what must outlive a power failure before a client hears of it: names of blobs before they are
 * recorded, and records before they are confirmed. Requests that wait at the same time share one write.
 */
export class GroupSync {
  readonly #store: Store
  #settling: Promise<void> | undefined
  #syncing: Promise<void> | undefined

  constructor(store: Store) {
    this.#store = store
  }

  /** To be awaited between a blob's coming in and its record. */
  settle(): Promise<void> {
    this.#settling ??= afterThisTurn(() => {
      this.#settling = undefined
      this.#store.settle()
    })
    return this.#settling
  }

  /** To be awaited between a record and its confirmation. */
  sync(): Promise<void> {
    this.#syncing ??= afterThisTurn(() => {
      this.#syncing = undefined
      this.#store.database.sync()
    })
    return this.#syncing
  }
}

async function afterThisTurn(work: () => void): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
  work()
}
