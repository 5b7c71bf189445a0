import type { NamedHistory } from '../../remote-cache/cache-document.ts'
import type { CachedStep } from '../../build/cache.ts'
import type { BlockCompressor } from '../../compression/compress.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import type { Digest } from '../../oci/digest.ts'
import type { CacheExport, CachePlace } from '../../remote-cache/cache-options.ts'
import type { CacheTarget } from '../../remote-cache/cache-places.ts'
import { CacheExporter, type ExtraBlob } from '../../remote-cache/export-cache.ts'
import type { ImportedCaches } from '../../remote-cache/import-cache.ts'
import { localCacheTarget } from '../../remote-cache/local-place.ts'
import { registryCacheTarget } from '../../remote-cache/registry-place.ts'
import type { CacheAccess } from './import-caches.ts'

export interface CacheExportsOptions extends CacheAccess {
  readonly imported: ImportedCaches
  readonly compressor?: BlockCompressor | undefined
  readonly concurrency?: number | undefined
}

/** What a build has to export in the end. */
export interface ExportedBuild {
  /** By mode. */
  readonly steps: (mode: CacheExport['mode']) => Promise<readonly CachedStep[]>
  readonly histories: readonly NamedHistory[]
  /** Packs the cache mounts that the steps use. */
  readonly mounts: () => Promise<readonly ExtraBlob[]>
}

interface OpenExport {
  readonly settings: CacheExport
  readonly exporter: CacheExporter
  readonly target: CacheTarget
}

/** The caches of `--cache-to`, written while the build runs. To be disposed of, once it is settled. */
export class CacheExports implements Disposable {
  readonly #options: CacheExportsOptions
  readonly #exports: OpenExport[] = []

  /** Opens the places; one that cannot be fails the build unless its errors are ignored. */
  constructor(exports: readonly CacheExport[], options: CacheExportsOptions) {
    this.#options = options
    for (const settings of exports) {
      const { place } = settings
      if (place === undefined) continue
      try {
        const target = openTarget(place, settings, options)
        this.#exports.push({ settings, target, exporter: new CacheExporter({ ...options, target, settings }) })
      } catch (error) {
        this.#tolerate(settings, error, `export cache ${settings.name}`)
      }
    }
  }

  /** Has a layer sent while steps still run, if the cache is to have it. */
  offer(diffId: Digest, isOfResult: boolean): void {
    for (const { settings, exporter } of this.#exports)
      if (settings.mode === 'max' || isOfResult) exporter.offer(diffId)
  }

  /** Writes what is missing. Throws what the first of them that matters fails with. */
  async finish(build: ExportedBuild): Promise<void> {
    for (const one of this.#exports) await this.#finish(one, build)
  }

  /** Waits until nothing is being sent any more. */
  async settle(): Promise<void> {
    await Promise.all(this.#exports.map(({ exporter }) => exporter.settle()))
  }

  [Symbol.dispose](): void {
    for (const { target } of this.#exports) target[Symbol.dispose]()
  }

  async #finish({ settings, exporter }: OpenExport, { steps, histories, mounts }: ExportedBuild): Promise<void> {
    const { progress } = this.#options
    const kind = settings.place?.type === 'local' ? 'client directory' : 'registry'
    const id = `export cache ${settings.name}`
    const vertex = { type: 'vertex', id, name: `exporting cache to ${kind}`, started: Date.now() } as const
    progress(vertex)
    const status = (text: string, size = 0): void => {
      const now = Date.now()
      const times = { timestamp: now, started: vertex.started, completed: now }
      progress({ type: 'status', vertex: id, id: text, current: size, total: 0, ...times })
    }
    try {
      status('preparing build cache for export')
      const written = await exporter.finish(
        await steps(settings.mode),
        histories,
        settings.mounts ? await mounts() : [],
        status,
      )
      if (written === undefined) status('skipping cache export for empty result')
      progress({ ...vertex, completed: Date.now() })
    } catch (error) {
      progress({ ...vertex, completed: Date.now(), error: error instanceof Error ? error.message : String(error) })
      this.#tolerate(settings, error, id)
    }
  }

  #tolerate({ name, ignoreError }: CacheExport, error: unknown, vertex: string): void {
    if (!isCairnError(error) || error.kind === 'canceled') throw error
    const short = `cache ${name} was not exported: ${error.message}`
    if (!ignoreError)
      throw new CairnError(error.code, short, {
        cause: error,
        hint: error.hint ?? 'With ignore-error=true the build goes on without.',
      })
    this.#options.progress({ type: 'warning', vertex, level: 1, short })
  }
}

function openTarget(place: CachePlace, { reset }: CacheExport, options: CacheExportsOptions): CacheTarget {
  return place.type === 'local'
    ? localCacheTarget(place, { reset })
    : registryCacheTarget(place.reference, { ...options, client: options.client() })
}
