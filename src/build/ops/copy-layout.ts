import { CairnError } from '../../errors/error.ts'
import { resolvePath } from '../../layers/layer-tree.ts'
import type { LayerContent } from '../../layers/layer-writer.ts'
import type { Tree, TreeEntry } from '../../layers/tree.ts'
import { baseName, childPath, cleanPath, parentPath } from '../paths.ts'
import type { SelectedPath, Selection } from '../source-selection.ts'
import type { Archive } from './unpack.ts'

/** One member of the layer. */
export interface LayoutEntry {
  readonly entry: TreeEntry
  readonly content: LayerContent | undefined
  /** Path of an earlier member that is the same file. */
  readonly hardlink: string | undefined
}

export interface LayoutOptions {
  readonly owner: { readonly uid: number; readonly gid: number } | undefined
  readonly chmod: ((mode: number, directory: boolean) => number) | undefined
  /** Mode of directories that are made on the way: 0755, or what an octal --chmod says. */
  readonly directoryMode: number
  /** Seconds since 1970 for directories and files that Cairn makes itself. */
  readonly createdTime: number
}

const noXattrs: ReadonlyMap<string, Uint8Array> = new Map()

/**
 * Works out what a COPY or ADD puts where: the members of its layer, resolved against the filesystem below without
 * touching a disk. Rules of dockerfile reference §COPY as BuildKit's copier applies them: parents of the destination
 * are made, existing files and symlinks are replaced and never written through, directories are merged.
 */
