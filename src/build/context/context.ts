import { IgnoreMatcher, type ParentMatch } from '../../dockerfile/ignore.ts'
import { CairnError } from '../../errors/error.ts'
import type { FileStatus } from '../../linux/file-status.ts'
import { close } from '../../linux/files.ts'
import { getXattr, listXattrs } from '../../linux/xattrs.ts'
import { fileChanged } from '../../layers/pack/file-changed.ts'
import { DirectoryFiles } from '../../layers/pack/directory-files.ts'
import { digestOpenFile, readChunks } from '../../layers/file-chunks.ts'
import type { Tree, TreeEntry } from '../../layers/tree.ts'
import { type Digest, Digester, digestOf } from '../../oci/digest.ts'
import type { ContextIndex } from './context-index.ts'
import { childPath, parentPath } from '../paths.ts'
import { type Selection, type SelectionOptions, selectSources } from './source-selection.ts'

/** What a build reads its files from. To be disposed of when the build is over. */
export interface BuildContext extends Disposable {
  /** Tells one context from another across builds, for explanations: its absolute path, or its URL. */
  readonly identity: string
  readonly tree: ContextFiles
  /** What its ignore file excludes, where it has one. */
  readonly ignore?: IgnoreMatcher | undefined
  /** Keeps what this build learnt of the files, for the next one. */
  save(): Promise<void>
}

/** The files of a context. */
export interface ContextFiles extends Tree {
  /** Digest of the bytes of the file at `path`. Throws CONTEXT_PATH_UNKNOWN for a file that is no longer there. */
  digest(path: string): Digest
}

/** What a build found out about a path of its context, each once. */
interface PathFacts {
  readonly status: FileStatus | undefined
  xattrs?: ReadonlyMap<string, Uint8Array>
  digest?: Digest
}

/** What ignore rules say of the root of a context: nothing. */
const noMatch: ParentMatch = { matched: false, patterns: [] }

const noXattrs: ReadonlyMap<string, Uint8Array> = new Map()

/**
 * A directory of the host as a build sees it: what the ignore file excludes is not there, owners are 0:0, and only
 * file capabilities and `user.*` of the extended attributes count. A socket is an empty file, as to BuildKit. Nothing is
 * read before it is asked for, and nothing outside of the directory ever, whatever it becomes meanwhile. To be disposed of.
 */
export class ContextTree implements ContextFiles, Disposable {
  readonly #files: DirectoryFiles
  readonly #ignore: IgnoreMatcher | undefined
  readonly #matches = new Map<string, ParentMatch>()
  readonly #kept = new Map<string, boolean>()
  readonly #paths = new Map<string, PathFacts>()
  /** Kept, so that a step copies what its key was made of whatever happens to the directory meanwhile. */
  readonly #names = new Map<string, readonly string[]>()
  readonly #links = new Map<string, string>()
  readonly #index: ContextIndex | undefined

  /** `index`, where there is one, saves looking for extended attributes of files that are the same as before. */
  constructor(root: string, ignore: readonly string[], index?: ContextIndex) {
    this.#files = new DirectoryFiles(root)
    this.#index = index
    this.#ignore = ignore.length === 0 ? undefined : new IgnoreMatcher(ignore)
  }

  /** What the ignore file excludes. */
  get ignore(): IgnoreMatcher | undefined {
    return this.#ignore
  }

