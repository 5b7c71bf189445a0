import { type ImageRecord, listImageRecords, listTags } from '../content/image-records.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { type ImageConfig, parseImageConfig } from '../oci/config.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import { parseImageDocument } from '../oci/image-index.ts'
import { largestDocument } from '../oci/json-document.ts'
import { parseManifest } from '../oci/manifest.ts'
import { isManifestType } from '../oci/media-types.ts'
import type { Platform } from '../oci/platform.ts'
import { parseNormalizedReference, type Reference } from '../oci/reference.ts'
import { isImageConfigType } from './image.ts'
import { platformOf, preferredEntry } from './put-image.ts'
import { type ImageSize, measureImages, SizeLookup } from './size.ts'

/** An image ID and all that is known under it. */
export interface ImageSummary {
  readonly imageId: Digest
  /** Manifests and indexes with this ID, the newest first. */
  readonly targets: readonly ImageRecord[]
  /** Names with a tag, sorted. */
  readonly tags: readonly Reference[]
  /** Names with a digest, sorted. */
  readonly digests: readonly Reference[]
  /** No name leads here. */
  readonly isDangling: boolean
  /** RFC 3339, from the config. */
  readonly created: string | undefined
  readonly labels: Readonly<Record<string, string>>
  /** What is held here, the preferred one first; one entry unless the target is an index. */
  readonly platforms: readonly PlatformSummary[]
  /** Why a part of it could not be read: a blob is missing or damaged. */
  readonly damage: CairnError | undefined
  readonly size: ImageSize
}

/** The image of one platform. */
export interface PlatformSummary {
  readonly manifest: Descriptor
  readonly platform: Platform
  readonly imageId: Digest
  readonly size: ImageSize
}

/** All images of the store, the one recorded last first. */
export function listImages(store: Store): ImageSummary[] {
  const names = namesByDigest(store)
  const groups = Map.groupBy(listImageRecords(store), ({ imageId }) => imageId)
  const contents = [...groups].map(([imageId, targets]) => ({ imageId, targets, ...readTargets(store, targets) }))
  const lookup = new SizeLookup(store)
  const sizes = measureImages(
    lookup,
    contents.map(({ imageId, platforms, blobs }) => ({
      imageId,
      blobs,
      diffIds: platforms.flatMap(({ config }) => config.rootfs.diff_ids),
    })),
  )
  return contents.map(({ imageId, targets, platforms, damage }, index) => {
    const references = targets.flatMap(({ digest }) => names.get(digest) ?? [])
    const config = platforms[0]?.config
    return {
      imageId,
      targets,
      tags: references.filter((reference) => reference.digest === undefined),
      digests: references.filter((reference) => reference.digest !== undefined),
      isDangling: references.length === 0,
      created: config?.created,
      labels: config?.config?.Labels ?? {},
      platforms: summarizePlatforms(lookup, platforms),
      damage,
      size: sizes[index] as ImageSize,
    }
  })
}

interface HeldPlatform {
  readonly manifest: Descriptor
  readonly configDigest: Digest
  readonly config: ImageConfig
  readonly blobs: readonly Digest[]
}

function namesByDigest(store: Store): ReadonlyMap<Digest, readonly Reference[]> {
  const byDigest = Map.groupBy(listTags(store), ({ digest }) => digest)
  return new Map(
    [...byDigest].map(([digest, tags]) => [digest, tags.map(({ name }) => parseNormalizedReference(name))]),
  )
}

interface TargetContents {
  readonly platforms: readonly HeldPlatform[]
  readonly blobs: readonly Digest[]
  readonly damage: CairnError | undefined
}

/** What manifests and indexes lead to, as far as the store holds it. */
function readTargets(store: Store, targets: readonly ImageRecord[]): TargetContents {
  const platforms = new Map<Digest, HeldPlatform>()
  const blobs: Digest[] = []
  let damage: CairnError | undefined
  for (const { digest, mediaType, size } of targets) {
    blobs.push(digest)
    try {
      for (const manifest of manifestsOf(store, { digest, mediaType, size })) {
        const held = readPlatform(store, manifest)
        blobs.push(manifest.digest, ...held.blobs)
        if (held.config !== undefined) platforms.set(held.configDigest, { ...held, config: held.config, manifest })
      }
    } catch (error) {
      // One image that cannot be read must not hide the others.
      if (!(error instanceof CairnError)) throw error
      damage = error
    }
  }
  return { platforms: [...platforms.values()], blobs, damage }
}

function manifestsOf(store: Store, target: Descriptor): readonly Descriptor[] {
  if (isManifestType(target.mediaType)) return [target]
  const document = parseImageDocument(store.blobs.readAll(target.digest, largestDocument), target.mediaType)
  if (document.type !== 'index') return []
  const held = document.value.manifests.filter(
    ({ digest, mediaType }) => isManifestType(mediaType) && store.blobs.has(digest),
  )
  const preferred = preferredEntry(held)
  return preferred === undefined ? held : [preferred, ...held.filter((entry) => entry !== preferred)]
}

function readPlatform(
  store: Store,
  descriptor: Descriptor,
): { readonly configDigest: Digest; readonly config: ImageConfig | undefined; readonly blobs: readonly Digest[] } {
  const { config, layers } = parseManifest(store.blobs.readAll(descriptor.digest, largestDocument)).value
  const blobs = [config.digest, ...layers.map(({ digest }) => digest)]
  if (!isImageConfigType(config.mediaType)) return { configDigest: config.digest, config: undefined, blobs }
  const { value } = parseImageConfig(store.blobs.readAll(config.digest, largestDocument))
  return { configDigest: config.digest, config: value, blobs }
}

function summarizePlatforms(lookup: SizeLookup, platforms: readonly HeldPlatform[]): PlatformSummary[] {
  const sizes = measureImages(
    lookup,
    platforms.map(({ configDigest, config, manifest, blobs }) => ({
      imageId: configDigest,
      diffIds: config.rootfs.diff_ids,
      blobs: [manifest.digest, ...blobs],
    })),
  )
  return platforms.map(({ manifest, config, configDigest }, index) => ({
    manifest,
    platform: platformOf(config),
    imageId: configDigest,
    size: sizes[index] as ImageSize,
  }))
}
