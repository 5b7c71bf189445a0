import type { AttestationSettings } from '../../attest/attestation-settings.ts'
import type { BlockCompressor } from '../../compression/compress.ts'
import type { Lease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import { openFileSink } from '../../linux/file-sink.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import type { Digest } from '../../oci/digest.ts'
import { layoutAnnotations } from '../../oci/layout.ts'
import { defaultTag, formatReference, type Reference, withDefaultTag, withDigest } from '../../oci/reference.ts'
import type { FormedImage, UnformedImage } from '../../outputs/form-image.ts'
import {
  type ArchiveOutput,
  type BuildOutput,
  type FilesOutput,
  type ImageForm,
  type ImageOutput,
  plainForm,
} from '../../outputs/output.ts'
import type { ProgressListener } from '../../progress/events.ts'
import type { Snapshots } from '../../snapshots/snapshots.ts'
import type { MakePredicates } from './attest-build.ts'
import { BuildForms, type FormedBuild } from './build-forms.ts'
import { type ExportStep, showExport } from './export-step.ts'

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

class BuildExporter {
  readonly #images: readonly UnformedImage[]
  readonly #options: ExportOptions
  readonly #forms: BuildForms
  #count = 0

  constructor(images: readonly UnformedImage[], options: ExportOptions) {
    this.#images = images
    this.#options = options
    this.#forms = new BuildForms(images, options)
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
    const pushNames = output.isByDigest ? [] : this.#names(output)
    const form = output.push ? this.#forms.pushed(output.form) : output.form
    const image = await this.#forms.make(form, pushNames, step)
    const names = [...pushNames, ...digestNames(output, pushNames, image.target.digest)]
    await this.#forms.record(image, names)
    step.status('exporting layers')
    for (const { descriptor } of image.attestations) step.status(`exporting attestation manifest ${descriptor.digest}`)
    step.status(
      image.index === undefined ? `writing image ${image.imageId}` : `exporting manifest list ${image.target.digest}`,
    )
    for (const name of names) step.status(`naming to ${formatReference(name)}`)
    const known = output.isByDigest ? (output.names ?? []) : pushNames.length > 0 ? pushNames : names
    if (!output.push) return { ...image, names: known }
    return { ...image, names: known, target: await this.#push(image, output, pushNames, step) }
  }

  /** Sends an image to where its names say. Gives what it is there. */
  async #push(
    { target }: FormedBuild,
    output: ImageOutput,
    names: readonly Reference[],
    step: ExportStep,
  ): Promise<Descriptor> {
    const { push, progress } = this.#options
    if (push === undefined) throw new CairnError('NOT_SUPPORTED', 'images cannot be pushed here')
    let pushed = target
    const places = output.isByDigest ? (output.names ?? []).map((name) => withDigest(name, target.digest)) : names
    for (const place of places) {
      pushed = await push(place, output.form, progress, step.id)
      const name = formatReference(output.isByDigest ? withDigest(place, pushed.digest) : place)
      step.status(`pushing manifest for ${output.isByDigest ? name : `${name}@${pushed.digest}`}`)
    }
    const { mediaType, digest, size } = pushed
    return { ...target, mediaType, digest, size }
  }

  async #writeArchive(output: ArchiveOutput, step: ExportStep): Promise<ExportedImage> {
    const { store, attestations } = this.#options
    if (attestations?.store === 'referrers')
      throw new CairnError(
        'NOT_SUPPORTED',
        `output type=${output.type}: attestations with store=referrers are not written to archives`,
        {
          hint: 'Leave store off: an archive has them in its index.',
        },
      )
    const references = this.#names(output)
    const image = await this.#forms.make(output.form, references, step)
    await this.#forms.put(image)
    step.status('exporting layers')
    for (const { target, imageId } of image.images) {
      step.status(`exporting manifest ${target.digest}`)
      step.status(`exporting config ${imageId}`)
    }
    for (const { descriptor } of image.attestations) step.status(`exporting attestation manifest ${descriptor.digest}`)
    if (image.index !== undefined) step.status(`exporting manifest list ${image.target.digest}`)
    const { dest } = output
    if (output.isDirectory && dest !== undefined) await this.#writeLayout(image, dest, references)
    else
      await this.#toFile(dest, step, async (write) => {
        const { writeImageArchive } = await import('../../images/archives/save-images.ts')
        await writeImageArchive(store, [{ descriptor: image.target, references }], write)
      })
    return { ...image, names: references }
  }

  /** Adds an image to the layout directory `dest`. */
  async #writeLayout(image: FormedBuild, dest: string, references: readonly Reference[]): Promise<void> {
    const { store, signal } = this.#options
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

  #names({ names }: ImageOutput | ArchiveOutput): readonly Reference[] {
    const { tags } = this.#options
    // As with buildx: --tag comes before the name of an output.
    return (tags.length > 0 ? tags : (names ?? [])).map(withDefaultTag)
  }

  /** Shows one export while it is done. */
  async #shown<Result>(name: string, work: (step: ExportStep) => Promise<Result>): Promise<Result> {
    const id = this.#count++ === 0 ? 'export' : `export ${this.#count}`
    return await showExport(id, name, this.#options.progress, work)
  }
}
