import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { acquireLease } from '../../content/leases.ts'
import { isCairnError } from '../../errors/error.ts'
import { copyImage } from '../../images/copy-image.ts'
import { putFixtureImage, tarOf, type TemporaryStore, temporaryStore } from '../../images/image-fixtures.ts'
import { openImageSource } from '../../images/image-source.ts'
import { storeTarget } from '../../images/store-target.ts'
import { validateImage } from '../../images/validate-image.ts'
import { digestOf } from '../../oci/digest.ts'
import { parseIndex, serializeIndex } from '../../oci/image-index.ts'
import { parseManifest, serializeManifest } from '../../oci/manifest.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { parsePlatform } from '../../oci/platform.ts'
import { parseReference, type Reference } from '../../oci/reference.ts'
import { collect } from '../../streams/source.ts'
import type { RegistryClient } from './connection.ts'
import { copyRemote } from './copy.ts'
import { openRegistrySource } from './registry-source.ts'
import { openRegistryTarget } from './registry-target.ts'
import { failure, ScriptedRegistry, testClient } from './scripted-registry.ts'

let registry: ScriptedRegistry
let other: ScriptedRegistry
let place: TemporaryStore
let client: RegistryClient & Disposable

beforeEach(() => {
  registry = new ScriptedRegistry()
  other = new ScriptedRegistry()
  place = temporaryStore()
  client = testClient()
})
afterEach(() => {
  registry[Symbol.dispose]()
  other[Symbol.dispose]()
  place[Symbol.dispose]()
  client[Symbol.dispose]()
})

const at = (server: ScriptedRegistry, name: string): Reference => parseReference(`${server.host}/${name}`)

/** Two platforms in one index. */
function putBoth(): string {
  const manifests = ['amd64', 'arm64'].map((architecture) => ({
    ...registry.putImage('app', architecture, [tarOf({ architecture }), tarOf({ shared: 'x' })], { architecture })
      .target,
    platform: { os: 'linux', architecture },
  }))
  return registry.putDocument(
    'app',
    '1',
    serializeIndex({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }),
    mediaTypes.ociIndex,
  )
}

describe('copyRemote()', () => {
  test('copies all platforms to another registry, each blob once', async () => {
    const digest = putBoth()
    const { target, written } = await copyRemote({
      store: place.store,
      client,
      from: at(registry, 'app:1'),
      to: at(other, 'copy:1'),
    })
    expect(target.digest as string).toBe(digest)
    expect(written.blobs).toBe(5)
    expect(other.documents.get('copy 1')?.raw).toEqual(registry.documents.get('app 1')?.raw as Uint8Array<ArrayBuffer>)
    using source = await openRegistrySource(place.store, client, at(other, 'copy:1'))
    expect((await validateImage(place.store, source)).problems).toEqual([])
    const again = await copyRemote({ store: place.store, client, from: at(registry, 'app:1'), to: at(other, 'copy:1') })
    expect(again.written.blobs).toBe(0)
  })

  test('moves no bytes within one registry', async () => {
    putBoth()
    registry.mountable = new Set(['app'])
    const { written } = await copyRemote({
      store: place.store,
      client,
      from: at(registry, 'app:1'),
      to: at(registry, 'prod/app:1'),
    })
    expect(written).toEqual({ blobs: 0, bytes: 0 })
    expect(registry.asked('GET').some((path) => path.includes('/blobs/'))).toBe(false)
    expect(registry.documents.has('prod/app 1')).toBe(true)
  })

  test('copies one platform, and says which there are none of', async () => {
    putBoth()
    const options = { store: place.store, client, from: at(registry, 'app:1'), to: at(other, 'copy:1') }
    const { target } = await copyRemote({ ...options, platform: parsePlatform('linux/arm64') })
    expect(target.mediaType).toBe(mediaTypes.ociManifest)
    const wrong = copyRemote({ ...options, platform: parsePlatform('linux/s390x') })
    expect(await wrong.catch((error: unknown) => isCairnError(error, 'IMAGE_PLATFORM'))).toBe(true)
  })

  test('keeps the tag of referrers where the registry neither lists them nor says that it knows the subject', async () => {
    const image = registry.putImage('app', '1')
    const raw = serializeManifest({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      artifactType: 'application/vnd.test',
      config: {
        mediaType: mediaTypes.ociEmpty,
        digest: registry.putBlob('app', new TextEncoder().encode('{}')),
        size: 2,
      },
      layers: [],
      subject: image.target,
      annotations: { by: 'me' },
    })
    const digest = registry.putDocument('app', 'sig', raw, mediaTypes.ociManifest)
    const copy = () =>
      copyRemote({ store: place.store, client, from: at(registry, 'app:sig'), to: at(other, 'copy:sig') })
    await copy()
    const tag = `copy sha256-${image.target.digest.slice('sha256:'.length)}`
    const { value } = parseIndex(other.documents.get(tag)?.raw ?? '')
    expect(value.manifests).toEqual([
      {
        mediaType: mediaTypes.ociManifest,
        digest,
        size: raw.length,
        artifactType: 'application/vnd.test',
        annotations: { by: 'me' },
      },
    ])
    other.documents.clear()
    other.intercept = (request, url) =>
      request.method === 'PUT' && url.pathname.endsWith('/manifests/sig')
        ? new Response(null, { status: 201, headers: { 'OCI-Subject': image.target.digest } })
        : undefined
    await copy()
    expect(other.documents.size).toBe(0)
  })

  test('refuses a corrupt blob, and leaves no tag', async () => {
    const image = registry.putImage('app', '1')
    const [layer] = image.layers
    registry.blobs.set(`app ${layer?.digest}`, new Uint8Array(layer?.size ?? 0))
    const copied = copyRemote({ store: place.store, client, from: at(registry, 'app:1'), to: at(other, 'copy:1') })
    expect(await copied.catch((error: unknown) => isCairnError(error, 'BLOB_CORRUPT'))).toBe(true)
    expect(other.documents.size).toBe(0)
    expect(readdirSync(place.store.session.directory)).toEqual([])
  })
})

