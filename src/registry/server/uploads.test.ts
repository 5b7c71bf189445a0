import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { digestOf } from '../../oci/digest.ts'
import { beginUpload, pushBlob, refusal, startTestRegistry, type TestRegistry } from './registry-fixtures.ts'

let registry: TestRegistry
beforeAll(() => {
  registry = startTestRegistry({ largestBlob: 20_000_000 })
})
afterAll(() => registry[Symbol.asyncDispose]())

const text = 'The quick brown fox jumps over the lazy dog'

for (const algorithm of ['sha256', 'sha512'] as const)
  describe(`uploads with ${algorithm}`, () => {
    const digest = digestOf(text, algorithm)

    async function expectBlob(response: Response, name: string): Promise<void> {
      expect(response.status).toBe(201)
      expect(response.headers.get('docker-content-digest')).toBe(digest)
      const location = response.headers.get('location') ?? ''
      expect(location).toBe(`/v2/${name}/blobs/${digest}`)
      const blob = await registry.fetch(location)
      expect(blob.headers.get('docker-content-digest')).toBe(digest)
      expect(await blob.text()).toBe(text)
    }

    test('POST with a digest takes the blob at once', async () => {
      const name = `post/${algorithm}`
      const path = `/v2/${name}/blobs/uploads/?digest=${digest}`
      await expectBlob(await registry.fetch(path, { method: 'POST', body: text }), name)
    })

    test('POST and PUT', async () => {
      const name = `put/${algorithm}`
      const location = await beginUpload(registry, name)
      await expectBlob(await registry.fetch(`${location}?digest=${digest}`, { method: 'PUT', body: text }), name)
    })

    test('POST, a stream by PATCH and PUT', async () => {
      const name = `stream/${algorithm}`
      const location = await beginUpload(registry, name, `?digest-algorithm=${algorithm}`)
      const body = new ReadableStream({
        start(controller) {
          for (const word of text.split(/(?<= )/)) controller.enqueue(new TextEncoder().encode(word))
          controller.close()
        },
      })
      const patched = await registry.fetch(location, { method: 'PATCH', body })
      expect(patched.status).toBe(202)
      expect(patched.headers.get('range')).toBe(`0-${text.length - 1}`)
      const next = patched.headers.get('location') ?? ''
      await expectBlob(await registry.fetch(`${next}?digest=${digest}`, { method: 'PUT' }), name)
    })

    test('chunks, the last one in the PUT, after one that was out of order', async () => {
      const name = `chunks/${algorithm}`
      const location = await beginUpload(registry, name)
      const send = (method: string, start: number, end: number, query = '') =>
        registry.fetch(location + query, {
          method,
          body: text.slice(start, end),
          headers: { 'content-range': `${start}-${end - 1}` },
        })
      expect((await send('PATCH', 0, 10)).headers.get('range')).toBe('0-9')
      const skipped = await send('PATCH', 20, 30)
      expect(skipped.headers.get('range')).toBe('0-9')
      expect(await refusal(skipped)).toEqual({ status: 416, code: 'BLOB_UPLOAD_INVALID' })
      expect((await send('PATCH', 0, 10)).status).toBe(416)
      expect((await send('PUT', 30, text.length, `?digest=${digest}`)).status).toBe(416)
      const status = await registry.fetch(location)
      expect(status.status).toBe(204)
      expect(status.headers.get('range')).toBe('0-9')
      expect(status.headers.get('location')).toBe(location)
      expect((await send('PATCH', 10, 30)).headers.get('range')).toBe('0-29')
      await expectBlob(await send('PUT', 30, text.length, `?digest=${digest}`), name)
      expect((await registry.fetch(location)).status).toBe(404)
    })

    test('the wrong bytes end the upload', async () => {
      const location = await beginUpload(registry, 'wrong')
      const put = await registry.fetch(`${location}?digest=${digest}`, { method: 'PUT', body: `${text}.` })
      expect(await refusal(put)).toEqual({ status: 400, code: 'DIGEST_INVALID' })
      expect(await refusal(await registry.fetch(location))).toEqual({ status: 404, code: 'BLOB_UPLOAD_UNKNOWN' })
      const post = await registry.fetch(`/v2/wrong/blobs/uploads/?digest=${digest}`, { method: 'POST', body: 'x' })
      expect(await refusal(post)).toEqual({ status: 400, code: 'DIGEST_INVALID' })
      expect((await registry.fetch(`/v2/wrong/blobs/${digest}`)).status).toBe(404)
    })
  })

