import { noteGarbage } from '../../content/garbage.ts'
import { blobNode, layerNode } from '../../content/graph.ts'
import { getLayerRecord, type LayerRecord, putLayerRecord } from '../../content/layer-records.ts'
import type { Lease } from '../../content/leases.ts'
import { type Lock, tryAcquireLock } from '../../content/lock.ts'
import { beginSnapshot, deleteSnapshot, findSnapshot, finishSnapshot } from '../../content/snapshot-records.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import type { ImageLayer } from '../../images/image.ts'
import type { LayerPlace, UnpackedLayer, UnpackLayer } from '../../images/unpack-layer.ts'
import { makeDirectories } from '../../linux/names.ts'
import { removeTree } from '../../linux/remove-tree.ts'
import { blocksOf } from '../../linux/tree-size.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { layerCompression } from '../../oci/media-types.ts'
import { GrowingFile } from '../../streams/growing-file.ts'
import { composedPlace } from './compose-layer.ts'

/** What bringing layers needs. */
export interface LayerPullOptions {
  readonly store: Store
  /** Protects what comes in. */
  readonly lease: Lease
  /** Examines and unpacks layers, on threads or here. */
  readonly unpack: UnpackLayer
  /** Told the bytes of the largest layer that is to be unpacked, before it comes. */
  readonly expect?: ((size: number) => void) | undefined
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
  /** Bytes on the disk. */
  readonly size: number
  /** Snapshots that have files of it. */
  readonly linked: readonly string[]
}

/** What is told of a layer on its way. */
export interface ArrivalListener {
  /** It can be unpacked from here while it is checked. Where that fails it comes another way. */
  readonly onPlace: (place: LayerPlace) => unknown
  readonly onFile: (path: string) => void
  readonly onBytes: (size: number) => void
}

type Download = (listener: ArrivalListener) => Promise<{ readonly isNew: boolean }>

/** A layer that is unpacked while its bytes come in. */
class ArrivingLayer {
  hasRestarted = false
  readonly file: GrowingFile
  readonly unpacking: Promise<UnpackedLayer>
  #size = 0

  constructor(file: GrowingFile, unpacking: Promise<UnpackedLayer>) {
    this.file = file
    this.unpacking = unpacking
  }

  /** The first `size` bytes are there; less than before where they begin anew. */
  grow(size: number): void {
    if (size < this.#size) this.hasRestarted = true
    if (this.hasRestarted) this.file.fail(new Error('the download began anew'))
    else this.file.grow(size)
    this.#size = size
  }
}

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
    const { diffId, descriptor } = this.#layer
    const snapshot = lock === undefined ? undefined : this.#prepare()
    try {
      const { isNew, unpacked } = await this.#fetchAndUnpack(download, snapshot?.directory)
      putLayerRecord(store, unpacked.record)
      if (snapshot === undefined) return new PulledLayer(unpacked.record, unpacked.demands, isNew)
      // The directory of the snapshot, and of the layer in it.
      const size = unpacked.diskSize + 2 * blocksOf(1)
      const linked = unpacked.linkedWith.map((directory) => idOfSnapshot(store, directory))
      const prepared = { ...snapshot, size, linked }
      if (unpacked.unpacked === 'needs-root') return new PulledLayer(unpacked.record, unpacked.demands, isNew, prepared)
      if (unpacked.unpacked === 'whole')
        finishSnapshot(store, snapshot.id, { state: 'committed', diffId, size, linked })
      else discardSnapshot(this.#options.store, snapshot.id)
      return new PulledLayer(unpacked.record, unpacked.demands, isNew)
    } catch (error) {
      if (snapshot !== undefined) discardSnapshot(store, snapshot.id)
      // Its bytes may be what their digest says, and still not what the image says.
      if (isCairnError(error, 'BLOB_CORRUPT')) noteGarbage(store, [blobNode(descriptor.digest)])
      throw error
    }
  }

  /** Unpacks the layer while it arrives. */
  async #fetchAndUnpack(
    download: Download,
    directory: string | undefined,
  ): Promise<{ readonly isNew: boolean; readonly unpacked: UnpackedLayer }> {
    const { descriptor } = this.#layer
    const started: Promise<UnpackedLayer>[] = []
    const start = (into: string | undefined, place: LayerPlace): Promise<UnpackedLayer> => {
      const unpacking = this.#unpack(into, place)
      started.push(unpacking)
      // Whether it failed matters once all bytes are known to be right.
      unpacking.catch(() => {})
      return unpacking
    }
    let composed: Promise<UnpackedLayer> | undefined
    let arriving: ArrivingLayer | undefined
    try {
      const { isNew } = await download({
        onPlace: (place) => (composed = start(directory, place)),
        onFile: (path) => {
          const file = new GrowingFile(path, this.#options.store.blobs.path(descriptor.digest))
          // What the directory got of a layer that was put together wrongly counts for nothing.
          arriving = new ArrivingLayer(file, start(composed === undefined ? directory : undefined, file))
          composed = undefined
        },
        onBytes: (size) => {
          arriving?.grow(size)
          this.#tell(descriptor, 'Downloading', size)
        },
      })
      this.#tell(descriptor, 'Download complete')
      if (composed !== undefined) return { isNew, unpacked: await this.#composed(composed) }
      if (arriving === undefined) return { isNew, unpacked: await this.#unpackStored(directory) }
      // What was unpacked of a beginning that turned out to be bad counts for nothing.
      if (arriving.hasRestarted) return { isNew, unpacked: await this.#unpackStored(undefined) }
      arriving.file.end()
      return { isNew, unpacked: await arriving.unpacking }
    } catch (error) {
      arriving?.file.fail(error)
      throw error
    } finally {
      await Promise.allSettled(started)
    }
  }

  /** A table may have named files of other layers that are others: then the blob itself, which was verified, decides. */
  async #composed(unpacking: Promise<UnpackedLayer>): Promise<UnpackedLayer> {
    try {
      return await unpacking
    } catch (error) {
      if (isCairnError(error, 'DISK_FULL') || isCairnError(error, 'CANCELED')) throw error
      return await this.#unpackStored(undefined)
    }
  }

  async #unpackStored(directory: string | undefined): Promise<UnpackedLayer> {
    const { store } = this.#options
    const { digest, size, mediaType } = this.#layer.descriptor
    const path = store.blobs.file(digest)
    const place =
      path === undefined
        ? composedPlace(store, this.#layer.descriptor, layerCompression(mediaType) ?? 'none')
        : GrowingFile.whole(path, size)
    return await this.#unpack(directory, place)
  }

  async #unpack(directory: string | undefined, place: LayerPlace): Promise<UnpackedLayer> {
    const { unpack, store } = this.#options
    return await unpack({ layer: this.#layer, directory, isLowest: this.#isLowest, limits: store.limits }, place)
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

/** `path` is the directory of the layer in it. */
function idOfSnapshot(store: Store, path: string): string {
  return path.slice(store.path('snapshots').length + 1, -'/fs'.length)
}

/** Removes a directory that did not become a layer's. */
export function discardSnapshot(store: Store, id: string): void {
  removeTree(store.path('snapshots', id))
  deleteSnapshot(store, id)
}
