import { CairnError } from '../errors/error.ts'
import { listDirectory } from '../linux/directories.ts'
import { SystemCallError, errno } from '../linux/errno.ts'
import { type FileStatus, tryLstatAt } from '../linux/file-status.ts'
import { makeNodeAt, tryMakeDirectoryAt, unlinkAt } from '../linux/names.ts'
import { removeTree } from '../linux/remove-tree.ts'
import { setXattr } from '../linux/xattrs.ts'
import type { ApplyOptions } from './apply-options.ts'
import { baseName, parentPath } from './member-path.ts'
import { type SafeRoot, pathAt } from './safe-root.ts'

const yes = new Uint8Array([0x79])

/**
 * Names in the directory that a layer is unpacked into: finding and making parents, replacing what is there, and what
 * whiteouts do. In a layer, whiteouts concern the layers below only: a path that the layer itself has stays, wherever
 * in the archive it stands.
 */
export class LayerDirectory {
  readonly #root: SafeRoot
  readonly #isOverlay: boolean
  readonly #opaqueXattr: string
  readonly #onParentMade: (path: string) => void
  /** Paths this layer has, with all their parents; kept only where the layers below are in the same directory. */
  readonly #own = new Set<string>()

  /** `onParentMade` is told of each directory that was made without an entry of its own. */
  constructor(root: SafeRoot, options: ApplyOptions, onParentMade: (path: string) => void) {
    this.#root = root
    this.#isOverlay = options.mode === 'overlay'
    this.#opaqueXattr = options.opaqueXattr ?? 'trusted.overlay.opaque'
    this.#onParentMade = onParentMade
  }

  /** Descriptor of the directory `path`, made with mode 0755 where it is missing. Throws LAYER_UNSAFE. */
  parent(path: string): number {
    const found = this.#root.directory(path)
    if (found !== undefined) return found
    this.parent(parentPath(path))
    if (this.makeDirectory(path, (status) => status === undefined || isWhiteout(status))) this.#onParentMade(path)
    const made = this.#root.directory(path)
    if (made === undefined) throw new CairnError('LAYER_UNSAFE', `${path} is no directory, yet members stand below it`)
    return made
  }

  /**
   * Calls `make` with the parent's descriptor, which makes `path` there; what is in its way is removed first, a
   * directory with all it holds.
   */
  create<Result>(path: string, make: (directory: number, name: string) => Result): Result {
    const name = baseName(path)
    this.#noteOwn(path)
    try {
      return make(this.parent(parentPath(path)), name)
    } catch (error) {
      if (!(error instanceof SystemCallError) || error.errno !== errno.EEXIST) throw error
    }
    const directory = this.parent(parentPath(path))
    this.#remove(directory, name, tryLstatAt(directory, name))
    return make(this.parent(parentPath(path)), name)
  }

  /**
   * Makes the directory `path`, if `mayReplace` what is there; false when it is one already. In place of a whiteout it
   * becomes opaque, since it hides what the layers below have.
   */
  makeDirectory(path: string, mayReplace: (status: FileStatus | undefined) => boolean): boolean {
    const name = baseName(path)
    const directory = this.parent(parentPath(path))
    this.#noteOwn(path)
    if (tryMakeDirectoryAt(directory, name, 0o700)) return true
    const status = tryLstatAt(directory, name)
    if (status?.type === 'directory' || !mayReplace(status)) return false
    this.#remove(directory, name, status)
    const made = tryMakeDirectoryAt(this.parent(parentPath(path)), name, 0o700)
    if (this.#isOverlay && status !== undefined && isWhiteout(status)) this.#markOpaque(path)
    return made
  }

  /** Hides `path` of the layers below. */
  whiteout(path: string): void {
    if (!this.#isOverlay) return this.#removeLower(path)
    const name = baseName(path)
    const directory = this.parent(parentPath(path))
    const status = tryLstatAt(directory, name)
    if (status === undefined) makeNodeAt(directory, name, 'character-device', 0, 0, 0)
    else if (status.type === 'directory') this.#markOpaque(path)
  }

  /** Hides all that the layers below have in the directory `path`. */
  opaque(path: string): void {
    if (this.#isOverlay) {
      this.parent(path)
      return this.#markOpaque(path)
    }
    for (const name of this.#list(path)) this.#removeLower(path === '' ? name : `${path}/${name}`)
  }

  #markOpaque(path: string): void {
    setXattr(pathAt(this.parent(path), '.'), this.#opaqueXattr, yes)
  }

  #list(path: string): string[] {
    const directory = this.#root.directory(path)
    return directory === undefined ? [] : listDirectory(pathAt(directory, '.')).map((entry) => entry.name)
  }

  /** Removes `path` but for what this layer itself has there. */
  #removeLower(path: string): void {
    const directory = this.#root.directory(parentPath(path))
    if (directory === undefined) return
    const name = baseName(path)
    const status = tryLstatAt(directory, name)
    if (status === undefined) return
    if (!this.#own.has(path)) return this.#remove(directory, name, status)
    if (status.type === 'directory') for (const child of this.#list(path)) this.#removeLower(`${path}/${child}`)
  }

  #remove(directory: number, name: string, status: FileStatus | undefined): void {
    if (status === undefined) return
    if (status.type === 'directory') removeTree(pathAt(directory, name))
    else unlinkAt(directory, name)
    if (status.type === 'directory' || status.type === 'symlink') this.#root.forget()
  }

  #noteOwn(path: string): void {
    if (this.#isOverlay) return
    for (let own = path; own !== '' && !this.#own.has(own); own = parentPath(own)) this.#own.add(own)
  }
}

function isWhiteout(status: FileStatus): boolean {
  return status.type === 'character-device' && status.rdevMajor === 0 && status.rdevMinor === 0
}
