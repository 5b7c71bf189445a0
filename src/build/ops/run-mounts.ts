import { digestHex, digestOf } from '../../oci/digest.ts'
import { acquireLock, type Lock, tryAcquireLock, withLock } from '../../content/lock.ts'
import { CairnError } from '../../errors/error.ts'
import { applyLayerFile } from '../../layers/apply.ts'
import { LayerWriter } from '../../layers/layer-writer.ts'
import { resolvePath } from '../../layers/layer-tree.ts'
import { tryLstat } from '../../linux/file-status.ts'
import { AT_FDCWD } from '../../linux/files.ts'
import { unmount } from '../../linux/mounts.ts'
import { changeModeAt, changeOwnerAt, makeDirectories, removeFile, rename } from '../../linux/names.ts'
import { mountOverlay } from '../../linux/overlay.ts'
import { readTextFile, writeTextFile } from '../../linux/text-file.ts'
import { copyTree } from '../../snapshots/copy-tree.ts'
import type { ContainerMount } from '../../runtime/spec.ts'
import { baseName } from '../paths.ts'
import { selectSources } from '../source-selection.ts'
import type { FileSource, OpMount, RunOp } from '../graph.ts'
import { CopyLayout } from './copy-layout.ts'
import { writeLayout } from './copy.ts'
import type { RunEnvironment } from './run.ts'

type CacheMount = Extract<OpMount, { type: 'cache' }>
type BindMount = Extract<OpMount, { type: 'bind' }>
type SecretMount = Extract<OpMount, { type: 'secret' }>

/** A secret larger than this is refused, as BuildKit does. Bytes. */
const largestSecret = 500 * 1024

/**
 * The `--mount`s of one RUN step made ready on the host: {@link open} prepares them, {@link close} takes everything
 * back that is not a cache.
 */
export class RunMounts {
  readonly mounts: ContainerMount[] = []
  /** Variables that secrets ask for. */
  readonly env = new Map<string, string>()
  /** Targets that a file is mounted on. */
  readonly fileTargets = new Set<string>()
  readonly #op: RunOp
  readonly #environment: RunEnvironment
  readonly #directory: string
  readonly #mounted: string[] = []
  readonly #locks: Lock[] = []

  /** `directory` exists and goes with the step. */
  constructor(op: RunOp, environment: RunEnvironment, directory: string) {
    this.#op = op
    this.#environment = environment
    this.#directory = directory
  }

  async open(): Promise<void> {
    for (const [index, mount] of this.#op.mounts.entries()) {
      const directory = `${this.#directory}/mount-${index}`
      switch (mount.type) {
        case 'bind':
          await this.#bind(mount, directory)
          break
        case 'cache':
          await this.#cache(mount)
          break
        case 'tmpfs':
          this.mounts.push({
            type: 'tmpfs',
            target: mount.target,
            exec: true,
            ...(mount.size === undefined ? {} : { size: mount.size }),
          })
          break
        case 'secret':
          this.#secret(mount, directory)
          break
        default:
          mount satisfies never
      }
    }
  }

  close(): void {
    for (const target of this.#mounted.reverse()) unmount(target, { lazy: true })
    for (const lock of this.#locks) lock.release()
  }

  async #bind(mount: BindMount, directory: string): Promise<void> {
    const source = await this.#materialize(mount.source, mount.path, directory, mount.readOnly)
    this.#add(source, mount.target, mount.readOnly)
  }

  #add(source: string, target: string, readonly: boolean): void {
    const status = tryLstat(source)
    if (status === undefined) throw new CairnError('CONTEXT_PATH_UNKNOWN', `the mount on ${target} has no source`)
    if (status.type !== 'directory') this.fileTargets.add(target)
    this.mounts.push({ type: 'bind', source, target, readonly })
  }

  /**
   * Brings files to where they can be bound from: a stage as an overlay of its layers, the build context as a copy with
   * what the ignore file leaves and root as owner. What is written to them is lost with the step.
   */
  async #materialize(source: FileSource, path: string, directory: string, readOnly: boolean): Promise<string> {
    const { snapshots, contexts, sources } = this.#environment
    if (source.from === 'op') {
      const filesystem = source.op === undefined ? [] : (sources.get(source.op) ?? [])
      const tree = await snapshots.tree(filesystem)
      const resolved = resolvePath(tree, path, { followLast: true })
      if (resolved !== '/' && tree.lookup(resolved) === undefined) throw missing(path)
      const lowers = await snapshots.directories(filesystem, this.#environment.signal)
      const target = `${directory}/root`
      makeDirectories(target)
      if (readOnly && lowers.length > 0) mountOverlay({ lowers, target, nodev: true })
      else {
        for (const name of ['upper', 'work']) makeDirectories(`${directory}/${name}`)
        changeModeAt(AT_FDCWD, `${directory}/upper`, tree.lookup('/')?.mode ?? 0o755)
        mountOverlay({ lowers, upper: `${directory}/upper`, work: `${directory}/work`, target, nodev: true })
      }
      this.#mounted.push(target)
      return target + (resolved === '/' ? '' : resolved)
    }
    const layout = new CopyLayout(
      { lookup: () => undefined, list: () => [], read: () => [] },
      { owner: undefined, chmod: undefined, directoryMode: 0o755, createdTime: 0 },
    )
    const { tree: files } = contexts.get(source.name)
    const [selection] = selectSources(files, path, { excludes: [], parents: false })
    if (selection === undefined) throw missing(path)
    const name = selection.directory ? '/root' : '/root/file'
    layout.copy(files, selection, name)
    const layer = `${directory}.tar`
    writeLayout(layout, new LayerWriter(layer))
    makeDirectories(directory)
    applyLayerFile(layer, directory, { mode: 'plain' })
    removeFile(layer)
    return directory + name
  }