describe('uploads', () => {
  test('the empty blob, by PUT and by POST', async () => {
    const digest = digestOf('')
    const location = await beginUpload(registry, 'empty')
    expect((await registry.fetch(`${location}?digest=${digest}`, { method: 'PUT' })).status).toBe(201)
    const response = await registry.fetch(`/v2/empty/blobs/uploads/?digest=${digest}`, { method: 'POST' })
    expect(response.status).toBe(201)
    const head = await registry.fetch(`/v2/empty/blobs/${digest}`, { method: 'HEAD' })
    expect(head.headers.get('content-length')).toBe('0')
  })

  test('POST with a digest and no body begins an upload', async () => {
    const path = `/v2/begin/blobs/uploads/?digest=${digestOf('x')}`
    expect((await registry.fetch(path, { method: 'POST' })).status).toBe(202)
  })

  test('DELETE ends one', async () => {
    const location = await beginUpload(registry, 'cancel')
    expect((await registry.fetch(location, { method: 'DELETE' })).status).toBe(204)
    expect((await registry.fetch(location, { method: 'DELETE' })).status).toBe(404)
    expect((await registry.fetch(location, { method: 'PATCH', body: 'x' })).status).toBe(404)
  })

  test.each(['nonsense', '5-2', '-1-3', '0-', 'bytes 0-1-2', '0-99999999999999999999'])(
    'Content-Range %p is refused',
    async (range) => {
      const location = await beginUpload(registry, 'range')
      const headers = { 'content-range': range }
      const response = await registry.fetch(location, { method: 'PATCH', body: 'x', headers })
      expect(await refusal(response)).toEqual({ status: 400, code: 'BLOB_UPLOAD_INVALID' })
      expect((await registry.fetch(location)).status).toBe(204)
    },
  )

  test('a chunk of another length than its range is refused and taken back', async () => {
    const location = await beginUpload(registry, 'length')
    const headers = { 'content-range': '0-9' }
    const patch = (body: string | ReadableStream) => registry.fetch(location, { method: 'PATCH', body, headers })
    expect(await refusal(await patch('12345'))).toEqual({ status: 400, code: 'SIZE_INVALID' })
    for (const length of [5, 15]) {
      const stream = new ReadableStream({
        start(controller) {
          controller.enqueue(new Uint8Array(length))
          controller.close()
        },
      })
      expect(await refusal(await patch(stream))).toEqual({ status: 400, code: 'SIZE_INVALID' })
    }
    expect((await patch('1234567890')).status).toBe(202)
    const put = await registry.fetch(`${location}?digest=${digestOf('1234567890')}`, { method: 'PUT' })
    expect(put.status).toBe(201)
  })

  test.each([
    ['PUT', '', 'DIGEST_INVALID'],
    ['PUT', '?digest=sha256:abc', 'DIGEST_INVALID'],
    ['PUT', `?digest=md5:${'0'.repeat(32)}`, 'DIGEST_INVALID'],
  ])('%s with %p is refused and leaves the upload', async (method, query, code) => {
    const location = await beginUpload(registry, 'digest')
    expect(await refusal(await registry.fetch(location + query, { method, body: 'x' }))).toEqual({ status: 400, code })
    expect((await registry.fetch(location)).status).toBe(204)
  })

  test('an unknown digest-algorithm is refused', async () => {
    const response = await registry.fetch('/v2/a/blobs/uploads/?digest-algorithm=md5', { method: 'POST' })
    expect(await refusal(response)).toEqual({ status: 400, code: 'DIGEST_INVALID' })
  })

  test('an upload is known in its repository only', async () => {
    const location = await beginUpload(registry, 'mine')
    const elsewhere = location.replace('/mine/', '/yours/')
    for (const method of ['GET', 'PATCH', 'DELETE'])
      expect((await registry.fetch(elsewhere, { method })).status).toBe(404)
    expect((await registry.fetch(location.replace(/[^/]+$/, '..%2F..%2Fcairn.db'))).status).toBe(404)
  })

  test('a blob larger than is accepted is refused', async () => {
    const location = await beginUpload(registry, 'large')
    const response = await registry.fetch(location, { method: 'PATCH', body: new Uint8Array(20_000_001) })
    expect(await refusal(response)).toEqual({ status: 413, code: 'SIZE_INVALID' })
  })

  test('mount gives a blob of another repository, named or not', async () => {
    const digest = await pushBlob(registry, 'mount/from', 'to be mounted')
    const mount = (name: string, query: string) =>
      registry.fetch(`/v2/${name}/blobs/uploads/?${query}`, { method: 'POST' })
    const named = await mount('mount/to', `mount=${digest}&from=mount/from`)
    expect(named.status).toBe(201)
    expect(named.headers.get('location')).toBe(`/v2/mount/to/blobs/${digest}`)
    expect(await (await registry.fetch(`/v2/mount/to/blobs/${digest}`)).text()).toBe('to be mounted')
    expect((await mount('mount/any', `mount=${digest}`)).status).toBe(201)
    for (const query of [
      `mount=${digest}&from=mount/nowhere`,
      `mount=${digest}&from=../from`,
      `mount=${digestOf('nowhere')}`,
      `mount=${digestOf('nowhere')}&from=mount/from`,
    ])
      expect((await mount('mount/not', query)).status).toBe(202)
    expect((await registry.fetch(`/v2/mount/not/blobs/${digest}`)).status).toBe(404)
    expect(await refusal(await mount('mount/to', 'mount=sha256:abc'))).toEqual({ status: 400, code: 'DIGEST_INVALID' })
  })
})

