import { fillCacheMount, cacheMountName, type CacheMountUser, holdCacheMount } from '../../content/cache-mounts.ts'
import { acquireLock, type Lock } from '../../content/lock.ts'
import { CairnError } from '../../errors/error.ts'
import { applyLayerFile } from '../../layers/unpack/apply.ts'
import { LayerWriter } from '../../layers/pack/layer-writer.ts'
import { resolvePath } from '../../layers/trees/resolve-path.ts'
import { redactUrl } from '../../errors/redact.ts'
import type { Tree } from '../../layers/tree.ts'
import { tryLstat } from '../../linux/file-status.ts'
import { AT_FDCWD, close, open, openFlags, write } from '../../linux/files.ts'
import { mountTmpfs, unmount } from '../../linux/mounts.ts'
import { changeModeAt, changeOwnerAt, makeDirectories, removeFile } from '../../linux/names.ts'
import { mountOverlay } from '../../linux/overlay.ts'
import { copyTree } from '../../snapshots/copy-tree.ts'
import type { ContainerMount } from '../../runtime/spec.ts'
import { serveAgent, type ServedAgent } from '../../ssh/serve-agent.ts'
import { secretBytes } from '../build-secrets.ts'
import type { FileSource, OpMount, RunOp } from '../graph.ts'
import type { Filesystem } from '../layer.ts'
import { CopyLayout } from './copy-layout.ts'
import { writeLayout } from './copy.ts'
import type { RunEnvironment } from './run.ts'

type MountOf<Type extends OpMount['type']> = Extract<OpMount, { type: Type }>

/**
 * The `--mount`s of one RUN step made ready on the host: {@link open} prepares them, {@link close} takes everything
 * back that is not a cache.
 */
export class RunMounts {
  /** In the order they are to be mounted: parents first, as BuildKit does whatever the order in the Dockerfile. */
  readonly mounts: ContainerMount[] = []
  /** Variables that mounts bring along. */
  readonly env = new Map<string, string>()
  readonly #op: RunOp
  readonly #environment: RunEnvironment
  readonly #tree: Tree
  readonly #directory: string
  readonly #mounted: string[] = []
  readonly #locks: Lock[] = []
  readonly #agents: ServedAgent[] = []
  /** Files of the step's cache mounts, which two mounts of one identity share. */
  readonly #caches = new Map<string, string>()
  #secrets: string | undefined

  /** `tree` is what the step starts from; `directory` exists and goes with the step. */
  constructor(op: RunOp, environment: RunEnvironment, tree: Tree, directory: string) {
    this.#op = op
    this.#environment = environment
    this.#tree = tree
    this.#directory = directory
  }

  async open(): Promise<void> {
    const mounts = this.#op.mounts
    await this.#holdCaches(mounts.filter((mount) => mount.type === 'cache'))
    for (const [index, mount] of mounts.entries()) {
      const directory = `${this.#directory}/mount-${index}`
      switch (mount.type) {
        case 'bind':
          await this.#bind(mount, directory)
          break
        case 'cache':
          await this.#cache(mount)
          break
        case 'tmpfs':
          this.#tmpfs(mount)
          break
        case 'secret':
          this.#secret(mount, index)
          break
        case 'ssh':
          this.#agent(mount, directory)
          break
        default:
          mount satisfies never
      }
    }
    this.mounts.sort((a, b) => (a.target < b.target ? -1 : a.target > b.target ? 1 : 0))
  }

