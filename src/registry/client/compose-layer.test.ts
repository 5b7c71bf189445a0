import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { lstatSync, readdirSync, readFileSync, type Stats, writeFileSync } from 'node:fs'
import { listComposedBlobs } from '../../content/composed-blobs.ts'
import { collectGarbage } from '../../content/gc.ts'
import { getTag } from '../../content/image-records.ts'
import { acquireLease } from '../../content/leases.ts'
import { findSnapshot, listSnapshotSizes } from '../../content/snapshot-records.ts'
import { isCairnError } from '../../errors/error.ts'
import { type TemporaryStore, temporaryStore } from '../../images/image-fixtures.ts'
import { removeImage } from '../../images/records/remove-image.ts'
import { unpackLayer } from '../../images/unpack-layer.ts'
import { treeSize } from '../../linux/tree-size.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import { parseReference } from '../../oci/reference.ts'
import { collect } from '../../streams/source.ts'
import { blankEntry, type TarEntry } from '../../tar/entry.ts'
import { TarWriter } from '../../tar/writer.ts'
import { type ChunkedFixture, chunkedFixture, noise, withTable } from './chunked-fixtures.ts'
import type { RegistryClient } from './connection.ts'
import { pullImage } from './pull.ts'
import { pushImage } from './push.ts'
import { type RemoteImage, ScriptedRegistry, testClient } from './scripted-registry.ts'

let registry: ScriptedRegistry
let target: TemporaryStore
let client: RegistryClient & Disposable

beforeEach(() => {
  registry = new ScriptedRegistry()
  target = temporaryStore()
  client = testClient()
})
afterEach(() => {
  registry[Symbol.dispose]()
  target[Symbol.dispose]()
  client[Symbol.dispose]()
})

async function pull(tag: string): Promise<void> {
  using lease = acquireLease(target.store)
  await pullImage({
    store: target.store,
    lease,
    client,
    reference: parseReference(`${registry.host}/app:${tag}`),
    unpack: unpackLayer,
    signal: new AbortController().signal,
  })
}

type Content = string | (Partial<TarEntry> & { readonly text: string })

function tarWith(files: Readonly<Record<string, Content>>): Uint8Array<ArrayBuffer> {
  const pieces: Uint8Array[] = []
  const tar = new TarWriter((bytes) => void pieces.push(bytes.slice()))
  tar.add({ ...blankEntry, type: 'directory', path: 'data', mode: 0o755 })
  for (const [path, content] of Object.entries(files)) {
    const { text, ...more } = typeof content === 'string' ? { text: content } : content
    const bytes = new TextEncoder().encode(text)
    tar.add({ ...blankEntry, type: 'file', path, mode: 0o644, mtimeSeconds: 1e9, ...more, size: bytes.length })
    tar.write(bytes)
  }
  tar.finish()
  return new Uint8Array(Buffer.concat(pieces))
}

const one = noise(900_000, 'one')
const two = noise(900_000, 'two')
const first = tarWith({ 'data/one': one, 'data/small': 'first', 'data/two': two })
const second = tarWith({ 'data/one': one, 'data/small': 'the second', 'data/two': two })

function put(tag: string, tar: Uint8Array<ArrayBuffer>, packed: ChunkedFixture): RemoteImage {
  return registry.putImage('app', tag, [tar], { packed: [packed] })
}

/** Pulls an image with the layer `first`, then one with `tar`. */
async function pullBoth(tar = second, packed?: ChunkedFixture): Promise<ChunkedFixture> {
  const chunked = packed ?? (await chunkedFixture(tar))
  put('1', first, await chunkedFixture(first))
  put('2', tar, chunked)
  await pull('1')
  await pull('2')
  return chunked
}

function fileOf(tar: Uint8Array, path: string): { readonly text: string; readonly status: Stats } {
  const snapshot = findSnapshot(target.store, digestOf(tar))
  const file = target.store.path('snapshots', snapshot?.id ?? '', 'fs', path)
  return { text: readFileSync(file, 'utf8'), status: lstatSync(file) }
}

/** Every blob has its bytes, whoever asks for them. */
async function expectWhole(packed: ChunkedFixture): Promise<void> {
  const { blobs } = target.store
  const digest = digestOf(packed.blob)
  expect(await blobs.isWhole(digest)).toBe(true)
  expect(blobs.size(digest)).toBe(packed.blob.length)
  expect(Buffer.compare(blobs.readAll(digest, 1e9), packed.blob)).toBe(0)
  for (const [start, end] of [
    [0, 1],
    [900_000, 900_100],
    [100, packed.blob.length],
  ] as const) {
    const range = await collect(blobs.open(digest, { start, end }), 1e9, 'range')
    expect(Buffer.compare(range, packed.blob.subarray(start, end))).toBe(0)
  }
}

