import { listLayerForms } from '../content/layer-records.ts'
import type { Lease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
import type { LayerParts } from '../layers/pack/layer-parts.ts'
import type { LayerWriter, WrittenLayer } from '../layers/pack/layer-writer.ts'
import type { Tree } from '../layers/tree.ts'
import { close, open, openFlags } from '../linux/files.ts'
import { type Digest, digestHex, Digester, digestOf } from '../oci/digest.ts'
import type { Snapshots } from '../snapshots/snapshots.ts'
import { type FileInput } from './cache-key.ts'
import type { BuildContexts } from './context/context.ts'
import type { CopyOp, CopySource, Op, RunOp, WorkdirOp } from './graph.ts'
import { adoptLayer } from './adopt-layer.ts'
import { type Filesystem, type Layer, storedLayer } from './layer.ts'
import type { RemoteSource } from './ops/remote-source.ts'
import type { RunSettings } from './ops/run.ts'
import type { RemoteFiles } from './context/remote-files.ts'
import { digestSelections, type SelectionDigest } from './context/selection-digest.ts'
import type { StepLog } from './running-step.ts'
import type { StepExecutor } from './solve.ts'
import { type SelectedFiles, selectSources } from './context/source-selection.ts'

export interface ExecutorOptions {
  readonly store: Store
  readonly lease: Lease
  readonly snapshots: Snapshots
  readonly contexts: BuildContexts
  readonly remotes: RemoteFiles
  /** The Dockerfile's name, as errors have it. */
  readonly dockerfile: string
  readonly epoch: number | undefined
  /** Undefined where times are real, see `BuildPlan`. The contexts give their files this time. */
  readonly fixedTime: number | undefined
  readonly run: RunSettings
  readonly signal: () => AbortSignal
  /** Called before the container of a RUN is made. */
  readonly beforeRun?: ((op: RunOp) => Promise<void>) | undefined
}

/**
 * Runs ops: COPY, ADD and WORKDIR write their layer's tar straight from the sources, RUN starts a container. How is
 * loaded only where a step has to run.
 */
export class BuildExecutor implements StepExecutor {
  readonly #options: ExecutorOptions
  /** Content digests of files in stages, by the layers of the filesystem, then by path. */
  readonly #digests = new Map<string, Map<string, Digest>>()

  constructor(options: ExecutorOptions) {
    this.#options = options
  }

  layerSize(diffId: Digest): number {
    return listLayerForms(this.#options.store, diffId)[0]?.unpackedSize ?? 0
  }

  async digestSource(input: FileInput, filesystem: Filesystem | undefined): Promise<SelectionDigest> {
    const { contexts, snapshots } = this.#options
    if (input.source.from === 'context') {
      const files = contexts.files(input.source.name)
      const selections = contexts.select(input.source.name, input.pattern, input)
      return digestSelections(selections, (path) => files.digest(path))
    }
    const layers = filesystem ?? []
    const tree = await snapshots.tree(layers)
    const selections = selectSources(tree, input.pattern, input)
    const known = this.#knownDigests(layers)
    return digestSelections(selections, (path) => known.getOrInsertComputed(path, () => digestFile(tree, path)))
  }

  /** By path, what the files of a filesystem were found to have. Nobody else changes them. */
  #knownDigests(layers: Filesystem): Map<string, Digest> {
    const name = layers.map((layer) => layer.directory ?? layer.diffId).join(' ')
    return this.#digests.getOrInsertComputed(name, () => new Map<string, Digest>())
  }

  /** The files of a stage, with what {@link digestSource} found out. */
  async #stageFiles(layers: Filesystem): Promise<Tree> {
    const tree = await this.#options.snapshots.tree(layers)
    const known = this.#knownDigests(layers)
    return {
      lookup: (path) => tree.lookup(path),
      list: (path) => tree.list(path),
      read: (path) => tree.read(path),
      ...(tree.open === undefined ? {} : { open: tree.open.bind(tree) }),
      ...(tree.hostPath === undefined ? {} : { hostPath: tree.hostPath.bind(tree) }),
      knownDigest: (path) => known.get(path),
      isImmutable: true,
    }
  }

  resolveRemote(source: RemoteSource, title: string): Promise<SelectionDigest> {
    return this.#options.remotes.resolve(source, title)
  }

  async execute(op: Op, parent: Filesystem, sources: ReadonlyMap<Op, Filesystem>, log: StepLog): Promise<Layer> {
    switch (op.kind) {
      case 'base':
        throw new Error('a base image is not executed')
      case 'run':
        await this.#options.beforeRun?.(op)
        const { runStep } = await import('./ops/run.ts')
        return await runStep(op, { ...this.#options, signal: this.#options.signal(), parent, sources, log })
      case 'copy':
        return await this.#copy(op, parent, sources, log)
      case 'workdir':
        return await this.#workdir(op, parent)
      default:
        return op satisfies never
    }
  }

  async #copy(op: CopyOp, parent: Filesystem, sources: ReadonlyMap<Op, Filesystem>, log: StepLog): Promise<Layer> {
    const { snapshots, contexts, store, remotes } = this.#options
    const lower = await snapshots.tree(parent)
    const selected = new Map<CopySource, SelectedFiles>()
    for (const item of op.sources) {
      if (item.kind !== 'files') continue
      const { source, pattern } = item
      const options = { ...item, excludes: op.excludes }
      if (source.from === 'context') {
        const { name } = source
        selected.set(item, { tree: contexts.files(name), selections: contexts.select(name, pattern, options) })
      } else {
        const tree = await this.#stageFiles(source.op === undefined ? [] : (sources.get(source.op) ?? []))
        selected.set(item, { tree, selections: selectSources(tree, pattern, options) })
      }
    }
    using opened = new DisposableStack()
    const wanted = op.sources.filter((item) => item.kind === 'remote')
    await settled(
      wanted.map(async (item) => {
        selected.set(item, opened.use(await remotes.open(item.remote, op.excludes, log)))
      }),
    )
    const { writeCopyLayer } = await import('./ops/copy.ts')
    const place = this.#partsPlace(op)
    return await this.#store(place, (writer) =>
      writeCopyLayer(op, writer, {
        lower,
        selected: (source) => selected.get(source) as SelectedFiles,
        temporaryPath: (label) => store.session.temporaryPath(label),
        createdTime: this.#createdTime,
      }),
    )
  }

  async #workdir(op: WorkdirOp, parent: Filesystem): Promise<Layer> {
    const lower = await this.#options.snapshots.tree(parent)
    const { writeWorkdirLayer } = await import('./ops/copy.ts')
    return await this.#store(undefined, (writer) =>
      writeWorkdirLayer(op, writer, { lower, createdTime: this.#createdTime }),
    )
  }

  /** The time of directories that steps make, in seconds since 1970. */
  get #createdTime(): number {
    const { epoch, fixedTime } = this.#options
    return epoch ?? fixedTime ?? Math.floor(Date.now() / 1000)
  }

  /** Where is kept what the layer of a COPY from a context was made of; undefined where there is nothing to be gained. */
  #partsPlace(op: CopyOp): { readonly path: string; readonly isRead: boolean } | undefined {
    const { store, contexts, run } = this.#options
    const source = op.sources.find((item) => item.kind === 'files' && item.source.from === 'context')
    if (run.trial !== undefined || source?.kind !== 'files' || source.source.from !== 'context') return undefined
    const { identity } = contexts.get(source.source.name)
    const name = digestHex(digestOf(JSON.stringify([identity, op.stage, op.text]))).slice(0, 32)
    return { path: store.path('builds', 'contexts', `${name}.parts`), isRead: op.ignoreCache === undefined }
  }

  async #store(
    place: { readonly path: string; readonly isRead: boolean } | undefined,
    write: (writer: LayerWriter) => Promise<WrittenLayer> | WrittenLayer,
  ): Promise<Layer> {
    const { store, lease, epoch } = this.#options
    const path = store.session.temporaryPath('layer')
    const { LayerWriter } = await import('../layers/pack/layer-writer.ts')
    using reuse = place === undefined ? undefined : await this.#openParts(place)
    const writer = new LayerWriter(path, { epoch, reuse })
    try {
      const layer = await adoptLayer(store, lease, path, await write(writer))
      if (place !== undefined) reuse?.parts.save(place.path, layer.diffId)
      return storedLayer(layer)
    } finally {
      writer.abort()
    }
  }

  /** What the step's layer was made of before, with that layer, which is whole and stays while this build runs. */
  async #openParts({
    path,
    isRead,
  }: {
    readonly path: string
    readonly isRead: boolean
  }): Promise<Disposable & { readonly parts: LayerParts; readonly fd: number; readonly name: string }> {
    const { store, lease } = this.#options
    const { LayerParts: Parts } = await import('../layers/pack/layer-parts.ts')
    const temporary = store.session.temporaryPath('parts')
    const known = isRead ? Parts.read(path, temporary) : Parts.none(temporary)
    const { layer } = known
    const isThere = layer !== undefined && (await lease.claimWhole(layer))
    const parts = isThere ? known : Parts.none(temporary)
    const name = isThere ? store.blobs.path(layer) : ''
    const fd = isThere ? open(name, openFlags.O_RDONLY | openFlags.O_NOFOLLOW) : -1
    const dispose = (): void => {
      parts[Symbol.dispose]()
      if (isThere) close(fd)
    }
    return { parts, fd, name, [Symbol.dispose]: dispose }
  }
}

/** Waits for all of them, also when one fails, so that nothing goes on afterwards; throws the first failure. */
async function settled(work: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(work)
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

function digestFile(tree: Tree, path: string): Digest {
  const digester = new Digester()
  for (const chunk of tree.read(path)) digester.update(chunk)
  return digester.digest()
}
