import type { Op } from '../build/graph.ts'
import { digestOf } from '../oci/digest.ts'
import type { Platform } from '../oci/platform.ts'
import type { ContentSelector } from './buildkit-content.ts'

/** One input of a step, as BuildKit's solver looks at it: the result of a step, or a build context. */
export interface BuildkitInput {
  /** The step whose result it is. */
  readonly op?: Op
  /** A step of BuildKit's that is part of one of Cairn's. */
  readonly step?: BuildkitKey
  /** What is read of a build context, which counts by its content alone. */
  readonly context?: ContextInput
  /** Stands for the paths that are read of a step's result; empty where all of it counts, and for a context. */
  readonly selector: string
}

/** What is read of the main build context, or of that with the name. */
export interface ContextInput {
  readonly name: string | undefined
  readonly selectors: readonly ContentSelector[]
}

/** What BuildKit looks a step up by. */
export interface BuildkitKey {
  /** Digest of the record. */
  readonly digest: string
  readonly inputs: readonly BuildkitInput[]
}

/** The digest of a record: that of the step with the number of its output. */
export function recordDigest(digest: string, output: number): string {
  return digestOf(`${digest}@${output}`)
}

/** The digest of the record for a source that has this key. */
export function sourceKey(key: string): string {
  return recordDigest(digestOf(`buildkit.source.v0:${key}`), 0)
}

/** A platform as fields of a digest. */
export function platformFields({ os, architecture, variant }: Platform): [string, unknown][] {
  return [
    ['OS', os],
    ['Arch', architecture],
    ...(variant === undefined ? [] : [['Variant', variant] as [string, unknown]]),
  ]
}
