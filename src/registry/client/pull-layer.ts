import { blobNode, layerNode } from '../../content/graph.ts'
import { getLayerRecord, type LayerRecord, putLayerRecord } from '../../content/layer-records.ts'
import type { Lease } from '../../content/leases.ts'
import { type Lock, tryAcquireLock } from '../../content/lock.ts'
import { beginSnapshot, deleteSnapshot, findSnapshot, finishSnapshot } from '../../content/snapshot-records.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import type { ImageLayer } from '../../images/image.ts'
import type { UnpackedLayer, UnpackLayer } from '../../images/unpack-layer.ts'
import { makeDirectories } from '../../linux/names.ts'
import { removeTree } from '../../linux/remove-tree.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { GrowingFile } from '../../streams/growing-file.ts'

/** What bringing layers needs. */
export interface LayerPullOptions {
  readonly store: Store
  /** Protects what comes in. */
  readonly lease: Lease
  /** Examines and unpacks layers, on threads or here. */
  readonly unpack: UnpackLayer
}

/** Told what a layer is at; `current` is bytes of its blob. */
type Tell = (blob: Descriptor, text: string, current?: number) => void

/** A layer that is in the store. */
export class PulledLayer {
  readonly record: LayerRecord
  readonly demands: UnpackedLayer['demands'] | undefined
  readonly isNew: boolean
  #snapshot: PreparedSnapshot | undefined

  constructor(
    record: LayerRecord,
    demands: UnpackedLayer['demands'] | undefined,
    isNew: boolean,
    snapshot?: PreparedSnapshot,
  ) {
    this.record = record
    this.demands = demands
    this.isNew = isNew
    this.#snapshot = snapshot
  }

  /** The directory that still lacks its root's attributes; once. */
  takeSnapshot(): PreparedSnapshot | undefined {
    const taken = this.#snapshot
    this.#snapshot = undefined
    return taken
  }
}

interface PreparedSnapshot {
  readonly id: string
  readonly directory: string
  /** Bytes of the unpacked layer. */
  readonly size: number
}

type Download = (more: {
  readonly onFile: (path: string) => void
  readonly onBytes: (size: number) => void
}) => Promise<{ readonly isNew: boolean }>

/** One layer on its way into the store. */
export class LayerPull {
  readonly #options: LayerPullOptions
  readonly #layer: ImageLayer
  readonly #isLowest: boolean
  readonly #isUnpacked: boolean
  readonly #tell: Tell

  constructor(options: LayerPullOptions, layer: ImageLayer, isLowest: boolean, isUnpacked: boolean, tell: Tell) {
    this.#options = options
    this.#layer = layer
    this.#isLowest = isLowest
    this.#isUnpacked = isUnpacked
    this.#tell = tell
  }

  async run(download: Download): Promise<PulledLayer> {
    const { store, lease } = this.#options
    const { descriptor, diffId } = this.#layer
    lease.protect(layerNode(diffId), blobNode(descriptor.digest))
    const known = getLayerRecord(store, descriptor.digest)
    if (known !== undefined && store.blobs.size(descriptor.digest) === descriptor.size) {
      if (known.diffId !== diffId)
        throw new CairnError(
          'BLOB_CORRUPT',
          `layer ${descriptor.digest} unpacks to ${known.diffId}, but its image config says ${diffId}`,
        )
      return new PulledLayer(known, undefined, false)
    }
    const unpacked = this.#isUnpacked && findSnapshot(store, diffId) === undefined
    using lock = unpacked ? tryAcquireLock(store, `unpack ${diffId}`) : undefined
    return await this.#fetch(download, lock)
  }

  async #fetch(download: Download, lock: Lock | undefined): Promise<PulledLayer> {
    const { store } = this.#options
    const { diffId } = this.#layer
    const snapshot = lock === undefined ? undefined : this.#prepare()
    try {
      const { isNew, unpacked } = await this.#fetchAndUnpack(download, snapshot?.directory)
      putLayerRecord(store, unpacked.record)
      if (snapshot === undefined) return new PulledLayer(unpacked.record, unpacked.demands, isNew)
      const size = unpacked.record.unpackedSize
      if (unpacked.unpacked === 'needs-root')
        return new PulledLayer(unpacked.record, unpacked.demands, isNew, { ...snapshot, size })
      if (unpacked.unpacked === 'whole') finishSnapshot(store, snapshot.id, { state: 'committed', diffId, size })
      else discardSnapshot(this.#options.store, snapshot.id)
      return new PulledLayer(unpacked.record, unpacked.demands, isNew)
    } catch (error) {
      if (snapshot !== undefined) discardSnapshot(this.#options.store, snapshot.id)
      throw error
    }
  }

  /** Unpacks the layer while it arrives. */
  async #fetchAndUnpack(
    download: Download,
    directory: string | undefined,
  ): Promise<{ readonly isNew: boolean; readonly unpacked: UnpackedLayer }> {
    const { descriptor } = this.#layer
    let arriving:
      | { readonly file: GrowingFile; readonly unpacking: Promise<UnpackedLayer>; size: number; hasRestarted: boolean }
      | undefined
    const fail = (error: unknown): void => arriving?.file.fail(error)
    try {
      const { isNew } = await download({
        onFile: (path) => {
          const file = new GrowingFile(path, this.#options.store.blobs.path(descriptor.digest))
          const unpacking = this.#unpack(directory, file)
          // Whether it failed matters once all bytes are known to be right.
          unpacking.catch(() => {})
          arriving = { file, unpacking, size: 0, hasRestarted: false }
        },
        onBytes: (size) => {
          if (arriving === undefined) return
          if (size < arriving.size) arriving.hasRestarted = true
          if (arriving.hasRestarted) arriving.file.fail(new Error('the download began anew'))
          else arriving.file.grow(size)
          arriving.size = size
          this.#tell(descriptor, 'Downloading', size)
        },
      })
      this.#tell(descriptor, 'Download complete')
      if (arriving === undefined) return { isNew, unpacked: await this.#unpackStored(directory) }
      // What was unpacked of a beginning that turned out to be bad counts for nothing.
      if (arriving.hasRestarted) return { isNew, unpacked: await this.#unpackStored(undefined) }
      arriving.file.end()
      return { isNew, unpacked: await arriving.unpacking }
    } catch (error) {
      fail(error)
      throw error
    } finally {
      await arriving?.unpacking.catch(() => {})
    }
  }

  async #unpackStored(directory: string | undefined): Promise<UnpackedLayer> {
    const { digest, size } = this.#layer.descriptor
    return await this.#unpack(directory, GrowingFile.whole(this.#options.store.blobs.path(digest), size))
  }

  async #unpack(directory: string | undefined, file: GrowingFile): Promise<UnpackedLayer> {
    const { unpack, store } = this.#options
    return await unpack({ layer: this.#layer, directory, isLowest: this.#isLowest, limits: store.limits }, file)
  }

  #prepare(): { readonly id: string; readonly directory: string } {
    const { store } = this.#options
    const id = crypto.randomUUID().replaceAll('-', '')
    beginSnapshot(store, id)
    const directory = store.path('snapshots', id, 'fs')
    makeDirectories(directory, 0o755)
    return { id, directory }
  }
}

/** Removes a directory that did not become a layer's. */
export function discardSnapshot(store: Store, id: string): void {
  removeTree(store.path('snapshots', id))
  deleteSnapshot(store, id)
}
