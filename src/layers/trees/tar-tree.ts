import { CairnError } from '../../errors/error.ts'
import { close, open, openFlags } from '../../linux/files.ts'
import type { TarEntry } from '../../tar/entry.ts'
import type { TarLimits } from '../../tar/limits.ts'
import type { TarHandler } from '../../tar/decoder.ts'
import type { TarMember } from '../../tar/member.ts'
import { readMember, readTarFile } from '../../tar/reader.ts'
import { baseName, cleanMemberPath, parentPath } from '../member-path.ts'
import { resolvePath } from './resolve-path.ts'
import type { LayerDemand } from './layer-demands.ts'
import { impliedDirectory, type LayerTree, type Tree, type TreeEntry } from '../tree.ts'
import { isOverlayXattr, isWhiteoutDevice, markerIn, parseWhiteout } from '../whiteouts.ts'

export interface TarTreeOptions {
  readonly limits?: Partial<TarLimits> | undefined
  /** Names the layer in errors. */
  readonly name?: string
  /** The layers below, which hard links may name files of. */
  readonly below?: Tree | undefined
  /** False for an archive that is only files: names that remove something in a layer are refused in it. */
  readonly isLayer?: boolean
}

/**
 * The layer in an uncompressed tar (a path, which must stay readable, or bytes), seen as applying it would make it:
 * headers are scanned at once, content is read when asked for. Throws as applyLayer does, but for what only a file
 * system refuses.
 */
export function tarTree(archive: string | Uint8Array, options: TarTreeOptions = {}): LayerTree {
  const name = options.name ?? (typeof archive === 'string' ? archive : 'layer')
  const tree = new TarTree(archive, options.below, options.isLayer)
  for (const member of readTarFile(archive, { name, ...(options.limits && { limits: options.limits }) }))
    addNaming(tree, member, name)
  return tree
}

export interface LayerScanOptions {
  /** Names the layer in errors. */
  readonly name: string
  /** Whether members may have an absolute path, which is then taken from the layer's root. */
  readonly absolutePaths: 'refuse' | 'allow'
}

/**
 * Takes a layer's members as they pass by and refuses what {@link tarTree} would; gives the tree of their headers,
 * whose files cannot be read, and what the layer demands of those below it.
 */
export class LayerScan implements TarHandler {
  readonly #options: LayerScanOptions
  readonly #tree = new TarTree(new Uint8Array(0), 'demanded')
  #entries = 0

  constructor(options: LayerScanOptions) {
    this.#options = options
  }

  /** Members so far. */
  get entries(): number {
    return this.#entries
  }

  get tree(): LayerTree {
    return this.#tree
  }

  /** Known once all members have passed. */
  get demands(): readonly LayerDemand[] {
    return this.#tree.demands
  }

  entry(member: TarMember): boolean {
    this.#entries++
    const { name, absolutePaths } = this.#options
    const { path, type } = member.entry
    const isAbsolute = path.startsWith('/') && !(type === 'directory' && /^\/+$/.test(path))
    if (absolutePaths === 'refuse' && isAbsolute)
      throw new CairnError('LAYER_UNSAFE', `${name}, ${JSON.stringify(path)}: its path is absolute`, {
        hint: 'Some builders write such layers: with CAIRN_LIMITS=absolute-paths=allow they are taken as relative to the image.',
      })
    addNaming(this.#tree, member, name)
    return false
  }

  content(): void {}

  end(): void {}
}

/** Adds a member; errors name the layer and the member. */
function addNaming(tree: TarTree, member: TarMember, name: string): void {
  try {
    tree.add(member)
  } catch (error) {
    if (!(error instanceof CairnError)) throw error
    throw new CairnError(error.code, `${name}, ${JSON.stringify(member.entry.path)}: ${error.message}`, {
      cause: error,
    })
  }
}

/** A file shared by all its names. */
interface File {
  readonly entry: TreeEntry
  readonly member: TarMember | undefined
  /** A hard link to a file of the layers below: its path there. */
  readonly below?: string
}

interface Node {
  file: File
  /** Only of directories. */
  readonly children: Map<string, Node> | undefined
  /** Names that the layer removes; only of directories. */
  readonly removed: Set<string>
  isOpaque: boolean
  isImplied: boolean
}

const impliedFile: File = {
  entry: impliedDirectory,
  member: undefined,
}

class TarTree implements LayerTree {
  readonly #archive: string | Uint8Array
  readonly #root = directoryNode(impliedFile, true)
  /** The directory last asked for, as members of one directory follow each other. */
  #latest = { path: '/', node: this.#root }
  readonly #below: Tree | 'demanded' | undefined
  readonly #isLayer: boolean
  readonly #filesDemanded: LayerDemand[] = []
  /** Directories that had no entry of their own when something was put there, by their path. */
  readonly #implied = new Map<string, LayerDemand>()

