import { layerNode } from '../content/graph.ts'
import { listLayerForms } from '../content/layer-records.ts'
import type { Lease } from '../content/leases.ts'
import { withLock } from '../content/lock.ts'
import { beginSnapshot, deleteSnapshot, findSnapshot, finishSnapshot } from '../content/snapshot-records.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import type { LayerTree, Tree } from '../layers/tree.ts'
import { AT_FDCWD, close, open, openFlags, write } from '../linux/files.ts'
import { changeModeAt, changeOwnerAt, makeDirectories } from '../linux/names.ts'
import { removeTree } from '../linux/remove-tree.ts'
import { treeSize } from '../linux/tree-size.ts'
import type { Digest } from '../oci/digest.ts'

/** A layer as a filesystem is stacked from: its diff ID, or the directory of one that has none yet. */
export interface StackedLayer {
  readonly diffId: Digest | undefined
  readonly directory: string | undefined
}

/** A directory that a container or RUN step writes its changes to. */
export interface WritableSnapshot {
  readonly id: string
  /** Takes the changes; becomes the layer's directory. */
  readonly upper: string
  /** overlayfs's own. */
  readonly work: string
  /** Where the whole filesystem is mounted. */
  readonly merged: string
}

/** Brings a layer into the store from where it is; does nothing where nobody has it. Fails where it cannot be had. */
export type BringLayer = (diffId: Digest) => Promise<void>

/**
 * Root filesystems made of layers. A layer has a directory only once something is mounted on it: then its tar is
 * unpacked, by one process at a time, and stays for the next. What reads layers is loaded only where one is read.
 */
export class Snapshots {
  readonly #store: Store
  readonly #lease: Lease
  readonly #bring: BringLayer | undefined
  readonly #unpacking = new Map<Digest, Promise<string>>()
  readonly #trees = new Map<string, LayerTree>()

  /** What is found or made stays at least as long as `lease`. `bring` is asked for layers that the store has not. */
  constructor(store: Store, lease: Lease, bring?: BringLayer) {
    this.#store = store
    this.#lease = lease
    this.#bring = bring
  }

