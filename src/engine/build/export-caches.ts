import type { NamedHistory } from '../../remote-cache/cache-document.ts'
import type { CachedStep } from '../../build/cache.ts'
import type { Op } from '../../build/graph.ts'
import type { BlockCompressor } from '../../compression/compress.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import type { Digest } from '../../oci/digest.ts'
import type { CacheExport, CachePlace } from '../../remote-cache/cache-options.ts'
import type { CacheTarget } from '../../remote-cache/cache-places.ts'
import { CacheExporter, type ExtraBlob } from '../../remote-cache/export-cache.ts'
import type { ImportedCaches } from '../../remote-cache/import-cache.ts'
import { buildkitRecords, type ExportedRecord } from '../../remote-cache/buildkit-records.ts'
import { ghaObjects } from '../../remote-cache/gha-objects.ts'
import { localCacheTarget } from '../../remote-cache/local-place.ts'
import type { BuildkitFacts } from '../../remote-cache/match-buildkit.ts'
import { objectCacheTarget } from '../../remote-cache/object-place.ts'
import { registryCacheTarget } from '../../remote-cache/registry-place.ts'
import { s3Objects } from '../../remote-cache/s3-objects.ts'
import type { CacheAccess } from './import-caches.ts'

export interface CacheExportsOptions extends CacheAccess {
  readonly imported: ImportedCaches
  readonly compressor?: BlockCompressor | undefined
  readonly concurrency?: number | undefined
}

/** What a build has to export in the end. */
export interface ExportedBuild {
  /** All steps, parents first. */
  readonly ops: readonly Op[]
  /** Those of the result. */
  readonly resultOps: ReadonlySet<Op>
  /** The results of steps, as far as there are any. */
  readonly steps: (ops: readonly Op[]) => Promise<readonly CachedStep[]>
  readonly facts: BuildkitFacts
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
        // As with buildx, the flags of a workflow do no harm elsewhere.
        const isElsewhere = place.type === 'gha' && place.service === undefined
        const ignoreError = settings.ignoreError || isElsewhere
        this.#tolerate({ ...settings, ignoreError }, error, `export cache ${settings.name}`)
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

  async #finish({ settings, exporter }: OpenExport, build: ExportedBuild): Promise<void> {
    const { progress } = this.#options
    const { ops, resultOps, histories, mounts } = build
    const kind = placeNames[settings.place?.type ?? 'registry']
    const id = `export cache ${settings.name}`
    const vertex = { type: 'vertex', id, name: `exporting ${kind}`, started: Date.now() } as const
    progress(vertex)
    const status = (text: string, size = 0): void => {
      const now = Date.now()
      const times = { timestamp: now, started: vertex.started, completed: now }
      progress({ type: 'status', vertex: id, id: text, current: size, total: 0, ...times })
    }
    try {
      status('preparing build cache for export')
      const kept = settings.mode === 'max' ? ops : ops.filter((op) => resultOps.has(op))
      const steps = await build.steps(kept)
      const records = settings.buildkit ? () => recordsOf(build, kept) : undefined
      const extra = settings.mounts ? await mounts() : []
      const written = await exporter.finish({ steps, histories, extra, records }, status)
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

/** In BuildKit's words. */
const placeNames: Readonly<Record<CachePlace['type'], string>> = {
  local: 'cache to client directory',
  registry: 'cache to registry',
  s3: 'cache to Amazon S3',
  gha: 'to GitHub Actions Cache',
}

/** BuildKit's records of all steps, with the results of those that are kept. */
export async function recordsOf(
  { ops, steps, facts }: Pick<ExportedBuild, 'ops' | 'steps' | 'facts'>,
  kept: readonly Op[],
): Promise<readonly ExportedRecord[]> {
  const results = new Map<Op, CachedStep>()
  for (const op of kept) for (const step of await steps([op])) results.set(op, step)
  return buildkitRecords(ops, { stepOf: (op) => results.get(op), facts })
}

function openTarget(place: CachePlace, { reset }: CacheExport, options: CacheExportsOptions): CacheTarget {
  switch (place.type) {
    case 'local':
      return localCacheTarget(place, { reset })
    case 'registry':
      return registryCacheTarget(place.reference, { ...options, client: options.client() })
    case 's3':
      return objectCacheTarget(s3Objects(place), options.store)
    case 'gha':
      return objectCacheTarget(ghaObjects(place, options.signal), options.store)
    default:
      return place satisfies never
  }
}