  lookup(path: string): TreeEntry | undefined {
    if (this.#isIgnored(path)) return undefined
    const facts = this.#facts(path)
    const { status } = facts
    if (status === undefined) return undefined
    const type = status.type === 'socket' ? 'file' : status.type
    const { mode, size, mtimeSeconds, mtimeNanoseconds, rdevMajor, rdevMinor } = status
    return {
      type,
      mode,
      uid: 0,
      gid: 0,
      size: status.type === 'file' ? size : 0,
      mtimeSeconds,
      mtimeNanoseconds,
      linkname: type === 'symlink' ? this.#link(path) : '',
      devMajor: rdevMajor,
      devMinor: rdevMinor,
      xattrs: type === 'symlink' ? noXattrs : (facts.xattrs ??= this.#readXattrs(path, status)),
      inode: type === 'file' && status.nlink > 1 ? `${status.device}:${status.inode}` : undefined,
    }
  }

  list(path: string): readonly string[] {
    if (this.status(path)?.type !== 'directory') return []
    let names = this.#names.get(path)
    if (names === undefined) {
      names = this.#files.list(relative(path)).sort()
      this.#names.set(path, names)
    }
    return names
  }

  /** Fails with FILE_CHANGED at the end where the bytes are not those that {@link digest} saw. */
  *read(path: string): Generator<Uint8Array> {
    if (this.status(path)?.type === 'socket') return
    const known = this.knownDigest(path)
    if (known === undefined) return yield* this.#read(path)
    const digester = new Digester()
    for (const chunk of this.#read(path)) {
      digester.update(chunk)
      yield chunk
    }
    if (digester.digest() !== known) throw fileChanged(this.hostPath(path))
  }

  digest(path: string): Digest {
    const facts = this.#facts(path)
    const { status, digest: known } = facts
    if (known !== undefined) return known
    if (status === undefined)
      throw new CairnError('CONTEXT_PATH_UNKNOWN', `${path} vanished from the build context while it was read`)
    if (status.type === 'socket') return digestOf('')
    const digest = this.#index?.digest(path, status) ?? this.#learn(path, status, facts.xattrs === noXattrs)
    facts.digest = digest
    return digest
  }

  #learn(path: string, status: FileStatus, isPlain: boolean): Digest {
    const hashedAt = Date.now()
    const digest = this.#hash(path)
    this.#index?.learn(path, { status, isPlain, digest }, hashedAt)
    return digest
  }

  knownDigest(path: string): Digest | undefined {
    return this.#paths.get(path)?.digest
  }

  open(path: string): number {
    return this.#files.open(relative(path))
  }

  hostPath(path: string): string {
    return this.#files.hostPath(relative(path))
  }

  [Symbol.dispose](): void {
    this.#files[Symbol.dispose]()
  }

  *#read(path: string): Generator<Uint8Array> {
    const fd = this.open(path)
    try {
      yield* readChunks(fd, this.hostPath(path))
    } finally {
      close(fd)
    }
  }

  #hash(path: string): Digest {
    const fd = this.open(path)
    try {
      return digestOpenFile(fd, this.hostPath(path))
    } finally {
      close(fd)
    }
  }

  /** Status of a path, the ignore file not regarded; looked up once in a build. */
  status(path: string): FileStatus | undefined {
    return this.#facts(path).status
  }

  #facts(path: string): PathFacts {
    let facts = this.#paths.get(path)
    if (facts === undefined) this.#paths.set(path, (facts = { status: this.#files.tryStatus(relative(path)) }))
    return facts
  }

  /** True where the ignore file excludes `path` and nothing below it is included again. */
  #isIgnored(path: string): boolean {
    if (this.#ignore === undefined || path === '/') return false
    if (!this.#isExcluded(path, this.#ignore)) return false
    // An excluded directory is there all the same when something below it is included again.
    return !(this.#ignore.hasExceptions && this.status(path)?.type === 'directory' && this.#keepsSomething(path))
  }

  #isExcluded(path: string, ignore: IgnoreMatcher): boolean {
    return ignore.excludesBelow(this.#match(parentPath(path), ignore), path.slice(1))
  }

  /** Kept: to be asked for directories, which much is below. */
  #match(directory: string, ignore: IgnoreMatcher): ParentMatch {
    if (directory === '/') return noMatch
    let match = this.#matches.get(directory)
    if (match === undefined) {
      match = ignore.matchesWithParent(directory.slice(1), this.#match(parentPath(directory), ignore))
      this.#matches.set(directory, match)
    }
    return match
  }

  #keepsSomething(directory: string): boolean {
    const known = this.#kept.get(directory)
    if (known !== undefined) return known
    let kept = false
    const pending = [directory]
    for (let path = pending.pop(); path !== undefined && !kept; path = pending.pop()) {
      for (const name of this.list(path)) {
        const child = childPath(path, name)
        if (this.#ignore === undefined || !this.#isExcluded(child, this.#ignore)) kept = true
        else if (this.status(child)?.type === 'directory') pending.push(child)
        if (kept) break
      }
    }
    this.#kept.set(directory, kept)
    return kept
  }

  #link(path: string): string {
    let target = this.#links.get(path)
    if (target === undefined) this.#links.set(path, (target = this.#files.link(relative(path))))
    return target
  }

  #readXattrs(path: string, status: FileStatus): ReadonlyMap<string, Uint8Array> {
    if (this.#index?.isPlain(path, status) === true) return noXattrs
    const host = this.#files.xattrPath(relative(path))
    const isCopied = (name: string): boolean => name === 'security.capability' || name.startsWith('user.')
    const names = host === undefined ? [] : listXattrs(host).filter(isCopied)
    if (host === undefined || names.length === 0) return noXattrs
    const values = new Map<string, Uint8Array>()
    for (const name of names) {
      const value = getXattr(host, name)
      if (value !== undefined) values.set(name, value)
    }
    return values
  }
}