  /**
   * The layers' directories for an overlay mount, topmost first. Unpacks what has none yet. Of a layer that is there
   * twice only the upper one is given: overlayfs refuses two, and what the lower says the upper says again.
   */
  async directories(layers: readonly StackedLayer[], signal?: AbortSignal): Promise<string[]> {
    await this.#bringAll(layers)
    const directories: string[] = []
    for (const [index, layer] of layers.entries())
      directories.unshift(layer.directory ?? (await this.#directory(layer, layers.slice(0, index), signal)))
    return [...new Set(directories)]
  }

  /** The layers as one tree to read, nothing unpacked or mounted for it. */
  async tree(layers: readonly StackedLayer[]): Promise<Tree> {
    await this.#bringAll(layers)
    const trees: LayerTree[] = []
    for (const layer of layers) trees.push(await this.#layerTree(layer))
    const { stackTree } = await import('../layers/trees/layer-tree.ts')
    return stackTree(trees)
  }

  /** Each layer of the store by itself, read from its tar. */
  async layerTrees(layers: readonly { readonly diffId: Digest }[]): Promise<LayerTree[]> {
    await this.#bringAll(layers)
    const trees: LayerTree[] = []
    for (const { diffId } of layers) trees.push(await this.#blobTree(diffId))
    return trees
  }

  /**
   * A new place for changes to `below`, whose root it takes after: overlayfs shows the root of the upper directory. It
   * goes with this process unless it is finished.
   */
  prepare(below?: Tree): WritableSnapshot {
    const id = crypto.randomUUID().replaceAll('-', '')
    beginSnapshot(this.#store, id)
    const root = this.#store.path('snapshots', id)
    const snapshot = { id, upper: `${root}/fs`, work: `${root}/work`, merged: `${root}/merged` }
    for (const directory of [snapshot.upper, snapshot.work, snapshot.merged]) makeDirectories(directory, 0o755)
    const { mode, uid, gid } = below?.lookup('/') ?? { mode: 0o755, uid: 0, gid: 0 }
    changeOwnerAt(AT_FDCWD, snapshot.upper, uid, gid)
    changeModeAt(AT_FDCWD, snapshot.upper, mode)
    return snapshot
  }

  /** Makes the changes the directory of layer `diffId`. What overlayfs kept for itself is removed. */
  finish(snapshot: WritableSnapshot, diffId: Digest): void {
    removeTree(snapshot.work)
    removeTree(snapshot.merged)
    this.#lease.protect(layerNode(diffId))
    this.#commit(snapshot.id, diffId)
  }

  /** Removes a place for changes with all that is in it. */
  discard(snapshot: WritableSnapshot): void {
    deleteSnapshot(this.#store, snapshot.id)
    removeTree(this.#store.path('snapshots', snapshot.id))
  }

  /** Has all that is missing brought at once. */
  async #bringAll(layers: readonly Partial<StackedLayer>[]): Promise<void> {
    const bring = this.#bring
    if (bring === undefined) return
    const wanted = layers.flatMap(({ diffId, directory }) =>
      directory === undefined && diffId !== undefined ? [diffId] : [],
    )
    const missing = wanted.filter(
      (diffId) => listLayerForms(this.#store, diffId).length === 0 && this.#existing(diffId) === undefined,
    )
    const results = await Promise.allSettled(missing.map((diffId) => bring(diffId)))
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  #directory(
    { diffId }: StackedLayer,
    below: readonly StackedLayer[],
    signal: AbortSignal | undefined,
  ): Promise<string> {
    if (diffId === undefined) throw new Error('a layer has neither a directory nor a diff ID')
    let directory = this.#unpacking.get(diffId)
    if (directory === undefined) this.#unpacking.set(diffId, (directory = this.#findOrUnpack(diffId, below, signal)))
    return directory
  }

  async #findOrUnpack(
    diffId: Digest,
    below: readonly StackedLayer[],
    signal: AbortSignal | undefined,
  ): Promise<string> {
    this.#lease.protect(layerNode(diffId))
    const found = this.#existing(diffId)
    if (found !== undefined) return found
    const options = { purpose: 'to unpack a layer', ...(signal === undefined ? {} : { signal }) }
    return await withLock(this.#store, `unpack ${diffId}`, options, async () => {
      // The process that was waited for has probably done it.
      return this.#existing(diffId) ?? (await this.#unpack(diffId, below))
    })
  }

  #existing(diffId: Digest): string | undefined {
    const record = findSnapshot(this.#store, diffId)
    return record === undefined ? undefined : this.#store.path('snapshots', record.id, 'fs')
  }

  async #unpack(diffId: Digest, below: readonly StackedLayer[]): Promise<string> {
    const form = listLayerForms(this.#store, diffId)[0]
    if (form === undefined) throw missingLayer(this.#store, diffId)
    const id = crypto.randomUUID().replaceAll('-', '')
    beginSnapshot(this.#store, id)
    const directory = this.#store.path('snapshots', id, 'fs')
    makeDirectories(directory, 0o755)
    try {
      const blob = this.#store.blobs.open(form.digest)
      const lower = await this.tree(below)
      const { applyLayer } = await import('../layers/unpack/apply.ts')
      const { decompress } = await import('../compression/decompress.ts')
      await applyLayer(form.compression === 'none' ? blob : decompress(blob), directory, {
        mode: 'overlay',
        diffId,
        name: `layer ${diffId}`,
        limits: this.#store.limits.tar,
        lower,
      })
      this.#commit(id, diffId)
    } catch (error) {
      removeTree(this.#store.path('snapshots', id))
      deleteSnapshot(this.#store, id)
      throw error
    }
    return directory
  }

  #commit(id: string, diffId: Digest): void {
    const size = treeSize(this.#store.path('snapshots', id))
    finishSnapshot(this.#store, id, { state: 'committed', diffId, size })
  }

  async #layerTree({ diffId, directory }: StackedLayer): Promise<LayerTree> {
    const key = directory ?? diffId
    if (key === undefined) throw new Error('a layer has neither a directory nor a diff ID')
    const known = this.#trees.get(key)
    if (known !== undefined) return known
    const path = directory ?? (diffId === undefined ? undefined : this.#existing(diffId))
    const { overlayTree } = await import('../layers/trees/layer-tree.ts')
    const tree = path === undefined ? await this.#blobTree(diffId as Digest) : overlayTree(path)
    this.#trees.set(key, tree)
    return tree
  }

  async #blobTree(diffId: Digest): Promise<LayerTree> {
    this.#lease.protect(layerNode(diffId))
    const form = listLayerForms(this.#store, diffId)[0]
    if (form === undefined) throw missingLayer(this.#store, diffId)
    const options = { name: `layer ${diffId}`, limits: this.#store.limits.tar }
    const { tarTree } = await import('../layers/trees/layer-tree.ts')
    if (form.compression === 'none') return tarTree(this.#store.blobs.path(form.digest), options)
    const { decompress } = await import('../compression/decompress.ts')
    const file = this.#store.session.temporaryPath('layer')
    const fd = open(file, openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_EXCL)
    try {
      for await (const chunk of decompress(this.#store.blobs.open(form.digest))) write(fd, chunk, file)
    } finally {
      close(fd)
    }
    return tarTree(file, options)
  }
}

function missingLayer(store: Store, diffId: Digest): CairnError {
  const hint = 'Load, pull or build the image again: that heals it.'
  const cut = store.database.one<{ digest: Digest }>('SELECT digest FROM layers WHERE diff_id = ?', diffId)
  if (cut !== undefined && store.blobs.has(cut.digest))
    return new CairnError('BLOB_CORRUPT', `layer ${cut.digest} is damaged: it is not as long as it was`, { hint })
  return new CairnError('BLOB_UNKNOWN', `layer ${diffId} is not in the store`, { hint })
}
