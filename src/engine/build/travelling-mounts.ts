import type { Op, RunOp } from '../../build/graph.ts'
import { compress } from '../../compression/compress.ts'
import { listCacheMounts } from '../../content/cache-mounts.ts'
import type { Store } from '../../content/store.ts'
import { isCairnError } from '../../errors/error.ts'
import { readFileChunks } from '../../layers/file-chunks.ts'
import { openFileSink } from '../../linux/file-sink.ts'
import { removeFile } from '../../linux/names.ts'
import { Digester } from '../../oci/digest.ts'
import { fileContent } from '../../registry/client/blob-content.ts'
import type { ExtraBlob } from '../../remote-cache/export-cache.ts'
import type { ImportedMount } from '../../remote-cache/import-cache.ts'
import {
  mountAnnotations,
  mountType,
  travellingMounts,
  travellingMountsOf,
} from '../../remote-cache/travelling-mount.ts'
import type { ByteSource } from '../../streams/source.ts'
import { exportCacheMount, importCacheMount } from './transfer-cache-mount.ts'

/**
 * The cache mounts that steps use and that begin empty, as blobs of a cache; in files that go with the session. The same
 * files give the same bytes.
 */
export async function packCacheMounts(store: Store, ops: readonly Op[], signal: AbortSignal): Promise<ExtraBlob[]> {
  const there = new Set(listCacheMounts(store).map(({ name }) => name))
  const blobs: ExtraBlob[] = []
  for (const mount of travellingMountsOf(ops)) {
    if (!there.has(mount.name)) continue
    const tar = store.session.temporaryPath('mount')
    try {
      using sink = openFileSink(tar)
      await exportCacheMount(store, mount.name, (bytes) => sink.write(bytes), { signal, onWait: () => {} })
      sink.commit()
      const content = await compressed(store, tar)
      blobs.push({ mediaType: mountType, content, annotations: mountAnnotations(mount) })
    } finally {
      removeFile(tar)
    }
  }
  return blobs
}

async function compressed(store: Store, tar: string): Promise<ExtraBlob['content']> {
  const path = store.session.temporaryPath('mount')
  const digester = new Digester()
  using sink = openFileSink(path)
  for await (const bytes of compress(chunksOf(tar), { format: 'zstd' })) {
    digester.update(bytes)
    sink.write(bytes)
  }
  sink.commit()
  const size = digester.size
  return fileContent(path, { size, digest: digester.digest() })
}

// oxlint-disable-next-line typescript/require-await -- a source of bytes is asynchronous by type
async function* chunksOf(path: string): ByteSource {
  yield* readFileChunks(path)
}

/** Cache mounts of imported caches: each comes into the store before the first step that uses it, if none is there. */
export class CacheMountArrivals {
  readonly #store: Store
  readonly #mounts: ReadonlyMap<string, ImportedMount>
  readonly #signal: AbortSignal
  readonly #warn: (text: string) => void
  readonly #arrived = new Map<string, Promise<void>>()

  constructor(
    store: Store,
    mounts: ReadonlyMap<string, ImportedMount>,
    options: { readonly signal: AbortSignal; readonly warn: (text: string) => void },
  ) {
    this.#store = store
    this.#mounts = mounts
    this.#signal = options.signal
    this.#warn = options.warn
  }

  /** Brings what a step uses. A cache mount that is damaged is warned of, and begins empty. */
  async before(op: RunOp): Promise<void> {
    await Promise.all(
      travellingMounts(op).map(async ({ name }) => {
        const mount = this.#mounts.get(name)
        if (mount !== undefined) await this.#arrived.getOrInsertComputed(name, () => this.#bring(name, mount))
      }),
    )
  }

  async #bring(name: string, { cache, identity, open }: ImportedMount): Promise<void> {
    if (listCacheMounts(this.#store).some((mount) => mount.name === name)) return
    const { id, uid, gid, mode } = identity
    const options = { name: `cache mount ${id} of ${cache}`, owner: { uid, gid, mode }, signal: this.#signal }
    try {
      await importCacheMount(this.#store, id, await open(), { ...options, onWait: () => {} })
    } catch (error) {
      if (!isCairnError(error) || error.kind === 'canceled' || error.code === 'DISK_FULL') throw error
      this.#warn(`cache mount ${id} of ${cache} is not used: ${error.message}`)
    }
  }
}
