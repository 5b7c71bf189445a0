import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startS3Server } from '../../../test/fixtures/s3-server.ts'
import { openStore, type Store } from '../../content/store.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import { serializeManifest } from '../../oci/manifest.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { ScriptedRegistry } from '../client/scripted-registry.ts'
import { localStorage } from '../storage/local-storage.ts'
import type { RegistryStorage } from '../storage/registry-storage.ts'
import { createBucket } from '../../object-storage/s3-fixtures.ts'
import { openS3Storage } from '../storage/s3/s3-storage.ts'
import { push, put, testManifest } from '../storage/storage-fixtures.ts'
import { cachedStorage } from './cached-storage.ts'
import type { UpstreamOptions } from './upstream.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

const cleanups: (() => void | Promise<void>)[] = []
let upstream: ScriptedRegistry
let counts: Map<string, number>
let store: Store

beforeEach(() => {
  upstream = new ScriptedRegistry()
  counts = new Map()
  store = openStore(mkdtempSync(join(tmpdir(), 'cairn-cache-')))
  cleanups.push(
    () => rmSync(store.root, { recursive: true, force: true }),
    () => store.close(),
    () => upstream[Symbol.dispose](),
  )
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function cacheOn(storage: RegistryStorage, options: Partial<UpstreamOptions> = {}, ...more: UpstreamOptions[]) {
  return cacheAt(store.path('registry', 'arriving'), storage, options, ...more)
}

function cacheAt(
  directory: string,
  storage: RegistryStorage,
  options: Partial<UpstreamOptions> = {},
  ...more: UpstreamOptions[]
) {
  const cache = cachedStorage(storage, {
    upstreams: [{ ...upstreamOf(upstream, 'up'), ...options }, ...more],
    directory,
    env: {},
    count: (result) => counts.set(result, (counts.get(result) ?? 0) + 1),
    onFetched: (bytes) => counts.set('bytes', (counts.get('bytes') ?? 0) + bytes),
  })
  cleanups.push(() => cache.close())
  return cache
}

function upstreamOf({ url }: ScriptedRegistry, prefix: string): UpstreamOptions {
  return { prefix, url: new URL(url), credentials: undefined, ttl: 60_000, keep: undefined, firstPause: 5 }
}

function bytesOf(size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(size).map((_, index) => (index * 31) % 251)
}

async function readAll(cache: RegistryStorage, name: string, digest: Digest): Promise<Uint8Array> {
  const content = await (await cache.findBlob(name, digest))?.read()
  if (content?.kind !== 'body') throw new Error('not a body')
  return await new Response(content.body).bytes()
}

/** Waits until a blob has come to the storage. */
async function settled(storage: RegistryStorage, name: string, digest: Digest): Promise<void> {
  while ((await storage.findBlob(name, digest)) === undefined) await Bun.sleep(5)
}

/** Waits until the only file of a directory has so many bytes. */
async function arrived(directory: string, size: number): Promise<void> {
  for (;;) {
    const [name] = existsSync(directory) ? readdirSync(directory) : []
    if (name !== undefined && statSync(join(directory, name)).size === size) return
    await Bun.sleep(5)
  }
}

function blobRequests(): string[] {
  return upstream.asked('GET').filter((target) => target.includes('/blobs/'))
}

for (const kind of ['local', 's3'] as const)
  describe(`cachedStorage() on a storage of kind ${kind}`, () => {
    let storage: RegistryStorage
    beforeEach(async () => {
      if (kind === 'local') storage = localStorage(store)
      else {
        const server = startS3Server()
        cleanups.push(() => server.stop())
        storage = await openS3Storage({ ...(await createBucket(server)), isRedirecting: false })
      }
    })

    test('an image is fetched once, and is there when the upstream is gone', async () => {
      const image = upstream.putImage('team/app', '1')
      const cache = cacheOn(storage)
      for (let round = 0; round < 2; round++) {
        expect((await cache.resolveManifest('up/team/app', '1'))?.digest).toBe(image.target.digest)
        expect(await cache.readManifest('up/team/app', image.target.digest)).toEqual(image.raw)
        for (const { digest } of image.layers) {
          expect(digestOf(await readAll(cache, 'up/team/app', digest))).toBe(digest)
          await settled(storage, 'up/team/app', digest)
        }
      }
      expect(blobRequests()).toHaveLength(1)
      expect(upstream.asked('GET').filter((target) => target.includes('/manifests/'))).toHaveLength(1)
      expect(counts.get('hit')).toBe(2)
      upstream.intercept = () => new Response(null, { status: 500 })
      const later = cacheOn(storage)
      expect((await later.resolveManifest('up/team/app', '1'))?.digest).toBe(image.target.digest)
      expect(counts.get('stale')).toBe(1)
      expect(await later.resolveManifest('other/app', '1')).toBeUndefined()
    })

    test('twenty clients get one download, while it comes', async () => {
      const bytes = bytesOf(4_000_000)
      const digest = upstream.putBlob('app', bytes)
      const halfway = Promise.withResolvers<void>()
      upstream.intercept = (request, url) => {
        if (request.method !== 'GET' || !url.pathname.includes('/blobs/')) return undefined
        const body = new ReadableStream<Uint8Array>({
          async start(controller) {
            controller.enqueue(bytes.slice(0, 2_000_000))
            await halfway.promise
            controller.enqueue(bytes.slice(2_000_000))
            controller.close()
          },
        })
        return new Response(body, { headers: { 'content-length': String(bytes.length) } })
      }
      const cache = cacheOn(storage)
      const readers = await Promise.all(
        Array.from({ length: 20 }, async () => {
          const content = await (await cache.findBlob('up/app', digest))?.read()
          if (content?.kind !== 'body') throw new Error('not a body')
          return (content.body as ReadableStream<Uint8Array>).getReader()
        }),
      )
      // All of them have bytes before the second half is there.
      for (const reader of readers) expect((await reader.read()).value?.length).toBeGreaterThan(0)
      expect(await storage.findBlob('up/app', digest)).toBeUndefined()
      halfway.resolve()
      for (const reader of readers)
        for (;;) {
          const { done } = await reader.read()
          if (done) break
        }
      await settled(storage, 'up/app', digest)
      expect(blobRequests()).toHaveLength(1)
      expect(counts.get('bytes')).toBe(bytes.length)
      while (readdirSync(store.path('registry', 'arriving')).length > 0) await Bun.sleep(5)
    })

    test('a download that breaks goes on where it was', async () => {
      const bytes = bytesOf(1_000_000)
      const digest = upstream.putBlob('app', bytes)
      let broken = 0
      upstream.intercept = (request, url) => {
        if (request.method !== 'GET' || !url.pathname.includes('/blobs/') || broken++ >= 3) return undefined
        const start = Number(/bytes=(\d+)-/.exec(request.headers.get('range') ?? '')?.[1] ?? 0)
        const body = new ReadableStream<Uint8Array>({
          start(controller) {
            controller.enqueue(bytes.slice(start, start + 200_000))
            controller.close()
          },
        })
        const range = { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` }
        return new Response(body, { status: start === 0 ? 200 : 206, headers: start === 0 ? {} : range })
      }
      expect(digestOf(await readAll(cacheOn(storage), 'up/app', digest))).toBe(digest)
    })

    test('servers of one machine get one download together; who is left goes on where one that died was', async () => {
      const bytes = bytesOf(4_000_000)
      const digest = upstream.putBlob('app', bytes)
      const halfway = Promise.withResolvers<void>()
      upstream.intercept = (request, url) => {
        if (request.method !== 'GET' || !url.pathname.includes('/blobs/') || request.headers.has('range'))
          return undefined
        const body = new ReadableStream<Uint8Array>({
          async start(controller) {
            controller.enqueue(bytes.slice(0, 2_000_000))
            await halfway.promise
            controller.enqueue(bytes.slice(2_000_000))
            controller.close()
          },
        })
        return new Response(body, { headers: { 'content-length': String(bytes.length) } })
      }
      const first = cacheOn(storage)
      const reading = readAll(first, 'up/app', digest)
      const arriving = store.path('registry', 'arriving')
      await arrived(arriving, 2_000_000)
      // What a server leaves that is killed now.
      const left = store.path('registry', 'left')
      cpSync(arriving, left, { recursive: true })
      const others = Array.from({ length: 3 }, () => readAll(cacheOn(storage), 'up/app', digest))
      await Bun.sleep(100)
      halfway.resolve()
      for (const read of [reading, ...others]) expect(digestOf(await read)).toBe(digest)
      await settled(storage, 'up/app', digest)
      expect(blobRequests()).toHaveLength(1)

      await storage.deleteBlob('up/app', digest)
      expect(digestOf(await readAll(cacheAt(left, storage), 'up/app', digest))).toBe(digest)
      expect(upstream.seen.at(-1)?.headers.get('range')).toBe('bytes=2000000-')
      while (readdirSync(left).length > 0) await Bun.sleep(5)
    })

    test('a beginning that was damaged reaches nobody as a whole blob', async () => {
      const bytes = bytesOf(4_000_000)
      const digest = upstream.putBlob('app', bytes)
      const stop = Promise.withResolvers<void>()
      upstream.intercept = (request, url) => {
        if (request.method !== 'GET' || !url.pathname.includes('/blobs/')) return undefined
        const body = new ReadableStream<Uint8Array>({
          async start(controller) {
            controller.enqueue(bytes.slice(0, 2_000_000).fill(0))
            await stop.promise
            controller.close()
          },
        })
        return new Response(body, { headers: { 'content-length': String(bytes.length) } })
      }
      const first = cacheOn(storage)
      const reading = readAll(first, 'up/app', digest).catch(() => {})
      const arriving = store.path('registry', 'arriving')
      await arrived(arriving, 2_000_000)
      const left = store.path('registry', 'left')
      cpSync(arriving, left, { recursive: true })
      await first.close()
      stop.resolve()
      await reading
      upstream.intercept = () => undefined
      const cache = cacheAt(left, storage)
      expect(await readAll(cache, 'up/app', digest).catch((error: unknown) => error)).toMatchObject({
        code: 'BLOB_CORRUPT',
      })
      await settled(storage, 'up/app', digest)
      expect(digestOf(await readAll(cache, 'up/app', digest))).toBe(digest)
    })

    test('collectGarbage() removes beginnings that nobody goes on with, and leaves those on their way', async () => {
      const digest = upstream.putBlob('app', bytesOf(4_000_000))
      const stop = Promise.withResolvers<void>()
      upstream.intercept = (request, url) =>
        request.method === 'GET' && url.pathname.includes('/blobs/')
          ? new Response(
              new ReadableStream<Uint8Array>({
                async start(controller) {
                  controller.enqueue(new Uint8Array(1_000_000))
                  await stop.promise
                  controller.close()
                },
              }),
            )
          : undefined
      const cache = cacheOn(storage)
      const reading = readAll(cache, 'up/app', digest).catch(() => {})
      const arriving = store.path('registry', 'arriving')
      await arrived(arriving, 1_000_000)
      const policy = { isDryRun: false, blobGrace: 0, uploadGrace: -1000, untaggedGrace: undefined }
      const other = cacheOn(storage)
      expect((await other.collectGarbage(policy)).freed).toBe(0)
      expect(readdirSync(arriving)).toHaveLength(1)
      await cache.close()
      stop.resolve()
      await reading
      await Bun.sleep(20)
      expect(readdirSync(arriving)).toHaveLength(1)
      expect((await other.collectGarbage({ ...policy, uploadGrace: 60_000 })).freed).toBe(0)
      expect((await other.collectGarbage({ ...policy, isDryRun: true })).freed).toBe(1_000_000)
      expect((await other.collectGarbage(policy)).freed).toBe(1_000_000)
      expect(readdirSync(arriving)).toEqual([])
    })

    test('bytes that are wrong never reach a client as a whole blob, and are not kept', async () => {
      const bytes = bytesOf(3_000_000)
      const digest = upstream.putBlob('app', bytes)
      const wrong = bytes.slice()
      wrong[1_500_000] = 255
      upstream.blobs.set(`app ${digest}`, wrong)
      const cache = cacheOn(storage)
      const content = await (await cache.findBlob('up/app', digest))?.read()
      if (content?.kind !== 'body') throw new Error('not a body')
      let received = 0
      const reading = (async () => {
        for await (const piece of content.body as unknown as AsyncIterable<Uint8Array>) received += piece.length
      })()
      expect(await reading.catch((error: unknown) => error)).toMatchObject({ code: 'BLOB_CORRUPT' })
      expect(received).toBeLessThan(bytes.length)
      expect(await storage.findBlob('up/app', digest)).toBeUndefined()
      upstream.blobs.set(`app ${digest}`, bytes)
      expect(digestOf(await readAll(cache, 'up/app', digest))).toBe(digest)
    })

    test('collectGarbage() removes what nobody asked for, with its tags, and nothing else', async () => {
      const image = upstream.putImage('app', '1')
      const cache = cacheOn(storage, { keep: -1 })
      await cache.resolveManifest('up/app', '1')
      for (const { digest } of image.layers) {
        await readAll(cache, 'up/app', digest)
        await settled(storage, 'up/app', digest)
      }
      const own = await push(cache, 'own/app', 'own')
      const manifest = testManifest('own')
      await put(cache, 'own/app', manifest, { tags: ['t'] })
      const policy = { isDryRun: false, blobGrace: -1, uploadGrace: -1, untaggedGrace: undefined }
      await cacheOn(storage).collectGarbage({ ...policy, blobGrace: 60_000 })
      expect(await storage.listTags('up/app', { limit: 9 })).toEqual(['1'])
      const { items } = await cache.collectGarbage(policy)
      expect(items.map(({ name }) => name).toSorted()).toEqual(
        [image.target.digest, ...image.layers.map(({ digest }) => digest), own].toSorted(),
      )
      expect(await storage.listTags('up/app', { limit: 9 })).toEqual([])
      expect(await storage.listTags('own/app', { limit: 9 })).toEqual(['t'])
    })
  })

describe('cachedStorage()', () => {
  let storage: RegistryStorage
  beforeEach(() => {
    storage = localStorage(store)
  })

  test('asks for a tag again after its time, by HEAD, and follows it', async () => {
    const first = upstream.putImage('app', '1')
    const cache = cacheOn(storage, { ttl: 0 })
    const resolve = async () => (await cache.resolveManifest('up/app', '1'))?.digest
    expect([await resolve(), await resolve()]).toEqual([first.target.digest, first.target.digest])
    expect(counts.get('revalidated')).toBe(1)
    expect(upstream.asked('GET')).toHaveLength(1)
    const second = upstream.putImage('app', '1', [bytesOf(10)])
    expect(await resolve()).toBe(second.target.digest)
  })

  test('forgets a tag that the upstream has deleted, and remembers for a moment that there is none', async () => {
    upstream.putImage('app', '1')
    const cache = cacheOn(storage, { ttl: 0 })
    await cache.resolveManifest('up/app', '1')
    upstream.documents.clear()
    expect(await cache.resolveManifest('up/app', '1')).toBeUndefined()
    expect(await storage.listTags('up/app', { limit: 9 })).toEqual([])
    const asked = upstream.seen.length
    expect(await cache.resolveManifest('up/app', '1')).toBeUndefined()
    expect(upstream.seen).toHaveLength(asked)
  })

  test('leaves an upstream alone that has had too many requests, and gives what it has', async () => {
    const image = upstream.putImage('app', '1')
    upstream.putImage('app', '2')
    const cache = cacheOn(storage, { ttl: 0 })
    await cache.resolveManifest('up/app', '1')
    upstream.intercept = () => new Response(null, { status: 429, headers: { 'retry-after': '3600' } })
    expect((await cache.resolveManifest('up/app', '1'))?.digest).toBe(image.target.digest)
    const asked = upstream.seen.length
    expect((await cache.resolveManifest('up/app', '1'))?.digest).toBe(image.target.digest)
    expect(cache.resolveManifest('up/app', '2')).rejects.toMatchObject({ code: 'TOOMANYREQUESTS' })
    expect(upstream.seen).toHaveLength(asked)
  })

  test('gets tokens with the credentials of each upstream, which go nowhere else', async () => {
    using other = new ScriptedRegistry()
    const image = upstream.putImage('app', '1')
    other.putImage('app', '1')
    upstream.intercept = (request, url) => {
      const authorization = request.headers.get('authorization')
      if (url.pathname === '/token') {
        const isKnown = authorization === `Basic ${btoa('ann:secret')}`
        return isKnown ? Response.json({ token: 'good' }) : new Response(null, { status: 401 })
      }
      if (authorization === 'Bearer good') return undefined
      const challenge = `Bearer realm="${upstream.url}/token",service="up",scope="repository:app:pull"`
      return new Response(null, { status: 401, headers: { 'www-authenticate': challenge } })
    }
    const credentials = { username: 'ann', password: 'secret' }
    const cache = cacheOn(storage, { credentials }, upstreamOf(other, 'up/other'))
    expect((await cache.resolveManifest('up/app', '1'))?.digest).toBe(image.target.digest)
    const [layer] = image.layers
    expect(digestOf(await readAll(cache, 'up/app', layer?.digest as Digest))).toBe(layer?.digest as Digest)
    expect(await cache.resolveManifest('up/other/app', '1')).toBeDefined()
    expect(other.seen.map(({ authorization }) => authorization)).toEqual(other.seen.map(() => null))
  })

  test('believes a manifest the sizes of blobs of its own repository only', async () => {
    const bytes = bytesOf(1000)
    const digest = upstream.putBlob('library/base', bytes)
    const liar = serializeManifest({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, digest, size: 7 },
      layers: [],
    })
    upstream.putDocument('mallory/app', '1', liar, mediaTypes.ociManifest)
    const cache = cacheOn(localStorage(store))
    await cache.resolveManifest('up/mallory/app', '1')
    expect((await cache.findBlob('up/library/base', digest))?.size).toBe(1000)
    expect(digestOf(await readAll(cache, 'up/library/base', digest))).toBe(digest)
  })

  test('takes no pushes to what is cached, and lists the tags of the upstream', async () => {
    upstream.putImage('app', 'b')
    upstream.putImage('app', 'a')
    const cache = cacheOn(storage)
    const denied = { code: 'DENIED' }
    expect(cache.beginUpload('up/app', { algorithm: 'sha256', owner: undefined })).rejects.toMatchObject(denied)
    expect(put(cache, 'up/app', testManifest('x'))).rejects.toMatchObject(denied)
    expect(await cache.hasRepository('up/app')).toBe(true)
    expect(await cache.hasRepository('own/app')).toBe(false)
    expect(await cache.listTags('up/app', { limit: 9 })).toEqual(['a', 'b'])
    expect(await cache.listTags('up/app', { after: 'a', limit: 9 })).toEqual(['b'])
  })

  test('gives ranges of a blob that is on its way', async () => {
    const bytes = bytesOf(100_000)
    const digest = upstream.putBlob('app', bytes)
    const blob = await cacheOn(storage).findBlob('up/app', digest)
    const content = await blob?.read({ start: 10, end: 20 })
    expect(content?.kind === 'body' ? await new Response(content.body).bytes() : undefined).toEqual(bytes.slice(10, 20))
  })
})
