import type { Platform } from '../oci/platform.ts'
import type { Reference } from '../oci/reference.ts'

/** How an image is written: what decides its digests besides its content. */
export interface ImageForm {
  /** What new layers are compressed with; as the store has them if undefined. */
  readonly compression: 'none' | 'gzip' | 'zstd' | 'zstd:chunked' | 'estargz' | undefined
  readonly level: number | undefined
  /** Layers of base images are compressed so, too. */
  readonly force: boolean
  /** False for the media types of docker's schema 2. */
  readonly ociTypes: boolean
  /** Attestations are artifacts that refer to the image (OCI 1.1), not images of no platform. */
  readonly ociArtifact: boolean
  readonly annotations: readonly Annotation[]
}

export interface Annotation {
  /** What carries it; descriptors are those in indexes. */
  readonly carrier: 'manifest' | 'manifest-descriptor' | 'index' | 'index-descriptor'
  /** The platform whose manifest it is for; undefined for all. */
  readonly platform: Platform | undefined
  readonly key: string
  readonly value: string
}

/** The image in the store, under its names, and at their registries where it is pushed. */
export interface ImageOutput {
  readonly kind: 'image'
  readonly form: ImageForm
  /** In place of `--tag`. */
  readonly names: readonly Reference[] | undefined
  readonly push: boolean
  /** It is pushed without a tag and gets no name here; the names are those of repositories. */
  readonly isByDigest: boolean
  /** It is named by its digest as well. */
  readonly isCanonical: boolean
  /** The repository in whose name it has its digest where it has no other name. */
  readonly danglingRepository: Reference | undefined
}

/** The image as a file: an archive, or a directory with an OCI layout. */
export interface ArchiveOutput {
  readonly kind: 'archive'
  readonly type: 'oci' | 'docker'
  readonly form: ImageForm
  readonly names: readonly Reference[] | undefined
  /** A path, absolute; undefined is stdout. */
  readonly dest: string | undefined
  readonly isDirectory: boolean
}

/** The files of the image, as an archive or in a directory. */
export interface FilesOutput {
  readonly kind: 'files'
  readonly type: 'local' | 'tar'
  /** A path, absolute; undefined is stdout. */
  readonly dest: string | undefined
  /** `delete`: what is in the directory besides goes. */
  readonly mode: 'copy' | 'delete'
  /** A directory for each platform; undefined where there are several. */
  readonly isSplit: boolean | undefined
  /** What names of attestations begin with. */
  readonly attestationPrefix: string
}

/** What a build writes: one `--output`. `cacheonly` is nothing at all. */
export type BuildOutput = ImageOutput | ArchiveOutput | FilesOutput | { readonly kind: 'none' }

/** The form of images that nothing else is asked for. */
export const plainForm: ImageForm = {
  compression: undefined,
  level: undefined,
  force: false,
  ociTypes: true,
  ociArtifact: false,
  annotations: [],
}
