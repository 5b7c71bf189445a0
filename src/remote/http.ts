import { type FetchedFile, getFetchedFile, putFetchedFile } from '../content/fetched-files.ts'
import { CairnError } from '../errors/error.ts'
import { redactUrl } from '../errors/redact.ts'
import type { Digest } from '../oci/digest.ts'
import type { RemoteAccess } from './access.ts'
import { get, type HttpResponse } from './http-request.ts'
import { parseHttpDate } from './http-date.ts'
import { fileNameOf, parseHttpUrl } from './http-url.ts'

/** A file that is in the store now. */
export interface RemoteFile {
  /** Of the bytes; the blob stays as long as the lease. */
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
  /** Last element of the URL's path; `__unnamed__` where there is none. */
  readonly name: string
  /** Seconds since 1970, where the server said when the file was changed. */
  readonly lastModified: number | undefined
  /** True when the bytes were in the store already and the server, if it was asked, said that they are still right. */
  readonly isUnchanged: boolean
}

export interface FetchFileOptions {
  /** Digest that the bytes must have. Where the URL gave them before, the server is not even asked. */
  readonly checksum?: Digest | undefined
  /** Told of bytes as they arrive; `total` is 0 where the server does not say. */
  readonly onProgress?: (current: number, total: number) => void
}

/** How much older than the response a file must be for its date to tell it from a later one (RFC 9110 §8.8.2.2). */
const strongAge = 60

/**
 * Fetches the file at an http or https URL into the store. A file that was fetched before is asked for under the
 * condition that it changed (RFC 9110 §13.1). `Authorization` is the secret HTTP_AUTH_HEADER_<host>, else the secret
 * HTTP_AUTH_TOKEN_<host> as a bearer token, else what the URL holds; redirections to other origins do not get it.
 *
 * With a lock, the file has to be the locked one.
 *
 * Throws NETWORK for a server that cannot be reached or does not give the file, BLOB_CORRUPT where the bytes are not
 * those of the checksum, LOCKFILE_MISMATCH, LIMIT_EXCEEDED, DISK_FULL, and the reason of the signal.
 */
export async function fetchFile(
  text: string,
  access: RemoteAccess,
  options: FetchFileOptions = {},
): Promise<RemoteFile> {
  const url = parseHttpUrl(text)
  const { checksum = access.lock?.file(text) } = options
  const known = protectedRecord(text, access)
  if (known !== undefined && known.digest === checksum) {
    access.lock?.sawFile(text, known.digest)
    return remoteFile(url, known, access, true)
  }
  const response = await get(url, known === undefined ? {} : conditions(known), authorization(url, access), access)
  const file = await received(text, response, known, access, options)
  access.lock?.sawFile(text, file.digest)
  if (checksum !== undefined && file.digest !== checksum)
    throw new CairnError(
      'BLOB_CORRUPT',
      `digest mismatch for ${redactUrl(text)}: ${file.digest} (expected: ${checksum})`,
      { hint: 'The file has changed, or the checksum is of another one.' },
    )
  return remoteFile(url, file, access, file === known)
}

/** What the URL gave before, if its blob is still there; it then stays. */
function protectedRecord(url: string, { store, lease }: RemoteAccess): FetchedFile | undefined {
  const record = getFetchedFile(store, url)
  return record !== undefined && lease.claim(record.digest) ? record : undefined
}

function conditions({ etag, modified }: FetchedFile): Record<string, string> {
  if (etag !== undefined) return { 'If-None-Match': etag }
  return modified === undefined ? {} : { 'If-Modified-Since': modified }
}

function authorization({ hostname }: URL, { secret }: RemoteAccess): string | undefined {
  // A file that holds a secret mostly ends with a line feed, which no header can have.
  const header = secret(`HTTP_AUTH_HEADER_${hostname}`)?.trim()
  const token = secret(`HTTP_AUTH_TOKEN_${hostname}`)?.trim()
  return header ?? (token === undefined ? undefined : `Bearer ${token}`)
}

/** The record of what `response` brings: the known one where nothing changed. */
async function received(
  url: string,
  response: HttpResponse,
  known: FetchedFile | undefined,
  access: RemoteAccess,
  options: FetchFileOptions,
): Promise<FetchedFile> {
  const { status, headers } = response
  const etag = headers.get('etag') ?? undefined
  const isSame = status === 304 || (status === 200 && etag !== undefined && etag === known?.etag)
  if (known !== undefined && isSame) {
    response.cancel()
    putFetchedFile(access.store, url, known)
    return known
  }
  if (status < 200 || status > 299) {
    response.cancel()
    throw new CairnError('NETWORK', `failed to fetch ${redactUrl(url)}: invalid response status ${status}`)
  }
  const digest = await store(url, response, access, options)
  const modified = headers.get('last-modified') ?? undefined
  const lastModified = modified === undefined ? undefined : parseHttpDate(modified)
  const date = parseHttpDate(headers.get('date') ?? '')
  const isStrong = lastModified !== undefined && date !== undefined && date - lastModified >= strongAge
  const file = { digest, etag, modified: isStrong ? modified : undefined, lastModified }
  putFetchedFile(access.store, url, file)
  return file
}

async function store(
  url: string,
  response: HttpResponse,
  { lease, limits }: RemoteAccess,
  { onProgress }: FetchFileOptions,
): Promise<Digest> {
  const total = response.size ?? 0
  const ingest = lease.ingest()
  try {
    if (total > limits.size) throw tooLarge(url, limits.size)
    for await (const piece of response.body) {
      if (ingest.size + piece.length > limits.size) throw tooLarge(url, limits.size)
      ingest.write(piece)
      onProgress?.(ingest.size, total)
    }
    return (await ingest.commit()).digest
  } finally {
    ingest.abort()
    response.cancel()
  }
}

function tooLarge(url: string, limit: number): CairnError {
  return new CairnError('LIMIT_EXCEEDED', `${redactUrl(url)} is larger than the limit of ${limit} bytes`, {
    hint: 'CAIRN_FETCH_LIMIT sets another limit, in bytes.',
  })
}

function remoteFile(url: URL, file: FetchedFile, { store: { blobs } }: RemoteAccess, isUnchanged: boolean): RemoteFile {
  const { digest, lastModified } = file
  return { digest, size: blobs.size(digest) ?? 0, name: fileNameOf(url.href), lastModified, isUnchanged }
}
