import { chunkedAnnotations } from '../../layers/chunked/chunk-table.ts'
import { chunkedLayer } from '../../layers/chunked/chunked-layer.ts'
import { digestOf } from '../../oci/digest.ts'
import type { PackedLayer } from './scripted-registry.ts'

/** A layer as zstd:chunked, with the annotations of its descriptor. */
export type ChunkedFixture = PackedLayer & { readonly annotations: Record<string, string> }

/** Text that hardly compresses; the same for the same seed. */
export function noise(size: number, seed: string): string {
  let text = ''
  for (let index = 0; text.length < size; index++)
    text += new Bun.CryptoHasher('sha512').update(`${seed}${index}`).digest('base64')
  return text.slice(0, size)
}

/** A tar as zstd:chunked. */
export async function chunkedFixture(tar: Uint8Array): Promise<ChunkedFixture> {
  const pieces: Uint8Array[] = []
  const source = (async function* () {
    for (let at = 0; at < tar.length; at += 70_000) yield tar.subarray(at, at + 70_000)
  })()
  const layer = chunkedLayer(source, { level: 2 })
  for (;;) {
    const { done, value } = await layer.next()
    if (done === true) return { blob: new Uint8Array(Buffer.concat(pieces)), format: 'zstd', annotations: { ...value } }
    pieces.push(new Uint8Array(value))
  }
}

/** A layer with another table in place of its own, its annotations right for that; text is taken as it is. */
export function withTable(
  { blob, annotations }: ChunkedFixture,
  change: (entries: Record<string, unknown>[]) => unknown,
): ChunkedFixture {
  const [start = 0, size = 0] = (annotations[chunkedAnnotations.tablePosition] ?? '').split(':').map(Number)
  const own = JSON.parse(Buffer.from(Bun.zstdDecompressSync(blob.subarray(start, start + size))).toString()) as {
    entries: Record<string, unknown>[]
  }
  const made = change(own.entries)
  const text = typeof made === 'string' ? made : JSON.stringify({ version: 1, entries: made })
  const packed = Bun.zstdCompressSync(text)
  const header = new Uint8Array(8)
  new DataView(header.buffer).setUint32(0, 0x184d2a50, true)
  new DataView(header.buffer).setUint32(4, packed.length, true)
  return {
    blob: new Uint8Array(Buffer.concat([blob.subarray(0, start - 8), header, packed, footer(start, packed.length)])),
    format: 'zstd',
    annotations: {
      [chunkedAnnotations.tableDigest]: digestOf(packed),
      [chunkedAnnotations.tablePosition]: `${start}:${packed.length}:${text.length}:1`,
    },
  }
}

/** The skippable frame that says where the table is. */
function footer(start: number, size: number): Uint8Array {
  const frame = new Uint8Array(72)
  const view = new DataView(frame.buffer)
  view.setUint32(0, 0x184d2a50, true)
  view.setUint32(4, 64, true)
  view.setBigUint64(8, BigInt(start), true)
  view.setBigUint64(16, BigInt(size), true)
  frame.set(new TextEncoder().encode('GNUlInUx'), 64)
  return frame
}
