import { packChanges } from './changes.ts'
import { overlayTree, stackTree } from '../trees/layer-tree.ts'
import type { WrittenLayer } from './layer-writer.ts'

/** An overlay's upper directory to be written as a layer: plain data, so that another thread can do it. */
export interface PackUpperJob {
  readonly upper: string
  /** Directories of the layers below, the lowest first. */
  readonly lowers: readonly string[]
  /** File that takes the layer's tar. */
  readonly target: string
  /** SOURCE_DATE_EPOCH in seconds. */
  readonly epoch: number | undefined
}

/** Does a {@link PackUpperJob}, wherever it is done. */
export type PackLayer = (job: PackUpperJob) => Promise<WrittenLayer>

/** Writes the layer on this thread. Throws as packChanges(). */
export function packUpper({ upper, lowers, target, epoch }: PackUpperJob): WrittenLayer {
  return packChanges(upper, target, { epoch, lower: stackTree(lowers.map(overlayTree)) })
}
