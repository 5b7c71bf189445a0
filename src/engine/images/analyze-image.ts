import type { AnalyzedImage } from '../../analysis/analysis.ts'
import { analyzeImage } from '../../analysis/analyze-image.ts'
import { acquireLease, type Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { chooseManifest, imageEntries } from '../../images/copy-image.ts'
import { type ImageLocation, parseImageLocation } from '../../images/image-location.ts'
import { imageOf, type ImageSource, openBlob } from '../../images/image-source.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import type { Digest } from '../../oci/digest.ts'
import { isIndexType } from '../../oci/media-types.ts'
import { formatPlatform, type Platform } from '../../oci/platform.ts'
import { openSource } from './open-source.ts'
import type { RegistryAccess } from '../registry/registry-access.ts'

/**
 * Analyzes the image at `text`, a name of the store or `oci:`, `oci-archive:`, `docker-archive:`, `dir:`: of one for
 * several platforms `platform`'s, by default this machine's, or with `all` one after the other. Throws as
 * parseImageLocation, openImageSource and analyzeImage, IMAGE_PLATFORM, and BLOB_UNKNOWN where a layer is missing.
 */
export async function* analyzeImages(
  store: Store,
  text: string,
  platform?: Platform | 'all',
  access?: RegistryAccess,
): AsyncGenerator<AnalyzedImage> {
  const location = parseImageLocation(text)
  using lease = acquireLease(store)
  using source = await openSource(store, location, access, platform !== 'all')
  const isAll = platform === 'all' && isIndexType(source.target.mediaType)
  const manifests = isAll
    ? await imageEntries(source, source.target)
    : [await chooseManifest(source, platform === 'all' ? undefined : platform)]
  if (manifests.length === 0)
    throw new CairnError('IMAGE_PLATFORM', `${source.name} has none of the images of its index`)
  for (const manifest of manifests) yield await analyzeManifest(store, lease, source, location, manifest)
}

async function analyzeManifest(
  store: Store,
  lease: Lease,
  source: ImageSource,
  location: ImageLocation,
  descriptor: Descriptor,
): Promise<AnalyzedImage> {
  const image = imageOf(source, descriptor)
  const { value: config } = await image.config()
  const layers = await image.layers()
  const isStored = location.transport === 'store'
  for (const { descriptor: layer } of layers) requireLayer(source, lease, isStored, layer.digest)
  const analysis = await analyzeImage(
    {
      config,
      layers: layers.map(({ descriptor: layer, diffId }) => ({
        digest: layer.digest,
        diffId,
        // What is in the store was verified when it came.
        isVerified: isStored,
        open: () => (isStored ? source.open(layer) : openBlob(source, layer)),
      })),
    },
    store.limits,
  )
  return {
    name: source.name,
    platform: formatPlatform(config),
    digest: descriptor.digest,
    id: await image.id(),
    analysis,
  }
}

function requireLayer(source: ImageSource, lease: Lease, isStored: boolean, digest: Digest): void {
  const isThere = isStored ? lease.claim(digest) : source.size(digest) !== undefined
  if (!isThere) throw new CairnError('BLOB_UNKNOWN', `${source.name} lacks the layer ${digest}`)
}
