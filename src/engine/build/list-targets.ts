import type { Store } from '../../content/store.ts'
import { docComment } from '../../dockerfile/doc-comment.ts'
import type { ReadText, SourceRange } from '../../dockerfile/instruction.ts'
import { type BuildInputOptions, loadBuildInputs } from './build-inputs.ts'

/** A stage that can be built. */
export interface BuildTarget {
  /** Empty where the stage has none. */
  readonly name: string
  /** What the comment above its FROM says. */
  readonly description: string
  /** What is built without `--target`. */
  readonly isDefault: boolean
  /** The image or stage it is built from, as written. */
  readonly base: string
  /** `--platform` of its FROM, as written. */
  readonly platform: string
  readonly range: SourceRange
}

/** The stages of a file, and the file. */
export interface TargetReport {
  readonly targets: readonly BuildTarget[]
  readonly source: ReadText['source']
}

/** Lists the stages of a Dockerfile. BuildKit's `targets` request. Throws as loadBuildInputs. */
export async function listTargets(store: Store, options: BuildInputOptions): Promise<TargetReport> {
  using inputs = await loadBuildInputs(store, options)
  const { dockerfile } = inputs
  const targets = dockerfile.stages.map(({ from, index }) => ({
    name: from.name ?? '',
    description: from.name === undefined ? '' : docComment(from.name, from.comments),
    isDefault: index === dockerfile.stages.length - 1,
    base: from.image,
    platform: from.platform ?? '',
    range: from.range,
  }))
  return { targets, source: dockerfile.source }
}
