import { CairnError } from '../errors/error.ts'
import { baseName, cleanMemberPath, parentPath } from '../layers/member-path.ts'
import { isWhiteoutDevice, markerIn, parseWhiteout } from '../layers/whiteouts.ts'
import type { TarEntry } from '../tar/entry.ts'

/** A file as one layer brings it, under all its names. */
export interface StoredFile {
  readonly type: TarEntry['type']
  /** Number of the layer. */
  readonly layer: number
  /** What the layer holds of it: holes of sparse files do not count. */
  readonly bytes: number
  /** Equal for equal content of regular files; '' for all else and for empty ones. */
  readonly content: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtimeSeconds: number
  readonly linkname: string
  /** Value of `security.capability`. */
  readonly capabilities: Uint8Array | undefined
  /** How many names it has now. 0: later layers hide it. */
  names: number
}

/** A name in the stacked file system. */
export class FileNode {
  readonly parent: FileNode | undefined
  readonly name: string
  /** Undefined for a directory no layer describes. */
  file: StoredFile | undefined
  /** Only of directories. */
  children: Map<string, FileNode> | undefined
  /** The layer that set this name last. */
  layer: number
  /** Of a directory: the last layer that has members in it, and the last that hid all that lower ones have in it. */
  touchedBy = -1
  clearedBy = -1

  constructor(parent: FileNode | undefined, name: string, layer: number, isDirectory: boolean) {
    this.parent = parent
    this.name = name
    this.layer = layer
    this.children = isDirectory ? new Map() : undefined
  }

  /** Without a leading slash; '' for the root. */
  get path(): string {
    const parts = this.parent === undefined ? [] : [this.name]
    for (let node = this.parent; node?.parent !== undefined; node = node.parent) parts.push(node.name)
    return parts.reverse().join('/')
  }
}

/** Told what a layer does to what the layers below, or itself, have brought. */
export interface TreeObserver {
  /** A name that was not visible. */
  added(node: FileNode, file: StoredFile): void
  /** A name that was: `before` stood there. */
  replaced(node: FileNode, before: StoredFile, after: StoredFile): void
  /** Files that are no longer visible at or below `top`, which a whiteout or a file in place of a directory hides. */
  removed(top: FileNode, files: readonly StoredFile[]): void
}

export interface TreeLimits {
  /** Names in all layers together: more fail with LIMIT_EXCEEDED. */
  readonly names: number
  readonly absolutePaths: 'refuse' | 'allow'
}

/** Symlinks followed on the way to one member. */
const mostLinks = 40

/**
 * The file systems of an image's layers stacked as members go by. Each name is visited once for what is done to it, so
 * the work is linear in the members. As when a layer is applied, links of the same layer are followed on the way to a
 * member, and those of lower layers are replaced.
 */
export class FileTree {
  readonly root = new FileNode(undefined, '', -1, true)
  readonly #observer: TreeObserver
  readonly #limits: TreeLimits
  /** Directories of this layer without an entry of their own, in the place of a symlink that leads nowhere. */
  #doubtful: { readonly node: FileNode; readonly linkname: string; readonly member: string }[] = []
  /** The member that is being placed. */
  #member = ''
  #names = 0
  #layer = -1
  /** Members of one directory follow each other. */
  #latest: { readonly path: string; readonly node: FileNode } | undefined

  constructor(observer: TreeObserver, limits: TreeLimits) {
    this.#observer = observer
    this.#limits = limits
  }

  /** The next layer begins. */
  beginLayer(): void {
    this.#layer++
    this.#latest = undefined
  }

  /**
   * The layer has ended. Throws LAYER_UNSAFE where it put members below a symlink of a lower layer that leads to no
   * directory of the image: readers of images differ in what they make of such members.
   */
  endLayer(): void {
    const found = this.#doubtful.find(({ node }) => node.file === undefined)
    this.#doubtful = []
    if (found !== undefined)
      throw unsafe(
        `${JSON.stringify(found.member)}: it stands below the symlink ${found.node.path}, ` +
          `which leads to ${found.linkname}, no directory of the image`,
      )
  }

