import { type CachedStep, contentIdOf, emptyContentId } from '../build/cache.ts'
import type { CacheKey } from '../build/cache-key.ts'
import type { BaseOp, Op } from '../build/graph.ts'
import type { Digest } from '../oci/digest.ts'
import type { BuildkitLayer, BuildkitRecord } from './buildkit-cache.ts'
import type { RemoteKey } from './buildkit-copy.ts'
import type { BuildkitInput, BuildkitKey, ContextInput } from './buildkit-key.ts'
import { buildkitBaseKeys, buildkitContentKey, buildkitKeys } from './buildkit-keys.ts'

/** A step of this build. */
export interface KeyedOp {
  readonly op: Op
  readonly key: CacheKey
  readonly definition: string
}

/** A step that one of BuildKit's caches has a result of. */
export interface MatchedStep {
  readonly step: CachedStep
  readonly layer: BuildkitLayer
}

/** What BuildKit's keys say of things outside of the plan. */
export interface BuildkitFacts {
  /** BuildKit's content hashes of what is read of a context, by its versions; none where they are not known. */
  readonly hashContent: (input: ContextInput) => readonly string[]
  readonly remoteKey: RemoteKey
}

/**
 * Looks for the steps of a build, parents first, among records of BuildKit as its solver does: by their own digest, and
 * each input by the steps it comes from or by its content. A result is taken only on the very layers it was made on. In
 * Cairn's terms the content of such a layer is its diff ID.
 */
export function matchBuildkit(
  records: readonly BuildkitRecord[],
  ops: readonly KeyedOp[],
  facts: BuildkitFacts,
): readonly MatchedStep[] {
  return new BuildkitMatch(records, facts).run(ops)
}

class BuildkitMatch {
  readonly #records: readonly BuildkitRecord[]
  readonly #byDigest: ReadonlyMap<string, readonly number[]>
  readonly #facts: BuildkitFacts
  /** Records that a step is known as. */
  readonly #found = new Map<Op, ReadonlySet<number>>()
  /** The layers of a step's result, with when the topmost one was made. */
  readonly #results = new Map<Op, { readonly layers: readonly BuildkitLayer[]; readonly createdAt: string }>()

  constructor(records: readonly BuildkitRecord[], facts: BuildkitFacts) {
    this.#records = records
    this.#facts = facts
    this.#byDigest = Map.groupBy(records.keys(), (index) => records[index]?.digest ?? '')
  }

  run(ops: readonly KeyedOp[]): readonly MatchedStep[] {
    for (const { op } of ops) this.#found.set(op, new Set(this.#recordsOf(op)))
    // From the topmost down: a result has the layers of the steps below it, which may have no record of their own.
    for (const { op } of ops.toReversed()) this.#takeResult(op)
    const contentIds = new Map<Op, string>()
    const matched: MatchedStep[] = []
    for (const { op, key, definition } of ops) {
      if (op.kind === 'base') {
        contentIds.set(op, key)
        continue
      }
      const below = op.parent === undefined ? emptyContentId : contentIds.get(op.parent)
      const result = this.#results.get(op)
      const layer = result?.layers.at(-1)
      if (below === undefined || result === undefined || layer === undefined) continue
      const contentId = contentIdOf(below, layer.diffId)
      contentIds.set(op, contentId)
      const { diffId } = layer
      const packed = { diffId, contentDigest: diffId, size: 0, createdAt: result.createdAt }
      matched.push({
        step: { keys: [key], definition, result: { layer: packed, contentId, parentContentId: below } },
        layer,
      })
    }
    return matched
  }

  #recordsOf(op: Op): readonly number[] {
    if (op.kind === 'base')
      return buildkitBaseKeys(op)
        .flatMap((key) => this.#byDigest.get(key) ?? [])
        .filter((index) => this.#isRoot(index))
    return buildkitKeys(op, this.#facts.remoteKey).flatMap((key) =>
      (this.#byDigest.get(key.digest) ?? []).filter((index) => this.#isRecord(key, index)),
    )
  }

  #isRecord(key: BuildkitKey, index: number): boolean {
    const { digest, inputs: links } = this.#records[index] as BuildkitRecord
    return (
      digest === key.digest &&
      links.length === key.inputs.length &&
      key.inputs.every((input, at) => links[at]?.some(({ selector, link }) => this.#isInput(input, selector, link)))
    )
  }

  #isRoot(index: number): boolean {
    return this.#records[index]?.inputs.length === 0
  }

  #isInput(input: BuildkitInput, selector: string, link: number): boolean {
    const { op, step, context } = input
    if (selector !== input.selector) return false
    if (op !== undefined) return this.#found.get(op)?.has(link) === true
    if (step !== undefined) return this.#isRecord(step, link)
    if (context === undefined || !this.#isRoot(link)) return false
    return this.#facts.hashContent(context).some((hash) => this.#records[link]?.digest === buildkitContentKey(hash))
  }

  /** Chooses a result for a step, and with it for those below. */
  #takeResult(op: Op): void {
    if (op.kind === 'base' || this.#results.has(op)) return
    const stack = stackOf(op)
    for (const index of this.#found.get(op) ?? [])
      for (const result of this.#records[index]?.results ?? []) {
        if (!this.#suits(stack, result.layers)) continue
        for (const [at, below] of stack.ops.entries()) {
          const layers = result.layers.slice(0, stack.base.length + at + 1)
          const createdAt = below === op ? result.createdAt : this.#createdAt(below, result.createdAt)
          if (!this.#results.has(below)) this.#results.set(below, { layers, createdAt })
        }
        return
      }
  }

  /** True for layers that are the base image's and one of each step, no other than those chosen for it before. */
  #suits({ base, ops }: Stack, layers: readonly BuildkitLayer[]): boolean {
    if (layers.length !== base.length + ops.length) return false
    if (base.some((diffId, index) => layers[index]?.diffId !== diffId)) return false
    return ops.every((op) => {
      if (this.#found.get(op)?.size === 0) return false
      const chosen = this.#results.get(op)?.layers
      return chosen === undefined || chosen.every(({ diffId }, index) => layers[index]?.diffId === diffId)
    })
  }

  #createdAt(op: Op, fallback: string): string {
    for (const index of this.#found.get(op) ?? [])
      for (const { createdAt } of this.#records[index]?.results ?? []) return createdAt
    return fallback
  }
}

interface Stack {
  /** Layers of the base image. */
  readonly base: readonly Digest[]
  /** The steps on it, the lowest first. */
  readonly ops: readonly Exclude<Op, BaseOp>[]
}

function stackOf(op: Op): Stack {
  const ops: Exclude<Op, BaseOp>[] = []
  let current: Op | undefined = op
  while (current !== undefined && current.kind !== 'base') {
    ops.unshift(current)
    current = current.parent
  }
  return { base: current?.image.config.rootfs.diff_ids ?? [], ops }
}
