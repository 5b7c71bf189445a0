import type { TarEntry } from '../../tar/entry.ts'
import { TarDecoder, type TarHandler } from '../../tar/decoder.ts'
import type { TarMember } from '../../tar/member.ts'
import { LayerUnpacker } from './layer-unpacker.ts'
import { packTree } from '../pack/pack-tree.ts'
import { impliedDirectory, type Tree } from '../tree.ts'

/** User and group of a file. */
interface FileOwner {
  readonly uid: number
  readonly gid: number
}

/** Whose the files are that are made; a function gives it for what the archive says. */
export type CopyOwners = 'archive' | 'caller' | FileOwner | ((owner: FileOwner) => FileOwner)

/**
 * Shows what `tree` has at `path` as the only entry `/name` of a tree. Of a file with several names just this one.
 */
export function renamedTree(tree: Tree, path: string, name: string): Tree {
  const inner = (outer: string): string | undefined => {
    if (outer === `/${name}`) return path
    return outer.startsWith(`/${name}/`) ? `${path === '/' ? '' : path}${outer.slice(name.length + 1)}` : undefined
  }
  return {
    lookup: (outer) => {
      if (outer === '/') return impliedDirectory
      const found = inner(outer)
      return found === undefined ? undefined : tree.lookup(found)
    },
    list: (outer) => {
      if (outer === '/') return [name]
      const found = inner(outer)
      return found === undefined ? [] : tree.list(found)
    },
    read: (outer) => tree.read(inner(outer) ?? outer),
  }
}

/**
 * Makes what `tree` has at `path` below the directory `root` as `directory/name`, replacing files and merging
 * directories that are there. No symlink inside `root` leads out of it, whatever happens there meanwhile. Gives the bytes
 * of the archive that carried it. Throws as applyLayer.
 */
export function copyMember(
  tree: Tree,
  path: string,
  root: string,
  { directory, name }: { readonly directory: string; readonly name: string },
  owners: CopyOwners,
): number {
  const copier = new MemberCopier(root, directory, owners)
  try {
    packTree(renamedTree(tree, path, name), '/', (bytes) => copier.push(bytes), { keepNanoseconds: true })
    copier.finish()
  } catch (error) {
    copier.abort()
    throw error
  }
  return copier.size
}

/** Makes the members of a tar below `directory` of `root`; as {@link copyMember}. */
export class MemberCopier {
  readonly #unpacker: LayerUnpacker
  readonly #decoder: TarDecoder
  size = 0

  constructor(root: string, directory: string, owners: CopyOwners) {
    this.#unpacker = new LayerUnpacker(root, {
      mode: 'plain',
      owners: owners === 'caller' ? 'caller' : 'archive',
      name: 'archive',
    })
    this.#decoder = new TarDecoder(placedIn(directory, owners, this.#unpacker), {}, 'archive')
  }

  push(bytes: Uint8Array): void {
    this.size += bytes.length
    this.#decoder.push(bytes)
  }

  finish(): void {
    this.#decoder.finish()
    this.#unpacker.finish()
  }

  abort(): void {
    this.#unpacker.abort()
  }
}

/** Hands members on as if they stood in `directory`. */
function placedIn(directory: string, owners: CopyOwners, handler: TarHandler): TarHandler {
  const prefix = directory.replace(/^\/+|\/+$/g, '')
  const place = (path: string): string => (prefix === '' ? path : `${prefix}/${path}`)
  const ownerOf = (owner: FileOwner): FileOwner | undefined =>
    typeof owners === 'function' ? owners(owner) : typeof owners === 'object' ? owners : undefined
  const placed = ({ entry, ...member }: TarMember): TarMember => ({
    ...member,
    entry: {
      ...entry,
      path: place(entry.path),
      linkname: entry.type === 'hardlink' ? place(entry.linkname) : entry.linkname,
      ...ownerOf(entry),
    } satisfies TarEntry,
  })
  return {
    entry: (member) => (isRoot(member.entry.path) ? false : handler.entry(placed(member))),
    content: (bytes, offset) => handler.content(bytes, offset),
    end: () => handler.end(),
  }
}

function isRoot(path: string): boolean {
  return /^(?:\.?\/*)*$/.test(path)
}
