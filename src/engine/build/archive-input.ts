import { CairnError, isCairnError } from '../../errors/error.ts'
import { redactUrl } from '../../errors/redact.ts'
import { fstat } from '../../linux/file-status.ts'
import { close, open, openFlags, read } from '../../linux/files.ts'
import { stableBytes } from '../../linux/libc.ts'
import { machineTrust } from '../../linux/trusted-certificates.ts'
import type { ByteSource } from '../../streams/source.ts'

/** Bytes a user pointed at. */
export interface ArchiveInput {
  /** How errors call it: the path, the URL without credentials, `standard input`. */
  readonly name: string
  /** As docker writes it into an image's history: the URL, else `-`. */
  readonly origin: string
  readonly source: ByteSource
}

export interface ArchiveInputOptions {
  /** What `-` stands for. */
  readonly stdin: () => ByteSource
  readonly signal: AbortSignal
}

/** True for what is fetched: `http://…`, `https://…`. */
export function isUrl(text: string): boolean {
  return /^https?:\/\//.test(text)
}

/**
 * The file, URL or standard input (`-`) that `text` means. It is opened when its first byte is asked for; that fails
 * with FILE_UNKNOWN, PERMISSION_DENIED, NETWORK or CANCELED.
 */
export function archiveInput(text: string, options: ArchiveInputOptions): ArchiveInput {
  const { signal } = options
  if (text === '-') return { name: 'standard input', origin: '-', source: interruptible(options.stdin(), signal) }
  if (!isUrl(text)) return { name: text, origin: '-', source: fileBytes(text, signal) }
  const shown = redactUrl(text)
  return { name: shown, origin: shown, source: fetchBytes(text, shown, signal) }
}

const pieceSize = 1024 * 1024

/** The bytes of a file in a buffer that is used again; between two of them other work and Ctrl-C get their turn. */
async function* fileBytes(path: string, signal: AbortSignal): ByteSource {
  const fd = open(path, openFlags.O_RDONLY)
  try {
    const { type } = fstat(fd)
    if (type === 'directory') throw new CairnError('ARCHIVE_INVALID', `${path} is a directory, not an archive`)
    // A pipe may keep its reader waiting, which must not stop the event loop.
    if (type !== 'file') return yield* interruptible(Bun.file(fd).stream(), signal)
    const buffer = stableBytes(pieceSize)
    for (;;) {
      const count = read(fd, buffer, path)
      if (count === 0) return
      yield buffer.subarray(0, count)
      await Bun.sleep(0)
      signal.throwIfAborted()
    }
  } finally {
    close(fd)
  }
}

async function* fetchBytes(url: string, shown: string, signal: AbortSignal): ByteSource {
  const failed = (why: string, cause?: unknown): CairnError =>
    new CairnError('NETWORK', `cannot fetch ${shown}: ${why}`, cause === undefined ? {} : { cause })
  try {
    // The archive's own compression is its own affair; one of the transfer is not asked for.
    const headers = { 'accept-encoding': 'identity' }
    const response = await fetch(url, { signal, decompress: false, headers, ...machineTrust() })
    if (!response.ok) throw failed(`the server answered ${response.status} ${response.statusText}`.trim())
    if (response.body !== null) yield* response.body
  } catch (error) {
    signal.throwIfAborted()
    if (isCairnError(error)) throw error
    throw failed(error instanceof Error ? error.message : String(error), error)
  }
}

/** The bytes of a source that may wait for them without end; fails with the signal's reason as soon as it is aborted. */
async function* interruptible(source: ByteSource, signal: AbortSignal): ByteSource {
  let interrupt = (): void => {}
  const abort = (): void => interrupt()
  signal.addEventListener('abort', abort)
  const bytes = source[Symbol.asyncIterator]()
  const next = (): Promise<IteratorResult<Uint8Array>> =>
    new Promise((resolve, reject) => {
      interrupt = () => reject(signal.reason)
      bytes.next().then(resolve, reject)
    })
  try {
    for (;;) {
      signal.throwIfAborted()
      const result = await next()
      if (result.done === true) return
      yield result.value
    }
  } finally {
    signal.removeEventListener('abort', abort)
    // Not awaited: a source that waits for bytes ends only when they come.
    void bytes.return?.().then(undefined, () => {})
  }
}
