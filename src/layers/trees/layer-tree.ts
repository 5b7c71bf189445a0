import { CairnError } from '../../errors/error.ts'
import { impliedDirectory, type LayerTree, type Tree, type TreeEntry } from '../tree.ts'

export { directoryTree, openedTree, overlayTree } from './directory-tree.ts'
export { checkDemands, type LayerDemand } from './layer-demands.ts'
export { LayerScan, tarTree } from './tar-tree.ts'

/**
 * Layers, the lowest first, as the one filesystem that overlayfs would show: an upper layer's entries replace those
 * below, directories merge, whiteouts and opaque directories hide. Nothing is listed or read before it is asked for.
 * Errors of the layers pass through.
 */
export function stackTree(layers: readonly LayerTree[]): Tree {
  return new StackTree(layers.toReversed())
}

class StackTree implements Tree {
  /** The topmost first. */
  readonly #layers: readonly LayerTree[]

  constructor(layers: readonly LayerTree[]) {
    this.#layers = layers
  }

  lookup(path: string): TreeEntry | undefined {
    let implied: TreeEntry | undefined
    for (const [index, layer] of this.#layers.entries()) {
      const entry = layer.lookup(path)
      if (entry !== undefined) {
        if (implied !== undefined && entry.type !== 'directory') return implied
        if (!layer.isImplied(path))
          return entry.inode === undefined ? entry : { ...entry, inode: `${index}/${entry.inode}` }
        implied ??= entry
      }
      if (layer.hides(path)) return implied
    }
    // A filesystem without layers still has its root.
    return implied ?? (path === '/' ? impliedDirectory : undefined)
  }

  list(path: string): readonly string[] {
    const names = new Set<string>()
    const removed = new Set<string>()
    for (const layer of this.#layers) {
      const entry = layer.lookup(path)
      if (entry !== undefined && entry.type !== 'directory') break
      if (entry !== undefined) {
        for (const name of layer.list(path)) if (!removed.has(name)) names.add(name)
        for (const name of layer.whiteouts(path)) removed.add(name)
      }
      if (layer.hides(path)) break
    }
    return [...names].sort()
  }

  read(path: string): Iterable<Uint8Array> {
    for (const layer of this.#layers) {
      if (layer.lookup(path) !== undefined) return layer.read(path)
      if (layer.hides(path)) break
    }
    throw new CairnError('FILE_UNKNOWN', `${path} is not in the image`)
  }
}
