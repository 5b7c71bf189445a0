import { printable, shorten } from '../dockerfile/characters.ts'
import { CairnError } from '../errors/error.ts'
import type { Tree, TreeEntry } from '../layers/tree.ts'
import { isApkDatabase, readApkDatabase } from './apk.ts'
import { isDpkgStatus, readDpkgStatus } from './dpkg.ts'
import { mayBeProgram, readGoBinary } from './go-binary.ts'
import { isJavaArchive, readJavaArchive } from './java.ts'
import { isNodePackage, isNpmLock, readNodePackage, readNpmLock } from './npm.ts'
import { readOsRelease } from './os-release.ts'
import {
  type ImageContents,
  type OperatingSystem,
  type Package,
  UnreadableMetadata,
  type UnreadMetadata,
} from './package.ts'
import { isPythonMetadata, readPythonMetadata } from './pypi.ts'
import { isRpmDatabase, readRpmDatabase } from './rpm.ts'

/** More than any real image has. */
const mostPackages = 500_000

/** Characters of any text that is taken over; a package URL has no more, other texts are cut. */
const longestText = 4096

/** Milliseconds after which signals of the process are looked at. */
const longestTurn = 50

/** One kind of metadata: which files have it, and what packages they tell of. */
interface Catalog {
  matches(tree: Tree, path: string, entry: TreeEntry): boolean
  read(tree: Tree, path: string, os: OperatingSystem | undefined): readonly Package[] | Promise<readonly Package[]>
}

const catalogs: readonly Catalog[] = [
  { matches: (_tree, path) => isDpkgStatus(path), read: readDpkgStatus },
  { matches: (_tree, path) => isApkDatabase(path), read: readApkDatabase },
  { matches: (_tree, path) => isRpmDatabase(path), read: readRpmDatabase },
  { matches: (_tree, path) => isNodePackage(path), read: readNodePackage },
  { matches: (tree, path) => isNpmLock(tree, path), read: readNpmLock },
  { matches: (_tree, path) => isPythonMetadata(path), read: readPythonMetadata },
  { matches: (_tree, path) => isJavaArchive(path), read: readJavaArchive },
  { matches: (_tree, _path, entry) => mayBeProgram(entry), read: readGoBinary },
]

/**
 * Finds the packages of a root file system by the metadata that package managers leave in it: dpkg, apk, rpm (SQLite),
 * npm, Python, Java, and Go programs. Metadata that is damaged or too large is told in `unread`. Throws LIMIT_EXCEEDED
 * for more than 500,000 packages, CANCELED, and what reading the tree throws.
 */
export async function scanPackages(tree: Tree, signal?: AbortSignal): Promise<ImageContents> {
  const os = readOsRelease(tree)
  const found = new Map<string, Package>()
  const unread: UnreadMetadata[] = []
  const linked = new Set<string>()
  let rested = performance.now()
  for (const { path, entry } of filesOf(tree)) {
    const kind = catalogs.findIndex((candidate) => candidate.matches(tree, path, entry))
    const catalog = catalogs[kind]
    if (catalog === undefined) continue
    // What is one file under many names is read once.
    if (entry.inode !== undefined && linked.has(`${kind} ${entry.inode}`)) continue
    linked.add(`${kind} ${entry.inode ?? path}`)
    if (performance.now() - rested > longestTurn) {
      await Bun.sleep(0)
      rested = performance.now()
    }
    signal?.throwIfAborted()
    const { packages, unreadable } = await readAll(catalog, tree, path, os)
    if (unreadable !== undefined) unread.push({ path: oneLine(path), reason: oneLine(unreadable) })
    const named = packages.filter(({ purl }) => purl.length <= longestText)
    for (const one of named) found.set(`${one.purl} ${one.path}`, cleaned(one))
    if (named.length < packages.length)
      unread.push({ path: oneLine(path), reason: "a package's name or version is too long" })
    if (found.size > mostPackages)
      throw new CairnError('LIMIT_EXCEEDED', `the image says that it has more than ${mostPackages} packages`)
  }
  const packages = [...found].sort(([left], [right]) => compare(left, right)).map(([, one]) => one)
  return { os, packages, unread: unread.sort((left, right) => compare(left.path, right.path)) }
}

/** The packages that a file tells of, and why not of all of them. */
async function readAll(
  catalog: Catalog,
  tree: Tree,
  path: string,
  os: OperatingSystem | undefined,
): Promise<{ readonly packages: readonly Package[]; readonly unreadable?: string }> {
  try {
    return { packages: await catalog.read(tree, path, os) }
  } catch (error) {
    if (!(error instanceof UnreadableMetadata)) throw error
    return { packages: error.found, unreadable: error.message }
  }
}

/** All files below the root. */
function* filesOf(tree: Tree): Generator<{ readonly path: string; readonly entry: TreeEntry }> {
  const pending = ['']
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop())
    for (const name of tree.list(directory === '' ? '/' : directory)) {
      const path = `${directory}/${name}`
      const entry = tree.lookup(path)
      if (entry?.type === 'directory') pending.push(path)
      else if (entry?.type === 'file') yield { path, entry }
    }
}

/** No text of an image reaches a document or a terminal with control characters in it. */
function cleaned(one: Package): Package {
  const { supplier, homepage } = one
  return {
    ...one,
    name: oneLine(one.name),
    version: oneLine(one.version),
    licenses: one.licenses.map(oneLine),
    path: oneLine(one.path),
    ...(supplier === undefined ? {} : { supplier: oneLine(supplier) }),
    ...(homepage === undefined ? {} : { homepage: oneLine(homepage) }),
  }
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0
}

function oneLine(text: string): string {
  return printable(shorten(text, longestText).toWellFormed()).replace(/\s+/g, ' ')
}
