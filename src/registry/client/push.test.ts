import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import type { CompressionSettings } from '../../compression/compress.ts'
import { acquireLease } from '../../content/leases.ts'
import { putBlobSources } from '../../content/remote-blobs.ts'
import { isCairnError } from '../../errors/error.ts'
import {
  putFixtureImage,
  putFixtureTars,
  tarOf,
  type TemporaryStore,
  temporaryStore,
} from '../../images/image-fixtures.ts'
import { putIndex } from '../../images/records/put-image.ts'
import { unpackLayer } from '../../images/unpack-layer.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import { parseIndex } from '../../oci/image-index.ts'
import { parseManifest } from '../../oci/manifest.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { parseReference } from '../../oci/reference.ts'
import type { TransferEvent } from '../../progress/transfer-events.ts'
import type { RegistryClient } from './connection.ts'
import { pullImage } from './pull.ts'
import { type PushedImage, pushImage, type PushOptions } from './push.ts'
import { CuttingProxy, failure, ScriptedRegistry, testClient } from './scripted-registry.ts'

let registry: ScriptedRegistry
let source: TemporaryStore
let client: RegistryClient & Disposable
let events: TransferEvent[]

beforeEach(() => {
  registry = new ScriptedRegistry()
  source = temporaryStore()
  client = testClient()
  events = []
})
afterEach(() => {
  registry[Symbol.dispose]()
  source[Symbol.dispose]()
  client[Symbol.dispose]()
})

const gzip: CompressionSettings = { format: 'gzip' }

type Image = PushOptions['image']

async function push(image: Image, name: string, more: Partial<PushOptions> = {}): Promise<PushedImage> {
  using lease = acquireLease(source.store)
  return await pushImage({
    store: source.store,
    lease,
    client,
    image,
    reference: parseReference(name.startsWith('127.') ? name : `${registry.host}/${name}`),
    compression: gzip,
    signal: new AbortController().signal,
    listener: (event) => void events.push(event),
    ...more,
  })
}

async function fixture(
  files: Record<string, string> = { a: 'one' },
  compression: 'none' | 'gzip' = 'none',
): Promise<Image> {
  return (await putFixtureImage(source.store, { layers: [files, { common: 'x' }], compression })).target
}

/** Reads back what was pushed into a store of its own, with all checks. */
async function pulled(name: string): Promise<Digest> {
  using target = temporaryStore()
  using lease = acquireLease(target.store)
  const reference = parseReference(`${registry.host}/${name}`)
  const signal = new AbortController().signal
  return (
    await pullImage({ store: target.store, lease, client, reference, unpack: unpackLayer, signal, isComplete: true })
  ).target.digest
}

async function failureOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
  } catch (error) {
    if (isCairnError(error)) return `${error.code}: ${error.message}`
    throw error
  }
  return 'none'
}

function noise(size: number): string {
  let text = ''
  for (let index = 0; text.length < size; index++)
    text += new Bun.CryptoHasher('sha512').update(String(index)).digest('base64')
  return text.slice(0, size)
}

/** Without progress and what is told of single layers. */
const told = (): readonly string[] =>
  events
    .filter(({ current }) => current === undefined)
    .map(({ id, text }) => (id === undefined ? text : `layer: ${text}`))