/** What is recorded of unpacked layers is what they take on the disk. */
function expectTrueSizes(): void {
  const told = listSnapshotSizes(target.store).reduce((sum, { size }) => sum + size, 0)
  expect(Math.abs(told - treeSize(target.store.path('snapshots')))).toBeLessThan(32 * 1024)
}

function blobFiles(): readonly string[] {
  return readdirSync(target.store.path('content', 'blobs', 'sha256'))
}

async function failureOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
  } catch (error) {
    if (isCairnError(error)) return error.code
    throw error
  }
  return 'none'
}

describe('a pull of a layer most of which another layer has', () => {
  test('keeps its blob as pieces of the other, and gives files of both layers one place on the disk', async () => {
    const packed = await pullBoth()
    const digest = digestOf(packed.blob)
    expect(listComposedBlobs(target.store)).toEqual([digest])
    expect(target.store.blobs.file(digest)).toBeUndefined()
    await expectWhole(packed)
    const [before, after] = [fileOf(first, 'data/one'), fileOf(second, 'data/one')]
    expect(after.text).toBe(one)
    expect(after.status.ino).toBe(before.status.ino)
    expect(fileOf(second, 'data/small').text).toBe('the second')
    expect(fileOf(first, 'data/small').text).toBe('first')
  })

  test('is of use without the other image, and leaves nothing when it goes too', async () => {
    const packed = await pullBoth()
    expectTrueSizes()
    removeImage(target.store, `${registry.host}/app:1`)
    await collectGarbage(target.store)
    expectTrueSizes()
    await expectWhole(packed)
    expect(fileOf(second, 'data/two').text).toBe(two)
    removeImage(target.store, `${registry.host}/app:2`)
    await collectGarbage(target.store)
    expect(blobFiles()).toEqual([])
    expect(listComposedBlobs(target.store)).toEqual([])
    expect(readdirSync(target.store.path('snapshots'))).toEqual([])
  })

  test('can be pushed elsewhere byte for byte', async () => {
    const packed = await pullBoth()
    using elsewhere = new ScriptedRegistry()
    using lease = acquireLease(target.store)
    const image = getTag(target.store, `${registry.host}/app:2`)
    if (image === undefined) throw new Error('there is no image')
    const { digest } = image
    const size = target.store.blobs.size(digest) ?? 0
    await pushImage({
      store: target.store,
      lease,
      client,
      image: { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size },
      reference: parseReference(`${elsewhere.host}/copy:2`),
      signal: new AbortController().signal,
    })
    const sent = elsewhere.blobs.get(`copy ${digestOf(packed.blob)}`)
    expect(sent !== undefined && Buffer.compare(sent, packed.blob) === 0).toBe(true)
  })

  test('has files of all layers count once, whichever of them go, and frees what it says', async () => {
    await pullBoth()
    const third = tarWith({ 'data/one': one, 'data/other': noise(100_000, 'x'), 'data/two': two })
    put('3', third, await chunkedFixture(third))
    await pull('3')
    expectTrueSizes()
    expect(fileOf(third, 'data/two').status.nlink).toBe(3)
    for (const tag of ['1', '3', '2']) {
      removeImage(target.store, `${registry.host}/app:${tag}`)
      const before = treeSize(target.store.path('snapshots')) + treeSize(target.store.path('content'))
      // oxlint-disable-next-line no-await-in-loop -- each needs what the one before left
      const { reclaimed } = await collectGarbage(target.store)
      const after = treeSize(target.store.path('snapshots')) + treeSize(target.store.path('content'))
      expect(Math.abs(before - after - reclaimed)).toBeLessThan(64 * 1024)
      expectTrueSizes()
    }
  })

  test('is made of files only, also where the other layer was composed', async () => {
    await pullBoth()
    const third = tarWith({ 'data/one': one, 'data/small': 'the third one', 'data/two': two })
    const packed = await chunkedFixture(third)
    put('3', third, packed)
    await pull('3')
    for (const tag of ['1', '2']) removeImage(target.store, `${registry.host}/app:${tag}`)
    await collectGarbage(target.store)
    expect(listComposedBlobs(target.store)).toEqual([digestOf(packed.blob)])
    await expectWhole(packed)
  })

  test('writes files that have other metadata, and does not make one of two files that are alike', async () => {
    const other = tarWith({
      'data/copy': one,
      'data/one': one,
      'data/small': 'the second',
      'data/two': { text: two, mode: 0o755 },
    })
    await pullBoth(other)
    const [copy, same, changed] = ['data/copy', 'data/one', 'data/two'].map((path) => fileOf(other, path))
    expect([copy?.text, same?.text, changed?.text]).toEqual([one, one, two])
    expect(copy?.status.ino).not.toBe(same?.status.ino)
    expect(changed?.status.ino).not.toBe(fileOf(first, 'data/two').status.ino)
    expect((changed?.status.mode ?? 0) & 0o777).toBe(0o755)
    expect(fileOf(first, 'data/two').status.mode & 0o777).toBe(0o644)
  })

  test('fetches what is damaged of the other layer', async () => {
    const chunked = await chunkedFixture(first)
    put('1', first, chunked)
    await pull('1')
    const path = target.store.blobs.path(digestOf(chunked.blob))
    const bytes = readFileSync(path)
    bytes.fill(0, 300_000, 300_010)
    writeFileSync(path, bytes)
    const packed = await chunkedFixture(second)
    put('2', second, packed)
    await pull('2')
    expect(listComposedBlobs(target.store)).toEqual([])
    await expectWhole(packed)
    expect(fileOf(second, 'data/one').text).toBe(one)
  })

  test('unpacks its own bytes where a file of the other layer is not what it was', async () => {
    put('1', first, await chunkedFixture(first))
    await pull('1')
    const snapshot = findSnapshot(target.store, digestOf(first))
    writeFileSync(target.store.path('snapshots', snapshot?.id ?? '', 'fs/data/one'), one.replaceAll('a', 'b'))
    const packed = await chunkedFixture(second)
    put('2', second, packed)
    await pull('2')
    await expectWhole(packed)
    expect(fileOf(second, 'data/one').text).toBe(one)
  })
})