  close(): void {
    for (const agent of this.#agents) agent.close()
    for (const target of this.#mounted.reverse()) unmount(target, { lazy: true })
    for (const lock of this.#locks) lock.release()
  }

  async #bind(mount: MountOf<'bind'>, directory: string): Promise<void> {
    const source = await this.#materialize(mount.source, mount.path, directory, mount.readOnly)
    this.#add(source, mount.target, mount.readOnly)
  }

  #add(source: string, target: string, readonly: boolean, options: { readonly inert?: boolean } = {}): void {
    if (tryLstat(source) === undefined)
      throw new CairnError('CONTEXT_PATH_UNKNOWN', `the mount on ${target} has no source`)
    this.mounts.push({ type: 'bind', source, target, readonly, ...options })
  }

  /** As with docker's runtime, a tmpfs over a directory has that directory's mode. */
  #tmpfs({ target, size, readOnly }: MountOf<'tmpfs'>): void {
    const covered = this.#tree.lookup(resolvePath(this.#tree, target, { followLast: true }))
    this.mounts.push({
      type: 'tmpfs',
      target,
      exec: true,
      readonly: readOnly,
      ...(size === undefined ? {} : { size }),
      ...(covered?.type === 'directory' ? { mode: covered.mode } : {}),
    })
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
    const files = contexts.files(source.name)
    const [selection] = contexts.select(source.name, path, { excludes: [], parents: false })
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

  /** In one order for all steps, so that two that lock the same caches do not wait for each other. */
  async #holdCaches(mounts: readonly MountOf<'cache'>[]): Promise<void> {
    const { store, signal, log } = this.#environment
    const named = await Promise.all(mounts.map(async (mount) => ({ mount, name: await this.#cacheName(mount) })))
    for (const { mount, name } of named.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (this.#caches.has(name)) continue
      const { trial } = this.#environment.run
      if (trial !== undefined) {
        this.#caches.set(name, await this.#trialCache(mount, `${trial.cacheMounts}/${name}`))
        continue
      }
      const onWait = (holder: string): void => log.waiting(`${holder} to release the cache mount ${name}`)
      const held = await holdCacheMount(store, name, mount.sharing, { signal, onWait })
      this.#locks.push(held.lock)
      this.#caches.set(name, held.files)
      const { contexts, dockerfile } = this.#environment
      const usedBy: CacheMountUser = { context: redactUrl(contexts.main.identity), dockerfile, stage: this.#op.stage }
      const use = { ...(await this.#cacheIdentity(mount)), sharing: mount.sharing, usedBy }
      await fillCacheMount(store, held, use, (directory) => this.#fill(mount, directory), signal)
    }
  }

  /** The files of a cache of a build that keeps nothing: its own, shared by its steps. */
  async #trialCache(mount: MountOf<'cache'>, files: string): Promise<string> {
    const { store, signal, log } = this.#environment
    const onWait = (holder: string): void => log.waiting(`${holder} to release a cache mount`)
    const lock = await acquireLock(store, `trial ${files}`, { signal, onWait })
    if (mount.sharing !== 'shared') this.#locks.push(lock)
    try {
      if (tryLstat(files) === undefined) {
        makeDirectories(files)
        await this.#fill(mount, files)
      }
      return files
    } finally {
      if (mount.sharing === 'shared') lock.release()
    }
  }

  async #cacheName(mount: MountOf<'cache'>): Promise<string> {
    return cacheMountName(await this.#cacheIdentity(mount))
  }

  /** A cache that begins with other files is another cache, as with BuildKit. */
  async #cacheIdentity({ id, uid = 0, gid = 0, mode = 0o755, source, path }: MountOf<'cache'>) {
    const identity = { id, uid, gid, mode }
    if (source === undefined) return identity
    const layers = await Promise.all(this.#layersOf(source).map((layer) => layer.packed()))
    return { ...identity, seed: `${path} ${layers.map(({ contentDigest }) => contentDigest).join(' ')}` }
  }

  #layersOf(source: FileSource): Filesystem {
    return source.from === 'op' && source.op !== undefined ? (this.#environment.sources.get(source.op) ?? []) : []
  }

  async #cache(mount: MountOf<'cache'>): Promise<void> {
    if (mount.source === undefined && mount.path !== '/') throw notThere(mount.path)
    const files = this.#caches.get(await this.#cacheName(mount))
    if (files === undefined) throw new Error(`the cache mount ${mount.id} is not held`)
    this.#add(files, mount.target, mount.readOnly)
  }

  /**
   * The first files of a cache. As with BuildKit, owner and mode are those of the source where one is named, and the
   * cache begins empty where `from` comes with an owner or a mode but without a source.
   */
  async #fill({ id, source, path, uid, gid, mode }: MountOf<'cache'>, files: string): Promise<void> {
    const isDressed = uid !== undefined || gid !== undefined || mode !== undefined
    if (source !== undefined && !(path === '/' && isDressed)) {
      const { snapshots, contexts } = this.#environment
      const tree =
        source.from === 'context' ? contexts.files(source.name) : await snapshots.tree(this.#layersOf(source))
      const seed = resolvePath(tree, path, { followLast: true })
      const entry = tree.lookup(seed)
      if (entry === undefined) throw notThere(path)
      if (entry.type !== 'directory')
        throw new CairnError('STEP_INVALID', `cache ${id} cannot be filled: ${path} is not a directory`)
      copyTree(tree, seed, files)
      return
    }
    changeOwnerAt(AT_FDCWD, files, uid ?? 0, gid ?? 0)
    changeModeAt(AT_FDCWD, files, mode ?? 0o755)
  }

  #secret(mount: MountOf<'secret'>, index: number): void {
    const value = this.#secretValue(mount.id)
    if (value === undefined) {
      if (mount.required)
        throw new CairnError('STEP_INVALID', `secret ${mount.id}: not found`, {
          hint: `Give it with --secret id=${mount.id},src=FILE.`,
        })
      return
    }
    if (mount.env !== undefined) this.env.set(mount.env, variableValue(mount.id, value))
    if (mount.target === undefined) return
    const file = `${this.#secretDirectory()}/${index}`
    const fd = open(file, openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_EXCL, 0o600)
    try {
      write(fd, value, file)
    } finally {
      close(fd)
    }
    changeOwnerAt(AT_FDCWD, file, mount.uid, mount.gid)
    changeModeAt(AT_FDCWD, file, mount.mode & 0o777)
    this.#add(file, mount.target, true, { inert: (mount.mode & 0o111) === 0 })
  }

  /** In memory: what is in a file of the store survives a crash. */
  #secretDirectory(): string {
    if (this.#secrets !== undefined) return this.#secrets
    const directory = `${this.#directory}/secrets`
    makeDirectories(directory, 0o700)
    mountTmpfs(directory, { mode: 0o711 })
    this.#mounted.push(directory)
    return (this.#secrets = directory)
  }

  #secretValue(id: string): Uint8Array | undefined {
    const source = this.#environment.run.secrets.get(id)
    return source === undefined ? undefined : secretBytes(source)
  }

  #agent(mount: MountOf<'ssh'>, directory: string): void {
    // As BuildKit has it, also where no agent is given, but not over a variable of the Dockerfile's own.
    if (!this.#op.env.has('SSH_AUTH_SOCK') && !this.env.has('SSH_AUTH_SOCK'))
      this.env.set('SSH_AUTH_SOCK', mount.target)
    const agent = this.#environment.run.agents?.get(mount.id)
    if (agent === undefined) {
      if (mount.required)
        throw new CairnError('STEP_INVALID', `unset ssh forward key ${mount.id}`, {
          hint: `Give it with --ssh ${mount.id}, or --ssh ${mount.id}=SOCKET or =KEY.`,
        })
      return
    }
    makeDirectories(directory, 0o711)
    this.#agents.push(serveAgent(agent, directory, 'agent', { ...mount, mode: mount.mode & 0o777 }))
    this.#add(`${directory}/agent`, mount.target, false)
  }
}

function variableValue(id: string, value: Uint8Array): string {
  if (value.includes(0))
    throw new CairnError('STEP_INVALID', `secret ${id} holds a zero byte, which no variable can hold`, {
      hint: 'Mount it as a file: leave env= out.',
    })
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(value)
}

function missing(path: string): CairnError {
  return new CairnError('CONTEXT_PATH_UNKNOWN', `failed to compute cache key: "${path}": not found`)
}

/** BuildKit finds this out when it mounts. */
function notThere(path: string): CairnError {
  return new CairnError('CONTEXT_PATH_UNKNOWN', `open ${path}: no such file or directory`)
}