describe('pushImage()', () => {
  test.each(['gzip', 'zstd'] as const)(
    'sends layers that are kept uncompressed as %s, always the same',
    async (format) => {
      const image = await fixture()
      const { target } = await push(image, 'app:1', { compression: { format } })
      expect(target.digest).not.toBe(image.digest)
      const stored = registry.documents.get('app 1')
      const { value } = parseManifest(stored?.raw ?? '')
      expect(value.layers.map(({ mediaType }) => mediaType)).toEqual(
        [0, 1].map(() => (format === 'gzip' ? mediaTypes.ociLayerGzip : mediaTypes.ociLayerZstd)),
      )
      expect(await pulled('app:1')).toBe(target.digest)
      expect((await push(image, 'other:1', { compression: { format } })).target.digest).toBe(target.digest)
    },
  )

  test('sends what is compressed, and with no compression all, byte for byte', async () => {
    const compressed = await fixture({ a: 'one' }, 'gzip')
    expect((await push(compressed, 'app:1')).target.digest).toBe(compressed.digest)
    const plain = await fixture({ b: 'two' })
    expect((await push(plain, 'app:2', { compression: undefined })).target.digest).toBe(plain.digest)
    expect(await pulled('app:2')).toBe(plain.digest)
  })

  test('says what docker says, the topmost layer first', async () => {
    const image = await fixture()
    const { target } = await push(image, 'app:1')
    expect(told()).toEqual([
      `The push refers to repository [${registry.host}/app]`,
      'layer: Preparing',
      'layer: Preparing',
      'layer: Pushed',
      'layer: Pushed',
      `1: digest: ${target.digest} size: ${target.size}`,
    ])
    const top = digestOf(tarOf({ common: 'x' })).slice(7, 19)
    expect(events.find(({ text }) => text === 'Preparing')?.id).toBe(top)
  })

  test('costs one HEAD and no write where the tag leads to the very image', async () => {
    const image = await fixture()
    await push(image, 'app:1')
    registry.seen.length = 0
    events = []
    const mark = source.store.database.changeMark
    await push(image, 'app:1')
    expect(source.store.database.changeMark).toBe(mark)
    expect(registry.seen.filter(({ target }) => target !== '/v2/').map(({ method }) => method)).toEqual(['HEAD'])
    expect(told()[1]).toBe('layer: Layer already exists')
  })

  test('sends only layers that the registry does not have', async () => {
    await push(await fixture({ a: 'one' }), 'app:1')
    registry.seen.length = 0
    await push(await fixture({ a: 'two' }), 'app:2')
    // One changed layer and the config.
    expect(registry.asked('POST')).toHaveLength(2)
    expect(told().filter((line) => line === 'layer: Layer already exists')).toHaveLength(1)
  })

  test('mounts what another repository of the registry has, and sends it where that is refused', async () => {
    const image = await fixture({ a: 'one' }, 'gzip')
    await push(image, 'dev/app:1')
    registry.mountable = new Set(['dev/app'])
    registry.seen.length = 0
    await push(image, 'prod/app:1')
    expect(registry.asked('PATCH')).toEqual([])
    expect(registry.asked('PUT')).toEqual(['/v2/prod/app/manifests/1'])
    expect(told()).toContain('layer: Mounted from dev/app')
    registry.mountable = new Set()
    const { intercept } = registry
    registry.intercept = (request, url) =>
      url.searchParams.has('mount') ? failure(403, 'DENIED') : intercept(request, url)
    await push(image, 'third/app:1')
    expect(await pulled('third/app:1')).toBe(image.digest)
  })

  test('is not led astray by what it remembers wrongly', async () => {
    const image = await fixture({ a: 'one' }, 'gzip')
    const { layers } = parseManifest(source.store.blobs.readAll(image.digest, 1e6)).value
    putBlobSources(
      source.store,
      layers.map(({ digest }) => digest),
      { host: registry.host, repository: 'gone' },
    )
    registry.mountable = new Set(['gone'])
    await push(image, 'app:1')
    registry.blobs.clear()
    registry.documents.clear()
    await push(image, 'app:1')
    expect(await pulled('app:1')).toBe(image.digest)
  })

  test('pushes an index with all its images, and renames what attests to them', async () => {
    const amd = await putFixtureImage(source.store, { layers: [{ a: 'amd' }], isPart: true })
    const arm = await putFixtureImage(source.store, {
      layers: [{ a: 'arm' }],
      config: { architecture: 'arm64' },
      isPart: true,
    })
    const statement = await putFixtureImage(source.store, { layers: [{ s: 'x' }], compression: 'gzip', isPart: true })
    const index = await putIndex(source.store, {
      manifests: [
        amd.target,
        arm.target,
        {
          ...statement.target,
          platform: { os: 'unknown', architecture: 'unknown' },
          annotations: {
            'vnd.docker.reference.type': 'attestation-manifest',
            'vnd.docker.reference.digest': arm.target.digest,
          },
        },
      ],
      tags: [parseReference('multi:1')],
    })
    const { target } = await push(index.target, 'app:1')
    const { value } = parseIndex(registry.documents.get('app 1')?.raw ?? '')
    expect(value.manifests.map(({ platform }) => platform?.architecture)).toEqual(['amd64', 'arm64', 'unknown'])
    expect(value.manifests[2]?.annotations?.['vnd.docker.reference.digest']).toBe(value.manifests[1]?.digest as string)
    expect(await pulled('app:1')).toBe(target.digest)
  })

  test('names what is missing of an image that is not all here', async () => {
    const here = await putFixtureImage(source.store, { layers: [{ a: 'amd' }], isPart: true })
    using other = temporaryStore()
    const there = await putFixtureImage(other.store, { layers: [{ a: 'arm' }], config: { architecture: 'arm64' } })
    using lease = acquireLease(source.store)
    await lease.put(other.store.blobs.readAll(there.target.digest, 1e6))
    const index = await putIndex(source.store, { manifests: [here.target, there.target], lease })
    const { removeFile } = await import('../../linux/names.ts')
    removeFile(source.store.blobs.path(there.target.digest))
    expect(await failureOf(push(index.target, 'app:1'))).toContain('the store lacks linux/arm64')
    expect(registry.documents.has('app 1')).toBe(false)
  })

  test('notices a layer that is damaged on disk', async () => {
    const image = await fixture({ big: noise(10_000) })
    const { layers } = parseManifest(source.store.blobs.readAll(image.digest, 1e6)).value
    const { chmodSync, writeFileSync } = await import('node:fs')
    const path = source.store.blobs.path(layers[0]?.digest ?? image.digest)
    chmodSync(path, 0o644)
    writeFileSync(path, tarOf({ big: noise(10_001).slice(1) }))
    expect(await failureOf(push(image, 'app:1'))).toContain('is damaged on disk')
    expect(registry.documents.has('app 1')).toBe(false)
  })
})

