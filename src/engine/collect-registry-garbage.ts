import { collectGarbage } from '../content/gc.ts'
import type { Store } from '../content/store.ts'
import type { S3Config } from '../registry/server/registry-config.ts'
import type { GarbagePolicy, RegistryGarbage } from '../registry/storage/registry-storage.ts'
import { openRegistryStorage } from './open-registry-storage.ts'

/** Where the garbage is. */
export interface RegistryPlace {
  readonly store: Store
  /** The bucket, where content is not in the store. */
  readonly s3: S3Config | undefined
  readonly env: Readonly<Record<string, string | undefined>>
}

/**
 * Removes what nothing needs of a registry's content, and in the store then blobs that nothing leads to at all, such as
 * those of a push whose server was killed. Servers and pushes may go on meanwhile. Throws as openRegistryStorage().
 */
export async function collectRegistryGarbage(
  { store, s3, env }: RegistryPlace,
  policy: GarbagePolicy,
): Promise<RegistryGarbage> {
  const storage = await openRegistryStorage(store, s3, env)
  const garbage = await storage.collectGarbage(policy)
  if (policy.isDryRun || s3 !== undefined) return garbage
  const { blobs } = await collectGarbage(store, policy.signal === undefined ? {} : { signal: policy.signal })
  return { ...garbage, freed: garbage.freed + blobs.reduce((total, { size }) => total + size, 0) }
}
