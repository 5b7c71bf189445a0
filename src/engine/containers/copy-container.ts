import { insideId, outsideId, type UserMapping } from '../../containers/user-mapping.ts'
import { containerAccounts } from '../../containers/container-accounts.ts'
import type { Container } from '../../containers/container.ts'
import { recordContainerEvent } from '../../containers/container-events.ts'
import { resolveContainer } from '../../containers/container-records.ts'
import { type ContainerRoot, openContainerRoot } from '../../containers/container-root.ts'
import { decompress } from '../../compression/decompress.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { copiedTree } from './container-tree.ts'
import { copyMember, type CopyOwners, MemberCopier, renamedTree } from '../../layers/unpack/copy-member.ts'
import { directoryTree, openedTree } from '../../layers/trees/layer-tree.ts'
import { resolvePath } from '../../layers/trees/resolve-path.ts'
import { packTree } from '../../layers/pack/pack-tree.ts'
import type { Tree, TreeEntry } from '../../layers/tree.ts'
import { owningFilesAs } from '../../linux/file-credentials.ts'
import { resolveUser } from '../../runtime/user.ts'
import type { ByteSource } from '../../streams/source.ts'

/** How files are copied. */
export interface CopyOptions {
  /** A symlink that is the source stands for what it leads to. */
  readonly followLink: boolean
  /** Files in the container become those of its user. */
  readonly archive: boolean
}

/** A place to copy from or to: where it is in its tree, and what is there. */
interface Place {
  readonly tree: Tree
  /** As it was given. */
  readonly text: string
  /** Absolute, clean, symlinks on the way followed. */
  readonly path: string
  readonly entry: TreeEntry | undefined
}

/** Copies from a container to this machine. Gives the bytes copied. Throws CONTAINER_UNKNOWN, COPY_INVALID, docker's texts. */
export async function copyFromContainer(
  store: Store,
  name: string,
  source: string,
  target: string,
  options: CopyOptions,
): Promise<number> {
  const container = findContainer(store, name)
  using root = await openContainerRoot(store, container)
  const from = sourceIn(root, source, name, options)
  const to = placeIn(directoryTree('/'), target, true)
  const { directory, name: base } = destination(from, to, (isFile) =>
    wrong(
      isFile
        ? `stat ${target}: not a directory`
        : `invalid output path: directory ${JSON.stringify(parentOf(target))} does not exist`,
    ),
  )
  recordContainerEvent(store, 'archive-path', container, { path: source })
  return copyMember(from.tree, from.path, '/', { directory, name: base }, 'caller')
}

/** Copies from this machine into a container. As {@link copyFromContainer}. */
export async function copyToContainer(
  store: Store,
  name: string,
  source: string,
  target: string,
  options: CopyOptions,
): Promise<number> {
  const container = findContainer(store, name)
  const from = placeIn(directoryTree('/'), source, options.followLink || isDirectoryText(source))
  if (from.entry === undefined) throw wrong(`lstat ${withoutSlash(source)}: no such file or directory`)
  if (isDirectoryText(source) && from.entry.type !== 'directory') throw wrong('not a directory')
  using root = await openContainerRoot(store, container)
  const to = placeIn(openedTree(root.fd), absolute(target), true)
  const { directory, name: base } = destination(from, to, (isFile) =>
    isFile ? wrong('extraction point is not a directory') : notFound(parentOf(absolute(target)), name),
  )
  checkWritable(container, to.path)
  recordContainerEvent(store, 'extract-to-dir', container, { path: directory })
  const place = `/proc/self/fd/${root.fd}`
  const owners = ownersOf(container, options, root)
  return asRootOf(root, () => copyMember(from.tree, from.path, place, { directory, name: base }, owners))
}

/** Writes what a container has at a path as a tar. Throws as {@link copyFromContainer}. */
export async function copyAsArchive(
  store: Store,
  name: string,
  source: string,
  options: CopyOptions,
  sink: (bytes: Uint8Array) => void,
): Promise<void> {
  const container = findContainer(store, name)
  using root = await openContainerRoot(store, container)
  const from = sourceIn(root, source, name, options)
  recordContainerEvent(store, 'archive-path', container, { path: source })
  const isContent = /(?:^|\/)\.$/.test(source)
  const base = isContent ? '.' : baseOf(from.path)
  const seen = root.mapping === undefined ? from.tree : insideTree(from.tree, root.mapping)
  const tree = base === '' ? seen : renamedTree(seen, from.path, base)
  packTree(tree, '/', sink, { keepNanoseconds: true })
}

/** Makes the members of a tar, which may be compressed, in a directory of a container. Throws as {@link copyToContainer}, TAR_INVALID. */
export async function copyArchiveToContainer(
  store: Store,
  name: string,
  archive: ByteSource,
  target: string,
  options: CopyOptions,
): Promise<void> {
  const container = findContainer(store, name)
  using root = await openContainerRoot(store, container)
  const to = placeIn(openedTree(root.fd), absolute(target), true)
  if (to.entry?.type !== 'directory')
    throw wrong(`destination ${JSON.stringify(`${name}:${target}`)} must be a directory`)
  checkWritable(container, to.path)
  recordContainerEvent(store, 'extract-to-dir', container, { path: to.path })
  const copier = new MemberCopier(`/proc/self/fd/${root.fd}`, to.path, ownersOf(container, options, root))
  try {
    for await (const chunk of decompress(archive, { name: 'archive' })) asRootOf(root, () => copier.push(chunk))
    asRootOf(root, () => copier.finish())
  } catch (error) {
    copier.abort()
    throw error
  }
}