describe('copyRemote() that fails', () => {
  const copy = (): Promise<unknown> =>
    copyRemote({ store: place.store, client, from: at(registry, 'app:1'), to: at(other, 'copy:1') })
  const fetched = (): number => registry.asked('GET').filter((path) => path.includes('/blobs/')).length
  const uploadsGet = (status: number): void => {
    other.intercept = ({ method }) => (method === 'POST' ? new Response(null, { status }) : undefined)
  }

  test('fetches nothing twice where the target comes back', async () => {
    registry.putImage('app', '1')
    uploadsGet(503)
    expect(await copy().catch((error: unknown) => isCairnError(error, 'REGISTRY_FAILED'))).toBe(true)
    expect(fetched()).toBe(2)
    other.intercept = () => undefined
    await copy()
    expect(fetched()).toBe(2)
    expect(other.documents.has('copy 1')).toBe(true)
    expect(readdirSync(place.store.path('downloads'))).toEqual([])
    expect(readdirSync(place.store.session.directory)).toEqual([])
  })

  test('leaves nothing of what was sent before it was ended', async () => {
    registry.putImage('app', '1')
    uploadsGet(503)
    await copy().catch(() => {})
    for (const bytes of registry.blobs.values()) other.putBlob('copy', bytes)
    other.intercept = () => undefined
    await copy()
    expect(fetched()).toBe(2)
    expect(readdirSync(place.store.path('downloads'))).toEqual([])
  })

  test('keeps nothing where it may not push', async () => {
    registry.putImage('app', '1')
    uploadsGet(403)
    expect(await copy().catch((error: unknown) => isCairnError(error, 'DENIED'))).toBe(true)
    expect(readdirSync(place.store.path('downloads'))).toEqual([])
  })
})

