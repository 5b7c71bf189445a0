import { decompress } from '../../compression/decompress.ts'
import { isCairnError } from '../../errors/error.ts'
import { close, open, openFlags, write } from '../../linux/files.ts'
import { removeFile } from '../../linux/names.ts'
import type { Tree } from '../../layers/tree.ts'
import type { TarEntry } from '../../tar/entry.ts'
import { BLOCK_SIZE, headerFormat } from '../../tar/header-block.ts'
import type { TarMember } from '../../tar/member.ts'
import { readMember, readTarFile } from '../../tar/reader.ts'

/** An archive that ADD unpacks. */
export interface Archive {
  /** In the archive's order. */
  readonly entries: readonly TarEntry[]
  /** Bytes of a file of the archive, by the position of its entry. */
  readonly read: (index: number) => Iterable<Uint8Array>
}

/**
 * The archive at `path`, decompressed into a temporary file, or undefined where the file is no tar archive after all:
 * then ADD copies it like any other. What begins with a tar header is an archive: throws TAR_INVALID or
 * COMPRESSION_INVALID where the rest is none.
 */
export async function openArchive(
  tree: Tree,
  path: string,
  temporaryPath: (label: string) => string,
): Promise<Archive | undefined> {
  const file = temporaryPath('add')
  const fd = open(file, openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_EXCL)
  const start = new Uint8Array(BLOCK_SIZE)
  let written = 0
  try {
    for await (const chunk of decompress(pieces(tree, path))) {
      if (written < BLOCK_SIZE) start.set(chunk.subarray(0, BLOCK_SIZE - written), written)
      written += chunk.length
      write(fd, chunk, file)
    }
    const members = [...readTarFile(file, { name: path.slice(1) })]
    if (members.length > 0)
      return { entries: members.map(({ entry }) => entry), read: (index) => readFrom(file, members[index]) }
  } catch (error) {
    const isMalformed = isCairnError(error, 'COMPRESSION_INVALID') || isCairnError(error, 'TAR_INVALID')
    if (!isMalformed || (written >= BLOCK_SIZE && headerFormat(start) !== undefined)) throw error
  } finally {
    close(fd)
  }
  removeFile(file)
  return undefined
}

function* readFrom(file: string, member: TarMember | undefined): Generator<Uint8Array> {
  if (member === undefined) return
  const fd = open(file, openFlags.O_RDONLY)
  try {
    yield* readMember(fd, member)
  } finally {
    close(fd)
  }
}

// oxlint-disable-next-line typescript/require-await -- a source of bytes is asynchronous by type
async function* pieces(tree: Tree, path: string): AsyncGenerator<Uint8Array> {
  yield* tree.read(path)
}
