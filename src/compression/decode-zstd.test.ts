import { describe, expect, test } from 'bun:test'
import { compressBlock } from './compress.ts'
import { decodeZstd } from './decode-zstd.ts'

const text = new TextEncoder().encode('some words that are repeated, '.repeat(20_000))
const random = crypto.getRandomValues(new Uint8Array(60_000))
const skipped = new Uint8Array([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3])
const frames = Buffer.concat([
  skipped,
  await compressBlock(text, { format: 'zstd' }),
  Bun.zstdCompressSync(random),
  Bun.zstdCompressSync(new Uint8Array(0)),
  skipped,
])
const whole = new Uint8Array(frames)
const content = Buffer.concat([text, random])

/** What `zstd -c` writes of a stream: a frame that does not tell its size. */
function streamed(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const { stdout } = Bun.spawnSync(['zstd', '-c', '--no-content-size'], { stdin: bytes })
  return new Uint8Array(stdout)
}

describe('decodeZstd()', () => {
  test('gives the content of all frames, also of those that do not tell their size', () => {
    expect(Buffer.compare(decodeZstd(whole, 10_000_000) ?? Buffer.of(), content)).toBe(0)
    expect(Buffer.compare(decodeZstd(streamed(text), 10_000_000) ?? Buffer.of(), text)).toBe(0)
    expect(decodeZstd(skipped, 0)).toHaveLength(0)
  })

  test('gives nothing of what could be more than the limit, whatever the frame says of itself', () => {
    expect(decodeZstd(whole, content.length - 1)).toBeUndefined()
    const zeros = streamed(new Uint8Array(50_000_000))
    expect(zeros.length).toBeLessThan(10_000)
    expect(decodeZstd(zeros, 49_000_000)).toBeUndefined()
    // One empty block, in a frame that claims to hold 2⁵⁰ bytes.
    const claims = new Uint8Array([0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0])
    expect(decodeZstd(claims, 1e9)).toBeUndefined()
  })

  test('gives nothing of data that is cut off, damaged, followed by other data or no zstd', () => {
    for (const cut of [1, 5, 12, 100, whole.length - 30_000, whole.length - 1])
      expect(decodeZstd(whole.slice(0, cut), 1e9)).toBeUndefined()
    expect(decodeZstd(new Uint8Array([...whole, 1, 2, 3, 4, 5]), 1e9)).toBeUndefined()
    expect(decodeZstd(Bun.gzipSync(text), 1e9)).toBeUndefined()
    const damaged = streamed(text)
    damaged[damaged.length - 1] = (damaged.at(-1) as number) ^ 1
    expect(decodeZstd(damaged, 1e9)).toBeUndefined()
  })
})
