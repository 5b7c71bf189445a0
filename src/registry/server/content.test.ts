import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type Digest, digestOf } from '../../oci/digest.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import {
  imageManifest,
  pushBlob,
  putManifest,
  refusal,
  startTestRegistry,
  type TestRegistry,
} from './registry-fixtures.ts'

let registry: TestRegistry
beforeAll(() => {
  registry = startTestRegistry()
})
afterAll(() => registry[Symbol.asyncDispose]())

const unknownDigest = digestOf('nothing has this')

describe('blobs', () => {
  const text = '0123456789'.repeat(200)
  let digest: Digest
  const path = () => `/v2/blobs/blobs/${digest}`
  beforeAll(async () => {
    digest = await pushBlob(registry, 'blobs', text)
  })

  test('GET and HEAD give length, digest and how long it may be kept', async () => {
    for (const method of ['GET', 'HEAD']) {
      const response = await registry.fetch(path(), { method })
      expect(response.status).toBe(200)
      expect(Object.fromEntries(response.headers)).toMatchObject({
        'accept-ranges': 'bytes',
        'cache-control': 'private, max-age=31536000, immutable',
        'content-length': '2000',
        'content-type': 'application/octet-stream',
        'docker-content-digest': digest,
        'docker-distribution-api-version': 'registry/2.0',
        etag: `"${digest}"`,
      })
      expect(await response.text()).toBe(method === 'GET' ? text : '')
    }
  })

  test('a client that has it gets 304', async () => {
    for (const tag of [`"${digest}"`, `W/"${digest}"`, `"other", "${digest}"`, '*'])
      expect((await registry.fetch(path(), { headers: { 'if-none-match': tag } })).status).toBe(304)
    expect((await registry.fetch(path(), { headers: { 'if-none-match': '"other"' } })).status).toBe(200)
  })

  test.each([
    ['bytes=0-0', 0, 1],
    ['bytes=500-1499', 500, 1500],
    ['bytes=500-', 500, 2000],
    ['bytes=-500', 1500, 2000],
    ['bytes=-99999', 0, 2000],
    ['bytes=1999-99999', 1999, 2000],
  ])('Range %s', async (range, start, end) => {
    const response = await registry.fetch(path(), { headers: { range } })
    expect(response.status).toBe(206)
    expect(response.headers.get('content-range')).toBe(`bytes ${start}-${end - 1}/2000`)
    expect(response.headers.get('content-length')).toBe(String(end - start))
    expect(await response.text()).toBe(text.slice(start, end))
  })

  test.each(['bytes=2000-', 'bytes=5000-10000', 'bytes=500-0', 'bytes=-0', 'bytes=-', 'bytes=--1', 'bytes=a-b'])(
    'Range %s cannot be served',
    async (range) => {
      const response = await registry.fetch(path(), { headers: { range } })
      expect(response.headers.get('content-range')).toBe('bytes */2000')
      expect((await refusal(response)).status).toBe(416)
    },
  )

  test('several ranges come in the order of the request, each with its place', async () => {
    const response = await registry.fetch(path(), { headers: { range: 'bytes=0-9, 1500-1509,-5' } })
    expect(response.status).toBe(206)
    const boundary = /^multipart\/byteranges; boundary=(\w+)$/.exec(response.headers.get('content-type') ?? '')?.[1]
    const part = (start: number, end: number): string =>
      `\r\n--${boundary}\r\nContent-Type: application/octet-stream\r\n` +
      `Content-Range: bytes ${start}-${end - 1}/2000\r\n\r\n${text.slice(start, end)}`
    expect(await response.text()).toBe(`${part(0, 10)}${part(1500, 1510)}${part(1995, 2000)}\r\n--${boundary}--\r\n`)
  })

  test('other units, ranges that cannot all be served or cost too much, and of other content give all of it', async () => {
    for (const headers of [
      { range: 'lines=1-2' },
      { range: 'bytes=0-1,5000-6000' },
      { range: 'bytes=0-1,x' },
      { range: 'bytes=0-,0-' },
      { range: `bytes=${Array.from({ length: 1500 }, () => '1-1').join(',')}` },
      { range: 'bytes=0-1', 'if-range': '"other"' },
    ])
      expect((await registry.fetch(path(), { headers })).status).toBe(200)
    const headers = { range: 'bytes=0-1', 'if-range': `"${digest}"` }
    expect((await registry.fetch(path(), { headers })).status).toBe(206)
  })

  test('what is not there is 404, of the repository or in it', async () => {
    expect(await refusal(await registry.fetch(`/v2/blobs/blobs/${unknownDigest}`))).toEqual({
      status: 404,
      code: 'BLOB_UNKNOWN',
    })
    expect(await refusal(await registry.fetch(`/v2/nobody/blobs/${digest}`))).toEqual({
      status: 404,
      code: 'NAME_UNKNOWN',
    })
    const head = await registry.fetch(`/v2/blobs/blobs/${unknownDigest}`, { method: 'HEAD' })
    expect(head.status).toBe(404)
  })

  test('DELETE takes it from its repository and frees the disk', async () => {
    const gone = await pushBlob(registry, 'blobs', 'to be deleted')
    expect(registry.store.blobs.has(gone)).toBe(true)
    expect((await registry.fetch(`/v2/blobs/blobs/${gone}`, { method: 'DELETE' })).status).toBe(202)
    expect((await registry.fetch(`/v2/blobs/blobs/${gone}`, { method: 'DELETE' })).status).toBe(404)
    expect((await registry.fetch(`/v2/blobs/blobs/${gone}`)).status).toBe(404)
    expect(registry.store.blobs.has(gone)).toBe(false)
  })

  test('a pull goes to its end when the blob is deleted meanwhile', async () => {
    const bytes = new Uint8Array(30_000_000).fill(42)
    const large = await pushBlob(registry, 'blobs', bytes)
    const response = await registry.fetch(`/v2/blobs/blobs/${large}`)
    expect((await registry.fetch(`/v2/blobs/blobs/${large}`, { method: 'DELETE' })).status).toBe(202)
    expect(digestOf(await response.bytes())).toBe(large)
  })
})

