import { decompress } from '../../compression/decompress.ts'
import { layerNode } from '../../content/graph.ts'
import { putLayerRecord } from '../../content/layer-records.ts'
import { withLease } from '../../content/leased-work.ts'
import type { Lease } from '../../content/leases.ts'
import { recover } from '../../content/recovery.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import { withLimitsHint } from '../../images/layer-stack.ts'
import { type PutImage, putImage } from '../../images/records/put-image.ts'
import { checkDemands, LayerScan, stackTree } from '../../layers/trees/layer-tree.ts'
import type { Tree } from '../../layers/tree.ts'
import type { ContainerConfig } from '../../oci/config.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import type { Platform } from '../../oci/platform.ts'
import type { Reference } from '../../oci/reference.ts'
import type { ByteSource } from '../../streams/source.ts'
import { TarDecoder } from '../../tar/decoder.ts'
import { applyChanges } from './image-changes.ts'

export interface ImportOptions {
  /** Names the archive in errors. */
  readonly name: string
  /** The name the image gets. */
  readonly reference?: Reference | undefined
  /** Dockerfile instructions for the image's config. */
  readonly changes?: readonly string[]
  /** The comment of the image's only history entry. */
  readonly message: string
  readonly platform: Platform
  /** RFC 3339. */
  readonly created: string
}

export interface ImportedImage extends PutImage {
  /** The archive holds images as `docker save` writes them, which are now files of this one. */
  readonly looksLikeImages: boolean
}

/**
 * Makes an image of one layer from the archive of a root filesystem: a tar, plain or compressed with gzip, bzip2, xz or
 * zstd. Read once: decompressed, checked, hashed and stored in one pass; the layer is kept uncompressed. Throws
 * TAR_INVALID, COMPRESSION_INVALID or LAYER_UNSAFE for an archive that is no root filesystem, DOCKERFILE_INVALID for a
 * wrong change, and what `source` fails with; nothing is left of it then.
 */
export async function importImage(store: Store, source: ByteSource, options: ImportOptions): Promise<ImportedImage> {
  const { name, reference, changes = [], message, platform, created } = options
  const config: ContainerConfig = applyChanges({}, changes, platform)
  recover(store)
  return await withLease(store, async (lease) => {
    const { layer, looksLikeImages } = await storeRootfs(store, lease, source, name)
    const image = await putImage(store, {
      config: {
        ...platform,
        created,
        config,
        rootfs: { type: 'layers', diff_ids: [layer.digest] },
        history: [{ created, comment: message }],
      },
      layers: [layer],
      tags: reference === undefined ? [] : [reference],
      arrival: 'import',
      lease,
    })
    return { ...image, looksLikeImages }
  })
}

async function storeRootfs(
  store: Store,
  lease: Lease,
  source: ByteSource,
  name: string,
): Promise<{ readonly layer: Descriptor; readonly looksLikeImages: boolean }> {
  const { layerBytes: maxBytes, ratio: maxRatio, tar, absolutePaths } = store.limits
  const scan = new LayerScan({ name, absolutePaths })
  const decoder = new TarDecoder(scan, tar, name)
  const ingest = lease.ingest()
  try {
    for await (const bytes of decompress(source, { name, maxBytes, maxRatio })) {
      decoder.push(bytes)
      ingest.write(bytes)
    }
    if (ingest.size === 0) throw new CairnError('TAR_INVALID', `${name} is empty: there is no archive in it`)
    decoder.finish()
    if (!decoder.isAtEnd)
      throw new CairnError(
        'TAR_INVALID',
        `${name} is cut off after ${scan.entries} members: its closing blocks are missing`,
      )
    checkDemands(name, scan.demands, stackTree([]))
    const { digest, size } = await ingest.commit()
    lease.protect(layerNode(digest))
    putLayerRecord(store, { diffId: digest, digest, compression: 'none', size, unpackedSize: size })
    return { layer: { mediaType: mediaTypes.ociLayerTar, digest, size }, looksLikeImages: looksLikeImages(scan.tree) }
  } catch (error) {
    if (isCairnError(error, 'LIMIT_EXCEEDED')) throw withLimitsHint(error)
    if (!isCairnError(error, 'TAR_INVALID') || scan.entries > 0 || ingest.size === 0) throw error
    throw new CairnError('TAR_INVALID', `${name} is not a tar archive`, {
      cause: error,
      hint: 'It has to be a tar, as it is or compressed with gzip, bzip2, xz or zstd.',
    })
  } finally {
    ingest.abort()
  }
}

/** True for what `docker save` writes: images, not the files of one. */
function looksLikeImages(tree: Tree): boolean {
  const has = (path: string): boolean => tree.lookup(path) !== undefined
  return (
    (has('/manifest.json') && (has('/repositories') || has('/oci-layout'))) ||
    (has('/index.json') && has('/oci-layout'))
  )
}