export class CopyLayout {
  readonly #lower: Tree
  readonly #options: LayoutOptions
  readonly #members = new Map<string, LayoutEntry>()
  /** Lower tree and members as one. */
  readonly #view: Tree
  /** First path given to each file with several names, per source. */
  #names = new Map<string, string>()

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
  members(): [path: string, member: LayoutEntry][] {
    for (const path of this.#members.keys().toArray()) this.#addParents(path)
    this.#members.delete('/')
    return linkedInOrder([...this.#members].sort(([a], [b]) => comparePathElements(a, b)))
  }

  /** Copies one selection to `destination` (absolute, a trailing slash kept). */
  copy(tree: Tree, selection: Selection, destination: string): void {
    const root = selection.paths[0]
    if (root === undefined) return
    const target = this.#prepareTarget(selection, destination)
    this.#names = new Map()
    for (const selected of selection.paths) this.#place(tree, selected, target)
  }

  /** Writes a file of Cairn's own making, as a heredoc is. */
  inline(name: string, content: string, destination: string): void {
    const bytes = new TextEncoder().encode(content)
    const entry: TreeEntry = { ...this.#made('file', 0o644), size: bytes.length }
    const target = this.#prepareTarget({ name, directory: false, paths: [] }, destination)
    this.#putFile(target, this.#dressed(entry, undefined), { from: 'bytes', bytes }, undefined)
  }

  /** Makes a directory with its parents, as WORKDIR does; those that exist stay as they are. */
  makeDirectories(path: string): void {
    this.#makeDirectories(resolvePath(this.#view, path, { followLast: true }))
  }

  /** Unpacks an archive into the directory `destination`; owners and times are the archive's unless --chown is given. */
  unpack(archive: Archive, destination: string): void {
    const root = resolvePath(this.#view, cleanPath(destination), { followLast: true })
    this.#makeDirectories(root)
    const content: Tree = { lookup: () => undefined, list: () => [], read: (index) => archive.read(Number(index)) }
    for (const [index, entry] of archive.entries.entries()) {
      if (entry.path.split('/').includes('..'))
        throw new CairnError('LAYER_UNSAFE', `the archive has a path that leaves its root: ${entry.path}`)
      const path = cleanPath(`${root}/${entry.path}`)
      // What the archive says of its own root is not for the directory that is there.
      if (path === root) continue
      const parent = resolvePath(this.#view, parentPath(path), { followLast: true })
      this.#makeDirectories(parent)
      const target = childPath(parent, baseName(path))
      const { type, path: _path, ...fields } = entry
      const hardlink = type === 'hardlink' ? cleanPath(`${root}/${entry.linkname}`) : undefined
      const placed: TreeEntry = {
        ...fields,
        ...this.#options.owner,
        type: type === 'hardlink' ? 'file' : type,
        inode: undefined,
      }
      const existing = this.#view.lookup(target)
      if (existing?.type === 'directory' && type !== 'directory') this.#hideBelow(target)
      this.#members.delete(target)
      const bytes =
        type === 'file' && entry.size > 0 ? ({ from: 'tree', tree: content, path: String(index) } as const) : undefined
      this.#members.set(target, { entry: placed, content: bytes, hardlink })
    }
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
    this.#makeDirectories(selection.directory && existing === undefined ? target : parentPath(target), selection)
    return target
  }

  #makeDirectories(path: string, selection?: Selection): void {
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
      const { owner, directoryMode } = this.#options
      const entry = { ...this.#made('directory', directoryMode), ...owner }
      this.#members.set(current, { entry, content: undefined, hardlink: undefined })
    }
  }

  #place(tree: Tree, { relative, path, entry, implied }: SelectedPath, target: string): void {
    const destination = relative === '' ? target : target === '/' ? `/${relative}` : `${target}/${relative}`
    if (entry.type === 'directory') return this.#placeDirectory(destination, entry, relative === '', implied)
    const hardlink = entry.inode === undefined ? undefined : this.#names.get(entry.inode)
    if (entry.inode !== undefined && hardlink === undefined) this.#names.set(entry.inode, destination)
    const content = entry.type === 'file' && entry.size > 0 ? ({ from: 'tree', tree, path } as const) : undefined
    this.#putFile(destination, this.#dressed(entry, entry.type), content, hardlink)
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
    this.#members.set(path, { entry: placed, content: undefined, hardlink: undefined })
  }

  #putFile(path: string, entry: TreeEntry, content: LayerContent | undefined, hardlink: string | undefined): void {
    if (this.#view.lookup(path)?.type === 'directory')
      throw new CairnError('STEP_INVALID', `cannot replace to directory ${path} with file`)
    this.#members.delete(path)
    this.#members.set(path, { entry, content, hardlink })
  }

  /** The entry with --chown and --chmod applied. */
  #dressed(entry: TreeEntry, type: TreeEntry['type'] | undefined): TreeEntry {
    const { owner, chmod } = this.#options
    const mode = chmod === undefined || type === 'symlink' ? entry.mode : chmod(entry.mode, type === 'directory')
    return { ...entry, ...owner, mode }
  }

  #made(type: 'file' | 'directory', mode: number): TreeEntry {
    return {
      type,
      mode,
      uid: 0,
      gid: 0,
      size: 0,
      mtimeSeconds: this.#options.createdTime,
      mtimeNanoseconds: 0,
      linkname: '',
      devMajor: 0,
      devMinor: 0,
      xattrs: noXattrs,
      inode: undefined,
    }
  }

  /** The directories above a member, as they are below, so that the layer can be unpacked on its own. */
  #addParents(path: string): void {
    for (let parent = parentPath(path); parent !== '/'; parent = parentPath(parent)) {
      if (this.#members.has(parent)) continue
      const entry = this.#lower.lookup(parent)
      if (entry?.type === 'directory') this.#members.set(parent, { entry, content: undefined, hardlink: undefined })
    }
  }
}

/**
 * Members with each group of hard links led by the one that comes first, which holds the bytes: a link in an archive
 * can only name what stands before it. Throws LAYER_UNSAFE for a link to what is not in the layer.
 */
function linkedInOrder(members: [path: string, member: LayoutEntry][]): [string, LayoutEntry][] {
  if (members.every(([, { hardlink }]) => hardlink === undefined)) return members
  const byPath = new Map(members)
  const leaders = new Map<string, string>()
  return members.map(([path, member]) => {
    let original = path
    let holder = member
    for (let steps = 0; holder.hardlink !== undefined; steps++) {
      const next = byPath.get(holder.hardlink)
      if (next === undefined || next.entry.type === 'directory' || steps > members.length)
        throw new CairnError(
          'LAYER_UNSAFE',
          `${path} is a hard link to ${holder.hardlink}, which is not among the files copied`,
        )
      original = holder.hardlink
      holder = next
    }
    const leader = leaders.get(original)
    if (leader !== undefined) return [path, { ...holder, hardlink: leader }]
    leaders.set(original, path)
    return [path, { ...holder, hardlink: undefined }]
  })
}

/** Orders paths so that a directory comes right before what is in it. */
function comparePathElements(a: string, b: string): number {
  const left = a.replaceAll('/', '\0')
  const right = b.replaceAll('/', '\0')
  return left < right ? -1 : left > right ? 1 : 0
}
