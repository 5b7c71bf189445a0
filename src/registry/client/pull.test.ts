import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { listEvents } from '../../content/events.ts'
import { collectGarbage } from '../../content/gc.ts'
import { listTags } from '../../content/image-records.ts'
import { acquireLease } from '../../content/leases.ts'
import { findSnapshot, listSnapshots } from '../../content/snapshot-records.ts'
import { isCairnError } from '../../errors/error.ts'
import { file, layerOf, symlink } from '../../../test/fixtures/layers.ts'
import { tarOf, type TemporaryStore, temporaryStore } from '../../images/image-fixtures.ts'
import { platformEntries, resolveImage } from '../../images/records/resolve-image.ts'
import { unpackLayer } from '../../images/unpack-layer.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import { serializeIndex } from '../../oci/image-index.ts'
import { parseManifest, serializeManifest } from '../../oci/manifest.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { parsePlatform } from '../../oci/platform.ts'
import { parseReference } from '../../oci/reference.ts'
import type { TransferEvent } from '../../progress/transfer-events.ts'
import type { RegistryClient } from './connection.ts'
import { type PulledImage, pullImage, type PullOptions } from './pull.ts'
import { CuttingProxy, failure, ScriptedRegistry, testClient } from './scripted-registry.ts'

let registry: ScriptedRegistry
let target: TemporaryStore
let client: RegistryClient & Disposable
let events: TransferEvent[]

beforeEach(() => {
  registry = new ScriptedRegistry()
  target = temporaryStore()
  client = testClient()
  events = []
})
afterEach(() => {
  registry[Symbol.dispose]()
  target[Symbol.dispose]()
  client[Symbol.dispose]()
})