describe('a layer that registries need not have', () => {
  const layer = {
    mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
    digest: digestOf(new Uint8Array(9)),
    size: 9,
    urls: ['https://layers.example.com/base'],
  }

  function putForeign(): void {
    const { raw } = registry.putImage('app', '1')
    const { value } = parseManifest(raw)
    const manifest = serializeManifest({ ...value, layers: [layer, ...value.layers] })
    registry.putDocument('app', '1', manifest, mediaTypes.ociManifest)
  }

  test('stays where it is when an image is copied, but goes along where it is there', async () => {
    const options = { store: place.store, client, from: at(registry, 'app:1') }
    putForeign()
    await copyRemote({ ...options, to: at(other, 'copy:1') })
    expect(other.documents.get('copy 1')?.raw).toEqual(registry.documents.get('app 1')?.raw as Uint8Array<ArrayBuffer>)
    registry.putBlob('app', new Uint8Array(9))
    await copyRemote({ ...options, to: at(other, 'more:1') })
    expect(other.blobs.has(`more ${layer.digest}`)).toBe(true)
  })

  test('is named with where it is to be had where it is missing', async () => {
    putForeign()
    using source = await openRegistrySource(place.store, client, at(registry, 'app:1'))
    const read = collect(source.open(layer), 9, 'layer')
    expect(await read.catch((error: unknown) => (isCairnError(error, 'BLOB_UNKNOWN') ? error.hint : error))).toBe(
      'It is to be had from https://layers.example.com/base, but layers are fetched from registries only.',
    )
  })
})

describe('openRegistrySource()', () => {
  test('gives an image as other places do, each blob fetched once', async () => {
    putBoth()
    using source = await openRegistrySource(place.store, client, at(registry, 'app:1'), { isRead: true })
    using lease = acquireLease(place.store)
    await copyImage(place.store, source, storeTarget(place.store, lease, [parseReference('here:1')]))
    using here = await openImageSource(place.store, { transport: 'store', name: 'here:1' })
    expect(here.target.digest).toBe(source.target.digest)
    const blobs = registry.asked('GET').filter((path) => path.includes('/blobs/'))
    expect(new Set(blobs).size).toBe(blobs.length)
  })

  test('reads nothing that nobody asks for, and what the store has from there', async () => {
    putBoth()
    using source = await openRegistrySource(place.store, client, at(registry, 'app:1'))
    expect(source.size(source.target.digest)).toBe(source.target.size)
    expect(registry.asked('GET')).toEqual([])
  })
})

describe('openRegistryTarget()', () => {
  test('takes an image from anywhere, its tag last', async () => {
    const { target } = await putFixtureImage(place.store, {
      layers: [{ a: 'x' }],
      compression: 'gzip',
      tags: ['here:1'],
    })
    using source = await openImageSource(place.store, { transport: 'store', name: 'here:1' })
    await copyImage(place.store, source, openRegistryTarget(place.store, client, at(other, 'copy:1')))
    expect(other.documents.get('copy 1')?.raw).toEqual(place.store.blobs.readAll(target.digest, 1e6))
    expect(other.asked('PUT').at(-1)).toBe('/v2/copy/manifests/1')
    expect(() => openRegistryTarget(place.store, client, parseReference(`x@${target.digest}`))).toThrow(
      'cannot be written to',
    )
  })

  test('leaves no manifest where a blob is damaged on disk, or refused', async () => {
    const { target } = await putFixtureImage(place.store, {
      layers: [{ a: 'x' }, { b: 'y' }],
      compression: 'gzip',
      tags: ['here:1'],
    })
    const copy = async (): Promise<string> => {
      using source = await openImageSource(place.store, { transport: 'store', name: 'here:1' })
      using to = openRegistryTarget(place.store, client, at(other, 'copy:1'))
      const failed = await copyImage(place.store, source, to).catch((error: unknown) => error)
      return isCairnError(failed) ? failed.code : String(failed)
    }
    other.intercept = ({ method }, { pathname }) =>
      method === 'PUT' && pathname.includes('/uploads/') ? failure(403, 'DENIED') : undefined
    expect(await copy()).toBe('DENIED')
    other.intercept = () => undefined
    const { value } = parseManifest(place.store.blobs.readAll(target.digest, 1e6))
    const path = place.store.blobs.path(value.layers[1]?.digest ?? target.digest)
    const bytes = readFileSync(path)
    bytes[bytes.length - 1] = 255 - (bytes.at(-1) ?? 0)
    rmSync(path)
    writeFileSync(path, bytes)
    expect(await copy()).toBe('BLOB_CORRUPT')
    expect(other.documents.size).toBe(0)
    expect(readdirSync(place.store.session.directory)).toEqual([])
  })
})
