import { CairnError } from '../../errors/error.ts'
import { listDirectory } from '../../linux/directories.ts'
import { errno, isErrno } from '../../linux/errno.ts'
import { type FileStatus, tryLstatAt } from '../../linux/file-status.ts'
import { makeNodeAt, tryMakeDirectoryAt, unlinkAt } from '../../linux/names.ts'
import { removeTree } from '../../linux/remove-tree.ts'
import { setXattr } from '../../linux/xattrs.ts'
import type { ApplyOptions } from './apply-options.ts'
import { baseName, parentPath } from '../member-path.ts'
import { type SafeRoot, pathAt } from '../safe-root.ts'
import type { Tree } from '../tree.ts'
import { opaqueXattr } from '../whiteouts.ts'

const yes = new Uint8Array([0x79])

/** Told of directories that members need. */
export interface ParentObserver {
  /** `path` was made without an entry of its own. */
  made(path: string): void
  /** Something will be made or removed in `path`, a directory of the layers below, open as `directory`. */
  touched(path: string, directory: number): void
}

/**
 * Names in the directory that a layer is unpacked into: finding and making parents, replacing what is there, and what
 * whiteouts do. In a layer, whiteouts concern the layers below only: a path that the layer itself has stays, wherever
 * in the archive it stands. All that is shown in the end is what overlayfs would show of the layers.
 */
export class LayerDirectory {
  readonly #root: SafeRoot
  readonly #isOverlay: boolean
  readonly #opaqueXattr: string
  readonly #lower: Tree | undefined
  readonly #parents: ParentObserver
  #isRootOpaque = false
  readonly #opaque = new Set<string>()
  readonly #whiteouts: string[] = []
  /** Where the layers below are in the same directory: paths this layer has, with all their parents. */
  readonly #own = new Set<string>()
  /** There also: paths known to be directories, and directories whose time is known to the observer. */
  readonly #clear = new Set<string>()
  readonly #touched = new Set<string>()

  constructor(root: SafeRoot, options: ApplyOptions, parents: ParentObserver) {
    this.#root = root
    this.#isOverlay = options.mode === 'overlay'
    this.#opaqueXattr = options.opaqueXattr ?? opaqueXattr()
    this.#lower = options.lower
    this.#parents = parents
  }

  /** Descriptor of the directory `path`, made with mode 0755 where it is missing. Throws LAYER_UNSAFE. */
  parent(path: string): number {
    if (!this.#isOverlay) this.#clearWay(path)
    const found = this.#root.directory(path)
    if (found !== undefined) return this.#touch(path, found)
    this.parent(parentPath(path))
    if (this.makeDirectory(path, (status) => status === undefined || isWhiteout(status))) this.#parents.made(path)
    const made = this.#root.directory(path)
    if (made === undefined) throw new CairnError('LAYER_UNSAFE', `${path} is no directory, yet members stand below it`)
    return made
  }

  /** Does what can only be done when all of the layer is there. */
  finish(): void {
    if (this.#isRootOpaque && this.#lower !== undefined) for (const name of this.#lower.list('/')) this.whiteout(name)
    for (const path of this.#whiteouts) if (this.#isBelowOpaque(path)) this.#dropWhiteout(path)
  }

  /**
   * Calls `make` with the parent's descriptor, which makes `path` there; what is in its way is removed first, a
   * directory with all it holds.
   */
  create<Result>(path: string, make: (directory: number, name: string) => Result): Result {
    const name = baseName(path)
    try {
      const result = make(this.parent(parentPath(path)), name)
      this.#noteOwn(path)
      return result
    } catch (error) {
      if (!isErrno(error, errno.EEXIST)) throw error
    }
    const directory = this.parent(parentPath(path))
    this.#remove(directory, name, tryLstatAt(directory, name))
    this.#noteOwn(path)
    return make(this.#parentStill(path), name)
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
    const made = tryMakeDirectoryAt(this.#parentStill(path), name, 0o700)
    if (this.#isOverlay && status !== undefined && isWhiteout(status)) this.#markOpaque(path)
    return made
  }

  /** Hides `path` of the layers below. */
  whiteout(path: string): void {
    const name = baseName(path)
    const directory = this.parent(parentPath(path))
    if (!this.#isOverlay) return this.#removeLower(path)
    const status = tryLstatAt(directory, name)
    if (status?.type === 'directory') return this.#markOpaque(path)
    // A whiteout of nothing would show in listings of a directory that only this layer has.
    const isNeeded = this.#lower === undefined || this.#lower.lookup(`/${path}`) !== undefined
    if (status !== undefined || !isNeeded) return
    makeNodeAt(directory, name, 'character-device', 0, 0, 0)
    this.#whiteouts.push(path)
  }

  /** Hides all that the layers below have in the directory `path`. */
  opaque(path: string): void {
    this.parent(path)
    if (!this.#isOverlay) for (const name of this.#list(path)) this.#removeLower(path === '' ? name : `${path}/${name}`)
    else if (path === '') this.#isRootOpaque = true
    else this.#markOpaque(path)
  }

  /** The parent of `path` after something was removed from it: which may have been a symlink that led there. */
  #parentStill(path: string): number {
    const directory = this.#root.directory(parentPath(path))
    if (directory === undefined) throw new CairnError('LAYER_UNSAFE', 'it replaces what its own path leads through')
    return directory
  }

  #markOpaque(path: string): void {
    this.#opaque.add(path)
    setXattr(pathAt(this.parent(path), '.'), this.#opaqueXattr, yes)
  }

  #isBelowOpaque(path: string): boolean {
    for (let above = parentPath(path); above !== ''; above = parentPath(above)) if (this.#opaque.has(above)) return true
    return false
  }

  #dropWhiteout(path: string): void {
    const directory = this.#root.directory(parentPath(path))
    const status = directory === undefined ? undefined : tryLstatAt(directory, baseName(path))
    if (directory !== undefined && status !== undefined && isWhiteout(status)) unlinkAt(directory, baseName(path))
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

  /** Removes what the layers below have in the way of the directory `path`: a symlink of theirs is not followed. */
  #clearWay(path: string): void {
    if (path === '' || this.#own.has(path) || this.#clear.has(path)) return
    this.#clearWay(parentPath(path))
    const directory = this.#root.directory(parentPath(path))
    const status = directory === undefined ? undefined : tryLstatAt(directory, baseName(path))
    if (directory !== undefined && status?.type !== 'directory') {
      this.#touch(parentPath(path), directory)
      this.#remove(directory, baseName(path), status)
    }
    this.#clear.add(path)
  }

  #touch(path: string, directory: number): number {
    if (this.#isOverlay || this.#touched.has(path)) return directory
    this.#touched.add(path)
    this.#parents.touched(path, directory)
    return directory
  }

  #noteOwn(path: string): void {
    if (this.#isOverlay) return
    for (let own = path; own !== '' && !this.#own.has(own); own = parentPath(own)) this.#own.add(own)
  }
}

function isWhiteout(status: FileStatus): boolean {
  return status.type === 'character-device' && status.rdevMajor === 0 && status.rdevMinor === 0
}
