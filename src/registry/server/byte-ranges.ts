import type { BlobRange, StoredBlob } from '../storage/registry-storage.ts'

/** More ranges in one request are not served as such. */
const mostRanges = 1024

/**
 * Several ranges of a request at once; undefined where they are better left aside (RFC 9110 §14.2): one that cannot be
 * served, too many, or more bytes in all than the blob has.
 */
export function severalRanges(
  text: string,
  size: number,
  parse: (text: string, size: number) => BlobRange | undefined,
): BlobRange[] | undefined {
  const parts = text.split(',', mostRanges + 1)
  if (parts.length > mostRanges) return undefined
  const ranges: BlobRange[] = []
  let sum = 0
  for (const part of parts) {
    const range = parse(part.trim(), size)
    if (range === undefined) return undefined
    ranges.push(range)
    sum += range.end - range.start
  }
  return sum > size ? undefined : ranges
}

/** Ranges of a blob one after the other, as multipart/byteranges (RFC 9110 §14.6). Each is read when its turn comes. */
export function multipartResponse(
  blob: StoredBlob,
  ranges: readonly BlobRange[],
  headers: Readonly<Record<string, string>>,
): Response {
  const boundary = crypto.randomUUID().replaceAll('-', '')
  const type = headers['content-type'] ?? 'application/octet-stream'
  const parts = partsOf(blob, ranges, boundary, type)
  const body = new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      const { done, value } = await parts.next()
      if (done === true) controller.close()
      else controller.enqueue(value)
    },
    cancel: async () => {
      await parts.return(undefined)
    },
  })
  return new Response(body, {
    status: 206,
    headers: { ...headers, 'content-type': `multipart/byteranges; boundary=${boundary}` },
  })
}

async function* partsOf(
  blob: StoredBlob,
  ranges: readonly BlobRange[],
  boundary: string,
  type: string,
): AsyncGenerator<Uint8Array, void> {
  const encoder = new TextEncoder()
  for (const range of ranges) {
    const place = `bytes ${range.start}-${range.end - 1}/${blob.size}`
    yield encoder.encode(`\r\n--${boundary}\r\nContent-Type: ${type}\r\nContent-Range: ${place}\r\n\r\n`)
    const content = await blob.read(range)
    if (content.kind === 'elsewhere') throw new Error('a blob that is here has a range elsewhere')
    const { body } = content
    for await (const bytes of body instanceof Blob ? body.stream() : body) yield bytes
  }
  yield encoder.encode(`\r\n--${boundary}--\r\n`)
}
