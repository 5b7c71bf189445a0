import type { CachedStep } from '../build/cache.ts'
import type { BlockCompressor } from '../compression/compress.ts'
import { CairnError } from '../errors/error.ts'
import type { ImageConfig } from '../oci/config.ts'
import type { Digest } from '../oci/digest.ts'
import type { NamedHistory } from '../remote-cache/cache-document.ts'
import type { CacheExport, CacheImport } from '../remote-cache/cache-options.ts'
import type { ImportedCaches } from '../remote-cache/import-cache.ts'
import { withInlineCache } from '../remote-cache/inline-cache.ts'
import { CacheExports, type ExportedBuild } from './export-caches.ts'
import { type CacheAccess, importCaches } from './import-caches.ts'
import { type RegistryAccess, registryClient } from './registry-access.ts'

/** What a build asks of caches elsewhere. */
export interface CacheRequest {
  /** `--cache-from`. */
  readonly cacheFrom?: readonly CacheImport[]
  /** `--cache-to`. */
  readonly cacheTo?: readonly CacheExport[]
  /** How registries are reached for caches. */
  readonly registry?: RegistryAccess
}

interface CachesOptions extends CacheRequest, Omit<CacheAccess, 'client'> {
  readonly compressor?: BlockCompressor | undefined
  readonly concurrency?: number | undefined
}

/** The caches elsewhere that one build reads and writes. To be disposed of, once they are settled. */
export class BuildCaches implements Disposable {
  readonly imported: ImportedCaches
  readonly #exports: CacheExports
  readonly #isInline: boolean

  private constructor(imported: ImportedCaches, exports: CacheExports, isInline: boolean) {
    this.imported = imported
    this.#exports = exports
    this.#isInline = isInline
  }

  /** Reads the caches to import but for their layers, and opens the places to export to. Throws as importCaches() does. */
  static async open(options: CachesOptions): Promise<BuildCaches> {
    const { cacheFrom = [], cacheTo = [], registry } = options
    const client = (): ReturnType<typeof registryClient> => {
      if (registry === undefined) throw new CairnError('NOT_SUPPORTED', 'caches of registries cannot be reached here')
      return registryClient(registry)
    }
    const imported = await importCaches(cacheFrom, { ...options, client })
    const isInline = cacheTo.some(({ place }) => place === undefined)
    return new BuildCaches(imported, new CacheExports(cacheTo, { ...options, client, imported }), isInline)
  }

  /** Has the layer of a step sent while others still run. */
  offer(diffId: Digest, isOfResult: boolean): void {
    this.#exports.offer(diffId, isOfResult)
  }

  /** The config of an image of these steps, with a cache in it where that is asked for. */
  async configWith(
    config: ImageConfig,
    steps: () => Promise<readonly CachedStep[]>,
    histories: () => readonly NamedHistory[],
  ): Promise<ImageConfig> {
    return this.#isInline ? withInlineCache(config, await steps(), histories()) : config
  }

  /** Writes what is missing. Throws as {@link CacheExports.finish}. */
  async finish(build: ExportedBuild): Promise<void> {
    await this.#exports.finish(build)
  }

  /** Waits until nothing is being sent any more. */
  async settle(): Promise<void> {
    await this.#exports.settle()
  }

  [Symbol.dispose](): void {
    this.#exports[Symbol.dispose]()
  }
}
