import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { chooseManifest } from '../../images/copy-image.ts'
import type { Image } from '../../images/image.ts'
import { type FoundFile, ImageFiles } from '../../images/image-files.ts'
import { parseImageLocation } from '../../images/image-location.ts'
import { imageOf } from '../../images/image-source.ts'
import type { LayerTree, TreeEntry } from '../../layers/tree.ts'
import type { Platform } from '../../oci/platform.ts'
import { openSource } from './open-source.ts'
import type { RegistryAccess } from '../registry/registry-access.ts'

/** The files of one image, opened. To be disposed of. */
export interface OpenImageFiles extends Disposable {
  readonly image: Image
  readonly files: ImageFiles
}

/** One path of an image. */
export interface ListedFile {
  /** Absolute. */
  readonly path: string
  readonly entry: TreeEntry
  /** Number of the layer that has it, 1 for the base. */
  readonly layer: number
}

/**
 * Opens the files of the image that `location` means (a name, `oci:…` and the like); of one for several platforms those
 * of `platform`, by default this machine's. Throws as openSource, and IMAGE_PLATFORM.
 */
export async function openImageFiles(
  store: Store,
  location: string,
  platform?: Platform,
  access?: RegistryAccess,
): Promise<OpenImageFiles> {
  const source = await openSource(store, parseImageLocation(location), access)
  try {
    const image = imageOf(source, await chooseManifest(source, platform))
    const files = new ImageFiles(store, source, image)
    return {
      image,
      files,
      [Symbol.dispose]: () => {
        files[Symbol.dispose]()
        source[Symbol.dispose]()
      },
    }
  } catch (error) {
    source[Symbol.dispose]()
    throw error
  }
}

/** What is at `path`, its parents' symlinks followed inside the image. Throws FILE_UNKNOWN. */
export async function findFile(
  files: ImageFiles,
  path: string,
  options: { readonly followLast: boolean },
): Promise<FoundFile> {
  const found = await files.find(path.startsWith('/') ? path : `/${path}`, options)
  if (found === undefined) throw new CairnError('FILE_UNKNOWN', `${path}: no such file or directory in the image`)
  return found
}

/** The bytes of the file at `path`, symlinks followed inside the image. Throws FILE_UNKNOWN for what is no file. */
export async function readImageFile(files: ImageFiles, path: string): Promise<Iterable<Uint8Array>> {
  const found = await findFile(files, path, { followLast: true })
  if (found.entry.type !== 'file') throw new CairnError('FILE_UNKNOWN', `${path} is a ${found.entry.type}, not a file`)
  return found.tree.read(found.path)
}

/** What is at and below `path`, parents first, names sorted. Throws FILE_UNKNOWN. */
export async function listImageFiles(files: ImageFiles, path: string): Promise<ListedFile[]> {
  const layers = await files.layerTrees()
  const found = await findFile(files, path, { followLast: true })
  const listed: ListedFile[] = []
  const visit = (at: string, entry: TreeEntry): void => {
    listed.push({ path: at, entry, layer: layerOf(layers, at) })
    if (entry.type !== 'directory') return
    for (const name of found.tree.list(at)) {
      const child = at === '/' ? `/${name}` : `${at}/${name}`
      const below = found.tree.lookup(child)
      if (below !== undefined) visit(child, below)
    }
  }
  visit(found.path, found.entry)
  return listed
}

function layerOf(layers: readonly LayerTree[], path: string): number {
  const index = layers.findLastIndex((layer) => layer.lookup(path) !== undefined && !layer.isImplied(path))
  return index < 0 ? 1 : index + 1
}