/** A directory of the host as a context. `ignore` are the patterns of its ignore file. */
export function directoryContext(
  identity: string,
  root: string,
  ignore: readonly string[],
  index: ContextIndex,
): BuildContext {
  const tree = new ContextTree(root, ignore, index)
  const save = (): Promise<void> => index.save((path) => tree.status(path) !== undefined)
  return { identity, tree, ignore: tree.ignore, save, [Symbol.dispose]: () => tree[Symbol.dispose]() }
}

/** A context whose files cannot change and are not looked for again, such as those of an archive. `close` ends it. */
export function treeContext(identity: string, tree: Tree, close = (): void => undefined): BuildContext {
  const digests = new Map<string, Digest>()
  const digest = (path: string): Digest => {
    const known = digests.get(path)
    if (known !== undefined) return known
    const found = digestChunks(tree.read(path))
    digests.set(path, found)
    return found
  }
  const files: ContextFiles = {
    lookup: (path) => tree.lookup(path),
    list: (path) => tree.list(path),
    read: (path) => tree.read(path),
    digest,
    knownDigest: (path) => digests.get(path),
  }
  return { identity, tree: files, save: () => Promise.resolve(), [Symbol.dispose]: close }
}

/**
 * The contexts of one build: the main one, which is the caller's, and those that `--build-context` gave and the build
 * came to use.
 */
export class BuildContexts implements Disposable {
  readonly main: BuildContext
  readonly #named = new Map<string, BuildContext>()
  #fixedTime: number | undefined
  readonly #dated = new Map<ContextFiles, ContextFiles>()
  readonly #selections = new Map<string, readonly Selection[]>()

  constructor(main: BuildContext) {
    this.main = main
  }

  /**
   * From now on {@link files} have the modification time `seconds`, their own where undefined. Keys leave times out, so that what
   * a checkout or an archive has for them would depend on which of them was built first.
   */
  fixTimes(seconds: number | undefined): void {
    this.#fixedTime = seconds
  }

  /** The files of a context as steps read them: with the times they are to have. */
  files(name: string | undefined): ContextFiles {
    const { tree } = this.get(name)
    const seconds = this.#fixedTime
    if (seconds === undefined) return tree
    let dated = this.#dated.get(tree)
    if (dated === undefined) this.#dated.set(tree, (dated = datedFiles(tree, seconds)))
    return dated
  }

  /**
   * What a source selects of {@link files}, found out once: a step's layer is made of what its key was made of. Throws as
   * {@link selectSources}.
   */
  select(name: string | undefined, pattern: string, options: SelectionOptions): readonly Selection[] {
    const { excludes, parents, optional = false } = options
    const id = JSON.stringify([name, pattern, excludes, parents, optional])
    return this.#selections.getOrInsertComputed(id, () => selectSources(this.files(name), pattern, options))
  }

  add(name: string, context: BuildContext): void {
    this.#named.set(name, context)
  }

  /** The context that was added under `name`; the main one without a name. */
  get(name: string | undefined): BuildContext {
    if (name === undefined) return this.main
    const context = this.#named.get(name)
    if (context === undefined) throw new Error(`the build context ${name} was not opened`)
    return context
  }

  async save(): Promise<void> {
    for (const context of [this.main, ...this.#named.values()]) await context.save()
  }

  [Symbol.dispose](): void {
    for (const context of this.#named.values()) context[Symbol.dispose]()
  }
}

/** The same files, all with one modification time. */
function datedFiles(files: ContextFiles, mtimeSeconds: number): ContextFiles {
  return {
    lookup: (path) => {
      const entry = files.lookup(path)
      return entry === undefined ? undefined : { ...entry, mtimeSeconds, mtimeNanoseconds: 0 }
    },
    list: (path) => files.list(path),
    read: (path) => files.read(path),
    digest: (path) => files.digest(path),
    ...(files.open === undefined ? {} : { open: (path: string) => (files.open as (path: string) => number)(path) }),
    ...(files.hostPath === undefined ? {} : { hostPath: (path: string) => files.hostPath?.(path) ?? path }),
    ...(files.knownDigest === undefined ? {} : { knownDigest: (path: string) => files.knownDigest?.(path) }),
  }
}

/** A path of a tree, as {@link DirectoryFiles} have it. */
function relative(path: string): string {
  return path.slice(1)
}

function digestChunks(chunks: Iterable<Uint8Array>): Digest {
  const digester = new Digester()
  for (const chunk of chunks) digester.update(chunk)
  return digester.digest()
}
