import { collectFrom } from './gc.ts'
import { acquireLease, type Lease } from './leases.ts'
import type { Store } from './store.ts'

/**
 * Does `work` under a lease. Whether it ends well or not, what it brought in and nothing keeps afterwards is removed at
 * once: of work that failed nothing stays. Throws what `work` throws.
 */
export async function withLease<Result>(store: Store, work: (lease: Lease) => Promise<Result>): Promise<Result> {
  const lease = acquireLease(store)
  try {
    return await work(lease)
  } finally {
    const nodes = lease.nodes
    lease[Symbol.dispose]()
    // What cannot be removed now goes with the next collection; the work's own outcome is what counts.
    await collectFrom(store, nodes).catch(() => {})
  }
}