  async #cache(mount: CacheMount): Promise<void> {
    const { store, signal } = this.#environment
    const root = await this.#cacheDirectory(mount)
    const files = `${root}/fs`
    if (tryLstat(files) === undefined)
      await withLock(store, `new cache mount ${root}`, { signal }, async () => {
        // The step that was waited for has made it.
        if (tryLstat(files) === undefined) rename(await this.#newCache(mount), files)
      })
    this.#add(files, mount.target, mount.readOnly)
  }

  /** The first content of a cache, whole before anybody sees it. */
  async #newCache({ id, source, path, uid, gid, mode }: CacheMount): Promise<string> {
    const { store, snapshots, contexts, sources } = this.#environment
    const files = store.session.temporaryPath('cache')
    makeDirectories(files)
    if (source !== undefined) {
      const layers = source.from === 'op' && source.op !== undefined ? (sources.get(source.op) ?? []) : []
      const tree = source.from === 'context' ? contexts.get(source.name).tree : await snapshots.tree(layers)
      const seed = resolvePath(tree, path, { followLast: true })
      const entry = tree.lookup(seed)
      if (entry === undefined) throw missing(path)
      if (entry.type !== 'directory')
        throw new CairnError('STEP_INVALID', `cache ${id} cannot be filled: ${path} is not a directory`)
      copyTree(tree, seed, files)
    }
    changeOwnerAt(AT_FDCWD, files, uid ?? 0, gid ?? 0)
    changeModeAt(AT_FDCWD, files, mode ?? 0o755)
    return files
  }

  /** Directory of the cache by its id and owner; `private` takes the first one that nobody uses. */
  async #cacheDirectory(mount: CacheMount): Promise<string> {
    const { store, signal, log } = this.#environment
    const { id, uid, gid, mode, sharing } = mount
    const name = digestHex(digestOf(JSON.stringify([id, uid ?? 0, gid ?? 0, mode ?? 0o755]))).slice(0, 32)
    const path = (copy: number): string => store.path('cache', 'mounts', copy === 0 ? name : `${name}-${copy}`)
    let copy = 0
    if (sharing === 'locked') {
      this.#locks.push(await acquireLock(store, `cache mount ${name}`, { signal, onWait: log.waiting }))
    } else if (sharing === 'private') {
      let lock: Lock | undefined
      while ((lock = tryAcquireLock(store, `cache mount ${name} ${copy}`)) === undefined) copy++
      this.#locks.push(lock)
    }
    makeDirectories(path(copy), 0o755)
    writeTextFile(`${path(copy)}/id`, id, 0o644)
    return path(copy)
  }

  #secret(mount: SecretMount, directory: string): void {
    const value = this.#secretValue(mount.id)
    if (value === undefined) {
      if (mount.required)
        throw new CairnError('STEP_INVALID', `secret ${mount.id}: not found`, {
          hint: `Give it with --secret id=${mount.id},src=FILE.`,
        })
      return
    }
    if (mount.env !== undefined) this.env.set(mount.env, value)
    if (mount.target === undefined) return
    makeDirectories(directory, 0o700)
    const file = `${directory}/${baseName(mount.target)}`
    writeTextFile(file, value, 0o600)
    changeOwnerAt(AT_FDCWD, file, mount.uid, mount.gid)
    changeModeAt(AT_FDCWD, file, mount.mode)
    this.#add(file, mount.target, true)
  }

  #secretValue(id: string): string | undefined {
    const source = this.#environment.run.secrets.get(id)
    if (source === undefined) return undefined
    const value = source.from === 'env' ? source.value : readTextFile(source.path, largestSecret + 1)
    if (value !== undefined && value.length > largestSecret)
      throw new CairnError('LIMIT_EXCEEDED', `secret ${id} is larger than ${largestSecret} bytes`)
    return value
  }
}

function missing(path: string): CairnError {
  return new CairnError('CONTEXT_PATH_UNKNOWN', `failed to compute cache key: "${path}": not found`)
}
