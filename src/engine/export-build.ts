import type { BlockCompressor } from '../compression/compress.ts'
import type { Lease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { copyImage } from '../images/copy-image.ts'
import { storeSource } from '../images/image-source.ts'
import { openLayoutTarget } from '../images/layout-target.ts'
import { recordManifest } from '../images/put-image.ts'
import { findByName } from '../images/resolve-image.ts'
import { writeImageArchive } from '../images/save-images.ts'
import { stackTree } from '../layers/layer-tree.ts'
import type { Tree } from '../layers/tree.ts'
import { openFileSink } from '../linux/file-sink.ts'
import { familiarString, formatReference, type Reference, withDefaultTag } from '../oci/reference.ts'
import { type FormedImage, formImage, storeFormedImage, type UnformedImage } from '../outputs/form-image.ts'
import {
  type ArchiveOutput,
  type BuildOutput,
  type FilesOutput,
  type ImageForm,
  type ImageOutput,
  plainForm,
} from '../outputs/output.ts'
import { writeFilesArchive, writeFilesDirectory } from '../outputs/write-files.ts'
import type { ProgressListener, StatusEvent } from '../progress/events.ts'
import type { Snapshots } from '../snapshots/snapshots.ts'

/** Sends an image of the store to the registry its name says; told of as statuses of `vertex`. */
export type PushBuilt = (
  reference: Reference,
  form: ImageForm,
  progress: ProgressListener,
  vertex: string,
) => Promise<void>

export interface ExportOptions {
  readonly store: Store
  readonly lease: Lease
  readonly snapshots: Snapshots
  /** What is written; the image in the store, under `tags`, where nothing is asked for. */
  readonly outputs: readonly BuildOutput[]
  /** `--tag`. */
  readonly tags: readonly Reference[]
  /** Seconds since 1970 that no file of an exported tree is newer than. */
  readonly epoch: number | undefined
  readonly push?: PushBuilt | undefined
  /** Takes what is written to stdout. */
  readonly stdout?: ((bytes: Uint8Array) => void) | undefined
  readonly compressor?: BlockCompressor | undefined
  readonly concurrency?: number | undefined
  readonly progress: ProgressListener
  readonly signal: AbortSignal
}

/** The image in the store: the only output where none is asked for. */
const storeOutput: ImageOutput = { kind: 'image', form: plainForm, names: undefined, push: false }

/**
 * Writes an image that was built to all its outputs, each shown as BuildKit shows it. Gives the image in the form of the
 * first output that has one. Throws what writing throws; a file or directory is then as it was, and outputs before it
 * stay.
 */
export async function exportBuild(image: UnformedImage, options: ExportOptions): Promise<FormedImage | undefined> {
  const exporter = new BuildExporter(image, options)
  const outputs = options.outputs.length === 0 ? [storeOutput] : options.outputs
  let first: FormedImage | undefined
  for (const output of outputs) {
    options.signal.throwIfAborted()
    const formed = await exporter.write(output)
    first ??= formed
  }
  return first
}

class BuildExporter {
  readonly #image: UnformedImage
  readonly #options: ExportOptions
  readonly #formed = new Map<string, Promise<FormedImage>>()
  #count = 0

  constructor(image: UnformedImage, options: ExportOptions) {
    this.#image = image
    this.#options = options
  }

  async write(output: BuildOutput): Promise<FormedImage | undefined> {
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

  async #writeImage(output: ImageOutput, step: ExportStep): Promise<FormedImage> {
    const { store, lease, push } = this.#options
    const names = this.#names(output)
    const image = await this.#form(output.form, step)
    // What is there under all its names needs no writing, unless it was damaged on the disk.
    const present = names.map((name) => findByName(store, name))
    const isNamed = names.length > 0 && present.every((record) => record?.digest === image.target.digest)
    const { blobs } = store
    if (!isNamed || !(await blobs.isWhole(image.target.digest)) || !(await blobs.isWhole(image.imageId))) {
      await storeFormedImage(store, lease, image)
      recordManifest(store, image.target, image.manifest, names)
    }
    step.status('exporting layers')
    step.status(`writing image ${image.imageId}`)
    for (const name of names) step.status(`naming to ${formatReference(name)}`)
    if (!output.push) return image
    if (push === undefined) throw new CairnError('NOT_SUPPORTED', 'images cannot be pushed here')
    for (const name of names) {
      await push(name, output.form, this.#options.progress, step.id)
      step.status(`pushing manifest for ${formatReference(name)}`)
    }
    return image
  }

  async #writeArchive(output: ArchiveOutput, step: ExportStep): Promise<FormedImage> {
    const { store, lease, signal } = this.#options
    const image = await this.#form(output.form, step)
    await storeFormedImage(store, lease, image)
    step.status('exporting layers')
    step.status(`exporting manifest ${image.target.digest}`)
    step.status(`exporting config ${image.imageId}`)
    const references = this.#names(output)
    const { dest } = output
    if (output.isDirectory && dest !== undefined) {
      const [first, ...others] = references
      if (others.length > 0)
        throw new CairnError('NOT_SUPPORTED', `output type=${output.type},tar=false takes no more than one name`)
      const name = first === undefined ? undefined : familiarString(first)
      using target = openLayoutTarget({ transport: 'oci', path: dest, ...(name === undefined ? {} : { name }) })
      await copyImage(store, storeSource(store, image.target, image.target.digest), target, { signal })
    } else
      await this.#toFile(dest, step, async (write) => {
        await writeImageArchive(store, [{ descriptor: image.target, references }], write)
      })
    return image
  }

  async #writeFiles({ dest, type, mode }: FilesOutput, step: ExportStep): Promise<void> {
    const { epoch, signal } = this.#options
    const tree = await this.#tree()
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

  async #tree(): Promise<Tree> {
    const { snapshots } = this.#options
    return stackTree(await snapshots.layerTrees(this.#image.diffIds.map((diffId) => ({ diffId }))))
  }

  #names({ names }: ImageOutput | ArchiveOutput): readonly Reference[] {
    const { tags } = this.#options
    // As with buildx: --tag comes before the name of an output.
    return (tags.length > 0 ? tags : (names ?? [])).map(withDefaultTag)
  }

  /** The image in a form; several outputs may ask for the same. */
  #form(form: ImageForm, step: ExportStep): Promise<FormedImage> {
    const key = JSON.stringify(form)
    let formed = this.#formed.get(key)
    if (formed === undefined) {
      const onCompress = (diffId: string): void => step.status(`compressing layer ${diffId}`)
      formed = formImage(this.#image, form, { ...this.#options, onCompress })
      this.#formed.set(key, formed)
    }
    return formed
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
