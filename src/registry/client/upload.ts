import type { BlobIdentity } from '../../content/blobs.ts'
import { deleteRemoteUpload, getRemoteUpload, putRemoteUpload } from '../../content/remote-blobs.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import type { ByteSource } from '../../streams/source.ts'
import type { BlobContent } from './blob-content.ts'
import { isPassing, isSilence } from './http-exchange.ts'
import type { Repository, UploadSession } from './repository.ts'

export interface UploadOptions {
  readonly store: Store
  readonly repository: Repository
  readonly signal: AbortSignal
  /** Names the blob among unfinished uploads: its digest, or the layer with how it is compressed. */
  readonly key: string
  /** An upload that was begun already. */
  readonly session?: UploadSession | undefined
  readonly firstPause?: number | undefined
  /** Told how many bytes are on the way or there. */
  readonly onBytes?: (size: number) => void
}

/** Attempts without a single new byte after which an upload fails. */
const fruitlessAttempts = 6
const defaultPause = 300
const longestPause = 10_000
/** How often an upload that the registry does not know any more, or refuses to go on with, is begun anew. */
const mostLosses = 3
/** How often in a row an upload may be refused before it fails. */
const mostRefusals = 3
/** What is sent at once of an upload that is gone on with and whose end is not known yet. */
const chunkSize = 16 * 1024 * 1024
/** A blob up to this size is sent again from its beginning: asking how far it got takes as long. */
const smallBlob = 1024 * 1024

/**
 * Sends a blob to a repository. A file goes in one request, a layer that is being compressed in one stream; where that
 * breaks off the registry is asked how much it got, and the rest is sent, also by a later process. Throws BLOB_CORRUPT
 * where the registry got other bytes, what {@link Repository} throws, and the reason of the signal.
 */
export async function uploadBlob(content: BlobContent, options: UploadOptions): Promise<BlobIdentity> {
  const upload = new BlobUpload(content, options)
  try {
    return await upload.run()
  } catch (error) {
    // Bytes that another version made, or that were damaged on the way: once more from the beginning.
    if (!isCairnError(error, 'BLOB_CORRUPT') || !upload.hasGoneOn) throw error
    return await new BlobUpload(content, { ...options, session: undefined }).run()
  }
}

class BlobUpload {
  /** True where it did not begin with this call. */
  hasGoneOn = false
  readonly #content: BlobContent
  readonly #options: UploadOptions
  #session: UploadSession | undefined
  #failures = 0

  constructor(content: BlobContent, options: UploadOptions) {
    this.#content = content
    this.#options = options
    this.#session = options.session
  }

