import type { AttestationManifest } from '../../attest/attestation-manifest.ts'
import type { AttestationSettings } from '../../attest/attestation-settings.ts'
import type { BlockCompressor } from '../../compression/compress.ts'
import { getImageRecord } from '../../content/image-records.ts'
import type { Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import { linkManifest, recordIndex, recordManifest } from '../../images/records/put-image.ts'
import { findByName } from '../../images/records/resolve-image.ts'
import { openFileSink } from '../../linux/file-sink.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import { serializeIndex } from '../../oci/image-index.ts'
import { layoutAnnotations } from '../../oci/layout.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { defaultTag, formatReference, type Reference, withDefaultTag, withDigest } from '../../oci/reference.ts'
import {
  annotationsFor,
  type FormedImage,
  formImage,
  storeFormedImage,
  type UnformedImage,
} from '../../outputs/form-image.ts'
import {
  type ArchiveOutput,
  type BuildOutput,
  type FilesOutput,
  type ImageForm,
  type ImageOutput,
  plainForm,
} from '../../outputs/output.ts'
import type { ProgressListener, StatusEvent } from '../../progress/events.ts'
import type { Snapshots } from '../../snapshots/snapshots.ts'
import type { MakePredicates } from './attest-build.ts'

/** Attestations that the outputs get, and where images keep them. */
export interface ExportedAttestations extends Pick<AttestationSettings, 'store'> {
  readonly predicates: MakePredicates
}

/**
 * Sends an image of the store to the registry its name says, without a tag where that has a digest; told of as statuses of
 * `vertex`. Gives what it is there.
 */
export type PushBuilt = (
  reference: Reference,
  form: ImageForm,
  progress: ProgressListener,
  vertex: string,
) => Promise<Descriptor>

export interface ExportOptions {
  readonly store: Store
  readonly lease: Lease
  readonly snapshots: Snapshots
  /** What is written; the image in the store, under `tags`, where nothing is asked for. */
  readonly outputs: readonly BuildOutput[]
  /** Whether an index is made in any case: of one platform, too. */
  readonly isIndexForced?: boolean | undefined
  /** `--tag`. */
  readonly tags: readonly Reference[]
  /** Seconds since 1970 that no file of an exported tree is newer than. */
  readonly epoch: number | undefined
  readonly push?: PushBuilt | undefined
  readonly attestations?: ExportedAttestations | undefined
  /** Takes what is written to stdout. */
  readonly stdout?: ((bytes: Uint8Array) => void) | undefined
  readonly compressor?: BlockCompressor | undefined
  readonly concurrency?: number | undefined
  readonly progress: ProgressListener
  readonly signal: AbortSignal
}

/** The image in the store: the only output where none is asked for. */
const storeOutput: ImageOutput = {
  kind: 'image',
  form: plainForm,
  names: undefined,
  push: false,
  isByDigest: false,
  isCanonical: false,
  danglingRepository: undefined,
}

/** What a build wrote: an image, or an index of images. */
export interface ExportedImage {
  /** Digest of the config, or of the index. */
  readonly imageId: Digest
  /** The manifest or index. */
  readonly target: Descriptor
  /** Of each platform. */
  readonly images: readonly FormedImage[]
  /** By which it was written. */
  readonly names: readonly Reference[]
}

/**
 * Writes what was built, an image for each platform, to all outputs, each shown as BuildKit shows it. Gives the image in
 * the form of the last output that has one, as buildx does: what `--push` and `--load` stand for comes last. Throws what
 * writing throws; a file or directory is then as it was, and outputs before it stay.
 */
export async function exportBuild(
  images: readonly UnformedImage[],
  options: ExportOptions,
): Promise<ExportedImage | undefined> {
  const exporter = new BuildExporter(images, options)
  const outputs = options.outputs.length === 0 ? [storeOutput] : options.outputs
  let last: ExportedImage | undefined
  for (const output of outputs) {
    options.signal.throwIfAborted()
    const written = await exporter.write(output)
    if (written === undefined) continue
    last = written.names.length > 0 ? written : { ...written, names: last?.names ?? [] }
  }
  return last
}

/** What `open` opens, once no other process writes there. */
async function whenFree<Target>(open: () => Target, signal: AbortSignal): Promise<Target> {
  for (;;) {
    try {
      return open()
    } catch (error) {
      if (!isCairnError(error, 'STORE_BUSY')) throw error
    }
    await Bun.sleep(50)
    signal.throwIfAborted()
  }
}

/** The names with its digest that an output gives an image beside others, or for want of one. */
function digestNames(output: ImageOutput, names: readonly Reference[], digest: Digest): readonly Reference[] {
  const { isByDigest, isCanonical, danglingRepository } = output
  if (isByDigest) return []
  if (names.length === 0) return danglingRepository === undefined ? [] : [withDigest(danglingRepository, digest)]
  if (!isCanonical) return []
  return [
    ...new Map(names.map((name) => withDigest(name, digest)).map((name) => [formatReference(name), name])).values(),
  ]
}

interface Exported extends Omit<ExportedImage, 'names'> {
  /** The bytes of an index; undefined where there is only one manifest. */
  readonly index: Uint8Array | undefined
  /** Of each image, where any were asked for. */
  readonly attestations: readonly AttestationManifest[]
}

class BuildExporter {
  readonly #images: readonly UnformedImage[]
  readonly #options: ExportOptions
  readonly #formed = new Map<string, Promise<Exported>>()
  #count = 0

  constructor(images: readonly UnformedImage[], options: ExportOptions) {
    this.#images = images
    this.#options = options
  }

  async write(output: BuildOutput): Promise<ExportedImage | undefined> {
    switch (output.kind) {
      case 'image':
        return await this.#shown('exporting to image', (step) => this.#writeImage(output, step))
      case 'archive':
        return await this.#shown(`exporting to ${output.type} image format`, (step) => this.#writeArchive(output, step))
      case 'files': {
        const name = `exporting to client ${output.type === 'local' ? 'directory' : 'tarball'}`
        await this.#shown(name, (step) => this.#writeFiles(output, step))
        return undefined
      }
      default:
        return undefined
    }
  }

  async #writeImage(output: ImageOutput, step: ExportStep): Promise<ExportedImage> {
    const { store, push } = this.#options
    const pushNames = output.isByDigest ? [] : this.#names(output)
    const image = await this.#form(output.push ? this.#pushedForm(output.form) : output.form, pushNames, step)
    const names = [...pushNames, ...digestNames(output, pushNames, image.target.digest)]
    // What is there under all its names, or without one, needs no writing, unless it was damaged on the disk.
    const { digest: wanted } = image.target
    const present = names.length === 0 ? [getImageRecord(store, wanted)] : names.map((name) => findByName(store, name))
    const isThere = present.every((record) => record?.digest === wanted)
    const isRecorded = isThere && (await this.#isWhole(image))
    if (!isRecorded || image.attestations.length > 0) await this.#store(image)
    if (!isRecorded) {
      const [first] = image.images
      const children = [...image.images.map(({ target }) => target), ...this.#indexed(image)]
      if (image.index !== undefined) recordIndex(store, image.target, children, names)
      else if (first !== undefined) recordManifest(store, first.target, first.manifest, names)
    }
    step.status('exporting layers')
    for (const { descriptor } of image.attestations) step.status(`exporting attestation manifest ${descriptor.digest}`)
    step.status(
      image.index === undefined ? `writing image ${image.imageId}` : `exporting manifest list ${image.target.digest}`,
    )
    for (const name of names) step.status(`naming to ${formatReference(name)}`)
    const known = output.isByDigest ? (output.names ?? []) : pushNames.length > 0 ? pushNames : names
    if (!output.push) return { ...image, names: known }
    if (push === undefined) throw new CairnError('NOT_SUPPORTED', 'images cannot be pushed here')
    const { target } = image
    let pushed = target
    const places = output.isByDigest ? (output.names ?? []).map((name) => withDigest(name, target.digest)) : pushNames
    for (const place of places) {
      pushed = await push(place, output.form, this.#options.progress, step.id)
      const name = formatReference(output.isByDigest ? withDigest(place, pushed.digest) : place)
      step.status(`pushing manifest for ${output.isByDigest ? name : `${name}@${pushed.digest}`}`)
    }
    const { mediaType, digest, size } = pushed
    return { ...image, names: known, target: { ...target, mediaType, digest, size } }
  }

  async #writeArchive(output: ArchiveOutput, step: ExportStep): Promise<ExportedImage> {
    const { store, signal, attestations } = this.#options
    if (attestations?.store === 'referrers')
      throw new CairnError(
        'NOT_SUPPORTED',
        `output type=${output.type}: attestations with store=referrers are not written to archives`,
        {
          hint: 'Leave store off: an archive has them in its index.',
        },
      )
    const references = this.#names(output)
    const image = await this.#form(output.form, references, step)
    await this.#store(image)
    step.status('exporting layers')
    for (const { target, imageId } of image.images) {
      step.status(`exporting manifest ${target.digest}`)
      step.status(`exporting config ${imageId}`)
    }
    for (const { descriptor } of image.attestations) step.status(`exporting attestation manifest ${descriptor.digest}`)
    if (image.index !== undefined) step.status(`exporting manifest list ${image.target.digest}`)
    const { dest } = output
    if (output.isDirectory && dest !== undefined) {
      const { copyImage } = await import('../../images/copy-image.ts')
      const { storeSource } = await import('../../images/image-source.ts')
      const { openLayoutTarget } = await import('../../images/layouts/layout-target.ts')
      const { nameAnnotations } = await import('../../images/archives/archive-content.ts')
      const named = references.map((one) => nameAnnotations(image.target, one))
      // As with BuildKit: there, too, an image without a name takes the place of the last one.
      const unnamed = { ...image.target.annotations, [layoutAnnotations.refName]: defaultTag }
      const entries = (named.length === 0 ? [unnamed] : named).map((annotations) => ({ ...image.target, annotations }))
      using target = await whenFree(() => openLayoutTarget({ transport: 'oci', path: dest }, entries), signal)
      await copyImage(store, storeSource(store, image.target, image.target.digest), target, { signal })
    } else
      await this.#toFile(dest, step, async (write) => {
        const { writeImageArchive } = await import('../../images/archives/save-images.ts')
        await writeImageArchive(store, [{ descriptor: image.target, references }], write)
      })
    return { ...image, names: references }
  }

  async #writeFiles(output: FilesOutput, step: ExportStep): Promise<void> {
    const { dest, type, mode } = output
    const { epoch, signal } = this.#options
    const { exportedTree } = await import('./exported-tree.ts')
    const { writeFilesArchive, writeFilesDirectory } = await import('../../outputs/write-files.ts')
    const tree = await exportedTree(this.#images, output, this.#options)
    if (type === 'local' && dest !== undefined) {
      const skipped = writeFilesDirectory(tree, dest, mode)
      step.status('copying files')
      for (const text of skipped) step.warn(text)
      return
    }
    await this.#toFile(dest, step, (write) => {
      writeFilesArchive(
        tree,
        (bytes) => {
          signal.throwIfAborted()
          write(bytes)
        },
        epoch,
      )
    })
  }

  /** Writes to the file `dest`, which is there whole or as it was, or to stdout. */
  async #toFile(
    dest: string | undefined,
    step: ExportStep,
    work: (write: (bytes: Uint8Array) => void) => Promise<void> | void,
  ): Promise<void> {
    const { stdout, signal } = this.#options
    let size = 0
    if (dest === undefined) {
      if (stdout === undefined) throw new CairnError('NOT_SUPPORTED', 'there is no stdout to write to')
      await work((bytes) => {
        size += bytes.length
        stdout(bytes)
      })
    } else {
      using file = openFileSink(dest)
      await work((bytes) => {
        signal.throwIfAborted()
        size += bytes.length
        file.write(bytes)
      })
      file.commit()
    }
    step.status('sending tarball', size)
  }

  /** Whether the documents of an image are in the store and not damaged. */
  async #isWhole({ images, target }: Exported): Promise<boolean> {
    const { blobs } = this.#options.store
    const digests = [target.digest, ...images.flatMap((image) => [image.target.digest, image.imageId])]
    for (const digest of digests) if (!(await blobs.isWhole(digest))) return false
    return true
  }

  /** Puts an image, with its index, into the store for as long as the lease lives. */
  async #store({ images, index, attestations }: Exported): Promise<void> {
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

  /** The attestations that are entries of the index. */
  #indexed({ attestations }: Pick<Exported, 'attestations'>): readonly Descriptor[] {
    return this.#options.attestations?.store === 'index' ? attestations.map(({ descriptor }) => descriptor) : []
  }

  /**
   * What is attested is a manifest by its digest, which a push must not change any more: layers are compressed before.
   */
  #pushedForm(form: ImageForm): ImageForm {
    if (this.#options.attestations === undefined || form.compression !== undefined) return form
    return { ...form, compression: 'gzip', force: true }
  }

  #names({ names }: ImageOutput | ArchiveOutput): readonly Reference[] {
    const { tags } = this.#options
    // As with buildx: --tag comes before the name of an output.
    return (tags.length > 0 ? tags : (names ?? [])).map(withDefaultTag)
  }

  /** The image in a form; several outputs may ask for the same. */
  #form(form: ImageForm, names: readonly Reference[], step: ExportStep): Promise<Exported> {
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

  async #formAll(
    form: ImageForm,
    names: readonly Reference[],
    onCompress: (diffId: string) => void,
  ): Promise<Exported> {
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

  /** Shows one export while it is done. */
  async #shown<Result>(name: string, work: (step: ExportStep) => Promise<Result>): Promise<Result> {
    const { progress } = this.#options
    const id = this.#count++ === 0 ? 'export' : `export ${this.#count}`
    const vertex = { type: 'vertex', id, name, started: Date.now() } as const
    progress(vertex)
    try {
      const result = await work(new ExportStep(id, progress, vertex.started))
      progress({ ...vertex, completed: Date.now() })
      return result
    } catch (error) {
      progress({ ...vertex, completed: Date.now(), error: error instanceof Error ? error.message : String(error) })
      throw error
    }
  }
}

/** What is shown of one export. */
class ExportStep {
  readonly id: string
  readonly #progress: ProgressListener
  readonly #started: number

  constructor(id: string, progress: ProgressListener, started: number) {
    this.id = id
    this.#progress = progress
    this.#started = started
  }

  /** Says that something is done; `size` in bytes where that matters. */
  status(id: string, size = 0): void {
    const now = Date.now()
    const times = { timestamp: now, started: this.#started, completed: now }
    this.#progress({ type: 'status', vertex: this.id, id, current: size, total: 0, ...times } satisfies StatusEvent)
  }

  warn(short: string): void {
    this.#progress({ type: 'warning', vertex: this.id, level: 1, short })
  }
}