describe('manifests', () => {
  test('are served byte for byte, with unknown fields, by tag and both kinds of digest', async () => {
    const { text } = imageManifest({ 'x-custom': { a: [1, 2.5, null] }, annotations: { ü: '\u2028' } })
    for (const algorithm of ['sha256', 'sha512'] as const) {
      const digest = digestOf(text, algorithm)
      const pushed = await putManifest(registry, 'm', `${digest}?tag=${algorithm}&tag=both-${algorithm}`, text)
      expect(pushed.status).toBe(201)
      expect(pushed.headers.get('docker-content-digest')).toBe(digest)
      expect(pushed.headers.get('oci-tag')).toBe(`${algorithm}, both-${algorithm}`)
      expect(pushed.headers.get('location')).toBe(`/v2/m/manifests/${digest}`)
      for (const reference of [digest, algorithm, `both-${algorithm}`]) {
        const response = await registry.fetch(`/v2/m/manifests/${reference}`)
        expect(response.headers.get('content-type')).toBe(mediaTypes.ociManifest)
        expect(response.headers.get('docker-content-digest')).toBe(digest)
        expect(response.headers.get('content-length')).toBe(String(Buffer.byteLength(text)))
        expect(await response.text()).toBe(text)
        const head = await registry.fetch(`/v2/m/manifests/${reference}`, { method: 'HEAD' })
        expect(head.headers.get('content-length')).toBe(String(Buffer.byteLength(text)))
        expect(head.headers.get('docker-content-digest')).toBe(digest)
      }
    }
  })

  test('a tag may be asked for again at any time, a digest never changes', async () => {
    const { text, digest } = imageManifest()
    await putManifest(registry, 'cached', 't', text)
    const byTag = await registry.fetch('/v2/cached/manifests/t')
    expect(byTag.headers.get('cache-control')).toBe('no-cache')
    const byDigest = await registry.fetch(`/v2/cached/manifests/${digest}`)
    expect(byDigest.headers.get('cache-control')).toContain('immutable')
    const headers = { 'if-none-match': byTag.headers.get('etag') ?? '' }
    expect((await registry.fetch('/v2/cached/manifests/t', { headers })).status).toBe(304)
    await putManifest(registry, 'cached', 't', imageManifest({ annotations: { v: '2' } }).text)
    expect((await registry.fetch('/v2/cached/manifests/t', { headers })).status).toBe(200)
  })

  test('If-Match and If-None-Match decide whether a tag moves', async () => {
    const one = imageManifest({ annotations: { v: '1' } })
    const two = imageManifest({ annotations: { v: '2' } })
    const put = (text: string, headers: Record<string, string>) => putManifest(registry, 'if', 't', text, headers)
    expect((await put(one.text, { 'if-none-match': '*' })).status).toBe(201)
    expect((await put(two.text, { 'if-none-match': '*' })).status).toBe(412)
    expect((await put(two.text, { 'if-match': `"${two.digest}"` })).status).toBe(412)
    expect((await put(two.text, { 'if-match': `"${one.digest}"` })).status).toBe(201)
    expect((await put(two.text, { 'if-none-match': '"x"' })).status).toBe(400)
  })

  test('of 4 MB are taken, and larger ones refused with 413, streamed too', async () => {
    const pad = (size: number) => imageManifest({ annotations: { pad: 'x'.repeat(size) } }).text
    expect((await putManifest(registry, 'big', 't', pad(4_000_000))).status).toBe(201)
    expect((await registry.fetch('/v2/big/manifests/t')).headers.get('content-length')).toBe(
      String(pad(4_000_000).length),
    )
    const tooLarge = pad(5_000_000)
    expect((await putManifest(registry, 'big', 't', tooLarge)).status).toBe(413)
    const body = new Blob([tooLarge]).stream()
    const streamed = await registry.fetch('/v2/big/manifests/t', { method: 'PUT', body })
    expect(await refusal(streamed)).toEqual({ status: 413, code: 'MANIFEST_INVALID' })
  })

  test.each([
    ['nothing', ''],
    ['no JSON', '{'],
    ['a list', '[]'],
    ['no schemaVersion', '{"mediaType":"application/vnd.oci.image.manifest.v1+json"}'],
    ['layers and manifests', imageManifest({ manifests: [] }).text],
    ['another mediaType', imageManifest({ mediaType: mediaTypes.ociIndex }).text],
    ['a key twice', imageManifest().text.replace('"layers":[]', '"layers":[],"layers":[]')],
    ['a key in other case', imageManifest({ Layers: [] }).text],
    ['a digest that is a path', imageManifest({ layers: [{ ...layer('x'), digest: 'sha256:../../../x' }] }).text],
    ['a negative size', imageManifest({ layers: [{ ...layer('x'), size: -1 }] }).text],
    ['data that is something else', imageManifest({ layers: [{ ...layer('x'), data: btoa('y') }] }).text],
    ['data that is no base64', imageManifest({ layers: [{ ...layer('x'), data: '***' }] }).text],
    ['a subject without size', imageManifest({ subject: { ...layer('x'), size: undefined } }).text],
    ['deep JSON', imageManifest().text.replace('[]', '['.repeat(100_000) + ']'.repeat(100_000))],
    ['an escape that JSON does not have', imageManifest({ a: 'ÿ' }).text.replace('ÿ', '\\xff')],
  ])('%s is refused', async (_, text) => {
    const response = await putManifest(registry, 'invalid', 't', text)
    expect(await refusal(response)).toEqual({ status: 400, code: 'MANIFEST_INVALID' })
    expect((await registry.fetch('/v2/invalid/manifests/t')).status).toBe(404)
  })

  test('the wrong size of a blob that is there is refused', async () => {
    const digest = await pushBlob(registry, 'sizes', 'layer')
    for (const size of [4, 6]) {
      const { text } = imageManifest({ layers: [{ mediaType: mediaTypes.ociLayerTar, digest, size }] })
      expect(await refusal(await putManifest(registry, 'sizes', 't', text))).toEqual({
        status: 400,
        code: 'MANIFEST_INVALID',
      })
    }
  })

  test('a Content-Type with parameters counts without them; without one the mediaType does', async () => {
    const { text } = imageManifest()
    const typed = { 'content-type': `${mediaTypes.ociManifest}; charset=utf-8` }
    expect((await putManifest(registry, 'types', 'a', text, typed)).status).toBe(201)
    expect((await registry.fetch('/v2/types/manifests/a')).headers.get('content-type')).toBe(mediaTypes.ociManifest)
    const untyped = await registry.fetch('/v2/types/manifests/b', { method: 'PUT', body: new Blob([text]) })
    expect(untyped.status).toBe(201)
    const other = await putManifest(registry, 'types', 'c', text, { 'content-type': 'text/plain' })
    expect(await refusal(other)).toEqual({ status: 400, code: 'MANIFEST_INVALID' })
  })

  test('a digest that the bytes do not have, or that is none, is refused', async () => {
    const { text } = imageManifest()
    for (const reference of [unknownDigest, 'sha256:baddigeststring', 'sha256:', 'md5:00'])
      expect(await refusal(await putManifest(registry, 'bad', reference, text))).toEqual({
        status: 400,
        code: 'DIGEST_INVALID',
      })
    for (const method of ['GET', 'HEAD', 'DELETE'])
      expect((await registry.fetch('/v2/bad/manifests/sha256:baddigeststring', { method })).status).toBe(400)
    expect((await putManifest(registry, 'bad', '-no-tag', text)).status).toBe(400)
    expect((await putManifest(registry, 'bad', 'x'.repeat(129), text)).status).toBe(400)
    expect((await putManifest(registry, 'bad', `t?tag=u`, text)).status).toBe(400)
    const tags = Array.from({ length: 101 }, (_, index) => `tag=t${index}`).join('&')
    expect((await putManifest(registry, 'bad', `${digestOf(text)}?${tags}`, text)).status).toBe(414)
  })

  test('DELETE of a tag leaves the manifest, of a manifest takes all tags', async () => {
    const { text, digest } = imageManifest()
    await putManifest(registry, 'delete', `${digest}?tag=a&tag=b`, text)
    expect((await registry.fetch('/v2/delete/manifests/a', { method: 'DELETE' })).status).toBe(202)
    expect(await refusal(await registry.fetch('/v2/delete/manifests/a'))).toEqual({
      status: 404,
      code: 'MANIFEST_UNKNOWN',
    })
    expect((await registry.fetch(`/v2/delete/manifests/${digest}`)).status).toBe(200)
    expect((await registry.fetch(`/v2/delete/manifests/${digest}`, { method: 'DELETE' })).status).toBe(202)
    expect((await registry.fetch('/v2/delete/manifests/b')).status).toBe(404)
    expect((await registry.fetch('/v2/delete/tags/list')).status).toBe(200)
    expect(await refusal(await registry.fetch('/v2/never/manifests/x', { method: 'DELETE' }))).toEqual({
      status: 404,
      code: 'NAME_UNKNOWN',
    })
  })
})