describe('a hostile registry', () => {
  async function expectRefused(): Promise<void> {
    expect(await failureOf(pull('2'))).toBe('BLOB_CORRUPT')
    expect(getTag(target.store, `${registry.host}/app:2`)).toBeUndefined()
    expect(listComposedBlobs(target.store)).toEqual([])
    expect(readdirSync(target.store.path('snapshots'))).toHaveLength(1)
    // Manifest, config and layer of the first image, and the config of the second.
    expect(blobFiles()).toHaveLength(4)
    await collectGarbage(target.store)
    expect(blobFiles()).toHaveLength(3)
    expect(readdirSync(target.store.path('downloads'))).toEqual([])
  }

  test('that gives other bytes for a range is refused, and nothing of it is kept', async () => {
    const packed = await chunkedFixture(second)
    put('1', first, await chunkedFixture(first))
    put('2', second, packed)
    await pull('1')
    const wrong = packed.blob.map((byte) => byte ^ 1)
    registry.intercept = (request, url) => {
      if (!url.pathname.endsWith(digestOf(packed.blob))) return undefined
      const [, start, end] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get('range') ?? '') ?? []
      if (start === undefined) return new Response(wrong)
      const last = end === '' || end === undefined ? wrong.length - 1 : Number(end)
      return new Response(wrong.slice(Number(start), last + 1), {
        status: 206,
        headers: { 'content-range': `bytes ${start}-${last}/${wrong.length}` },
      })
    }
    await expectRefused()
  })

  test('whose layer is another than its config says is refused, however its table fits', async () => {
    put('1', first, await chunkedFixture(first))
    // The config has the diff ID of what the first image has.
    registry.putImage('app', '2', [tarWith({ other: 'x' })], { packed: [await chunkedFixture(second)] })
    await pull('1')
    await expectRefused()
  })

  const swapped: Readonly<Record<string, string>> = { 'data/one': two, 'data/two': one }
  test.each([
    ['the digests of other files', (name: string) => ({ digest: digestOf(swapped[name] ?? 'the second') })],
    ['the place of other files', () => ({ offset: 1000, endOffset: 2000 })],
    ['other sizes', (name: string) => (name === 'data/one' ? { size: 20_000 } : {})],
  ] as const)('whose table gives %s brings what the layer has', async (_, change) => {
    const packed = withTable(await chunkedFixture(second), (entries) =>
      entries.map((entry) => ({ ...entry, ...(entry['type'] === 'reg' ? change(String(entry['name'])) : {}) })),
    )
    await pullBoth(second, packed)
    await expectWhole(packed)
    for (const [path, text] of Object.entries({ 'data/one': one, 'data/small': 'the second', 'data/two': two }))
      expect(fileOf(second, path).text).toBe(text)
  })

  test('whose first layer names files outside of it brings what the second has', async () => {
    const escaping = withTable(await chunkedFixture(first), (entries) =>
      entries.map((entry) => ({ ...entry, name: `../../../../${String(entry['name'])}` })),
    )
    const packed = await chunkedFixture(second)
    put('1', first, escaping)
    put('2', second, packed)
    await pull('1')
    await pull('2')
    await expectWhole(packed)
    expect(fileOf(second, 'data/one').text).toBe(one)
    expect(fileOf(second, 'data/one').status.nlink).toBe(1)
  })
})

test('two processes that pull it at once make it once', async () => {
  put('1', first, await chunkedFixture(first))
  const packed = await chunkedFixture(second)
  put('2', second, packed)
  await pull('1')
  await Promise.all([pull('2'), pull('2')])
  const composed: readonly Digest[] = listComposedBlobs(target.store)
  expect(composed).toEqual([digestOf(packed.blob)])
  await expectWhole(packed)
})