  /** Hard links may name files of `below`; with `demanded` it is noted that they do. */
  constructor(archive: string | Uint8Array, below?: Tree | 'demanded', isLayer = true) {
    this.#archive = archive
    this.#below = below
    this.#isLayer = isLayer
  }

  get demands(): readonly LayerDemand[] {
    const directories = [...this.#implied.values()].filter(({ path }) => this.isImplied(path))
    return [...directories, ...this.#filesDemanded]
  }

  lookup(path: string): TreeEntry | undefined {
    return this.#find(path)?.file.entry
  }

  list(path: string): readonly string[] {
    return [...(this.#find(path)?.children?.keys() ?? [])].sort()
  }

  *read(path: string): Generator<Uint8Array> {
    const node = this.#find(path)
    const member = node?.file.member
    if (node?.file.entry.type !== 'file') throw new CairnError('FILE_UNKNOWN', `${path} is no file of this layer`)
    if (node.file.below !== undefined && typeof this.#below === 'object')
      return yield* this.#below.read(node.file.below)
    if (member === undefined) return
    if (typeof this.#archive !== 'string') return yield* readMember(this.#archive, member)
    const fd = open(this.#archive, openFlags.O_RDONLY)
    try {
      yield* readMember(fd, member)
    } finally {
      close(fd)
    }
  }

  hides(path: string): boolean {
    let node = this.#root
    if (node.isOpaque) return true
    for (const name of components(path)) {
      const child = node.children?.get(name)
      if (child === undefined) return node.removed.has(name) || node.children === undefined
      if (child.isOpaque || child.children === undefined) return true
      node = child
    }
    return false
  }

  whiteouts(path: string): readonly string[] {
    return [...(this.#find(path)?.removed ?? [])]
  }

  isImplied(path: string): boolean {
    return this.#find(path)?.isImplied ?? false
  }

  /** Takes the next member of the archive. */
  add(member: TarMember): void {
    const { entry } = member
    const path = cleanMemberPath(entry.path)
    if (path === undefined) throw unsafe('its path leads out of the layer')
    if (path === '') return this.#describeRoot(entry)
    const marker = markerIn(path)
    if (!this.#isLayer && (marker !== 'none' || isWhiteoutDevice(entry)))
      throw unsafe('in a layer it would remove a file, so none can hold it')
    if (marker === 'ignored') return
    const parent = this.#directory(`/${parentPath(path)}`, entry.path)
    const name = baseName(path)
    if (marker === 'last') return this.#mark(parent, name)
    if (isWhiteoutDevice(entry)) return remove(parent, name)
    if (entry.type === 'directory') return this.#describe(parent, path, entry)
    const file = entry.type === 'hardlink' ? this.#linked(entry, path) : fileOf(member)
    const isReplaced = this.#forgetWhere(parent, name)
    parent.children?.set(name, leafNode(file))
    parent.removed.delete(name)
    if (isReplaced) this.#checkStillAt(parent, path)
  }

  #describeRoot(entry: TarEntry): void {
    if (entry.type !== 'directory') throw unsafe(`the root of a layer cannot be a ${entry.type}`)
    this.#root.file = fileOfEntry(entry)
    this.#root.isImplied = false
  }

  #describe(parent: Node, path: string, entry: TarEntry): void {
    const name = baseName(path)
    const isReplaced = this.#forgetWhere(parent, name)
    const node = childDirectory(parent, name, true)
    if (node === undefined) return
    if (isReplaced) this.#checkStillAt(parent, path)
    node.file = fileOfEntry(entry)
    node.isImplied = false
  }

  /** Replacing a directory or symlink may change what paths lead to. True when something is replaced. */
  #forgetWhere(parent: Node, name: string): boolean {
    const isReplaced = parent.children?.has(name) === true
    if (isReplaced) this.#latest = { path: '/', node: this.#root }
    return isReplaced
  }

  /** Fails when what was replaced had led to `parent`. */
  #checkStillAt(parent: Node, path: string): void {
    const above = parentPath(path)
    const found = above === '' ? this.#root : this.#find(this.#target(`/${above}`) || '/')
    if (found !== parent) throw unsafe('it replaces what its own path leads through')
  }

  #mark(parent: Node, name: string): void {
    const whiteout = parseWhiteout(name)
    if (whiteout?.kind === 'opaque') parent.isOpaque = true
    if (whiteout?.kind === 'whiteout') remove(parent, whiteout.target)
  }

  #linked(entry: TarEntry, path: string): File {
    const target = cleanMemberPath(entry.linkname)
    if (target === undefined || target === '') throw unsafe(`it is a hard link to ${entry.linkname}, out of the layer`)
    const resolved = resolvePath(this, `/${target}`, { followLast: false })
    const node = this.#find(resolved)
    if (node === undefined && `/${path}` !== resolved) return this.#linkedBelow(entry, resolved)
    if (node === undefined) throw new CairnError('TAR_INVALID', 'it is a hard link to itself')
    if (node.children !== undefined) throw unsafe(`it is a hard link to ${entry.linkname}, a directory`)
    if (node.file.entry.inode === undefined)
      node.file = { member: node.file.member, entry: { ...node.file.entry, inode: resolved } }
    return node.file
  }

  #linkedBelow({ path: member, linkname }: TarEntry, target: string): File {
    if (this.#below === 'demanded') {
      this.#filesDemanded.push({ kind: 'file', path: target, member, linkname })
      return { ...impliedFile, entry: { ...impliedDirectory, type: 'file', mode: 0o644 } }
    }
    const entry = this.#below?.lookup(target)
    if (entry === undefined || (entry.type !== 'file' && entry.type !== 'symlink'))
      throw new CairnError('TAR_INVALID', `it is a hard link to ${linkname}, which is no file of the layer`)
    return { entry: { ...entry, inode: undefined }, member: undefined, below: target }
  }

  /**
   * The directory at `path`, through symlinks of this layer, made where it is missing for the entry that `member` names.
   */
  #directory(path: string, member: string): Node {
    if (path === this.#latest.path) return this.#latest.node
    let node = this.#root
    let at = ''
    for (const name of components(path)) {
      const isLink = node.children?.get(name)?.file.entry.type === 'symlink'
      at = isLink ? this.#target(`${at}/${name}`) : `${at}/${name}`
      const child = isLink ? this.#find(at || '/') : childDirectory(node, name, false)
      if (child?.children === undefined) throw unsafe(`${path.slice(1)} is no directory, yet members stand below it`)
      if (child.isImplied && !this.#implied.has(at)) this.#implied.set(at, { kind: 'directory', path: at, member })
      node = child
    }
    this.#latest = { path, node }
    return node
  }

  /** Where a symlink leads: `''` for the root. */
  #target(path: string): string {
    try {
      const resolved = resolvePath(this, path, { followLast: true })
      return resolved === '/' ? '' : resolved
    } catch (cause) {
      throw new CairnError('LAYER_UNSAFE', `${path.slice(1)} leads through a loop of symlinks`, { cause })
    }
  }

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.#root
    for (const name of components(path)) {
      node = node.children?.get(name)
      if (node === undefined) return undefined
    }
    return node
  }
}

/** The directory `name`, made where nothing, a whiteout or (with `mayReplace`) something else is. */
function childDirectory(parent: Node, name: string, mayReplace: boolean): Node | undefined {
  const found = parent.children?.get(name)
  if (found?.children !== undefined) return found
  if (found !== undefined && !mayReplace) return undefined
  const node = directoryNode(impliedFile, true)
  node.isOpaque = parent.removed.delete(name)
  parent.children?.set(name, node)
  return node
}

/** A whiteout: what this layer itself has at the name stays, and only hides what is below. */
function remove(parent: Node, name: string): void {
  const found = parent.children?.get(name)
  if (found === undefined) parent.removed.add(name)
  else if (found.children !== undefined) found.isOpaque = true
}

function directoryNode(file: File, isImplied: boolean): Node {
  return { file, children: new Map(), removed: new Set(), isOpaque: false, isImplied }
}

const nothingRemoved = new Set<string>()

function leafNode(file: File): Node {
  return { file, children: undefined, removed: nothingRemoved, isOpaque: false, isImplied: false }
}

function fileOf(member: TarMember): File {
  return { entry: fileOfEntry(member.entry).entry, member }
}

function fileOfEntry(entry: TarEntry): File {
  const { type, mode, uid, gid, size, mtimeSeconds, mtimeNanoseconds, linkname, devMajor, devMinor } = entry
  const xattrs = withoutOverlay(entry.xattrs)
  if (type === 'hardlink') throw new Error('a hard link has no file of its own')
  const inode = undefined
  return {
    entry: { type, mode, uid, gid, size, mtimeSeconds, mtimeNanoseconds, linkname, devMajor, devMinor, xattrs, inode },
    member: undefined,
  }
}

/** Attributes in which overlayfs keeps its state mean nothing in a layer. */
function withoutOverlay(xattrs: ReadonlyMap<string, Uint8Array>): ReadonlyMap<string, Uint8Array> {
  return xattrs.size === 0 ? xattrs : new Map([...xattrs].filter(([name]) => !isOverlayXattr(name)))
}

/** The layers of a stack are asked for the same path one after the other. */
let latestPath: { readonly path: string; readonly names: readonly string[] } = { path: '/', names: [] }

function components(path: string): readonly string[] {
  if (path !== latestPath.path) latestPath = { path, names: path === '/' ? [] : path.slice(1).split('/') }
  return latestPath.names
}

function unsafe(reason: string): CairnError {
  return new CairnError('LAYER_UNSAFE', reason)
}