describe('lists', () => {
  const tags = ['V1', '_x', 'a', 'b', 'c', 'latest', 'v1', 'v10', 'v2']
  beforeAll(async () => {
    const { text, digest } = imageManifest()
    await putManifest(registry, 'tags/x', `${digest}?${tags.map((tag) => `tag=${tag}`).join('&')}`, text)
  })

  async function list(path: string): Promise<{ readonly tags: string[]; readonly next: string | undefined }> {
    const response = await registry.fetch(path)
    expect(response.status).toBe(200)
    const { tags: found } = (await response.json()) as { tags: string[] }
    return { tags: found, next: /^<(.*)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1] }
  }

  test('tags are in the order of bytes', async () => {
    expect(await list('/v2/tags/x/tags/list')).toEqual({ tags, next: undefined })
  })

  test('pages lead from one to the next, and their union is the whole', async () => {
    for (const n of [1, 2, 4, 8, 9, 100]) {
      const seen: string[] = []
      for (let path: string | undefined = `/v2/tags/x/tags/list?n=${n}`; path !== undefined;) {
        const page = await list(path)
        expect(page.tags.length).toBeLessThanOrEqual(n)
        seen.push(...page.tags)
        path = page.next
      }
      expect(seen).toEqual(tags)
    }
  })

  test('n=0 is an empty list without a link, last need not exist', async () => {
    expect(await list('/v2/tags/x/tags/list?n=0')).toEqual({ tags: [], next: undefined })
    expect(await list('/v2/tags/x/tags/list?last=b')).toEqual({ tags: tags.slice(4), next: undefined })
    expect(await list('/v2/tags/x/tags/list?last=bb&n=1')).toMatchObject({ tags: ['c'] })
    expect(await list('/v2/tags/x/tags/list?last=zzz')).toEqual({ tags: [], next: undefined })
    expect((await list('/v2/tags/x/tags/list?n=999999999999')).tags).toEqual(tags)
  })

  test.each(['-1', 'x', '1.5', '1e3', '99999999999999999999'])('n=%s is refused', async (n) => {
    expect((await registry.fetch(`/v2/tags/x/tags/list?n=${n}`)).status).toBe(400)
    expect((await registry.fetch(`/v2/_catalog?n=${n}`)).status).toBe(400)
  })

  test('the catalog pages too', async () => {
    const all = (await (await registry.fetch('/v2/_catalog')).json()) as { repositories: string[] }
    expect(all.repositories).toContain('tags/x')
    expect(all.repositories).toEqual(all.repositories.toSorted())
    const page = await registry.fetch('/v2/_catalog?n=2')
    expect(((await page.json()) as typeof all).repositories).toEqual(all.repositories.slice(0, 2))
    expect(page.headers.get('link')).toContain('rel="next"')
  })

  test('HEAD is as GET, without a body', async () => {
    for (const path of ['/v2/', '/v2/_catalog', '/v2/tags/x/tags/list', `/v2/tags/x/referrers/${unknownDigest}`]) {
      const [get, head] = [await registry.fetch(path), await registry.fetch(path, { method: 'HEAD' })]
      expect(head.status).toBe(200)
      expect(head.headers.get('content-length')).toBe(String((await get.bytes()).length))
      expect(head.headers.get('content-type')).toBe(get.headers.get('content-type'))
      expect(await head.text()).toBe('')
    }
  })

  test('tags of a repository that is not there are 404', async () => {
    expect(await refusal(await registry.fetch('/v2/never/tags/list'))).toEqual({ status: 404, code: 'NAME_UNKNOWN' })
  })
})