function findContainer(store: Store, name: string): Container {
  recoverContainers(store)
  return resolveContainer(store, name)
}

function sourceIn(
  root: ContainerRoot,
  source: string,
  name: string,
  { followLink }: CopyOptions,
): Place & { readonly entry: TreeEntry } {
  const path = absolute(source)
  const found = placeIn(openedTree(root.fd), path, followLink || isDirectoryText(path))
  const from = { ...found, tree: copiedTree(found.tree, root.fd, found.path) }
  if (from.entry === undefined) throw notFound(path, name)
  if (isDirectoryText(path) && from.entry.type !== 'directory') throw wrong(`lstat ${path}: not a directory`)
  return { ...from, entry: from.entry }
}

function placeIn(tree: Tree, text: string, followLast: boolean): Place {
  const path = resolvePath(tree, text, { followLast })
  return { tree, text, path, entry: tree.lookup(path) }
}

/**
 * docker's rules: into a directory that is there a source goes under its own name, or with `/.` in its place; over a file
 * goes no directory; what is not there is made, in a directory that is.
 */
function destination(
  from: Place,
  to: Place,
  noParent: (isFile: boolean) => CairnError,
): { readonly directory: string; readonly name: string } {
  const isDirectory = from.entry?.type === 'directory'
  if (to.entry?.type === 'directory') {
    if (/(?:^|\/)\.$/.test(from.text) || from.path === '/')
      return { directory: parentOf(to.path), name: baseOf(to.path) }
    checkKinds(from, to, `${to.path === '/' ? '' : to.path}/${baseOf(from.path)}`)
    return { directory: to.path, name: baseOf(from.path) }
  }
  if (to.entry !== undefined) {
    if (isDirectory) throw wrong('cannot copy directory')
    if (isDirectoryText(to.text)) throw wrong('not a directory')
    return { directory: parentOf(to.path), name: baseOf(to.path) }
  }
  const parent = to.tree.lookup(parentOf(to.path))
  if (parent?.type !== 'directory') throw noParent(parent !== undefined)
  if (!isDirectory && isDirectoryText(to.text)) throw wrong('no such directory')
  return { directory: parentOf(to.path), name: baseOf(to.path) }
}

/** Nothing takes the place of a directory, nor a directory that of something else. */
function checkKinds(from: Place, to: Place, path: string): void {
  const there = to.tree.lookup(path)
  if (there === undefined || (there.type === 'directory') === (from.entry?.type === 'directory')) return
  const [over, by] = there.type === 'directory' ? ['directory', 'non-directory'] : ['non-directory', 'directory']
  throw wrong(`cannot overwrite ${over} ${JSON.stringify(path)} with ${by} ${JSON.stringify(from.path)}`)
}

function checkWritable({ settings }: Container, path: string): void {
  const mount = settings.mounts
    .filter(({ target }) => path === target || path.startsWith(`${target}/`))
    .toSorted((a, b) => b.target.length - a.target.length)[0]
  if (mount?.readonly === true) throw wrong('mounted volume is marked read-only')
  if (mount === undefined && settings.readonlyRootfs) throw wrong('container rootfs is marked read-only')
}

/** Owners as they are here, or with `--archive` the container's user. */
function ownersOf(container: Container, options: CopyOptions, { mapping }: ContainerRoot): CopyOwners {
  const user = archiveUser(container, options)
  if (mapping === undefined) return user ?? 'archive'
  return (owner) => {
    const { uid, gid } = user ?? owner
    return { uid: outsideId(mapping.uid, uid), gid: outsideId(mapping.gid, gid) }
  }
}

function archiveUser(
  { settings, run }: Container,
  { archive }: CopyOptions,
): { readonly uid: number; readonly gid: number } | undefined {
  const { User: user = '' } = settings.config
  if (!archive || user === '') return undefined
  const accounts = run === null || /^\d+(?::\d+)?$/.test(user) ? {} : containerAccounts(run.init.pid)
  return resolveUser(user, accounts)
}

/** Where users are remapped a file can be made by those of the container only. */
function asRootOf<Result>({ mapping }: ContainerRoot, work: () => Result): Result {
  return mapping === undefined ? work() : owningFilesAs(outsideId(mapping.uid, 0), outsideId(mapping.gid, 0), work)
}

/** The tree with owners as the container sees them. */
function insideTree(tree: Tree, { uid, gid }: UserMapping): Tree {
  return {
    list: (path) => tree.list(path),
    read: (path) => tree.read(path),
    lookup: (path) => {
      const entry = tree.lookup(path)
      return entry === undefined
        ? undefined
        : { ...entry, uid: insideId(uid, entry.uid), gid: insideId(gid, entry.gid) }
    },
  }
}

function absolute(path: string): string {
  return path.startsWith('/') ? path : `/${path}`
}

/** True for a path that says it is a directory: it ends in a slash or a dot. */
function isDirectoryText(path: string): boolean {
  return /(?:^|\/)\.?$/.test(path)
}

function withoutSlash(path: string): string {
  return path.replace(/(?<=.)\/+$/, '')
}

function parentOf(path: string): string {
  const clean = withoutSlash(path)
  return clean.slice(0, clean.lastIndexOf('/')) || '/'
}

function baseOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

function notFound(path: string, name: string): CairnError {
  return new CairnError('FILE_UNKNOWN', `Could not find the file ${path} in container ${name}`)
}

function wrong(message: string): CairnError {
  return new CairnError('CONFIG_INVALID', message)
}
