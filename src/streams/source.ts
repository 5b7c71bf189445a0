import { CairnError } from '../errors/error.ts'
import type { Digest } from '../oci/digest.ts'
import { Digester, digestAlgorithm } from '../oci/digest.ts'

/**
 * Bytes in order, in pieces of any size. A piece belongs to the reader only until it asks for the next one: whoever
 * keeps bytes copies them. Leaving the loop early runs the producer's `finally`, so nothing is left open.
 */
export type ByteSource = AsyncIterable<Uint8Array>

/**
 * Passes the bytes on and fails with BLOB_CORRUPT unless exactly `want.size` bytes hashing to `want.digest` went by.
 * Leaving early verifies nothing.
 */
export async function* verified(
  source: ByteSource,
  want: { readonly digest: Digest; readonly size: number },
): ByteSource {
  const digester = new Digester(digestAlgorithm(want.digest))
  for await (const chunk of source) {
    digester.update(chunk)
    if (digester.size > want.size)
      throw new CairnError(
        'BLOB_CORRUPT',
        `blob ${want.digest} is longer than the ${want.size} bytes its descriptor gives`,
      )
    yield chunk
  }
  const size = digester.size
  const digest = digester.digest()
  if (size !== want.size || digest !== want.digest)
    throw new CairnError(
      'BLOB_CORRUPT',
      `blob ${want.digest} (${want.size} bytes) arrived as ${digest} (${size} bytes)`,
    )
}

/** Passes the bytes on and fails with LIMIT_EXCEEDED after `limit` bytes; `what` names the input. */
export async function* limited(source: ByteSource, limit: number, what: string): ByteSource {
  let size = 0
  for await (const chunk of source) {
    size += chunk.length
    if (size > limit) throw new CairnError('LIMIT_EXCEEDED', `${what} is larger than the limit of ${limit} bytes`)
    yield chunk
  }
}

/** All bytes at once; fails with LIMIT_EXCEEDED when there are more than `limit`. */
export async function collect(source: ByteSource, limit: number, what: string): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of limited(source, limit, what)) {
    // Not slice(), which gives a view of a Buffer and not a copy.
    chunks.push(new Uint8Array(chunk))
    size += chunk.length
  }
  const bytes = new Uint8Array(size)
  let offset = 0
  for (const chunk of chunks) {
    bytes.set(chunk, offset)
    offset += chunk.length
  }
  return bytes
}