describe('referrers', () => {
  test('are told with type and annotations, filtered, also of a subject that is not there', async () => {
    const subject = { mediaType: mediaTypes.ociManifest, digest: digestOf('subject'), size: 7 }
    const path = `/v2/ref/referrers/${subject.digest}`
    const empty = await registry.fetch(path)
    expect(empty.headers.get('content-type')).toBe(mediaTypes.ociIndex)
    expect(await empty.json()).toEqual({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] })
    const signature = imageManifest({ subject, artifactType: 'x/sig', annotations: { a: 'b' } })
    const plain = imageManifest({ subject })
    for (const { text } of [signature, plain]) {
      const pushed = await putManifest(registry, 'ref', digestOf(text), text)
      expect(pushed.headers.get('oci-subject')).toBe(subject.digest)
    }
    const index = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [], subject })
    await putManifest(registry, 'ref', 'index', index, { 'content-type': mediaTypes.ociIndex })
    const all = (await (await registry.fetch(path)).json()) as { manifests: { digest: string }[] }
    const byDigest = (one: { digest: string }, two: { digest: string }) => (one.digest < two.digest ? -1 : 1)
    const descriptor = (text: string, mediaType: string = mediaTypes.ociManifest) => ({
      mediaType,
      digest: digestOf(text),
      size: text.length,
    })
    expect(all.manifests).toEqual(
      [
        { ...descriptor(signature.text), artifactType: 'x/sig', annotations: { a: 'b' } },
        { ...descriptor(plain.text), artifactType: mediaTypes.ociEmpty },
        descriptor(index, mediaTypes.ociIndex),
      ].toSorted(byDigest),
    )
    const filtered = await registry.fetch(`${path}?artifactType=x/sig`)
    expect(filtered.headers.get('oci-filters-applied')).toBe('artifactType')
    expect(((await filtered.json()) as typeof all).manifests.map(({ digest }) => digest)).toEqual([signature.digest])
    await registry.fetch(`/v2/ref/manifests/${signature.digest}`, { method: 'DELETE' })
    expect(((await (await registry.fetch(path)).json()) as typeof all).manifests).toHaveLength(2)
    expect((await registry.fetch('/v2/ref/referrers/sha256:bad')).status).toBe(400)
  })

  test('come in pages where they do not fit into one index', async () => {
    const subject = { mediaType: mediaTypes.ociManifest, digest: digestOf('much'), size: 4 }
    const digests: string[] = []
    for (let index = 0; index < 5; index++) {
      const { text, digest } = imageManifest({ subject, annotations: { pad: String(index).repeat(1_500_000) } })
      expect((await putManifest(registry, 'pages', digest, text)).status).toBe(201)
      digests.push(digest)
    }
    const seen: string[] = []
    let pages = 0
    for (let path: string | undefined = `/v2/pages/referrers/${subject.digest}`; path !== undefined; pages++) {
      const response = await registry.fetch(path)
      const body = await response.text()
      expect(body.length).toBeLessThan(4 * 1024 * 1024)
      seen.push(...(JSON.parse(body) as { manifests: { digest: string }[] }).manifests.map(({ digest }) => digest))
      path = /^<(.*)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1]
    }
    expect(pages).toBe(3)
    expect(seen).toEqual(digests.toSorted())
  })
})

