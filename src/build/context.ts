import { IgnoreMatcher, type ParentMatch } from '../dockerfile/ignore.ts'
import { CairnError } from '../errors/error.ts'
import { listDirectory } from '../linux/directories.ts'
import { type FileStatus, tryLstat } from '../linux/file-status.ts'
import { readLink } from '../linux/names.ts'
import { getXattr, listXattrs } from '../linux/xattrs.ts'
import { readFileChunks } from '../layers/file-chunks.ts'
import type { Tree, TreeEntry } from '../layers/tree.ts'
import type { Digest } from '../oci/digest.ts'
import type { ContextIndex } from './context-index.ts'
import { childPath, parentPath } from './paths.ts'

/** What a build reads its files from. */
export interface BuildContext {
  /** Tells one context from another across builds, for explanations: its absolute path. */
  readonly identity: string
  readonly tree: ContextTree
  readonly index: ContextIndex
}

const noXattrs: ReadonlyMap<string, Uint8Array> = new Map()

/**
 * A directory of the host as a build sees it: what the ignore file excludes is not there, owners are 0:0, and only
 * file capabilities and `user.*` of the extended attributes count. Nothing is read before it is asked for.
 */
export class ContextTree implements Tree {
  readonly root: string
  readonly #ignore: IgnoreMatcher | undefined
  readonly #matches = new Map<string, ParentMatch>()
  readonly #kept = new Map<string, boolean>()
  readonly #status = new Map<string, FileStatus | undefined>()
  readonly #plain = new Set<string>()
  readonly #index: ContextIndex | undefined

  /** `index`, where there is one, saves looking for extended attributes of files that are the same as before. */
  constructor(root: string, ignore: readonly string[], index?: ContextIndex) {
    this.root = root
    this.#index = index
    this.#ignore = ignore.length === 0 ? undefined : new IgnoreMatcher(ignore)
  }

  lookup(path: string): TreeEntry | undefined {
    const status = this.status(path)
    if (status === undefined || status.type === 'socket' || this.isIgnored(path, status)) return undefined
    const { type, mode, size, mtimeSeconds, mtimeNanoseconds, rdevMajor, rdevMinor } = status
    return {
      type,
      mode,
      uid: 0,
      gid: 0,
      size: type === 'file' ? size : 0,
      mtimeSeconds,
      mtimeNanoseconds,
      linkname: type === 'symlink' ? readLink(this.hostPath(path)) : '',
      devMajor: rdevMajor,
      devMinor: rdevMinor,
      xattrs: type === 'symlink' ? noXattrs : this.#xattrs(path, status),
      inode: type === 'file' && status.nlink > 1 ? `${status.device}:${status.inode}` : undefined,
    }
  }

  list(path: string): readonly string[] {
    if (this.status(path)?.type !== 'directory') return []
    return listDirectory(this.hostPath(path))
      .map(({ name }) => name)
      .sort()
  }

  read(path: string): Iterable<Uint8Array> {
    return readFileChunks(this.hostPath(path))
  }

  /** Where `path` is on the host. */
  hostPath(path: string): string {
    return path === '/' ? this.root : this.root + path
  }

  /** Status of a path, the ignore file not regarded; looked up once in a build. */
  status(path: string): FileStatus | undefined {
    const known = this.#status.get(path)
    if (known !== undefined || this.#status.has(path)) return known
    const status = tryLstat(this.hostPath(path))
    this.#status.set(path, status)
    return status
  }

  /** True where the ignore file excludes `path` and nothing below it is included again. */
  isIgnored(path: string, status: FileStatus | undefined = this.status(path)): boolean {
    if (this.#ignore === undefined || path === '/') return false
    if (!this.#match(path, this.#ignore).matched) return false
    // An excluded directory is there all the same when something below it is included again.
    return !(this.#ignore.hasExceptions && status?.type === 'directory' && this.#keepsSomething(path))
  }

  #match(path: string, ignore: IgnoreMatcher): ParentMatch {
    const known = this.#matches.get(path)
    if (known !== undefined) return known
    const parent = parentPath(path)
    const match = ignore.matchesWithParent(path.slice(1), parent === '/' ? undefined : this.#match(parent, ignore))
    this.#matches.set(path, match)
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
        if (this.#ignore === undefined || !this.#match(child, this.#ignore).matched) kept = true
        else if (this.status(child)?.type === 'directory') pending.push(child)
        if (kept) break
      }
    }
    this.#kept.set(directory, kept)
    return kept
  }

  /** True once {@link lookup} has seen that the file at `path` has no extended attribute that counts. */
  isPlain(path: string): boolean {
    return this.#plain.has(path)
  }

  #xattrs(path: string, status: FileStatus): ReadonlyMap<string, Uint8Array> {
    if (this.#index?.isPlain(path, status) === true) {
      this.#plain.add(path)
      return noXattrs
    }
    const host = this.hostPath(path)
    const names = listXattrs(host).filter((name) => name === 'security.capability' || name.startsWith('user.'))
    if (names.length === 0) {
      this.#plain.add(path)
      return noXattrs
    }
    const values = new Map<string, Uint8Array>()
    for (const name of names) {
      const value = getXattr(host, name)
      if (value !== undefined) values.set(name, value)
    }
    return values
  }
}

/** Digest of the bytes of a context file, from the index where the file is unchanged. */
export function contextFileDigest(context: BuildContext, path: string, hash: () => Digest): Digest {
  const status = context.tree.status(path)
  if (status === undefined)
    throw new CairnError('CONTEXT_PATH_UNKNOWN', `${path} vanished from the build context while it was read`)
  return context.index.digest(path, status, context.tree.isPlain(path), hash)
}
