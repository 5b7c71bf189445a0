import { CairnError } from '../../errors/error.ts'
import { resolvePath } from '../../layers/trees/resolve-path.ts'
import { cleanMemberPath } from '../../layers/member-path.ts'
import type { LayerContent } from '../../layers/pack/layer-writer.ts'
import type { Tree, TreeEntry } from '../../layers/tree.ts'
import { blankEntry } from '../../tar/entry.ts'
import { childPath, rootedPath, parentPath } from '../paths.ts'
import type { SelectedPath, Selection } from '../context/source-selection.ts'
import type { Archive } from './unpack.ts'

/** One member of the layer. */
export interface LayoutEntry {
  readonly entry: TreeEntry
  readonly content: LayerContent | undefined
  /** Path of an earlier member that is the same file. */
  readonly hardlink: string | undefined
}

/** What a path of the layer has; paths that are names of one file share it. */
interface Node {
  entry: TreeEntry
  readonly content: LayerContent | undefined
}

export interface LayoutOptions {
  readonly owner: { readonly uid: number; readonly gid: number } | undefined
  readonly chmod: ((mode: number, directory: boolean) => number) | undefined
  /** Mode of directories that are made on the way: 0755, or what an octal --chmod says. */
  readonly directoryMode: number
  /** Seconds since 1970 for directories and files that Cairn makes itself. */
  readonly createdTime: number
}

/**
 * Works out what a COPY or ADD puts where: the members of its layer, resolved against the filesystem below without
 * touching a disk. Rules of dockerfile reference §COPY as BuildKit's copier applies them: parents of the destination
 * are made, existing files and symlinks are replaced and never written through, directories are merged.
 */
export class CopyLayout {
  readonly #lower: Tree
  readonly #options: LayoutOptions
  readonly #members = new Map<string, Node>()
  /** Lower tree and members as one. */
  readonly #view: Tree
  /** Files with several names that were placed already, per source. */
  #files = new Map<string, Node>()
  /** Those that have got several names. */
  readonly #named = new Set<Node>()

