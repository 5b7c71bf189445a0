import type { ContentLimits } from '../content/limits.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { checkDemands, type LayerDemand, stackTree, tarTree } from '../layers/trees/layer-tree.ts'
import { resolvePath } from '../layers/trees/resolve-path.ts'
import type { LayerTree, Tree, TreeEntry } from '../layers/tree.ts'
import { close, open, openFlags, write } from '../linux/files.ts'
import { removeFile } from '../linux/names.ts'
import type { Image, ImageLayer } from './image.ts'
import { type ImageSource, openBlob } from './image-source.ts'
import { scanLayer } from './layer-stack.ts'

/** A path of an image and the tree to read it from. */
export interface FoundFile {
  readonly tree: Tree
  /** Symlinks resolved. */
  readonly path: string
  readonly entry: TreeEntry
}

/** An uncompressed layer in a file. */
interface LayerFile {
  readonly path: string
  readonly demands: readonly LayerDemand[]
}

/**
 * The files of an image of one platform, wherever it is, read without unpacking or mounting it. Layers are verified as
 * they are read and decompressed to temporary files, which go when this is disposed of; those the store has uncompressed
 * are read where they are. Throws as scanLayer, and LAYER_UNSAFE or TAR_INVALID for layers that do not fit each other.
 */
export class ImageFiles implements Disposable {
  readonly #store: Store
  readonly #source: ImageSource
  readonly #image: Pick<Image, 'layers'>
  readonly #files = new Map<number, LayerFile>()
  readonly #temporary: string[] = []
  #trees: Promise<readonly LayerTree[]> | undefined

  constructor(store: Store, source: ImageSource, image: Pick<Image, 'layers'>) {
    this.#store = store
    this.#source = source
    this.#image = image
  }

  /** The image's layers, base first. */
  async layers(): Promise<readonly ImageLayer[]> {
    return await this.#image.layers()
  }

  /** Each layer as a tree of its own, base first. */
  async layerTrees(): Promise<readonly LayerTree[]> {
    return await (this.#trees ??= this.#openAll())
  }

  /** All layers as one tree. */
  async tree(): Promise<Tree> {
    return stackTree(await this.layerTrees())
  }

  /**
   * What is at `path`, symlinks followed inside the image, the last one only with `followLast`; undefined where there
   * is nothing. Of an image that was verified when it came into the store only as many layers are read, newest first, as
   * it takes to tell.
   */
  async find(path: string, options: { readonly followLast: boolean }): Promise<FoundFile | undefined> {
    const layers = await this.layers()
    const isVerified = layers.every(({ descriptor }) => this.#source.examined(descriptor.digest) !== undefined)
    const found = isVerified && this.#trees === undefined ? await this.#findFromTop(layers, path, options) : 'undecided'
    return found === 'undecided' ? findIn(await this.tree(), path, options) : found
  }

  async #findFromTop(
    layers: readonly ImageLayer[],
    path: string,
    options: { readonly followLast: boolean },
  ): Promise<FoundFile | undefined | 'undecided'> {
    const top: LayerTree[] = []
    for (let index = layers.length - 1; index > 0; index--) {
      const layer = layers[index] as ImageLayer
      const tree = this.#openAlone(await this.#file(index, layer), layer)
      // It cannot be understood without those below.
      if (tree === undefined) return 'undecided'
      top.unshift(tree)
      const found = findDecided(stackTree([undecided, ...top]), path, options)
      // The content of a directory is that of all layers.
      if (found !== 'undecided') return found?.entry.type === 'directory' ? 'undecided' : found
    }
    return 'undecided'
  }

  [Symbol.dispose](): void {
    for (const path of this.#temporary.splice(0)) removeFile(path)
  }

  async #openAll(): Promise<readonly LayerTree[]> {
    const trees: LayerTree[] = []
    for (const [index, layer] of (await this.layers()).entries()) {
      const file = await this.#file(index, layer)
      const below = stackTree([...trees])
      checkDemands(nameOf(layer), file.demands, below)
      trees.push(tarTree(file.path, { name: nameOf(layer), limits: this.#store.limits.tar, below }))
    }
    return trees
  }

  #openAlone({ path, demands }: LayerFile, layer: ImageLayer): LayerTree | undefined {
    if (demands.length > 0) return undefined
    try {
      return tarTree(path, { name: nameOf(layer), limits: this.#store.limits.tar })
    } catch (error) {
      // A hard link to a file of the layers below; if it is anything else it is told with these.
      if (error instanceof CairnError && error.code === 'TAR_INVALID') return undefined
      throw error
    }
  }

  async #file(index: number, layer: ImageLayer): Promise<LayerFile> {
    const known = this.#files.get(index)
    if (known !== undefined) return known
    const file = this.#inStore(layer) ?? (await this.#spool(layer))
    this.#files.set(index, file)
    return file
  }

  #inStore({ descriptor, diffId }: ImageLayer): LayerFile | undefined {
    const record = this.#source.examined(descriptor.digest)
    if (record?.compression !== 'none' || record.diffId !== diffId || !this.#store.blobs.has(record.digest))
      return undefined
    return { path: this.#store.blobs.path(record.digest), demands: [] }
  }

  async #spool(layer: ImageLayer): Promise<LayerFile> {
    const path = this.#store.session.temporaryPath('layer')
    const fd = open(path, openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_EXCL)
    this.#temporary.push(path)
    try {
      const read = () => openBlob(this.#source, layer.descriptor)
      // What came into the store was judged then, by the limits of then.
      const isKnown = this.#source.examined(layer.descriptor.digest) !== undefined
      const limits: ContentLimits = isKnown ? { ...this.#store.limits, absolutePaths: 'allow' } : this.#store.limits
      const { scan } = await scanLayer(layer, read, limits, (bytes) => write(fd, bytes, path))
      return { path, demands: scan.demands }
    } finally {
      close(fd)
    }
  }
}

function nameOf({ descriptor }: ImageLayer): string {
  return `layer ${descriptor.digest}`
}

function findIn(tree: Tree, path: string, options: { readonly followLast: boolean }): FoundFile | undefined {
  const resolved = resolvePath(tree, path, options)
  const entry = tree.lookup(resolved)
  return entry === undefined ? undefined : { tree, path: resolved, entry }
}

class Undecided extends Error {}

/** Stands for layers that were not read: whoever needs them to answer fails. */
const undecided: LayerTree = {
  lookup: fail,
  list: fail,
  read: fail,
  hides: fail,
  whiteouts: fail,
  isImplied: fail,
}

function fail(): never {
  throw new Undecided()
}

function findDecided(
  tree: Tree,
  path: string,
  options: { readonly followLast: boolean },
): FoundFile | undefined | 'undecided' {
  try {
    return findIn(tree, path, options)
  } catch (error) {
    if (error instanceof Undecided) return 'undecided'
    throw error
  }
}
