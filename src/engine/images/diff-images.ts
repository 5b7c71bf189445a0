import type { Store } from '../../content/store.ts'
import type { ImageFiles } from '../../images/image-files.ts'
import { compareTrees, type FileAspect, type FileDifference } from '../../layers/trees/compare-trees.ts'
import { stackTree } from '../../layers/trees/layer-tree.ts'
import type { LayerTree, TreeEntry } from '../../layers/tree.ts'
import { compareConfigs, type ConfigDifference } from '../../oci/compare-configs.ts'
import type { History, ImageConfig } from '../../oci/config.ts'
import { platformOf } from '../../oci/config.ts'
import type { Digest } from '../../oci/digest.ts'
import { formatPlatform, type Platform } from '../../oci/platform.ts'
import { openImageFiles, type OpenImageFiles } from './image-files.ts'
import type { RegistryAccess } from '../registry/registry-access.ts'

/** One of two images that are compared. */
export interface ComparedImage {
  /** As the user wrote it. */
  readonly name: string
  readonly imageId: Digest
  readonly platform: string
}

/** A layer of one of two images. */
export interface ComparedLayer {
  readonly diffId: Digest
  readonly digest: Digest
  /** Bytes of its blob. */
  readonly size: number
  /** The instruction that made it; empty where the history does not say. */
  readonly createdBy: string
}

/** A path that differs. */
export interface ComparedFile {
  readonly path: string
  readonly change: FileDifference['change']
  readonly aspects: readonly FileAspect[]
  readonly from: ComparedEntry | undefined
  readonly to: ComparedEntry | undefined
}

export interface ComparedEntry {
  readonly type: TreeEntry['type']
  readonly size: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly target?: string
  /** RFC 3339. */
  readonly modified: string
}

export interface ImageDifference {
  readonly from: ComparedImage
  readonly to: ComparedImage
  readonly layers: {
    readonly common: readonly ComparedLayer[]
    readonly removed: readonly ComparedLayer[]
    readonly added: readonly ComparedLayer[]
  }
  readonly config: readonly ConfigDifference[]
  readonly files: readonly ComparedFile[]
}

export interface DiffOptions {
  readonly platform?: Platform | undefined
  /** Times of files and of the image count. */
  readonly times?: boolean
  /** How registries are reached; images there cannot be compared without. */
  readonly access?: RegistryAccess
}

/**
 * What differs between two images, wherever they are: config, files as all layers show them, layers. Of images for
 * several platforms `platform`, by default this machine's, is compared. Throws as openImageFiles and ImageFiles.
 */
export async function diffImages(
  store: Store,
  from: string,
  to: string,
  options: DiffOptions,
): Promise<ImageDifference> {
  const { platform, times = false, access } = options
  using before = await openImageFiles(store, from, platform, access)
  using after = await openImageFiles(store, to, platform, access)
  const [configBefore, configAfter] = [(await before.image.config()).value, (await after.image.config()).value]
  return {
    from: await compared(before, from, configBefore),
    to: await compared(after, to, configAfter),
    layers: await compareLayers(before, after),
    config: compareConfigs(configBefore, configAfter, { times }),
    files: await compareFiles(before.files, after.files, times),
  }
}

/** True where nothing differs that was asked for. Other layers with the same files are no difference. */
export function areEqual({ config, files }: ImageDifference): boolean {
  return config.length === 0 && files.length === 0
}

async function compared({ image }: OpenImageFiles, name: string, config: ImageConfig): Promise<ComparedImage> {
  return { name, imageId: await image.id(), platform: formatPlatform(platformOf(config)) }
}

async function compareLayers(before: OpenImageFiles, after: OpenImageFiles): Promise<ImageDifference['layers']> {
  const [from, to] = [await layersOf(before), await layersOf(after)]
  const known = new Set(from.map(({ diffId }) => diffId))
  const kept = new Set(to.map(({ diffId }) => diffId))
  return {
    common: to.filter(({ diffId }) => known.has(diffId)),
    removed: from.filter(({ diffId }) => !kept.has(diffId)),
    added: to.filter(({ diffId }) => !known.has(diffId)),
  }
}

async function layersOf({ image }: OpenImageFiles): Promise<ComparedLayer[]> {
  const { history = [] } = (await image.config()).value
  const made: readonly History[] = history.filter(({ empty_layer: isEmpty }) => isEmpty !== true)
  return (await image.layers()).map(({ diffId, descriptor }, index) => ({
    diffId,
    digest: descriptor.digest,
    size: descriptor.size,
    createdBy: made[index]?.created_by ?? '',
  }))
}

async function compareFiles(before: ImageFiles, after: ImageFiles, times: boolean): Promise<ComparedFile[]> {
  const [from, to] = [await providers(before), await providers(after)]
  const isSame = (path: string): boolean => {
    const diffId = providerOf(from, path)
    return diffId !== undefined && diffId === providerOf(to, path)
  }
  const [treeBefore, treeAfter] = [stackTree(from.map(({ tree }) => tree)), stackTree(to.map(({ tree }) => tree))]
  return [...compareTrees(treeBefore, treeAfter, { times, isSame })].map((one) => ({
    path: one.path,
    change: one.change,
    aspects: one.aspects,
    from: entryOf(one.from),
    to: entryOf(one.to),
  }))
}

interface Provider {
  readonly diffId: Digest
  readonly tree: LayerTree
}

async function providers(files: ImageFiles): Promise<Provider[]> {
  const trees = await files.layerTrees()
  return (await files.layers()).map(({ diffId }, index) => ({ diffId, tree: trees[index] as LayerTree }))
}

/** The layer that the file at `path` comes from. */
function providerOf(layers: readonly Provider[], path: string): Digest | undefined {
  return layers.findLast(({ tree }) => tree.lookup(path) !== undefined)?.diffId
}

function entryOf(entry: TreeEntry | undefined): ComparedEntry | undefined {
  if (entry === undefined) return undefined
  const { type, size, mode, uid, gid, linkname, mtimeSeconds } = entry
  const modified = new Date(mtimeSeconds * 1000).toISOString().replace('.000Z', 'Z')
  return { type, size, mode, uid, gid, modified, ...(linkname === '' ? {} : { target: linkname }) }
}
