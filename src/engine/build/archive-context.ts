import { detectCompression } from '../../compression/detect.ts'
import { type BuildContext, treeContext } from '../../build/context/context.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import { readFileChunks } from '../../layers/file-chunks.ts'
import { fstat } from '../../linux/file-status.ts'
import { close, open, openFlags, read, write } from '../../linux/files.ts'
import { removeFile } from '../../linux/names.ts'
import type { ByteSource } from '../../streams/source.ts'
import { BLOCK_SIZE, headerFormat } from '../../tar/header-block.ts'

/** Bytes that {@link looksLikeArchive} wants to see. */
export const archiveHeadLength = BLOCK_SIZE

/** True for what begins as a tar or as compressed data does: what a context may be, and no Dockerfile can. */
export function looksLikeArchive(head: Uint8Array): boolean {
  return detectCompression(head) !== 'none' || (head.length >= BLOCK_SIZE && headerFormat(head) !== undefined)
}

/**
 * The files of a tar archive, plain or compressed, as a build context. Owners and modes are the archive's. A source is
 * decompressed into a temporary file of the session, whose members are then read in place: nothing is unpacked. A path
 * is one of a plain tar, which has to stay as long as the context. Throws CONTEXT_INVALID for what is no archive, LAYER_UNSAFE for members
 * that lead out of it, LIMIT_EXCEEDED past what CAIRN_LIMITS allows.
 */
export async function archiveContext(
  store: Store,
  identity: string,
  archive: string | ByteSource,
  name: string,
): Promise<BuildContext> {
  const { tarTree } = await import('../../layers/trees/layer-tree.ts')
  const { tar } = store.limits
  const path = typeof archive === 'string' ? archive : await spool(store, archive, name)
  try {
    const tree = tarTree(path, { name, limits: tar, isLayer: false })
    return treeContext(identity, tree, () => path !== archive && removeFile(path))
  } catch (error) {
    if (path !== archive) removeFile(path)
    throw notArchive(error, name)
  }
}

async function spool(store: Store, source: ByteSource, name: string): Promise<string> {
  const { decompress } = await import('../../compression/decompress.ts')
  const path = store.session.temporaryPath('context.tar')
  const fd = open(path, openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_EXCL)
  try {
    const { layerBytes: maxBytes, ratio: maxRatio } = store.limits
    for await (const chunk of decompress(source, { name, maxBytes, maxRatio })) write(fd, chunk, path)
    return path
  } catch (error) {
    removeFile(path)
    throw notArchive(error, name)
  } finally {
    close(fd)
  }
}

function notArchive(error: unknown, name: string): unknown {
  if (!isCairnError(error, 'TAR_INVALID') && !isCairnError(error, 'COMPRESSION_INVALID')) return error
  return new CairnError(
    'CONTEXT_INVALID',
    `${name} is no tar archive that could be a build context: ${error.message}`,
    {
      cause: error,
    },
  )
}

/** A source with its first bytes, which are still to come from it as well. */
export interface HeadedSource {
  /** At least {@link archiveHeadLength} bytes where there are as many. */
  readonly head: Uint8Array
  readonly source: ByteSource
}

/** Reads the beginning of `source`. The rest has to be read, or the source stays open. */
export async function readHead(source: ByteSource): Promise<HeadedSource> {
  const iterator = source[Symbol.asyncIterator]()
  const pieces: Uint8Array[] = []
  let size = 0
  let isOver = false
  while (size < archiveHeadLength && !isOver) {
    const next = await iterator.next()
    if (next.done === true) isOver = true
    else {
      pieces.push(new Uint8Array(next.value))
      size += next.value.length
    }
  }
  const head = Buffer.concat(pieces)
  return { head, source: rest(head, iterator) }
}

async function* rest(head: Uint8Array, iterator: AsyncIterator<Uint8Array>): ByteSource {
  try {
    if (head.length > 0) yield head
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value
  } finally {
    await iterator.return?.()
  }
}

/** The first bytes of the file at `path`. Throws SystemCallError. */
export function headOfFile(path: string): Uint8Array {
  const fd = open(path, openFlags.O_RDONLY | openFlags.O_NONBLOCK)
  try {
    if (fstat(fd).type !== 'file') throw new CairnError('CONTEXT_INVALID', `${path} is not a regular file`)
    const bytes = new Uint8Array(new ArrayBuffer(archiveHeadLength))
    return bytes.subarray(0, read(fd, bytes, path))
  } finally {
    close(fd)
  }
}

/** The archive in the file at `path` as {@link archiveContext} takes it: where it is if it is plain, else as a source. */
export function archiveFile(path: string): string | ByteSource {
  return detectCompression(headOfFile(path)) === 'none' ? path : chunksOf(path)
}

// oxlint-disable-next-line typescript/require-await -- a source of bytes is asynchronous by type
async function* chunksOf(path: string): ByteSource {
  yield* readFileChunks(path)
}

/** When the newest file of an archive was changed, seconds since 1970: what SOURCE_DATE_EPOCH=context is for it. */
export function newestFile({ tree }: BuildContext): number | undefined {
  let newest: number | undefined
  const pending = ['/']
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const entry = tree.lookup(path)
    if (entry?.type === 'file' && entry.mtimeSeconds > (newest ?? -Infinity)) newest = entry.mtimeSeconds
    const inside = path === '/' ? '' : path
    if (entry?.type === 'directory') for (const name of tree.list(path)) pending.push(`${inside}/${name}`)
  }
  return newest
}
