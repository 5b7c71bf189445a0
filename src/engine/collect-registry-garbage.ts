import { collectGarbage } from '../content/gc.ts'
import type { Store } from '../content/store.ts'
import { localStorage } from '../registry/storage/local-storage.ts'
import type { GarbagePolicy, RegistryGarbage } from '../registry/storage/registry-storage.ts'

/**
 * Removes what nothing needs of the registry's part of the store, and then blobs that nothing leads to at all, such as
 * those of a push whose server was killed. Servers and pushes may go on meanwhile.
 */
export async function collectRegistryGarbage(store: Store, policy: GarbagePolicy): Promise<RegistryGarbage> {
  const garbage = await localStorage(store).collectGarbage(policy)
  if (policy.isDryRun) return garbage
  const { blobs } = await collectGarbage(store, policy.signal === undefined ? {} : { signal: policy.signal })
  return { ...garbage, freed: garbage.freed + blobs.reduce((total, { size }) => total + size, 0) }
}
