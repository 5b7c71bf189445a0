import type { CachedStep } from '../build/cache.ts'
import type { BaseOp, Op } from '../build/graph.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { BuildkitInput, BuildkitKey } from './buildkit-key.ts'
import { buildkitBaseKeys, buildkitContentKey, buildkitKeys } from './buildkit-keys.ts'
import type { BuildkitFacts } from './match-buildkit.ts'

/** A record of BuildKit's caches (cache/remotecache/v1/types), its layers named by their diff IDs. */
export interface ExportedRecord {
  readonly digest: string
  /** For each input the records that it may be, by their indexes. */
  readonly inputs: readonly (readonly { readonly selector: string; readonly link: number }[])[]
  /** The filesystem that the step gave, from the lowest layer up; undefined where the cache is not to have it. */
  readonly layers: readonly Digest[] | undefined
  /** RFC 3339. */
  readonly createdAt: string
}

/** What Go takes for no time. */
const noTime = '0001-01-01T00:00:00Z'

export interface RecordsOptions {
  /** The result of a step, if the cache is to have it. */
  readonly stepOf: (op: Op) => CachedStep | undefined
  readonly facts: BuildkitFacts
}

/**
 * What BuildKit's solver finds the steps of a build by, parents first, as far as Cairn knows that to the letter. A step
 * that it does not know is left out, with all that stands on it.
 */
export function buildkitRecords(ops: readonly Op[], options: RecordsOptions): readonly ExportedRecord[] {
  const writer = new RecordWriter(options)
  for (const op of ops) writer.add(op)
  return writer.records
}

class RecordWriter {
  readonly records: ExportedRecord[] = []
  readonly #options: RecordsOptions
  /** The records that a step may be looked for by. */
  readonly #indexes = new Map<Op, readonly number[]>()
  /** Records of what contexts have, by their digests. */
  readonly #contents = new Map<string, number>()

  constructor(options: RecordsOptions) {
    this.#options = options
  }

  add(op: Op): void {
    if (op.kind === 'base') {
      const keys = buildkitBaseKeys(op)
      const put = (digest: string): number => this.#put({ digest, inputs: [], layers: undefined, createdAt: noTime })
      if (keys.length > 0) this.#indexes.set(op, keys.map(put))
      return
    }
    const keys = buildkitKeys(op, this.#options.facts.remoteKey)
    const indexes = keys.flatMap((key) => this.#write(key, this.#layersOf(op), this.#createdAt(op)) ?? [])
    if (indexes.length > 0) this.#indexes.set(op, indexes)
  }

  #write({ digest, inputs }: BuildkitKey, layers: ExportedRecord['layers'], createdAt: string): number | undefined {
    const links = inputs.map((input) => this.#links(input))
    if (links.some((list) => list.length === 0)) return undefined
    return this.#put({ digest, inputs: links, layers, createdAt })
  }

  #links({ op, step, context, selector }: BuildkitInput): ExportedRecord['inputs'][number] {
    if (op !== undefined) return (this.#indexes.get(op) ?? []).map((link) => ({ selector, link }))
    if (step !== undefined) {
      const link = this.#write(step, undefined, noTime)
      return link === undefined ? [] : [{ selector, link }]
    }
    // One for each form of BuildKit's hashes: which one will read this is not known.
    const hashes = context === undefined ? [] : this.#options.facts.hashContent(context)
    return [...new Set(hashes)].map((hash) => ({ selector: '', link: this.#content(hash) }))
  }

  #content(hash: string): number {
    return this.#contents.getOrInsertComputed(hash, () =>
      this.#put({ digest: buildkitContentKey(hash), inputs: [], layers: undefined, createdAt: noTime }),
    )
  }

  #put(record: ExportedRecord): number {
    return this.records.push(record) - 1
  }

  /** The layers below a step and its own, where all of them are known. */
  #layersOf(op: Exclude<Op, BaseOp>): ExportedRecord['layers'] {
    if (this.#options.stepOf(op) === undefined) return undefined
    const layers: Digest[] = []
    for (let at: Op | undefined = op; at !== undefined; at = at.parent) {
      if (at.kind === 'base') return [...at.image.config.rootfs.diff_ids, ...layers]
      const step = this.#options.stepOf(at)
      if (step === undefined) return undefined
      layers.unshift(step.result.layer.diffId)
    }
    return layers
  }

  #createdAt(op: Op): string {
    return this.#options.stepOf(op)?.result.layer.createdAt ?? noTime
  }
}

/** BuildKit's records as the config of an image has them (cache/remotecache/inline): with the layers of that by their order. */
export function inlineRecords(records: readonly ExportedRecord[], diffIds: readonly Digest[]): string {
  const place = (stack: readonly Digest[]): number | undefined =>
    stack.every((diffId, index) => diffId === diffIds[index]) ? stack.length - 1 : undefined
  return Buffer.from(JSON.stringify(records.map((record) => written(record, place)))).toString('base64')
}

/** A record of a document; `place` gives the index of the topmost of some layers there, undefined for others. */
function written(
  { digest, inputs, layers: stack = [], createdAt }: ExportedRecord,
  place: (stack: readonly Digest[], createdAt: string) => number | undefined,
): BuildkitDocument['records'][number] {
  const layer = stack.length === 0 ? undefined : place(stack, createdAt)
  return {
    ...(layer === undefined ? {} : { layers: [{ layer, createdAt }] }),
    digest,
    ...(inputs.length === 0 ? {} : { inputs }),
  }
}

/** BuildKit's document of a cache: its CacheConfig. Where layers are objects by their digests it goes by the annotations. */
export interface BuildkitDocument {
  readonly layers: readonly {
    readonly blob: Digest
    /** Index of the layer below; -1 for the lowest. */
    readonly parent: number
    readonly annotations: {
      readonly mediaType: string
      readonly diffID: Digest
      readonly size: number
      readonly createdAt: string
    }
  }[]
  readonly records: readonly {
    readonly layers?: readonly { readonly layer: number; readonly createdAt: string }[]
    readonly digest: string
    readonly inputs?: ExportedRecord['inputs']
  }[]
}

/** The document of records whose layers are those blobs. */
export function buildkitDocument(
  records: readonly ExportedRecord[],
  blobs: ReadonlyMap<Digest, Descriptor>,
): BuildkitDocument {
  const layers: BuildkitDocument['layers'][number][] = []
  const stacks = new Map<string, number>()
  /** The index of the topmost of these layers; -1 for none. */
  const place = (diffIds: readonly Digest[], createdAt: string): number => {
    const diffID = diffIds.at(-1)
    if (diffID === undefined) return -1
    const name = diffIds.join(' ')
    const known = stacks.get(name)
    if (known !== undefined) return known
    const parent = place(diffIds.slice(0, -1), noTime)
    const { digest, size, mediaType } = blobs.get(diffID) as Descriptor
    const index = layers.push({ blob: digest, parent, annotations: { mediaType, diffID, size, createdAt } }) - 1
    stacks.set(name, index)
    return index
  }
  return { records: records.map((record) => written(record, place)), layers }
}
