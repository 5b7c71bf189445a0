import type { Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import type { ProgressListener } from '../../progress/events.ts'
import type { RegistryClient } from '../../registry/client/connection.ts'
import type { CacheImport } from '../../remote-cache/cache-options.ts'
import type { CacheSource } from '../../remote-cache/cache-places.ts'
import { ImportedCaches } from '../../remote-cache/import-cache.ts'
import { ghaObjects } from '../../remote-cache/gha-objects.ts'
import { localCacheSource } from '../../remote-cache/local-place.ts'
import { readCache } from '../../remote-cache/read-cache.ts'
import { registryCacheSource } from '../../remote-cache/registry-place.ts'
import { objectCacheSource } from '../../remote-cache/object-place.ts'
import { s3Objects } from '../../remote-cache/s3-objects.ts'

export interface CacheAccess {
  readonly store: Store
  readonly lease: Lease
  /** Reaches registries; called for caches that are at one. */
  readonly client: () => RegistryClient
  readonly progress: ProgressListener
  readonly signal: AbortSignal
}

/**
 * Reads the caches of `--cache-from`, all at once; their layers stay where they are. A cache that is not there is told
 * of, one that cannot be read is warned of; neither fails the build.
 */
export async function importCaches(imports: readonly CacheImport[], access: CacheAccess): Promise<ImportedCaches> {
  const { store, lease, progress, signal } = access
  const [first = ''] = imports.map(importId)
  const warn = (short: string): void => progress({ type: 'warning', vertex: first, level: 1, short })
  const caches = new ImportedCaches({ store, lease, warn })
  const found = await Promise.all(imports.map(async (one) => await importCache(one, access)))
  signal.throwIfAborted()
  for (const [index, cache] of found.entries())
    if (cache !== undefined) {
      const { name, mounts } = imports[index] as CacheImport
      caches.add(name, cache.source, mounts ? cache.content : { ...cache.content, mounts: [] })
    }
  return caches
}

async function importCache(
  one: CacheImport,
  access: CacheAccess,
): Promise<{ source: CacheSource; content: NonNullable<Awaited<ReturnType<typeof readCache>>> } | undefined> {
  const { progress, signal } = access
  const id = importId(one)
  const name = `importing cache manifest from ${one.place.type === 'local' ? 'local:' : ''}${one.name}`
  const vertex = { type: 'vertex', id, name, started: Date.now() } as const
  progress(vertex)
  const tell = (text: string): void => {
    const now = Date.now()
    progress({ type: 'log', vertex: id, stream: 2, data: new TextEncoder().encode(`${text}\n`), timestamp: now })
  }
  try {
    const source = sourceOf(one, access)
    const content = await readCache(source)
    if (content === undefined) tell(`there is no cache at ${one.name} yet`)
    else if (content.parts.length + content.buildkit.length === 0) tell(`${one.name} has no cache in it`)
    else {
      const now = Date.now()
      const results = [...content.parts.map(({ steps: own }) => own), ...content.buildkit]
      const steps = results.reduce((count, { length }) => count + length, 0)
      const times = { timestamp: now, started: vertex.started, completed: now }
      progress({
        type: 'status',
        vertex: id,
        id: content.buildkit.length > 0 ? `${steps} records of BuildKit` : `${steps} steps`,
        current: 0,
        total: 0,
        ...times,
      })
    }
    return content === undefined ? undefined : { source, content }
  } catch (error) {
    if (!(error instanceof CairnError) || error.code === 'DISK_FULL') throw error
    signal.throwIfAborted()
    progress({ type: 'warning', vertex: id, level: 1, short: `cache ${one.name} is not used: ${error.message}` })
    return undefined
  } finally {
    progress({ ...vertex, completed: Date.now() })
  }
}

function sourceOf({ place }: CacheImport, { store, lease, client, signal }: CacheAccess): CacheSource {
  switch (place.type) {
    case 'local':
      return localCacheSource(place, lease)
    case 'registry':
      return registryCacheSource(place.reference, { store, lease, client: client(), signal })
    case 's3':
      return objectCacheSource(s3Objects(place), lease)
    case 'gha':
      return objectCacheSource(ghaObjects(place, signal), lease)
    default:
      return place satisfies never
  }
}

/** Names the import among the events of the build. */
export function importId(one: CacheImport | undefined): string {
  return `import cache ${one?.name}`
}
