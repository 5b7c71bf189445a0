import type { Store } from '../../content/store.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import type { Digest } from '../../oci/digest.ts'
import type { BlobPieceBytes } from './download.ts'
import type { LayerPlan, LayerPlanOptions, LayerRun } from './layer-plan.ts'
import type { BlobPart, Repository } from './repository.ts'

/** Ranges that are asked for before their turn comes. */
const rangesAhead = 4

/**
 * The bytes of a layer from `start` on, as far as they can be put together by a plan: of the pieces that layers in the store
 * have and of ranges for the others. Whether they are right is checked by the digest of the whole. Throws as
 * {@link Repository.openRange}.
 */
export async function* layerPieces(
  blob: Descriptor,
  start: number,
  { runs }: LayerPlan,
  { store, repository }: LayerPlanOptions,
): AsyncGenerator<BlobPieceBytes> {
  const rest = runs.filter(({ end }) => end > start).map((run) => runFrom(run, start))
  const ranges = new RangesAhead(blob, repository, rest)
  try {
    for (const run of rest) {
      if (run.from === undefined) yield* ranges.next()
      else yield* stored(store, run.from, run.end - run.start)
    }
  } finally {
    ranges.cancel()
  }
}

function runFrom(run: LayerRun, start: number): LayerRun {
  const skipped = Math.max(0, start - run.start)
  const { from } = run
  return {
    start: run.start + skipped,
    end: run.end,
    from: from === undefined ? undefined : { ...from, position: from.position + skipped },
  }
}

async function* stored(
  { blobs }: Store,
  { digest, position }: { readonly digest: Digest; readonly position: number },
  size: number,
): AsyncGenerator<BlobPieceBytes> {
  let done = 0
  for await (const bytes of blobs.open(digest, { start: position, end: position + size })) {
    done += bytes.length
    yield { bytes, isReceived: false }
  }
  if (done < size) throw new Error(`${digest} became shorter while it was read`)
}

/** Ranges in their order, a few of which are asked for ahead. To be ended by {@link cancel}. */
export class RangesAhead {
  readonly #blob: Descriptor
  readonly #repository: Repository
  readonly #runs: readonly LayerRun[]
  readonly #asked: Promise<BlobPart | undefined>[] = []
  #given = 0

  /** Fetches those of `runs` that are in no blob of the store. */
  constructor(blob: Descriptor, repository: Repository, runs: readonly LayerRun[]) {
    this.#blob = blob
    this.#repository = repository
    this.#runs = runs.filter(({ from }) => from === undefined)
  }

  /** The bytes of the next range. */
  async *next(): AsyncGenerator<BlobPieceBytes> {
    this.#ask()
    const { start, end } = this.#runs[this.#given] as LayerRun
    const part = await this.#asked[this.#given++]
    if (part === undefined) throw new Error('the registry gives no ranges')
    let left = end - start
    for await (const bytes of part.body) {
      left -= bytes.length
      if (left < 0) throw new Error('the registry gives more than the range')
      yield { bytes, isReceived: true }
    }
    if (left > 0) throw new Error('the range ended early')
  }

  cancel(): void {
    const open = this.#asked.slice(this.#given)
    void Promise.allSettled(open).then((answers) => {
      for (const answer of answers) if (answer.status === 'fulfilled') answer.value?.cancel()
    })
  }

  #ask(): void {
    while (this.#asked.length < this.#runs.length && this.#asked.length < this.#given + rangesAhead) {
      const { start, end } = this.#runs[this.#asked.length] as LayerRun
      const asked = this.#repository.openRange(this.#blob, start, end)
      // It may fail before its turn comes; the error surfaces there.
      asked.catch(() => {})
      this.#asked.push(asked)
    }
  }
}