  /**
   * Where a member stands: its cleaned path. Undefined for the root and for whiteouts and other markers, which take
   * effect here. Throws LAYER_UNSAFE for a path that leads out of the layer, or a marker that means nothing.
   */
  place(entry: TarEntry): string | undefined {
    this.#member = entry.path
    const path = cleanMemberPath(entry.path)
    if (path === undefined) throw unsafe('its path leads out of the layer')
    if (path !== '' && entry.path.startsWith('/') && this.#limits.absolutePaths === 'refuse')
      throw unsafe('its path is absolute')
    if (path === '') {
      if (entry.type !== 'directory') throw unsafe(`the root of a layer cannot be a ${entry.type}`)
      return undefined
    }
    const marker = markerIn(path)
    if (marker === 'none' && !isWhiteoutDevice(entry)) return path
    if (marker === 'ignored') return undefined
    const parent = this.#directory(parentPath(path))
    const name = baseName(path)
    const whiteout = marker === 'last' ? parseWhiteout(name) : { kind: 'whiteout' as const, target: name }
    if (whiteout?.kind === 'opaque') this.#clear(parent)
    else if (whiteout?.kind === 'whiteout') this.#hide(parent, whiteout.target)
    return undefined
  }

  /** Puts a directory at a path that {@link place} gave. */
  putDirectory(path: string, file: StoredFile): void {
    const parent = this.#directory(parentPath(path))
    const node = this.#childDirectory(parent, baseName(path), true)
    node.file = file
    node.touchedBy = this.#layer
    node.layer = this.#layer
  }

  /** Puts anything but a directory or hard link at a path that {@link place} gave. */
  putFile(path: string, file: StoredFile): void {
    const parent = this.#directory(parentPath(path))
    const name = baseName(path)
    file.names++
    const known = parent.children?.get(name)
    if (known?.children !== undefined) this.#hideWhole(known)
    if (known === undefined || known.children !== undefined) {
      const node = this.#newNode(parent, name, false)
      node.file = file
      parent.children?.set(name, node)
      this.#observer.added(node, file)
      return
    }
    const before = known.file as StoredFile
    if (before.type === 'symlink') this.#forget()
    before.names--
    known.file = file
    known.layer = this.#layer
    this.#observer.replaced(known, before, file)
  }

  /** Puts one more name for a file that is there. Throws TAR_INVALID where it is not. */
  putLink(path: string, linkname: string): void {
    const target = cleanMemberPath(linkname)
    const node = target === undefined || target === '' ? undefined : this.#find(target)
    if (target === undefined || target === '') throw unsafe(`it is a hard link to ${linkname}, out of the layer`)
    if (node?.file === undefined || node.children !== undefined)
      throw new CairnError('TAR_INVALID', `it is a hard link to ${linkname}, which is no file of the image`)
    // A link to itself, as some archives of one file under two spellings have it, changes nothing.
    if (node.path !== path) this.putFile(path, node.file)
  }

  /** The directory at a cleaned path, made where it is missing. */
  #directory(path: string): FileNode {
    if (path === '') return this.root
    if (this.#latest?.path === path) return this.#latest.node
    const node = this.#walk(path, (parent, name) => {
      const child = this.#childDirectory(parent, name, false)
      child.touchedBy = this.#layer
      return child
    }) as FileNode
    this.#latest = { path, node }
    return node
  }

  #find(path: string): FileNode | undefined {
    const parent = this.#walk(parentPath(path), (node, name) => node.children?.get(name))
    return parent?.children?.get(baseName(path))
  }

  /** Goes down a path, following symlinks of this layer, by `step` from one directory to the next. */
  #walk(path: string, step: (parent: FileNode, name: string) => FileNode | undefined): FileNode | undefined {
    const names = path === '' ? [] : path.split('/').reverse()
    let node: FileNode | undefined = this.root
    let links = 0
    /** How many of the names are of the member itself: those before them are of a link's target, which must be there. */
    let own = names.length
    for (let name = names.pop(); name !== undefined && node !== undefined; name = names.pop()) {
      const isTarget = names.length >= own
      if (!isTarget) own = names.length
      if (name === '..') {
        node = node.parent ?? node
        continue
      }
      const child: FileNode | undefined = node.children?.get(name)
      const isLink = child?.file?.type === 'symlink' && child.layer === this.#layer
      if (!isLink) {
        if (isTarget && child?.children === undefined)
          throw unsafe(`${path} is no directory, yet members stand below it`)
        node = step(node, name)
        continue
      }
      if (++links > mostLinks) throw unsafe('it leads through a loop of symlinks')
      const target = child.file?.linkname ?? ''
      if (target.startsWith('/')) node = this.root
      names.push(
        ...target
          .split('/')
          .filter((part) => part !== '' && part !== '.')
          .reverse(),
      )
    }
    return node
  }

  /** The directory `name` of `parent`. With `mayReplace` it may take the place of anything, else only of lower layers' files. */
  #childDirectory(parent: FileNode, name: string, mayReplace: boolean): FileNode {
    const found = parent.children?.get(name)
    if (found?.children !== undefined) return found
    if (found !== undefined && found.layer === this.#layer && !mayReplace)
      throw unsafe(`${found.path} is no directory, yet members stand below it`)
    const linkname = found?.file?.type === 'symlink' && !mayReplace ? found.file.linkname : undefined
    const isDoubtful = linkname !== undefined && !this.#leadsToDirectory(parent, linkname)
    if (found !== undefined) this.#hideWhole(found)
    const node = this.#newNode(parent, name, true)
    parent.children?.set(name, node)
    if (isDoubtful) this.#doubtful.push({ node, linkname, member: this.#member })
    return node
  }

  /** Whether a symlink in `parent` leads to a directory, within the image as in a chroot. */
  #leadsToDirectory(parent: FileNode, linkname: string): boolean {
    let node: FileNode = parent
    let links = 0
    const names: string[] = []
    const follow = (target: string): void => {
      if (target.startsWith('/')) node = this.root
      for (const name of target.split('/').reverse()) if (name !== '' && name !== '.') names.push(name)
    }
    follow(linkname)
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      const child: FileNode | undefined = name === '..' ? (node.parent ?? node) : node.children?.get(name)
      if (child === undefined || links > mostLinks) return false
      if (child.file?.type !== 'symlink') node = child
      else {
        links++
        follow(child.file.linkname)
      }
    }
    return node.children !== undefined
  }

  #newNode(parent: FileNode, name: string, isDirectory: boolean): FileNode {
    const { names } = this.#limits
    if (++this.#names > names) throw new CairnError('LIMIT_EXCEEDED', `the image has more than ${names} files`)
    return new FileNode(parent, name, this.#layer, isDirectory)
  }

  /** A whiteout: what this layer itself has at the name stays. */
  #hide(parent: FileNode, name: string): void {
    const found = parent.children?.get(name)
    if (found === undefined) return
    if (found.children !== undefined && found.touchedBy === this.#layer) this.#clear(found)
    else if (found.children !== undefined || found.layer !== this.#layer) {
      parent.children?.delete(name)
      this.#hideWhole(found)
    }
  }

  /** Hides what lower layers have below a directory; what this layer has there stays. */
  #clear(top: FileNode): void {
    const hidden: StoredFile[] = []
    const pending = [top]
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      if (node.clearedBy === this.#layer) continue
      node.clearedBy = this.#layer
      for (const [name, child] of node.children ?? []) {
        if (child.children !== undefined && child.touchedBy === this.#layer) pending.push(child)
        else if (child.children !== undefined || child.layer !== this.#layer) {
          node.children?.delete(name)
          collectFiles(child, hidden)
        }
      }
    }
    this.#forget()
    this.#report(top, hidden)
  }

  /** Hides all there is at and below a node, whichever layer it is of. */
  #hideWhole(top: FileNode): void {
    const hidden: StoredFile[] = []
    collectFiles(top, hidden)
    this.#forget()
    this.#report(top, hidden)
  }

  #report(top: FileNode, hidden: readonly StoredFile[]): void {
    if (hidden.length === 0) return
    for (const file of hidden) file.names--
    this.#observer.removed(top, hidden)
  }

  #forget(): void {
    this.#latest = undefined
  }
}

function collectFiles(top: FileNode, files: StoredFile[]): void {
  const pending = [top]
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (node.children === undefined) {
      if (node.file !== undefined) files.push(node.file)
      continue
    }
    for (const child of node.children.values()) pending.push(child)
  }
}

function unsafe(reason: string): CairnError {
  return new CairnError('LAYER_UNSAFE', reason)
}
