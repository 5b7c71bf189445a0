import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { isCairnError } from '../errors/error.ts'
import type { ErrorCode } from '../errors/codes.ts'
import { digestOf } from '../oci/digest.ts'
import { collect } from '../streams/source.ts'
import type { BlobReader, BlobWriter } from './blobs.ts'

/** One place of blobs, as its contract suite opens it. */
export interface BlobStoreUnderTest {
  readonly reader: BlobReader
  readonly writer: BlobWriter
  /** Writes a file where {@link BlobWriter.adopt} may take it from, and gives its path. */
  writeFile(bytes: Uint8Array): string
  /** Names of files that are neither blobs nor the store's own. */
  leftovers(): string[]
  close(): void
}

/** What every store of blobs must do. */
export function blobStoreContract(name: string, open: () => BlobStoreUnderTest): void {
  describe(`${name} as a store of blobs`, () => {
    let store: BlobStoreUnderTest
    beforeEach(() => {
      store = open()
    })
    afterEach(() => store.close())

    const hello = new TextEncoder().encode('hello')
    const other = digestOf('other')

    test('put() makes a blob that can be read', async () => {
      const blob = await store.writer.put(hello)
      expect(blob).toEqual({ digest: digestOf('hello'), size: 5 })
      expect(store.reader.has(blob.digest)).toBe(true)
      expect(store.reader.size(blob.digest)).toBe(5)
      expect(store.reader.readAll(blob.digest, 5)).toEqual(hello)
    })

    test('put() of nothing makes the empty blob', async () => {
      const { digest } = await store.writer.put(new Uint8Array(0))
      expect(digest).toBe(digestOf(''))
      expect(store.reader.readAll(digest, 0)).toHaveLength(0)
      expect(await collect(store.reader.open(digest), 0, 'blob')).toHaveLength(0)
    })

    test('ingest() keeps a blob invisible until commit()', async () => {
      const ingest = store.writer.ingest()
      ingest.write(hello.subarray(0, 2))
      ingest.write(hello.subarray(2))
      expect(ingest.size).toBe(5)
      expect(store.reader.has(digestOf('hello'))).toBe(false)
      await ingest.commit()
      expect(store.reader.has(digestOf('hello'))).toBe(true)
      expect(store.leftovers()).toEqual([])
    })

    test('commit() of bytes that are there already yields the same blob', async () => {
      const first = await store.writer.put(hello)
      expect(await store.writer.put(hello)).toEqual(first)
      expect(store.leftovers()).toEqual([])
    })

    test('commit() takes and checks a sha512 digest', async () => {
      const digest = digestOf(hello, 'sha512')
      const ingest = store.writer.ingest({ digest, size: 5 })
      ingest.write(hello)
      expect(await ingest.commit()).toEqual({ digest, size: 5 })
      expect(store.reader.readAll(digest, 5)).toEqual(hello)
    })

    test('commit() fails with BLOB_CORRUPT when the digest is another', async () => {
      const ingest = store.writer.ingest({ digest: other })
      ingest.write(hello)
      await failsWith('BLOB_CORRUPT', () => ingest.commit())
      expect(store.reader.has(other)).toBe(false)
      expect(store.reader.has(digestOf('hello'))).toBe(false)
      expect(store.leftovers()).toEqual([])
    })

    test('commit() fails with BLOB_CORRUPT when bytes are missing', async () => {
      const ingest = store.writer.ingest({ digest: digestOf('hello'), size: 6 })
      ingest.write(hello)
      await failsWith('BLOB_CORRUPT', () => ingest.commit())
      expect(store.leftovers()).toEqual([])
    })

    test('write() fails with BLOB_CORRUPT at the first byte too many', async () => {
      const ingest = store.writer.ingest({ size: 4 })
      await failsWith('BLOB_CORRUPT', () => ingest.write(hello))
      expect(store.leftovers()).toEqual([])
    })

    test('abort() leaves nothing, and may come after commit()', async () => {
      const aborted = store.writer.ingest()
      aborted.write(hello)
      aborted.abort()
      aborted.abort()
      expect(store.reader.has(digestOf('hello'))).toBe(false)
      const committed = store.writer.ingest()
      committed.write(hello)
      await committed.commit()
      committed.abort()
      expect(store.reader.has(digestOf('hello'))).toBe(true)
      expect(store.leftovers()).toEqual([])
    })

    test('adopt() moves a file in', async () => {
      const path = store.writeFile(hello)
      await store.writer.adopt(path, { digest: digestOf('hello'), size: 5 })
      expect(store.reader.readAll(digestOf('hello'), 5)).toEqual(hello)
      expect(store.leftovers()).toEqual([])
    })

    test('adopt() fails with BLOB_CORRUPT when the file has another size', async () => {
      const path = store.writeFile(hello)
      await failsWith('BLOB_CORRUPT', () => store.writer.adopt(path, { digest: digestOf('hello'), size: 4 }))
      expect(store.reader.has(digestOf('hello'))).toBe(false)
      expect(store.leftovers()).toEqual([])
    })

    test('claim() tells whether a blob is there', async () => {
      expect(store.writer.claim(digestOf('hello'))).toBe(false)
      await store.writer.put(hello)
      expect(store.writer.claim(digestOf('hello'))).toBe(true)
    })

    test('open() gives the range that was asked for', async () => {
      const bytes = crypto.getRandomValues(new Uint8Array(60_000))
      const large = new Uint8Array(3_000_000)
      for (let at = 0; at < large.length; at += bytes.length) large.set(bytes, at)
      const { digest } = await store.writer.put(large)
      const whole = await collect(store.reader.open(digest), large.length, 'blob')
      expect(Buffer.compare(whole, large)).toBe(0)
      const part = await collect(store.reader.open(digest, { start: 999_999, end: 2_500_001 }), large.length, 'blob')
      expect(Buffer.compare(part, large.subarray(999_999, 2_500_001))).toBe(0)
      expect(await collect(store.reader.open(digest, { start: 2_999_999 }), 2, 'blob')).toHaveLength(1)
      expect(await collect(store.reader.open(digest, { start: 3_000_000 }), 1, 'blob')).toHaveLength(0)
      expect(await collect(store.reader.open(digest, { start: 2_999_998, end: 9_999_999 }), 2, 'blob')).toHaveLength(2)
    })

    test('open() and readAll() of an absent blob fail with BLOB_UNKNOWN', async () => {
      expect(store.reader.size(other)).toBeUndefined()
      await failsWith('BLOB_UNKNOWN', () => store.reader.readAll(other, 10))
      await failsWith('BLOB_UNKNOWN', () => collect(store.reader.open(other), 10, 'blob'))
    })

    test('readAll() of more than the limit fails with LIMIT_EXCEEDED', async () => {
      const { digest } = await store.writer.put(hello)
      await failsWith('LIMIT_EXCEEDED', () => store.reader.readAll(digest, 4))
    })

    test('readAll() of a blob damaged on disk fails with BLOB_CORRUPT', async () => {
      const { digest } = await store.writer.put(hello)
      await Bun.write(store.reader.path(digest), 'hellO')
      await failsWith('BLOB_CORRUPT', () => store.reader.readAll(digest, 5))
    })
  })
}

/** Expects `work` to fail with a CairnError of this code, at once or later, and gives the error. */
export async function failsWith(code: ErrorCode, work: () => unknown): Promise<Error> {
  try {
    await work()
  } catch (error) {
    expect(isCairnError(error) ? error.code : error).toBe(code)
    return error as Error
  }
  throw new Error(`did not fail with ${code}`)
}