describe('settings', () => {
  test('what is read-only can be pulled and not changed', async () => {
    await using readOnly = startTestRegistry({ isReadOnly: true })
    const { text } = imageManifest()
    expect((await readOnly.fetch('/v2/')).status).toBe(200)
    expect(await refusal(await putManifest(readOnly, 'a', 't', text))).toEqual({ status: 405, code: 'UNSUPPORTED' })
    expect((await readOnly.fetch('/v2/a/blobs/uploads/', { method: 'POST' })).status).toBe(405)
    expect((await readOnly.fetch(`/v2/a/blobs/${unknownDigest}`, { method: 'DELETE' })).status).toBe(405)
  })

  test('deletion can be switched off; uploads can still be ended', async () => {
    await using keeping = startTestRegistry({ isDeleteEnabled: false })
    const { text } = imageManifest()
    await putManifest(keeping, 'a', 't', text)
    for (const path of ['/v2/a/manifests/t', `/v2/a/manifests/${digestOf(text)}`, `/v2/a/blobs/${unknownDigest}`])
      expect((await keeping.fetch(path, { method: 'DELETE' })).status).toBe(405)
    const begun = await keeping.fetch('/v2/a/blobs/uploads/', { method: 'POST' })
    const ended = await keeping.fetch(begun.headers.get('location') ?? '', { method: 'DELETE' })
    expect(ended.status).toBe(204)
  })

  test('manifests that name missing content can be refused', async () => {
    await using strict = startTestRegistry({ missingContent: 'refuse' })
    const { text } = imageManifest()
    const refused = await putManifest(strict, 'a', 't', text)
    expect(await refusal(refused)).toEqual({ status: 404, code: 'MANIFEST_BLOB_UNKNOWN' })
    await pushBlob(strict, 'a', '{}')
    expect((await putManifest(strict, 'a', 't', text)).status).toBe(201)
    const mediaType = 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip'
    const foreign = imageManifest({ layers: [{ ...layer('elsewhere'), mediaType, urls: ['https://example.com/x'] }] })
    expect((await putManifest(strict, 'a', 'u', foreign.text)).status).toBe(201)
  })
})

function layer(text: string): { readonly mediaType: string; readonly digest: Digest; readonly size: number } {
  return { mediaType: mediaTypes.ociLayerTar, digest: digestOf(text), size: text.length }
}
