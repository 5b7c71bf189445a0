import type { Store } from '../content/store.ts'
import type { S3Config } from '../registry/server/registry-config.ts'
import { localStorage } from '../registry/storage/local-storage.ts'
import type { RegistryStorage } from '../registry/storage/registry-storage.ts'
import { s3Credentials } from '../registry/storage/s3/credentials.ts'
import { openS3Storage } from '../registry/storage/s3/s3-storage.ts'

/**
 * What a registry keeps its content in: the store, or a bucket where one is configured. Throws CONFIG_INVALID where there
 * are no keys for the bucket, STORE_UNUSABLE and NOT_SUPPORTED where it cannot be used.
 */
export async function openRegistryStorage(
  store: Store,
  s3: S3Config | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Promise<RegistryStorage> {
  if (s3 === undefined) return localStorage(store)
  const { credentials, profile, ...options } = s3
  return await openS3Storage({ ...options, credentials: s3Credentials(credentials, profile, env) })
}
