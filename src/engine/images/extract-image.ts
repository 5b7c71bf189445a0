import { CairnError } from '../../errors/error.ts'
import type { ImageFiles } from '../../images/image-files.ts'
import { extractTree } from '../../layers/unpack/extract-tree.ts'
import { packTree } from '../../layers/pack/pack-tree.ts'
import { listDirectory } from '../../linux/directories.ts'
import { tryLstat } from '../../linux/file-status.ts'
import { makeDirectories, rename } from '../../linux/names.ts'
import { removeTree } from '../../linux/remove-tree.ts'
import type { TarSink } from '../../tar/writer.ts'
import { findFile } from './image-files.ts'

/** What was taken out of an image. */
export interface ExtractedFiles {
  /** Where it is now. */
  readonly path: string
  /** What could not be stored here, one sentence each. */
  readonly skipped: readonly string[]
}

/**
 * Takes what an image has at `path` out to `directory`: under its own name there, or, for `/` and a path that ends in a
 * slash, in place of the directory, which must be empty or not there. It appears whole or not at all, and replaces
 * nothing. Owners are kept where `owners` is `archive`, which needs root. Throws FILE_UNKNOWN, NAME_IN_USE, and as the
 * layers' reading.
 */
export async function extractFiles(
  files: ImageFiles,
  path: string,
  directory: string,
  owners: 'archive' | 'caller',
): Promise<ExtractedFiles> {
  const isContent = /(?:^|\/)\.?$/.test(path)
  const found = await findFile(files, path, { followLast: isContent })
  if (isContent && found.entry.type !== 'directory')
    throw new CairnError('FILE_UNKNOWN', `${path} is a ${found.entry.type}, not a directory`)
  const name = found.path.slice(found.path.lastIndexOf('/') + 1)
  const target = isContent || name === '' ? directory.replace(/(?<=.)\/+$/, '') : `${directory}/${name}`
  refuseToReplace(target, isContent || name === '')
  const scratch = `${target}.${process.pid}-${crypto.randomUUID().slice(0, 8)}.tmp`
  makeDirectories(scratch)
  try {
    const skipped = extractTree(found.tree, found.path, scratch, owners)
    rename(found.entry.type === 'directory' ? scratch : `${scratch}/${name}`, target)
    return { path: target, skipped }
  } finally {
    removeTree(scratch)
  }
}

/** Writes what an image has at `path` as a tar. Throws FILE_UNKNOWN, and as the layers' reading. */
export async function extractArchive(files: ImageFiles, path: string, sink: TarSink): Promise<void> {
  const found = await findFile(files, path, { followLast: /(?:^|\/)\.?$/.test(path) })
  packTree(found.tree, found.path, sink, { keepNanoseconds: true })
}

function refuseToReplace(target: string, isDirectory: boolean): void {
  const status = tryLstat(target)
  if (status === undefined) return
  if (isDirectory && status.type === 'directory' && listDirectory(target).length === 0) return
  throw new CairnError('NAME_IN_USE', `${target} is there already${isDirectory ? ' and not empty' : ''}`, {
    hint: 'Give another directory with -o.',
  })
}
