import { ContextIndex } from '../../build/context/context-index.ts'
import { type BuildContext, directoryContext } from '../../build/context/context.ts'
import type { Store } from '../../content/store.ts'
import { IgnoreMatcher, parseIgnoreFile } from '../../dockerfile/ignore.ts'
import { CairnError } from '../../errors/error.ts'
import { tryStat } from '../../linux/file-status.ts'
import { makeDirectories } from '../../linux/names.ts'
import { removeTree } from '../../linux/remove-tree.ts'
import { readSmallFile } from '../../linux/text-file.ts'
import { digestHex, digestOf } from '../../oci/digest.ts'
import type { ProgressListener } from '../../progress/events.ts'
import { shown, type ShownWork } from '../shown-work.ts'

/** Bytes; a Dockerfile or ignore file larger than this is a mistake. */
export const largestTextFile = 16 * 1024 * 1024

/** Patterns of the ignore file at `path`, none where there is no file. Throws IGNORE_INVALID with its name and line. */
export async function readIgnoreFile(path: string, work: ShownWork, progress: ProgressListener): Promise<string[]> {
  return await shown(progress, work, async (bytes) => {
    const status = tryStat(path)
    bytes(status === undefined ? 2 : status.size, 0)
    if (status === undefined) return []
    if (status.type !== 'file') throw new CairnError('IGNORE_INVALID', `${path} is not a regular file`)
    if (status.size > largestTextFile)
      throw new CairnError('LIMIT_EXCEEDED', `${path} has ${status.size} bytes: too large for an ignore file`)
    const name = path.slice(path.lastIndexOf('/') + 1)
    const content = readSmallFile(path, largestTextFile)
    // Bad patterns are told now, with the file's name and the line.
    IgnoreMatcher.fromFile(content, name)
    return parseIgnoreFile(content, name)
  })
}

/** The directory `root` as a context, with what the store remembers of its files. */
export async function localContext(
  store: Store,
  identity: string,
  root: string,
  ignore: readonly string[],
): Promise<BuildContext> {
  const directory = store.path('builds', 'contexts')
  makeDirectories(directory)
  const path = `${directory}/${digestHex(digestOf(identity)).slice(0, 32)}.json`
  const index = ContextIndex.open(path, () => store.session.temporaryPath('index'))
  return directoryContext(identity, root, ignore, index)
}

/** A context without files. */
export async function emptyContext(store: Store, identity: string): Promise<BuildContext> {
  const root = store.session.temporaryPath('context')
  makeDirectories(root)
  const context = await localContext(store, identity, root, [])
  return { ...context, [Symbol.dispose]: () => removeTree(root) }
}
