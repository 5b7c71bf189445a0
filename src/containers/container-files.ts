import type { Lease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
import { storedImage } from '../images/image.ts'
import type { Tree } from '../layers/tree.ts'
import type { ImageConfig } from '../oci/config.ts'
import { Snapshots, type StackedLayer } from '../snapshots/snapshots.ts'
import type { Container } from './container.ts'

/** The files of a container, without what is mounted on them. */
export interface ContainerFiles {
  /** Configuration of the image that it was made from. */
  readonly image: ImageConfig
  /** What the container has written or changed. */
  readonly upper: string
  /** Directories of the image's layers, the lowest first. */
  lowers(signal?: AbortSignal): Promise<readonly string[]>
  /** The files of its image alone, nothing unpacked or mounted for it. */
  imageTree(): Promise<Tree>
  /** The whole root file system, nothing unpacked or mounted for it. */
  tree(): Promise<Tree>
}

/** The files of a container, which stay as long as `lease`. */
export async function containerFiles(store: Store, lease: Lease, container: Container): Promise<ContainerFiles> {
  const snapshots = new Snapshots(store, lease)
  const { value: image } = await storedImage(store, container.settings.manifest).config()
  const layers = image.rootfs.diff_ids.map((diffId): StackedLayer => ({ diffId, directory: undefined }))
  const upper = store.path('snapshots', container.snapshot, 'fs')
  return {
    image,
    upper,
    lowers: async (signal) => (await snapshots.directories(layers, signal)).toReversed(),
    imageTree: () => snapshots.tree(layers),
    tree: () => snapshots.tree([...layers, { diffId: undefined, directory: upper }]),
  }
}
