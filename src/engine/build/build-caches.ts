import type { Op, RunOp } from '../../build/graph.ts'
import type { BlockCompressor } from '../../compression/compress.ts'
import { CairnError } from '../../errors/error.ts'
import type { ImageConfig } from '../../oci/config.ts'
import type { Digest } from '../../oci/digest.ts'
import type { NamedHistory } from '../../remote-cache/cache-document.ts'
import type { CacheExport, CacheImport } from '../../remote-cache/cache-options.ts'
import type { ExtraBlob } from '../../remote-cache/export-cache.ts'
import type { ImportedCaches } from '../../remote-cache/import-cache.ts'
import { withInlineCache } from '../../remote-cache/inline-cache.ts'
import { CacheExports, type ExportedBuild, recordsOf } from './export-caches.ts'
import { type CacheAccess, importCaches, importId } from './import-caches.ts'
import { type RegistryAccess, registryClient } from '../registry/registry-access.ts'
import { CacheMountArrivals, packCacheMounts } from './travelling-mounts.ts'

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

/** The steps that an image was made by. */
interface CachedImage extends Pick<ExportedBuild, 'ops' | 'steps' | 'facts'> {
  /** Those whose layers it has. */
  readonly resultOps: readonly Op[]
  readonly histories: () => readonly NamedHistory[]
}

/** The caches elsewhere that one build reads and writes. To be disposed of, once they are settled. */
export class BuildCaches implements Disposable {
  readonly imported: ImportedCaches
  readonly #options: CachesOptions
  readonly #arrivals: CacheMountArrivals
  readonly #exports: CacheExports
  readonly #inline: CacheExport | undefined

  private constructor(imported: ImportedCaches, exports: CacheExports, options: CachesOptions) {
    this.imported = imported
    this.#options = options
    const warn = (short: string): void =>
      options.progress({ type: 'warning', vertex: importId(options.cacheFrom?.[0]), level: 1, short })
    this.#arrivals = new CacheMountArrivals(options.store, imported.mounts(), { signal: options.signal, warn })
    this.#exports = exports
    this.#inline = options.cacheTo?.find(({ place }) => place === undefined)
  }

  /** Reads the caches to import but for their layers, and opens the places to export to. Throws as importCaches() does. */
  static async open(options: CachesOptions): Promise<BuildCaches> {
    const { cacheFrom = [], cacheTo = [], registry } = options
    const client = (): ReturnType<typeof registryClient> => {
      if (registry === undefined) throw new CairnError('NOT_SUPPORTED', 'caches of registries cannot be reached here')
      return registryClient(registry)
    }
    const imported = await importCaches(cacheFrom, { ...options, client })
    return new BuildCaches(imported, new CacheExports(cacheTo, { ...options, client, imported }), options)
  }

  /** Has the layer of a step sent while others still run. */
  offer(diffId: Digest, isOfResult: boolean): void {
    this.#exports.offer(diffId, isOfResult)
  }

  /** The config of an image of these steps, with a cache in it where that is asked for. */
  async configWith(config: ImageConfig, image: CachedImage): Promise<ImageConfig> {
    if (this.#inline === undefined) return config
    const { resultOps, steps, histories } = image
    const records = this.#inline.buildkit ? await recordsOf(image, resultOps) : []
    return withInlineCache(config, { steps: await steps(resultOps), histories: histories(), records })
  }

  /** Brings the cache mounts that a step is about to use. */
  async beforeRun(op: RunOp): Promise<void> {
    await this.#arrivals.before(op)
  }

  /** Writes what is missing. Throws as {@link CacheExports.finish}. */
  async finish(build: Omit<ExportedBuild, 'mounts'>): Promise<void> {
    const { store, signal } = this.#options
    let packed: Promise<readonly ExtraBlob[]> | undefined
    await this.#exports.finish({ ...build, mounts: () => (packed ??= packCacheMounts(store, build.ops, signal)) })
  }

  /** Waits until nothing is being sent any more. */
  async settle(): Promise<void> {
    await this.#exports.settle()
  }

  [Symbol.dispose](): void {
    this.#exports[Symbol.dispose]()
  }
}