describe('pushImage() to a registry that breaks off', () => {
  test.each(['none', 'gzip'] as const)(
    'sends next to nothing twice, over dropped connections (%s)',
    async (kept) => {
      using lease = acquireLease(source.store)
      const tars = [tarOf({ one: noise(5_000_000) }), tarOf({ two: noise(3_000_000) })]
      const { target: image } = await putFixtureTars(source.store, lease, tars, { compression: kept })
      using proxy = new CuttingProxy(registry.host)
      let state = 7
      proxy.lifetime = () => {
        state = (state * 48_271) % 2_147_483_647
        return proxy.cuts < 20 ? 50_000 + (state % 600_000) : undefined
      }
      const { target } = await push(image, `${proxy.host}/app:1`)
      expect(proxy.cuts).toBeGreaterThanOrEqual(8)
      expect(await pulled('app:1')).toBe(target.digest)
    },
    60_000,
  )

  test('goes on where an earlier push was', async () => {
    using lease = acquireLease(source.store)
    const tar = tarOf({ one: noise(4_000_000) })
    const { target: image } = await putFixtureTars(source.store, lease, [tar], { compression: 'gzip' })
    const stop = new AbortController()
    using stopped = testClient({}, { signal: stop.signal })
    using proxy = new CuttingProxy(registry.host)
    proxy.lifetime = () => {
      if (proxy.cuts > 0) stop.abort(new Error('stopped'))
      return 1_500_000
    }
    await expect(push(image, `${proxy.host}/app:1`, { client: stopped, signal: stop.signal })).rejects.toThrow()
    const before = registry.uploads.size
    expect(before).toBeGreaterThan(0)
    proxy.lifetime = () => undefined
    registry.seen.length = 0
    await push(image, `${proxy.host}/app:1`)
    expect(registry.asked('GET').some((path) => path.includes('/uploads/'))).toBe(true)
    const range = registry.seen.find(({ method }) => method === 'PATCH')?.headers.get('content-range')
    expect(range).toMatch(/^[1-9]\d*-\d+$/)
    expect(await pulled('app:1')).toBe(image.digest)
  }, 30_000)

  test('starts anew where the registry has forgotten the upload', async () => {
    using lease = acquireLease(source.store)
    const { target: image } = await putFixtureTars(source.store, lease, [tarOf({ one: noise(3_000_000) })])
    using proxy = new CuttingProxy(registry.host)
    proxy.lifetime = () => {
      registry.uploads.clear()
      return proxy.cuts < 2 ? 700_000 : undefined
    }
    const { target } = await push(image, `${proxy.host}/app:1`)
    expect(await pulled('app:1')).toBe(target.digest)
  }, 30_000)

  /** Refuses the first requests that bring bytes, having read some of them or none. */
  function refuseBytes(reads: boolean, refusals: number, refuse: () => Response): void {
    const { intercept } = registry
    registry.intercept = async (request, url) => {
      const before = await intercept(request, url)
      const bringsBytes = (request.method === 'PATCH' || request.method === 'PUT') && url.pathname.includes('/uploads/')
      if (before !== undefined || !bringsBytes || request.body === null || refusals-- <= 0) return before
      if (reads) for await (const _bytes of request.body as unknown as AsyncIterable<Uint8Array>) break
      return refuse()
    }
  }

  test.each([
    ['none', false],
    ['none', true],
    ['gzip', false],
    ['gzip', true],
  ] as const)(
    'goes on with a new token where the old one has run out (%s, bytes read: %p)',
    async (kept, reads) => {
      using lease = acquireLease(source.store)
      const tars = [tarOf({ one: noise(3_000_000) }), tarOf({ two: noise(100_000) })]
      const { target: image } = await putFixtureTars(source.store, lease, tars, { compression: kept })
      let token = 1
      const challenge = (): Response =>
        failure(401, 'UNAUTHORIZED', { 'WWW-Authenticate': `Bearer realm="${registry.url}/token",service="test"` })
      registry.intercept = (request, url) => {
        if (url.pathname === '/token') return Response.json({ token: `token-${token}`, expires_in: 3600 })
        return request.headers.get('authorization') === `Bearer token-${token}` ? undefined : challenge()
      }
      refuseBytes(reads, 1, () => {
        token++
        return challenge()
      })
      const { target } = await push(image, 'app:1')
      expect(token).toBe(2)
      expect(await pulled('app:1')).toBe(target.digest)
    },
    30_000,
  )

  test('asks once for a new token, not again and again', async () => {
    using lease = acquireLease(source.store)
    const { target: image } = await putFixtureTars(source.store, lease, [tarOf({ one: noise(3_000_000) })])
    registry.intercept = (_request, url) => (url.pathname === '/token' ? Response.json({ token: 'good' }) : undefined)
    refuseBytes(true, Infinity, () =>
      failure(401, 'UNAUTHORIZED', { 'WWW-Authenticate': `Bearer realm="${registry.url}/token",service="test"` }),
    )
    expect(await failureOf(push(image, 'app:1'))).toStartWith('UNAUTHORIZED')
    expect(registry.asked('PATCH').length).toBeLessThanOrEqual(2)
  }, 30_000)

  test.each(['none', 'gzip'] as const)(
    'waits as Retry-After says where it has sent too much (%s)',
    async (kept) => {
      using lease = acquireLease(source.store)
      const { target: image } = await putFixtureTars(source.store, lease, [tarOf({ one: noise(3_000_000) })], {
        compression: kept,
      })
      refuseBytes(false, 1, () => failure(429, 'TOOMANYREQUESTS', { 'Retry-After': '1' }))
      const began = performance.now()
      const { target } = await push(image, 'app:1')
      expect(performance.now() - began).toBeGreaterThan(950)
      expect(await pulled('app:1')).toBe(target.digest)
    },
    30_000,
  )

  test('fails at once where it would have to wait for too long', async () => {
    using lease = acquireLease(source.store)
    const { target: image } = await putFixtureTars(source.store, lease, [tarOf({ one: noise(3_000_000) })])
    refuseBytes(false, Infinity, () => failure(429, 'TOOMANYREQUESTS', { 'Retry-After': '600' }))
    expect(await failureOf(push(image, 'app:1'))).toBe(
      `TOOMANYREQUESTS: too many requests for ${registry.host}/app, to be tried again in 600 s: too many requests`,
    )
  }, 30_000)

  test('leaves no tag where a blob is refused', async () => {
    const image = await fixture()
    registry.intercept = (request) => (request.method === 'PUT' ? failure(400, 'DIGEST_INVALID') : undefined)
    expect(await failureOf(push(image, 'app:1'))).toStartWith('BLOB_CORRUPT')
    expect(registry.documents.size).toBe(0)
  })

  test('says that it may not push', async () => {
    registry.intercept = (request, url) =>
      request.method === 'POST' && url.pathname !== '/v2/' ? failure(403, 'DENIED') : undefined
    expect(await failureOf(push(await fixture(), 'app:1'))).toBe(
      `DENIED: push access denied for ${registry.host}/app, repository does not exist or may require authorization: requested access to the resource is denied`,
    )
  })
})
