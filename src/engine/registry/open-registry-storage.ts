import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { readTextFile } from '../../linux/text-file.ts'
import { cachedStorage, type CacheObserver } from '../../registry/cache/cached-storage.ts'
import type { UpstreamOptions } from '../../registry/cache/upstream.ts'
import type { RegistryConfig, UpstreamConfig } from '../../registry/server/registry-config.ts'
import { localStorage } from '../../registry/storage/local-storage.ts'
import type { RegistryStorage } from '../../registry/storage/registry-storage.ts'
import { s3Credentials } from '../../object-storage/credentials.ts'
import { openS3Storage } from '../../registry/storage/s3/s3-storage.ts'

/** Where a registry finds what its configuration names. */
export interface RegistryPlace {
  readonly store: Store
  readonly env: Readonly<Record<string, string | undefined>>
}

/**
 * What a registry keeps its content in: the store, or a bucket where one is configured, with caches of other registries
 * around it. Throws CONFIG_INVALID where credentials are missing, STORE_UNUSABLE and NOT_SUPPORTED where a bucket cannot
 * be used.
 */
export async function openRegistryStorage(
  { store, env }: RegistryPlace,
  { s3, upstreams }: Pick<RegistryConfig, 's3' | 'upstreams'>,
  observer: CacheObserver,
): Promise<RegistryStorage> {
  const storage = s3 === undefined ? localStorage(store) : await openBucket(s3, env)
  if (upstreams.length === 0) return storage
  const directory = store.path('registry', 'arriving')
  return cachedStorage(storage, { upstreams: upstreams.map(upstreamOptions), directory, env, ...observer })
}

async function openBucket(s3: NonNullable<RegistryConfig['s3']>, env: RegistryPlace['env']): Promise<RegistryStorage> {
  const { credentials, profile, ...options } = s3
  return await openS3Storage({ ...options, credentials: s3Credentials(credentials, profile, env) })
}

function upstreamOptions({ credentials, ...options }: UpstreamConfig): UpstreamOptions {
  if (credentials === undefined) return { ...options, credentials: undefined }
  const text = readTextFile(credentials)?.trim()
  const colon = text?.indexOf(':') ?? -1
  if (text === undefined || colon <= 0)
    throw new CairnError('CONFIG_INVALID', `${credentials} has no line USER:PASSWORD for ${options.url.host}`)
  return { ...options, credentials: { username: text.slice(0, colon), password: text.slice(colon + 1) } }
}
