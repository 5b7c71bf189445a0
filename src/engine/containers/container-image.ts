import type { ContainerImage } from '../../containers/settings.ts'
import type { Store } from '../../content/store.ts'
import { pairLayers } from '../../images/image.ts'
import { platformManifest, resolveImage, suitsPlatform } from '../../images/records/resolve-image.ts'
import { parseImageConfig, platformOf } from '../../oci/config.ts'
import { largestDocument } from '../../oci/json-document.ts'
import { parseManifest } from '../../oci/manifest.ts'
import { isManifestType } from '../../oci/media-types.ts'
import { formatPlatform, hostPlatform, type Platform } from '../../oci/platform.ts'

/** The image that a container is made from. */
export interface ContainerImageRequest {
  /** Name or ID. */
  readonly image: string
  /** The image's platform; the one that suits this machine best if absent. */
  readonly platform: Platform | undefined
  readonly warn: (text: string) => void
}

/** What a container is made from. Throws IMAGE_UNKNOWN, IMAGE_PLATFORM. */
export async function containerImage(
  store: Store,
  { image: name, platform, warn }: ContainerImageRequest,
): Promise<ContainerImage> {
  const { record } = resolveImage(store, name)
  // An image of one platform, as most are, is read once; every start of a container waits for this.
  const isManifest = isManifestType(record.mediaType) && record.imageId !== record.digest
  const { digest } = isManifest ? record : await platformManifest(store, record, platform, name)
  const manifest = parseManifest(store.blobs.readAll(digest, largestDocument)).value
  const { value: config } = parseImageConfig(store.blobs.readAll(manifest.config.digest, largestDocument))
  const own = platformOf(config)
  if (platform !== undefined && isManifest && !suitsPlatform(platform, own))
    await platformManifest(store, record, platform, name)
  if (platform === undefined && !suitsPlatform(hostPlatform(), own))
    warn(
      `WARNING: The requested image's platform (${formatPlatform(own)}) does not match the detected host platform ` +
        `(${formatPlatform(hostPlatform())}) and no specific platform was requested`,
    )
  return {
    name,
    imageId: record.imageId,
    record: record.digest,
    manifest: digest,
    config: config.config ?? {},
    ...(own.architecture === hostPlatform().architecture ? {} : { emulated: own.architecture }),
    diffIds: pairLayers(manifest, config).map(({ diffId }) => diffId),
  }
}
