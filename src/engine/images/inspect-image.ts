import { findImageRecords, listTags } from '../../content/image-records.ts'
import type { Store } from '../../content/store.ts'
import { storedImage } from '../../images/image.ts'
import { platformManifest, resolveImage } from '../../images/records/resolve-image.ts'
import { unpackedSize } from '../../images/size.ts'
import type { ContainerConfig } from '../../oci/config.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import type { Platform } from '../../oci/platform.ts'
import { familiarString, parseNormalizedReference } from '../../oci/reference.ts'
import { goSet, nilList, nilMap, nilPointer, withDefaults } from '../go-values.ts'

/** What `docker image inspect` tells of an image, under docker's names. */
export interface ImageInspection {
  readonly Id: string
  readonly RepoTags: readonly string[]
  readonly RepoDigests: readonly string[]
  readonly Parent: ''
  readonly Comment: string
  /** RFC 3339; empty where the config does not say. */
  readonly Created: string
  /** What docker wrote into images before it had BuildKit, and into those of `import` and `commit`. */
  readonly DockerVersion: string
  readonly Author: string
  readonly Config: ContainerConfig
  readonly Architecture: string
  readonly Variant?: string
  readonly Os: string
  readonly OsVersion?: string
  /** Bytes of the layers, not compressed. */
  readonly Size: number
  readonly GraphDriver: { readonly Data: null; readonly Name: 'overlayfs' }
  readonly RootFS: { readonly Type: 'layers'; readonly Layers: readonly string[] }
  readonly Metadata: { readonly LastTagTime: string }
  /** The manifest or index that the names lead to. */
  readonly Descriptor: Descriptor
}

/** Go's zero time. */
const never = '0001-01-01T00:00:00Z'

/**
 * All about the image that `name` means; of one for several platforms, about `platform`, by default this machine's.
 * Throws as resolveImage, and IMAGE_PLATFORM.
 */
export async function inspectImage(store: Store, name: string, platform?: Platform): Promise<ImageInspection> {
  const { record } = resolveImage(store, name)
  const image = storedImage(store, (await platformManifest(store, record, platform, name)).digest)
  const { value: config } = await image.config()
  // Several manifests may hold one image: with layers compressed in different ways.
  const records = findImageRecords(store, record.imageId).filter((other) => other.imageId === record.imageId)
  const names = records.flatMap(({ digest }) => listTags(store, digest))
  const references = names
    .map(({ name }) => name)
    .toSorted()
    .map(parseNormalizedReference)
  const { variant, 'os.version': osVersion } = config
  return withDefaults<ImageInspection>(absentFields, {
    Id: await image.id(),
    RepoTags: references.filter(({ digest }) => digest === undefined).map(familiarString),
    RepoDigests: references.filter(({ digest }) => digest !== undefined).map(familiarString),
    Parent: '',
    Comment: config.history?.at(-1)?.comment ?? '',
    Created: config.created ?? '',
    DockerVersion: config.docker_version ?? '',
    Author: config.author ?? '',
    Config: dockerConfig(config.config ?? {}),
    Architecture: config.architecture,
    ...(variant === undefined || variant === '' ? {} : { Variant: variant }),
    Os: config.os,
    ...(osVersion === undefined || osVersion === '' ? {} : { OsVersion: osVersion }),
    Size: unpackedSize(store, config.rootfs.diff_ids),
    GraphDriver: { Data: null, Name: 'overlayfs' },
    RootFS: { Type: 'layers', Layers: config.rootfs.diff_ids },
    Metadata: { LastTagTime: lastTime(names.map(({ taggedAt }) => taggedAt)) },
    Descriptor: { mediaType: record.mediaType, digest: record.digest, size: record.size },
  })
}

/** The latest of times in milliseconds since 1970, by RFC 3339. */
function lastTime(times: readonly number[]): string {
  return times.length === 0 ? never : new Date(Math.max(...times)).toISOString()
}

/** What templates find in fields that an image lacks and docker leaves out of its JSON. */
const absentFields = { Variant: '', OsVersion: '' }
const absentConfigFields = {
  ExposedPorts: nilMap,
  StopSignal: '',
  ArgsEscaped: false,
  Healthcheck: nilPointer,
  Shell: nilList,
} as const

/** The config with the fields that docker gives even where they are empty, and without those no image needs. */
function dockerConfig(config: ContainerConfig): ContainerConfig {
  const { User, Env, Entrypoint, Cmd, Volumes, WorkingDir, Labels, OnBuild } = config
  const { ExposedPorts, StopSignal, ArgsEscaped, Healthcheck, Shell } = config
  return withDefaults<ContainerConfig>(absentConfigFields, {
    User: User ?? '',
    ...(ExposedPorts ? { ExposedPorts: goSet(ExposedPorts) } : {}),
    Env: Env ?? nilList,
    Entrypoint: Entrypoint ?? nilList,
    Cmd: Cmd ?? nilList,
    Volumes: Volumes ? goSet(Volumes) : nilMap,
    WorkingDir: WorkingDir ?? '',
    Labels: Labels ?? nilMap,
    ...(StopSignal ? { StopSignal } : {}),
    ...(ArgsEscaped === true ? { ArgsEscaped } : {}),
    ...(Healthcheck ? { Healthcheck } : {}),
    OnBuild: OnBuild ?? nilList,
    ...(Shell ? { Shell } : {}),
  })
}
