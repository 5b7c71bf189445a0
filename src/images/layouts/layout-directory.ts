import type { BlobIdentity, Expected } from '../../content/blobs.ts'
import type { Lease } from '../../content/leases.ts'
import { readFileChunks } from '../../layers/file-chunks.ts'
import { tryStat } from '../../linux/file-status.ts'
import type { ByteSource } from '../../streams/source.ts'
import type { ArchiveFile } from '../archives/archive-file.ts'
import type { ArchiveFiles } from '../archives/archive-files.ts'

/** The files of the directory `root` as those of an archive: an OCI image layout that is not packed. */
export function layoutDirectory(root: string): ArchiveFiles {
  return {
    find: (path) => {
      const file = `${root}/${path}`
      const status = tryStat(file)
      return status?.type === 'file' ? new FileInDirectory(file, status.size) : undefined
    },
    [Symbol.dispose]: () => undefined,
  }
}

class FileInDirectory implements ArchiveFile {
  readonly #path: string
  readonly size: number

  constructor(path: string, size: number) {
    this.#path = path
    this.size = size
  }

  // oxlint-disable-next-line typescript/require-await -- a source of bytes is asynchronous by type
  async *read(): ByteSource {
    yield* readFileChunks(this.#path)
  }

  async store(lease: Lease, expected: Expected): Promise<BlobIdentity> {
    const { digest, size = this.size } = expected
    // What is there was verified; the copy in the directory need not even be read.
    if (digest !== undefined && size === this.size && lease.claim(digest)) return { digest, size }
    const ingest = lease.ingest(expected)
    try {
      for (const bytes of readFileChunks(this.#path)) ingest.write(bytes)
      return await ingest.commit()
    } finally {
      ingest.abort()
    }
  }
}