describe('uploads that break off', () => {
  test('tell how far they got once the last bytes are written', async () => {
    const location = await beginUpload(registry, 'status')
    let status: Promise<Response> | undefined
    const body = new ReadableStream({
      async start(controller) {
        controller.enqueue(new TextEncoder().encode('first '))
        await Bun.sleep(100)
        status = registry.fetch(location)
        await Bun.sleep(100)
        controller.enqueue(new TextEncoder().encode('last'))
        controller.close()
      },
    })
    expect((await registry.fetch(location, { method: 'PATCH', body })).status).toBe(202)
    expect((await status)?.headers.get('range')).toBe('0-9')
  })

  test('two writers at once come one after the other', async () => {
    const location = await beginUpload(registry, 'writers')
    const send = (start: number, end: number) =>
      registry.fetch(location, {
        method: 'PATCH',
        body: text.slice(start, end),
        headers: { 'content-range': `${start}-${end - 1}` },
      })
    const statuses = await Promise.all(Array.from({ length: 10 }, async () => (await send(0, 20)).status))
    expect(statuses.toSorted()).toEqual([202, ...Array.from({ length: 9 }, () => 416)])
    expect((await send(20, text.length)).status).toBe(202)
    expect((await registry.fetch(`${location}?digest=${digestOf(text)}`, { method: 'PUT' })).status).toBe(201)
  })

  test('go on after the server was started again', async () => {
    const root = mkdtempSync(join(tmpdir(), 'cairn-registry-'))
    try {
      let location: string
      {
        await using first = startTestRegistry({}, root)
        location = await beginUpload(first, 'r')
        await first.fetch(location, { method: 'PATCH', body: text.slice(0, 20) })
      }
      await using second = startTestRegistry({}, root)
      expect((await second.fetch(location)).headers.get('range')).toBe('0-19')
      const headers = { 'content-range': `20-${text.length - 1}` }
      const rest = await second.fetch(location, { method: 'PATCH', body: text.slice(20), headers })
      expect(rest.status).toBe(202)
      const put = await second.fetch(`${location}?digest=${digestOf(text)}`, { method: 'PUT' })
      expect(put.status).toBe(201)
    } finally {
      rmSync(root, { recursive: true, force: true })
    }
  })

  test('keep what came before the connection was cut, and go on from there', async () => {
    const bytes = new Uint8Array(4_000_000).map((_, index) => index % 251)
    const location = await beginUpload(registry, 'cut')
    const cut = new AbortController()
    const body = new ReadableStream({
      async pull(controller) {
        controller.enqueue(bytes.subarray(0, 1_000_000))
        await Bun.sleep(100)
        cut.abort()
      },
    })
    await expect(registry.fetch(location, { method: 'PATCH', body, signal: cut.signal })).rejects.toThrow()
    let size = 0
    for (let tries = 0; tries < 100 && size === 0; tries++) {
      const range = (await registry.fetch(location)).headers.get('range') ?? '0-0'
      size = Number(range.slice(2)) === 0 ? 0 : Number(range.slice(2)) + 1
      await Bun.sleep(10)
    }
    expect(size).toBeGreaterThan(0)
    const headers = { 'content-range': `${size}-${bytes.length - 1}` }
    const rest = await registry.fetch(location, { method: 'PATCH', body: bytes.subarray(size), headers })
    expect(rest.status).toBe(202)
    const put = await registry.fetch(`${location}?digest=${digestOf(bytes)}`, { method: 'PUT' })
    expect(put.status).toBe(201)
  })
})
