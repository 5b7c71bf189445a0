import { CairnError } from '../errors/error.ts'
import { machineTrust } from '../linux/trusted-certificates.ts'

/** Bytes up to which a blob is sent with one request, and of the blocks of a longer one. */
const blockSize = 16 * 1024 * 1024
/** Blocks that a blob may have. */
const mostBlocks = 50_000
const attempts = 4
const firstPause = 500
/** Milliseconds that one request may take. */
const patience = 10 * 60_000

/**
 * Writes a block blob to an address that carries its own signature (Azure Blob Storage, Put Blob; Put Block and Put Block
 * List for long ones). Errors name the host alone. Throws NETWORK, CANCELED by `signal`.
 */
export async function putAzureBlob(url: string, data: Blob, signal: AbortSignal): Promise<void> {
  if (data.size <= blockSize) {
    await send(url, data, { 'x-ms-blob-type': 'BlockBlob', 'content-type': 'application/octet-stream' }, signal)
    return
  }
  const size = Math.max(blockSize, Math.ceil(data.size / mostBlocks))
  const names: string[] = []
  for (let start = 0; start < data.size; start += size) {
    const name = btoa(String(names.length).padStart(8, '0'))
    names.push(name)
    const block = data.slice(start, Math.min(data.size, start + size))
    await send(withQuery(url, `comp=block&blockid=${encodeURIComponent(name)}`), block, {}, signal)
  }
  const list = `<?xml version="1.0" encoding="utf-8"?><BlockList>${names.map((name) => `<Latest>${name}</Latest>`).join('')}</BlockList>`
  await send(withQuery(url, 'comp=blocklist'), new Blob([list]), { 'content-type': 'application/xml' }, signal)
}

/** The bytes at an address from `start` on; undefined where its signature has run out or nothing is there. */
export async function fetchBlob(
  url: string,
  start: number,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array> | undefined> {
  const response = await fetchAgain(url, { headers: start === 0 ? {} : { range: `bytes=${start}-` } }, signal)
  if (response.status === 401 || response.status === 403 || response.status === 404) return undefined
  const isRange = start === 0 || (response.headers.get('content-range') ?? '').startsWith(`bytes ${start}-`)
  if (!response.ok || !isRange) throw refusal(url, response.status)
  return response.body ?? new Blob([]).stream()
}

async function send(
  url: string,
  body: Blob,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<void> {
  const all = { ...headers, 'x-ms-version': '2020-10-02' }
  const response = await fetchAgain(url, { method: 'PUT', body, headers: all, redirect: 'manual' }, signal)
  await response.arrayBuffer()
  if (!response.ok) throw refusal(url, response.status)
}

/** Tries again what fails for the moment. */
async function fetchAgain(url: string, init: RequestInit, signal: AbortSignal): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    try {
      const limits = AbortSignal.any([signal, AbortSignal.timeout(patience)])
      const trust = machineTrust()
      const response = await fetch(url, { ...init, ...trust, decompress: false, signal: limits } as RequestInit)
      const isPassing = response.status === 429 || response.status >= 500
      if (!isPassing || attempt === attempts) return response
      await response.arrayBuffer()
    } catch (cause) {
      signal.throwIfAborted()
      // The address is a secret, and some errors have it in them.
      if (attempt === attempts)
        throw new CairnError('NETWORK', `the storage of the cache service at ${new URL(url).host} does not answer`, {
          cause: cause instanceof Error ? cause.name : undefined,
        })
    }
    await Bun.sleep(firstPause * 2 ** attempt)
  }
}

function withQuery(url: string, query: string): string {
  return `${url}${url.includes('?') ? '&' : '?'}${query}`
}

function refusal(url: string, status: number): CairnError {
  return new CairnError('NETWORK', `the storage of the cache service at ${new URL(url).host} answers ${status}`)
}
