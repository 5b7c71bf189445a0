import type { Store } from '../content/store.ts'
import { localStorage } from '../registry/storage/local-storage.ts'
import type { GarbagePolicy, RegistryGarbage } from '../registry/storage/registry-storage.ts'

/** Removes what nothing needs of the registry's part of the store. Servers and pushes may go on meanwhile. */
export function collectRegistryGarbage(store: Store, policy: GarbagePolicy): Promise<RegistryGarbage> {
  return localStorage(store).collectGarbage(policy)
}
