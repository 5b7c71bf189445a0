import { collectGarbage } from '../../content/gc.ts'
import type { RegistryConfig } from '../../registry/server/registry-config.ts'
import type { GarbagePolicy, RegistryGarbage } from '../../registry/storage/registry-storage.ts'
import { openRegistryStorage, type RegistryPlace } from './open-registry-storage.ts'

/**
 * Removes what nothing needs of a registry's content, and in the store then blobs that nothing leads to at all, such as
 * those of a push whose server was killed. Servers and pushes may go on meanwhile. Throws as openRegistryStorage().
 */
export async function collectRegistryGarbage(
  place: RegistryPlace,
  config: Pick<RegistryConfig, 's3' | 'upstreams'>,
  policy: GarbagePolicy,
): Promise<RegistryGarbage> {
  const storage = await openRegistryStorage(place, config, { count: () => {}, onFetched: () => {} })
  const garbage = await storage.collectGarbage(policy)
  await storage.close()
  if (policy.isDryRun || config.s3 !== undefined) return garbage
  const { blobs } = await collectGarbage(place.store, policy.signal === undefined ? {} : { signal: policy.signal })
  return { ...garbage, freed: garbage.freed + blobs.reduce((total, { size }) => total + size, 0) }
}