  async run(): Promise<BlobIdentity> {
    const { store, signal, key, firstPause = defaultPause } = this.#options
    let session = this.#session ?? (await this.#found()) ?? (await this.#begin())
    for (let lost = 0, refused = 0; ;) {
      const before = session.offset
      try {
        const identity = await this.#send(session)
        if (this.#isKept) deleteRemoteUpload(store, this.#place, key)
        return identity
      } catch (error) {
        signal.throwIfAborted()
        const isLost = isCairnError(error, 'MANIFEST_UNKNOWN') || isCairnError(error, 'REGISTRY_INVALID')
        if (isCairnError(error, 'BLOB_CORRUPT') && this.#isKept) deleteRemoteUpload(store, this.#place, key)
        // A stream cannot be sent again just so where it was refused; what there is by now is asked for with a new token,
        // and after the time that the registry wants.
        const isRefused =
          isCairnError(error, 'TOOMANYREQUESTS') || (isCairnError(error, 'UNAUTHORIZED') && refused === 0)
        const isWorthAnother =
          isPassing(error) || (isLost && lost++ < mostLosses) || (isRefused && refused++ < mostRefusals)
        if (!isWorthAnother) throw error
        session = (await this.#standing(session)) ?? (await this.#begin())
        if (session.offset > before) refused = 0
        this.#failures = session.offset > before ? 1 : this.#failures + 1
        if (this.#failures >= (isSilence(error) ? 2 : fruitlessAttempts)) throw error
        await Bun.sleep(Math.min(longestPause, firstPause * 2 ** (this.#failures - 1)) * (0.5 + Math.random()))
      }
    }
  }

  get #place(): { readonly host: string; readonly repository: string } {
    const { host, path } = this.#options.repository.endpoint
    return { host, repository: path }
  }

  get #isKept(): boolean {
    return (this.#content.identity?.size ?? Infinity) > smallBlob
  }

  /** The upload that an earlier process left. */
  async #found(): Promise<UploadSession | undefined> {
    const { store, key } = this.#options
    const location = this.#isKept ? getRemoteUpload(store, this.#place, key) : undefined
    if (location === undefined || !URL.canParse(location)) return undefined
    const session = await this.#standing({ location: new URL(location), offset: 0 })
    this.hasGoneOn = session !== undefined
    return session
  }

  async #begin(): Promise<UploadSession> {
    const { store, repository, key } = this.#options
    const session = await repository.beginUpload()
    if (this.#isKept) putRemoteUpload(store, this.#place, key, session.location.href)
    return session
  }

  async #standing(session: UploadSession): Promise<UploadSession | undefined> {
    if (!this.#isKept) return undefined
    try {
      const standing = await this.#options.repository.uploadStatus(session)
      const size = this.#content.identity?.size
      return standing !== undefined && size !== undefined && standing.offset > size ? undefined : standing
    } catch (error) {
      if (isPassing(error) || isCairnError(error, 'CANCELED')) throw error
      return undefined
    }
  }

  async #send(session: UploadSession): Promise<BlobIdentity> {
    const { identity, file } = this.#content
    if (identity !== undefined && file !== undefined) return await this.#sendFile(session, identity, file)
    return session.offset === 0 ? await this.#sendStream(session) : await this.#sendChunks(session)
  }

  async #sendFile(session: UploadSession, identity: BlobIdentity, file: string): Promise<BlobIdentity> {
    const { repository, onBytes } = this.#options
    const { offset } = session
    onBytes?.(offset)
    if (offset === 0) {
      await repository.finishUpload(session, identity.digest, Bun.file(file))
    } else {
      const rest = identity.size - offset
      const sent = rest === 0 ? session : await repository.sendPart(session, Bun.file(file).slice(offset), rest)
      await repository.finishUpload(sent, identity.digest)
    }
    onBytes?.(identity.size)
    return identity
  }

  /** All of it in one request whose size nobody knows before. */
  async #sendStream(session: UploadSession): Promise<BlobIdentity> {
    const { repository } = this.#options
    const sent = await repository.sendPart(session, this.#counted(0), undefined)
    return await this.#finish(sent)
  }

  /** The rest of a stream that broke off, in pieces that say where they belong. */
  async #sendChunks(session: UploadSession): Promise<BlobIdentity> {
    const { repository } = this.#options
    let current = session
    for await (const chunk of chunks(this.#counted(session.offset))) {
      const offset = current.offset + chunk.length
      const sent = await repository.sendPart(current, new Blob([chunk]), chunk.length)
      if (sent.offset !== offset && sent.offset !== current.offset)
        throw new CairnError('NETWORK', `${repository.endpoint.host} took ${sent.offset} bytes of ${offset}`)
      current = { location: sent.location, offset }
      if (offset > session.offset) this.#failures = 0
    }
    return await this.#finish(current)
  }

  async #finish(session: UploadSession): Promise<BlobIdentity> {
    const { identity } = this.#content
    if (identity === undefined) throw new Error('a blob was sent without being read to its end')
    await this.#options.repository.finishUpload(session, identity.digest)
    return identity
  }

  async *#counted(start: number): ByteSource {
    const { onBytes, signal } = this.#options
    let size = start
    for await (const bytes of this.#content.from(start)) {
      signal.throwIfAborted()
      yield bytes
      onBytes?.((size += bytes.length))
    }
  }
}

async function* chunks(source: ByteSource): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let chunk = new Uint8Array(chunkSize)
  let used = 0
  for await (const bytes of source)
    for (let at = 0; at < bytes.length;) {
      const count = Math.min(bytes.length - at, chunk.length - used)
      chunk.set(bytes.subarray(at, at + count), used)
      at += count
      used += count
      if (used < chunk.length) continue
      yield chunk
      chunk = new Uint8Array(chunkSize)
      used = 0
    }
  if (used > 0) yield chunk.slice(0, used)
}