async function pull(name: string, more: Partial<PullOptions> = {}): Promise<PulledImage> {
  using lease = acquireLease(target.store)
  return await pullImage({
    store: target.store,
    lease,
    client,
    reference: parseReference(name.startsWith('127.') ? name : `${registry.host}/${name}`),
    unpack: unpackLayer,
    signal: new AbortController().signal,
    listener: (event) => void events.push(event),
    ...more,
  })
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

/** Nothing that a pull brought is to be seen or left half. */
function expectNothing(): void {
  expect(listTags(target.store)).toEqual([])
  expect(readdirSync(target.store.path('snapshots'))).toEqual([])
}

/** Text that hardly compresses, always the same. */
function noise(size: number): string {
  let text = ''
  for (let index = 0; text.length < size; index++)
    text += new Bun.CryptoHasher('sha512').update(String(index)).digest('base64')
  return text.slice(0, size)
}

describe('pullImage()', () => {
  test('brings an image with its layers unpacked, and names it by tag and digest', async () => {
    const image = registry.putImage('app', '1', [tarOf({ 'a/b': 'one' }), tarOf({ c: 'two' })])
    const pulled = await pull('app:1')
    expect(pulled).toMatchObject({ target: { digest: image.target.digest }, isNew: true })
    expect(listTags(target.store).map(({ name }) => name)).toEqual([
      `${registry.host}/app:1`,
      `${registry.host}/app@${image.target.digest}`,
    ])
    expect(listEvents(target.store, 0)).toMatchObject([
      { type: 'image', action: 'pull', actor: `${registry.host}/app:1`, attributes: { name: `${registry.host}/app` } },
    ])
    const snapshot = findSnapshot(target.store, digestOf(tarOf({ c: 'two' })))
    expect(readFileSync(target.store.path('snapshots', snapshot?.id ?? '', 'fs/c'), 'utf8')).toBe('two')
    await collectGarbage(target.store)
    for (const { digest } of image.layers) expect(target.store.blobs.has(digest)).toBe(true)
    expect(readdirSync(target.store.path('downloads'))).toEqual([])
  })

  test('costs one HEAD and no write where nothing changed', async () => {
    registry.putImage('app', '1')
    await pull('app:1')
    registry.seen.length = 0
    events = []
    const mark = target.store.database.changeMark
    expect((await pull('app:1')).isNew).toBe(false)
    expect(target.store.database.changeMark).toBe(mark)
    expect(registry.seen.filter(({ target: path }) => path !== '/v2/').map(({ method }) => method)).toEqual(['HEAD'])
    expect(events).toEqual([{ id: undefined, text: '1: Pulling from app' }])
  })

  test('brings again what is not there any more of an image that did not change', async () => {
    const image = registry.putImage('app', '1')
    await pull('app:1')
    const lost = [image.layers[0]?.digest as Digest, image.config]
    for (const digest of lost) {
      rmSync(target.store.blobs.path(digest))
      expect((await pull('app:1')).isNew).toBe(true)
      expect(target.store.blobs.has(digest)).toBe(true)
    }
    for (const { id } of listSnapshots(target.store)) rmSync(target.store.path('snapshots', id), { recursive: true })
    await pull('app:1')
    expect(findSnapshot(target.store, digestOf(tarOf({ 'etc/name': 'fixture' })))).toBeDefined()
  })

  test('fetches only the layers that are new', async () => {
    const [base, first, second] = [tarOf({ base: 'x' }), tarOf({ app: '1' }), tarOf({ app: '2' })]
    registry.putImage('app', '1', [base, first])
    await pull('app:1')
    registry.putImage('app', '2', [base, second])
    registry.seen.length = 0
    await pull('app:2')
    expect(registry.asked('GET').filter((path) => path.includes('/blobs/'))).toHaveLength(2)
  })

  test('unpacks layers that rely on those below as it unpacks them one by one', async () => {
    const base = tarOf({ 'dir/kept': 'kept', 'dir/gone': 'gone' })
    registry.putImage('app', '1', [base, tarOf({ 'dir/.wh.gone': '', 'dir/.wh.never': '', 'dir/new': 'new' })])
    await pull('app:1')
    const upper = findSnapshot(
      target.store,
      digestOf(tarOf({ 'dir/.wh.gone': '', 'dir/.wh.never': '', 'dir/new': 'new' })),
    )
    const path = target.store.path('snapshots', upper?.id ?? '', 'fs/dir')
    expect(readdirSync(path).sort()).toEqual(['gone', 'new'])
    expect(statSync(`${path}/gone`).isCharacterDevice()).toBe(true)
  })

  test('chooses the platform, carries what attests to it, and never takes an attestation for an image', async () => {
    const amd = registry.putImage('app', 'amd', [tarOf({ arch: 'amd64' })])
    const arm = registry.putImage('app', 'arm', [tarOf({ arch: 'arm64' })], { architecture: 'arm64' })
    const statement = registry.putImage('app', 'att', [tarOf({ statement: 'x' })])
    const index = serializeIndex({
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [
        {
          ...statement.target,
          platform: { os: 'unknown', architecture: 'unknown' },
          annotations: {
            'vnd.docker.reference.type': 'attestation-manifest',
            'vnd.docker.reference.digest': arm.target.digest,
          },
        },
        { ...arm.target, platform: { os: 'linux', architecture: 'arm64' } },
        { ...amd.target, platform: { os: 'linux', architecture: 'amd64' } },
      ],
    })
    registry.putDocument('app', 'all', index, mediaTypes.ociIndex)
    const pulled = await pull('app:all', { platform: parsePlatform('linux/arm64') })
    expect(pulled.manifest.digest).toBe(arm.target.digest)
    expect(target.store.blobs.has(statement.target.digest)).toBe(true)
    expect(target.store.blobs.has(amd.target.digest)).toBe(false)
    expect(await failureOf(pull('app:all', { platform: parsePlatform('linux/s390x') }))).toBe(
      'IMAGE_PLATFORM: no matching manifest for linux/s390x in the manifest list entries',
    )
    await pull('app:all', { platform: parsePlatform('linux/amd64') })
    const { record } = resolveImage(target.store, `${registry.host}/app:all`)
    const platforms = (await platformEntries(target.store, record)).map(({ platform }) => platform?.architecture)
    expect(platforms).toEqual(['arm64', 'amd64'])
  })

  test('does not count a platform that it brought in part only', async () => {
    const amd = registry.putImage('app', 'amd', [tarOf({ arch: 'amd64' })])
    const arm = registry.putImage('app', 'arm', [tarOf({ arch: 'arm64' })], { architecture: 'arm64' })
    const manifests = [
      { ...arm.target, platform: { os: 'linux', architecture: 'arm64' } },
      { ...amd.target, platform: { os: 'linux', architecture: 'amd64' } },
    ]
    registry.putDocument('app', '1', serializeIndex({ schemaVersion: 2, manifests }), mediaTypes.ociIndex)
    registry.blobs.delete(`app ${arm.layers[0]?.digest}`)
    expect(await failureOf(pull('app:1', { isComplete: true }))).toStartWith('BLOB_UNKNOWN')
    await pull('app:1', { platform: parsePlatform('linux/amd64') })
    const { record } = resolveImage(target.store, `${registry.host}/app:1`)
    expect((await platformEntries(target.store, record)).map(({ digest }) => digest)).toEqual([amd.target.digest])
  })

  test('follows what a tag means now, not what it meant when it was asked', async () => {
    const first = registry.putImage('app', '1', [tarOf({ v: '1' })])
    registry.intercept = (request, url) => {
      // The tag moves between the question and the answer.
      if (request.method === 'HEAD' && url.pathname.endsWith('/1')) {
        registry.intercept = () => undefined
        const { raw, mediaType } = registry.documents.get('app 1') ?? { raw: new Uint8Array(0), mediaType: '' }
        registry.putImage('app', '1', [tarOf({ v: '2' })])
        const headers = {
          'Content-Type': mediaType,
          'Docker-Content-Digest': digestOf(raw),
          'Content-Length': `${raw.length}`,
        }
        return new Response(null, { headers })
      }
      return undefined
    }
    expect((await pull('app:1')).target.digest).toBe(first.target.digest)
  })
})

describe('pullImage() of a registry that breaks off', () => {
  test('fetches nothing twice, over 50 dropped connections', async () => {
    const layers = [tarOf({ one: noise(1_500_000) }), tarOf({ two: noise(1_000_000) })]
    const image = registry.putImage('app', '1', layers)
    using proxy = new CuttingProxy(registry.host)
    let state = 7
    proxy.lifetime = () => {
      state = (state * 48_271) % 2_147_483_647
      return proxy.cuts < 50 ? 2_000 + (state % 90_000) : undefined
    }
    await pull(`${proxy.host}/app:1`)
    expect(proxy.cuts).toBeGreaterThanOrEqual(20)
    const size = image.layers.reduce((sum, layer) => sum + layer.size, 0)
    // The heads of answers count too.
    expect(proxy.delivered).toBeLessThan(size * 1.05 + proxy.cuts * 1_000)
    for (const { digest } of image.layers) expect(target.store.blobs.has(digest)).toBe(true)
  }, 30_000)

  test('goes on where an earlier pull was', async () => {
    const image = registry.putImage('app', '1', [tarOf({ big: noise(800_000) })])
    const [layer] = image.layers
    const whole = registry.blobs.get(`app ${layer?.digest}`) as Uint8Array<ArrayBuffer>
    const stop = new AbortController()
    registry.intercept = (request, url) => {
      if (request.method !== 'GET' || !url.pathname.endsWith(layer?.digest ?? '')) return undefined
      const body = new ReadableStream({
        start(controller) {
          controller.enqueue(whole.subarray(0, 300_000))
          setTimeout(() => stop.abort(new Error('stopped')), 50)
        },
      })
      return new Response(body, { headers: { 'Content-Length': String(whole.length) } })
    }
    using stopped = testClient({}, { signal: stop.signal })
    await expect(pull('app:1', { client: stopped, signal: stop.signal })).rejects.toThrow('stopped')
    expectNothing()
    expect(statSync(target.store.path('downloads', (layer?.digest ?? '').replace(':', '-'))).size).toBe(300_000)
    registry.intercept = () => undefined
    registry.seen.length = 0
    await pull('app:1')
    expect(registry.seen.find(({ target: path }) => path.endsWith(layer?.digest ?? ''))?.headers.get('range')).toBe(
      'bytes=300000-',
    )
  })

  test('starts anew where the beginning that was kept is damaged', async () => {
    const tar = tarOf({ big: noise(400_000) })
    const image = registry.putImage('app', '1', [tar])
    const [layer] = image.layers
    const { mkdirSync } = await import('node:fs')
    mkdirSync(target.store.path('downloads'), { recursive: true })
    writeFileSync(target.store.path('downloads', (layer?.digest ?? '').replace(':', '-')), noise(100_000))
    await pull('app:1')
    expect(target.store.blobs.has(layer?.digest ?? digestOf(''))).toBe(true)
    expect(findSnapshot(target.store, digestOf(tar))).toBeDefined()
  })

  test('takes a registry that knows no ranges', async () => {
    const image = registry.putImage('app', '1', [tarOf({ big: noise(400_000) })])
    const [layer] = image.layers
    const whole = registry.blobs.get(`app ${layer?.digest}`) as Uint8Array<ArrayBuffer>
    let calls = 0
    registry.intercept = (request, url) => {
      if (request.method !== 'GET' || !url.pathname.endsWith(layer?.digest ?? '')) return undefined
      if (calls++ > 0) return new Response(whole)
      const body = new ReadableStream({
        start(controller) {
          controller.enqueue(whole.subarray(0, 100_000))
          controller.close()
        },
      })
      return new Response(body)
    }
    await pull('app:1')
    expect(calls).toBe(2)
  })

  test('waits as Retry-After says, and fails where that is too long', async () => {
    registry.putImage('app', '1')
    let refusals = 2
    registry.intercept = (_request, url) =>
      url.pathname !== '/v2/' && refusals-- > 0 ? failure(429, 'TOOMANYREQUESTS', { 'Retry-After': '1' }) : undefined
    const began = performance.now()
    await pull('app:1')
    expect(performance.now() - began).toBeGreaterThan(1900)
    registry.intercept = (_request, url) =>
      url.pathname === '/v2/' ? undefined : failure(429, 'TOOMANYREQUESTS', { 'Retry-After': '600' })
    expect(await failureOf(pull('app:2'))).toBe(
      `TOOMANYREQUESTS: too many requests for ${registry.host}/app, to be tried again in 600 s`,
    )
  })

  test('tries again what a server fails at now and then, and gives up on what it always fails at', async () => {
    registry.putImage('app', '1')
    let count = 0
    registry.intercept = (_request, url) =>
      url.pathname !== '/v2/' && count++ % 2 === 0 ? new Response('busy', { status: 503 }) : undefined
    await pull('app:1')
    registry.intercept = (_request, url) => (url.pathname === '/v2/' ? undefined : new Response('no', { status: 500 }))
    expect(await failureOf(pull('app:9'))).toStartWith('REGISTRY_FAILED: manifest for')
  })
})

describe('pullImage() of a hostile registry', () => {
  /** Answers the GET of a path that ends so. */
  function answer(end: string, make: () => Response | Promise<Response>): void {
    registry.intercept = (request, url) => (request.method === 'GET' && url.pathname.endsWith(end) ? make() : undefined)
  }

  test.each([
    [
      'corrupt',
      (bytes: Uint8Array<ArrayBuffer>) => bytes.map((byte, at) => (at === 40 ? byte ^ 1 : byte)),
      'BLOB_CORRUPT',
    ],
    ['short', (bytes: Uint8Array<ArrayBuffer>) => bytes.subarray(0, -1), 'BLOB_CORRUPT'],
    ['long', (bytes: Uint8Array<ArrayBuffer>) => new Uint8Array([...bytes, 0]), 'BLOB_CORRUPT'],
    ['empty', () => new Uint8Array(0), 'BLOB_CORRUPT'],
  ])('refuses a layer that is %s, and keeps nothing of it', async (_what, change, code) => {
    const image = registry.putImage('app', '1', [tarOf({ big: noise(5_000) })])
    const [layer] = image.layers
    const whole = registry.blobs.get(`app ${layer?.digest}`) as Uint8Array<ArrayBuffer>
    answer(layer?.digest ?? '', () => new Response(change(whole)))
    expect(await failureOf(pull('app:1'))).toStartWith(code)
    expectNothing()
    expect(existsSync(target.store.blobs.path(layer?.digest ?? digestOf('')))).toBe(false)
    expect(readdirSync(target.store.path('downloads'))).toEqual([])
  })

  test('leaves no directory behind of the layers that were right', async () => {
    const image = registry.putImage('app', '1', [
      tarOf({ a: noise(3_000) }),
      tarOf({ b: noise(4_000) }),
      tarOf({ c: 'x' }),
    ])
    const whole = registry.blobs.get(`app ${image.layers[2]?.digest}`) as Uint8Array<ArrayBuffer>
    answer(image.layers[2]?.digest ?? '', () => new Response(whole.map((byte, at) => (at === 20 ? byte ^ 1 : byte))))
    expect(await failureOf(pull('app:1'))).toStartWith('BLOB_CORRUPT')
    // Only the lowest needs nothing of the others; it is kept for the next attempt.
    expect(readdirSync(target.store.path('snapshots'))).toHaveLength(1)
    expect(listTags(target.store)).toEqual([])
    registry.intercept = () => undefined
    await pull('app:1')
    expect(readdirSync(target.store.path('snapshots'))).toHaveLength(3)
  })

  test('refuses an image whose layers do not fit each other, each time anew, and keeps nothing of it', async () => {
    registry.putImage('app', '1', [
      new Uint8Array(layerOf(symlink('e', '/host'), file('f', 'text'))),
      new Uint8Array(layerOf(file('e/.wh.victim', ''))),
    ])
    for (let attempt = 0; attempt < 2; attempt++) {
      // oxlint-disable-next-line no-await-in-loop -- the second finds what the first has left
      expect(await failureOf(pull('app:1'))).toStartWith('LAYER_UNSAFE')
      expectNothing()
      expect(readdirSync(target.store.path('content', 'blobs', 'sha256'))).toEqual([])
      expect(readdirSync(target.store.path('snapshots'))).toEqual([])
    }
  })

  test('refuses a layer without an end', async () => {
    const image = registry.putImage('app', '1', [tarOf({ big: noise(5_000) })])
    let sent = 0
    answer(image.layers[0]?.digest ?? '', () => {
      const block = new Uint8Array(65_536)
      const body = new ReadableStream({
        pull: (controller) => {
          sent += block.length
          controller.enqueue(block)
        },
      })
      return new Response(body)
    })
    expect(await failureOf(pull('app:1'))).toContain('is longer than')
    expect(sent).toBeLessThan(64 * 1024 * 1024)
    expectNothing()
  })

  test.each([
    [
      'without an end',
      () => new Response(new ReadableStream({ pull: (c) => c.enqueue(new Uint8Array(65_536).fill(32)) })),
      'LIMIT_EXCEEDED',
    ],
    ['of 9 MB', () => new Response(`{"schemaVersion":2,"x":"${'a'.repeat(9_000_000)}"}`), 'LIMIT_EXCEEDED'],
    ['that is HTML', () => new Response('<html>', { headers: { 'Content-Type': 'text/html' } }), 'MANIFEST_INVALID'],
    ['that is cut off', () => new Response('{"schemaVersion":2'), 'BLOB_CORRUPT'],
  ])('refuses a manifest %s', async (_what, make, code) => {
    const image = registry.putImage('app', '1')
    answer(`/manifests/${image.target.digest}`, () => {
      const response = make()
      if (response.headers.get('content-type') !== 'text/html')
        response.headers.set('content-type', mediaTypes.ociManifest)
      return response
    })
    expect(await failureOf(pull('app:1'))).toStartWith(code)
    expectNothing()
  })

  test('refuses a manifest that could be read in two ways, or is not of the type it is sent as', async () => {
    const image = registry.putImage('app', '1')
    const text = Buffer.from(image.raw).toString()
    for (const [tag, body, type] of [
      ['twice', text.replace('"layers"', '"layers":[],"layers"'), mediaTypes.ociManifest],
      ['both', text.replace('"layers"', '"manifests":[],"layers"'), mediaTypes.ociManifest],
      ['case', text.replace('"layers"', '"Layers":[],"layers"'), mediaTypes.ociManifest],
      ['type', text, mediaTypes.ociIndex],
      ['docker', text, mediaTypes.dockerManifest],
    ] as const) {
      registry.putDocument('app', tag, new TextEncoder().encode(body), type)
      expect(await failureOf(pull(`app:${tag}`))).toStartWith('MANIFEST_INVALID')
    }
    expectNothing()
  })

  test('refuses another manifest than the digest asked for', async () => {
    const image = registry.putImage('app', '1')
    const other = registry.putImage('app', '2', [tarOf({ other: 'x' })])
    answer(
      `/manifests/${image.target.digest}`,
      () => new Response(other.raw, { headers: { 'Content-Type': mediaTypes.ociManifest } }),
    )
    expect(await failureOf(pull(`app@${image.target.digest}`))).toStartWith('BLOB_CORRUPT')
    expectNothing()
  })

  test('refuses a layer that unpacks to something else, leads out of the image or is a bomb', async () => {
    registry.putImage('app', '1', [tarOf({ '../evil': 'x' })])
    expect(await failureOf(pull('app:1'))).toStartWith('LAYER_UNSAFE')
    const honest = registry.putImage('app', '2', [tarOf({ fine: 'x' })])
    const text = Buffer.from(registry.blobs.get(`app ${honest.config}`) as Uint8Array).toString()
    const config = new TextEncoder().encode(text.replace(/sha256:[0-9a-f]{64}/, digestOf('other')))
    const raw = Buffer.from(honest.raw).toString().replace(honest.config, registry.putBlob('app', config))
    registry.putDocument('app', '2', new TextEncoder().encode(raw), mediaTypes.ociManifest)
    expect(await failureOf(pull('app:2'))).toContain('but its image config says')
    expectNothing()
  })

  test('gives up on a server that is silent, and on one that only drips', async () => {
    const image = registry.putImage('app', '1', [tarOf({ big: noise(200_000) })])
    using impatient = testClient({}, { stall: 150 })
    answer(image.layers[0]?.digest ?? '', () => {
      const body = new ReadableStream({
        async pull(controller) {
          await Bun.sleep(40)
          controller.enqueue(new Uint8Array(1))
        },
      })
      return new Response(body, { headers: { 'Content-Length': String(image.layers[0]?.size) } })
    })
    const began = performance.now()
    expect(await failureOf(pull('app:1', { client: impatient }))).toMatch(/sent nothing|BLOB_CORRUPT/)
    expect(performance.now() - began).toBeLessThan(15_000)
    const silent = registry.putImage('app', '2', [tarOf({ silent: 'x' })])
    const headers = { 'Content-Type': mediaTypes.ociManifest }
    answer(
      `/manifests/${silent.target.digest}`,
      () => new Response(new ReadableStream({ start: () => {} }), { headers }),
    )
    expect(await failureOf(pull('app:2', { client: impatient }))).toContain('sent nothing')
  }, 40_000)

  test('waits for a server that does not answer twice, not again and again', async () => {
    const image = registry.putImage('app', '1')
    using impatient = testClient({}, { stall: 150 })
    const blob = `/blobs/${image.layers[0]?.digest}`
    answer(blob, () => new Promise<Response>(() => {}))
    expect(await failureOf(pull('app:1', { client: impatient }))).toContain('sent nothing')
    expect(registry.asked('GET').filter((path) => path.endsWith(blob))).toHaveLength(2)
    expect(readdirSync(target.store.path('downloads'))).toEqual([])
  })

  test('begins with no blob for which there is no space', async () => {
    const { raw } = registry.putImage('app', '1')
    const { value } = parseManifest(raw)
    const [layer] = value.layers
    if (layer === undefined) throw new Error('the image has no layer')
    const manifest = serializeManifest({ ...value, layers: [{ ...layer, size: 9e15 }] })
    registry.putDocument('app', '1', manifest, mediaTypes.ociManifest)
    expect(await failureOf(pull('app:1'))).toMatch(
      /^DISK_FULL: no space left on device: blob .* takes 9000000000000000 /,
    )
    expect(registry.asked('GET').some((path) => path.endsWith(layer.digest))).toBe(false)
    expect(readdirSync(target.store.path('downloads'))).toEqual([])
    expectNothing()
  })

  test('shows nothing of a server’s text that could move the cursor', async () => {
    registry.intercept = (_request, url) =>
      url.pathname === '/v2/' ? undefined : failure(403, 'DENIED', {}, '\u001b[2Jgo away\nnow\u202e')
    expect(await failureOf(pull('app:1'))).toEndWith(':  [2Jgo away now ')
  })
})