  constructor(lower: Tree, options: LayoutOptions) {
    this.#lower = lower
    this.#options = options
    // Even the empty filesystem has a root.
    const root = this.#made('directory', 0o755)
    this.#view = {
      lookup: (path) => this.#members.get(path)?.entry ?? this.#lower.lookup(path) ?? (path === '/' ? root : undefined),
      list: (path) => this.#lower.list(path),
      read: (path) => this.#lower.read(path),
    }
  }

  /** Members in the order to write them: parents before children, siblings sorted. */
  *members(): Generator<readonly [path: string, member: LayoutEntry]> {
    for (const path of this.#members.keys().toArray()) this.#addParents(path)
    this.#members.delete('/')
    const first = new Map<Node, string>()
    for (const path of [...this.#members.keys()].sort(comparePathElements)) {
      const node = this.#members.get(path) as Node
      const hardlink = first.get(node)
      if (hardlink === undefined && this.#named.has(node)) first.set(node, path)
      yield [path, { entry: node.entry, content: node.content, hardlink }]
    }
  }

  /** Copies one selection to `destination` (absolute, a trailing slash kept). */
  copy(tree: Tree, selection: Selection, destination: string): void {
    const root = selection.paths[0]
    if (root === undefined) return
    const target = this.#prepareTarget(selection, destination)
    this.#files = new Map()
    for (const selected of selection.paths) this.#place(tree, selected, target)
  }

  /** Writes a file of Cairn's own making, as a heredoc is. */
  inline(name: string, content: string, destination: string): void {
    const bytes = new TextEncoder().encode(content)
    const entry: TreeEntry = { ...this.#made('file', 0o644), size: bytes.length }
    const target = this.#prepareTarget({ name, directory: false, paths: [] }, destination)
    this.#putFile(target, { entry: this.#dressed(entry, undefined), content: { from: 'bytes', bytes } })
  }

  /** Makes a directory with its parents, as WORKDIR does; those that exist stay as they are. */
  makeDirectories(path: string): void {
    this.#makeDirectories(resolvePath(this.#view, path, { followLast: true }))
  }

  /**
   * Unpacks an archive into the directory `destination`, seen as if that were the root: symlinks lead nowhere else.
   * Owners and times are the archive's unless --chown is given; modes always are. Throws LAYER_UNSAFE for names that
   * climb out and for links to what is not there.
   */
  unpack(archive: Archive, destination: string): void {
    const root = resolvePath(this.#view, rootedPath(destination), { followLast: true })
    const { owner } = this.#options
    this.#makeDirectories(root, { ...this.#made('directory', 0o755), ...owner })
    const below = (path: string): string => (root === '/' ? path : path === '/' ? root : root + path)
    const inside = { lookup: (path: string): TreeEntry | undefined => this.#view.lookup(below(path)) }
    const place = (name: string): string | undefined => {
      const path = cleanMemberPath(name)
      if (path === undefined)
        throw new CairnError('LAYER_UNSAFE', `the archive has a path that leaves its root: ${name}`)
      return path === '' ? undefined : below(resolvePath(inside, `/${path}`, { followLast: false }))
    }
    const content: Tree = { lookup: () => undefined, list: () => [], read: (index) => archive.read(Number(index)) }
    for (const [index, { type, path: name, ...fields }] of archive.entries.entries()) {
      const target = place(name)
      // What the archive says of its own root is not for the directory that is there.
      if (target === undefined) continue
      this.#makeDirectories(parentPath(target), this.#made('directory', 0o755))
      // Before 1970 is no time to docker's tar.
      const attributes = { ...fields, ...owner, mtimeSeconds: Math.max(0, fields.mtimeSeconds), inode: undefined }
      if (type === 'hardlink') {
        this.#link(target, place(fields.linkname), attributes)
        continue
      }
      const bytes =
        type === 'file' && fields.size > 0 ? ({ from: 'tree', tree: content, path: String(index) } as const) : undefined
      this.#replace(target, { entry: { ...attributes, type }, content: bytes })
    }
  }

  /** Gives a file, of the layer or below it, another name; the attributes that come with the link count for both. */
  #link(path: string, original: string | undefined, attributes: Omit<TreeEntry, 'type'>): void {
    const existing = original === undefined ? undefined : this.#view.lookup(original)
    if (original === undefined || existing === undefined || existing.type === 'directory')
      throw new CairnError('LAYER_UNSAFE', `${path} is a hard link to ${original ?? 'the root'}, which is no file`)
    let node = this.#members.get(original)
    if (node === undefined) {
      const isEmpty = existing.type !== 'file' || existing.size === 0
      node = { entry: existing, content: isEmpty ? undefined : { from: 'tree', tree: this.#lower, path: original } }
      this.#members.set(original, node)
    }
    const { mode, uid, gid, mtimeSeconds, mtimeNanoseconds } = attributes
    if (existing.type !== 'symlink') node.entry = { ...existing, mode, uid, gid, mtimeSeconds, mtimeNanoseconds }
    this.#named.add(node)
    this.#replace(path, node)
  }

  #replace(path: string, node: Node): void {
    if (this.#view.lookup(path)?.type === 'directory' && node.entry.type !== 'directory') this.#hideBelow(path)
    this.#members.set(path, node)
  }

  #hideBelow(path: string): void {
    for (const member of this.#members.keys().toArray()) if (member.startsWith(`${path}/`)) this.#members.delete(member)
  }

  /** Where the selection's root goes, its parents made. */
  #prepareTarget(selection: Selection, destination: string): string {
    const slash = destination.endsWith('/')
    const cleaned = slash ? destination.slice(0, -1) || '/' : destination
    const directory = slash ? cleaned : parentPath(cleaned)
    this.#makeDirectories(resolvePath(this.#view, directory, { followLast: true }))
    let target = resolvePath(this.#view, cleaned, { followLast: true })
    const existing = this.#view.lookup(target)
    if (!selection.directory && existing?.type === 'directory') target = childPath(target, selection.name)
    this.#makeDirectories(
      selection.directory && existing === undefined ? target : parentPath(target),
      undefined,
      selection,
    )
    return target
  }

  #makeDirectories(path: string, made = this.#madeOnTheWay(), selection?: Selection): void {
    let current = '/'
    for (const part of path.split('/').filter((element) => element !== '')) {
      current = childPath(current, part)
      const existing = this.#view.lookup(current)
      if (existing?.type === 'directory') continue
      if (existing !== undefined)
        throw new CairnError(
          'STEP_INVALID',
          selection?.directory === true && current === path
            ? `cannot copy to non-directory: ${current}`
            : `mkdir ${current}: not a directory`,
        )
      this.#members.set(current, { entry: made, content: undefined })
    }
  }

  /**
   * Docker makes such directories with the permissions of an octal --chmod under the umask of its daemon, which is always
   * 022: without setuid, setgid and sticky bits, and nobody but the owner may write.
   */
  #madeOnTheWay(): TreeEntry {
    const { owner, directoryMode } = this.#options
    return { ...this.#made('directory', directoryMode & 0o755), ...owner }
  }

  #place(tree: Tree, { relative, path, entry, implied }: SelectedPath, target: string): void {
    const destination = relative === '' ? target : target === '/' ? `/${relative}` : `${target}/${relative}`
    if (entry.type === 'directory') return this.#placeDirectory(destination, entry, relative === '', implied)
    // As with docker only files keep being one: symlinks and special files with several names become several.
    const inode = entry.type === 'file' ? entry.inode : undefined
    let node = inode === undefined ? undefined : this.#files.get(inode)
    if (node === undefined) {
      const content = entry.type === 'file' && entry.size > 0 ? ({ from: 'tree', tree, path } as const) : undefined
      node = { entry: this.#dressed(entry, entry.type), content }
      if (inode !== undefined) this.#files.set(inode, node)
    } else this.#named.add(node)
    this.#putFile(destination, node)
  }

  #placeDirectory(path: string, entry: TreeEntry, root: boolean, implied: boolean): void {
    if (path === '/') return
    const existing = this.#view.lookup(path)
    if (existing !== undefined && existing.type !== 'directory')
      throw new CairnError('STEP_INVALID', `cannot copy to non-directory: ${path}`)
    let placed = this.#dressed(entry, 'directory')
    const { mtimeSeconds, mtimeNanoseconds } = entry
    // The destination itself keeps mode and owner, even one that was made a moment ago; only its time is the source's.
    if (existing !== undefined && root) placed = { ...existing, mtimeSeconds, mtimeNanoseconds }
    else if (existing !== undefined && implied) placed = { ...existing, mode: entry.mode }
    this.#members.set(path, { entry: placed, content: undefined })
  }

  #putFile(path: string, node: Node): void {
    if (this.#view.lookup(path)?.type === 'directory')
      throw new CairnError('STEP_INVALID', `cannot replace to directory ${path} with file`)
    this.#members.set(path, node)
  }

  /** The entry with --chown and --chmod applied. */
  #dressed(entry: TreeEntry, type: TreeEntry['type'] | undefined): TreeEntry {
    const { owner, chmod } = this.#options
    if (owner === undefined && chmod === undefined) return entry
    const mode = chmod === undefined || type === 'symlink' ? entry.mode : chmod(entry.mode, type === 'directory')
    return { ...entry, ...owner, mode }
  }

  #made(type: 'file' | 'directory', mode: number): TreeEntry {
    return { ...blankEntry, type, mode, mtimeSeconds: this.#options.createdTime, inode: undefined }
  }

  /** The directories above a member, as they are below, so that the layer can be unpacked on its own. */
  #addParents(path: string): void {
    for (let parent = parentPath(path); parent !== '/'; parent = parentPath(parent)) {
      // Those above it were added with it, or are when its turn comes.
      if (this.#members.has(parent)) return
      const entry = this.#lower.lookup(parent)
      if (entry?.type === 'directory') this.#members.set(parent, { entry, content: undefined })
    }
  }
}

const slash = '/'.charCodeAt(0)

/** Orders paths so that a directory comes right before what is in it. */
function comparePathElements(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let index = 0; index < length; index++) {
    const left = a.charCodeAt(index)
    const right = b.charCodeAt(index)
    if (left !== right) return left === slash ? -1 : right === slash ? 1 : left - right
  }
  return a.length - b.length
}
