import type { AttestationManifest } from '../../attest/attestation-manifest.ts'
import { getImageRecord } from '../../content/image-records.ts'
import { linkManifest, recordIndex, recordManifest } from '../../images/records/put-image.ts'
import { findByName } from '../../images/records/resolve-image.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { digestOf } from '../../oci/digest.ts'
import { serializeIndex } from '../../oci/image-index.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { formatReference, type Reference } from '../../oci/reference.ts'
import {
  annotationsFor,
  type FormedImage,
  formImage,
  storeFormedImage,
  type UnformedImage,
} from '../../outputs/form-image.ts'
import type { ImageForm } from '../../outputs/output.ts'
import type { ExportedImage, ExportOptions } from './export-build.ts'
import type { ExportStep } from './export-step.ts'

/** What was built, in one form: an image, or an index of images. */
export interface FormedBuild extends Omit<ExportedImage, 'names'> {
  /** The bytes of an index; undefined where there is only one manifest. */
  readonly index: Uint8Array | undefined
  /** Of each image, where any were asked for. */
  readonly attestations: readonly AttestationManifest[]
}

/** What was built in all forms that outputs ask for, each made once; and its way into the store. */
export class BuildForms {
  readonly #images: readonly UnformedImage[]
  readonly #options: ExportOptions
  readonly #formed = new Map<string, Promise<FormedBuild>>()

  constructor(images: readonly UnformedImage[], options: ExportOptions) {
    this.#images = images
    this.#options = options
  }

  /** The image in a form; several outputs may ask for the same. */
  make(form: ImageForm, names: readonly Reference[], step: ExportStep): Promise<FormedBuild> {
    // Attestations name what they are about.
    const key = JSON.stringify([form, this.#options.attestations === undefined ? [] : names.map(formatReference)])
    let formed = this.#formed.get(key)
    if (formed === undefined) {
      const onCompress = (diffId: string): void => step.status(`compressing layer ${diffId}`)
      formed = this.#formAll(form, names, onCompress)
      this.#formed.set(key, formed)
    }
    return formed
  }

  /**
   * The form that is pushed. What is attested is a manifest by its digest, which a push must not change any more: layers
   * are compressed before.
   */
  pushed(form: ImageForm): ImageForm {
    if (this.#options.attestations === undefined || form.compression !== undefined) return form
    return { ...form, compression: 'gzip', force: true }
  }

  /** Puts an image, with its index, into the store for as long as the lease lives. */
  async put({ images, index, attestations }: FormedBuild): Promise<void> {
    const { store, lease } = this.#options
    for (const image of images) await storeFormedImage(store, lease, image)
    for (const { descriptor, manifest, documents } of attestations) {
      for (const document of documents) await lease.put(document)
      if (this.#options.attestations?.store === 'referrers') {
        const { putReferrer } = await import('../../images/referrers.ts')
        await putReferrer(store, lease, manifest)
      } else store.database.transaction(() => linkManifest(store, descriptor.digest, manifest))
    }
    if (index !== undefined) await lease.put(index)
  }

  /** Records an image in the store under its names. */
  async record(formed: FormedBuild, names: readonly Reference[]): Promise<void> {
    const { store } = this.#options
    const { target, index, images, attestations } = formed
    // What is there under all its names, or without one, needs no writing, unless it was damaged on the disk.
    const { digest } = target
    const present = names.length === 0 ? [getImageRecord(store, digest)] : names.map((name) => findByName(store, name))
    const isThere = present.every((record) => record?.digest === digest)
    const isRecorded = isThere && (await this.#isWhole(formed))
    if (!isRecorded || attestations.length > 0) await this.put(formed)
    if (isRecorded) return
    const [first] = images
    const children = [...images.map((image) => image.target), ...this.#indexed(formed)]
    if (index !== undefined) recordIndex(store, target, children, names)
    else if (first !== undefined) recordManifest(store, first.target, first.manifest, names)
  }

  /** Whether the documents of an image are in the store and not damaged. */
  async #isWhole({ images, target }: FormedBuild): Promise<boolean> {
    const { blobs } = this.#options.store
    const digests = [target.digest, ...images.flatMap((image) => [image.target.digest, image.imageId])]
    for (const digest of digests) if (!(await blobs.isWhole(digest))) return false
    return true
  }

  /** The attestations that are entries of the index. */
  #indexed({ attestations }: Pick<FormedBuild, 'attestations'>): readonly Descriptor[] {
    return this.#options.attestations?.store === 'index' ? attestations.map(({ descriptor }) => descriptor) : []
  }

  async #formAll(
    form: ImageForm,
    names: readonly Reference[],
    onCompress: (diffId: string) => void,
  ): Promise<FormedBuild> {
    const images: FormedImage[] = []
    for (const image of this.#images) images.push(await formImage(image, form, { ...this.#options, onCompress }))
    const [first] = images
    if (first === undefined) throw new Error('there is no image to export')
    const { target, imageId } = first
    const attestations = await this.#attest(images, form, names)
    const indexed = this.#indexed({ attestations })
    if (images.length === 1 && indexed.length === 0 && this.#options.isIndexForced !== true)
      return { images, target, imageId, index: undefined, attestations }
    const mediaType = form.ociTypes ? mediaTypes.ociIndex : mediaTypes.dockerManifestList
    const manifests = [...images.map((image) => image.target), ...indexed]
    const index = serializeIndex({ schemaVersion: 2, mediaType, manifests, ...annotationsFor('index', form) })
    const digest = digestOf(index)
    const indexTarget = { mediaType, digest, size: index.length, ...annotationsFor('index-descriptor', form) }
    return { images, target: indexTarget, imageId: digest, index, attestations }
  }

  async #attest(
    images: readonly FormedImage[],
    form: ImageForm,
    names: readonly Reference[],
  ): Promise<readonly AttestationManifest[]> {
    const { attestations } = this.#options
    if (attestations === undefined) return []
    const { attestImages } = await import('./attest-images.ts')
    return await attestImages(attestations, images, form, names)
  }
}
