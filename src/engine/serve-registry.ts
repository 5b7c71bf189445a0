import type { Store } from '../content/store.ts'
import { ManifestCache } from '../registry/server/manifest-cache.ts'
import { type RegistryServer, startRegistryServer } from '../registry/server/registry-server.ts'
import { requestHandler } from '../registry/server/request-handler.ts'
import { defaultSettings } from '../registry/server/settings.ts'
import { localStorage } from '../registry/storage/local-storage.ts'

/** Bytes of manifests that are kept in memory. */
const manifestCacheSize = 32 * 1024 * 1024

/** Starts a registry server on the store. */
export function serveRegistry(store: Store, options: { hostname: string; port: number }): RegistryServer {
  const registry = {
    storage: localStorage(store),
    settings: defaultSettings,
    manifests: new ManifestCache(manifestCacheSize),
  }
  return startRegistryServer({ ...options, tls: undefined, idleTimeout: 120, handle: requestHandler(registry) })
}
