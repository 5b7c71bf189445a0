import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { listTags } from '../../content/image-records.ts'
import { acquireLease } from '../../content/leases.ts'
import { findSnapshot } from '../../content/snapshot-records.ts'
import { isCairnError } from '../../errors/error.ts'
import { tarOf, type TemporaryStore, temporaryStore } from '../../images/image-fixtures.ts'
import { unpackLayer } from '../../images/unpack-layer.ts'
import { chunkedAnnotations } from '../../layers/chunked/chunk-table.ts'
import { chunkedLayer } from '../../layers/chunked/chunked-layer.ts'
import { digestOf } from '../../oci/digest.ts'
import { parseReference } from '../../oci/reference.ts'
import { chunkedFixture, noise, withTable } from './chunked-fixtures.ts'
import type { RegistryClient } from './connection.ts'
import { pullImage } from './pull.ts'
import { type PackedLayer, type RemoteImage, ScriptedRegistry, testClient } from './scripted-registry.ts'

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

async function pull(name: string): Promise<void> {
  using lease = acquireLease(target.store)
  await pullImage({
    store: target.store,
    lease,
    client,
    reference: parseReference(`${registry.host}/${name}`),
    unpack: unpackLayer,
    signal: new AbortController().signal,
  })
}

const big = noise(1_500_000, 'big')
const first = tarOf({ 'data/big': big, 'data/small': 'one', 'data/text': noise(9000, 'text') })
const second = tarOf({ 'data/big': big, 'data/small': 'two, which is longer', 'data/text': noise(9000, 'text') })

/** A layer as stargz-snapshotter writes it: headers and files in gzip members of their own, then the table and its place. */
function stargz(files: Readonly<Record<string, string>>): PackedLayer & { readonly tar: Uint8Array<ArrayBuffer> } {
  const members: Uint8Array[] = []
  const entries: object[] = []
  let size = 0
  const add = (bytes: Uint8Array<ArrayBuffer>): number => {
    const member = Bun.gzipSync(bytes)
    members.push(member)
    size += member.length
    return size - member.length
  }
  const whole = tarOf(files)
  let at = 0
  for (const [name, content] of Object.entries(files)) {
    const start = Buffer.from(whole.buffer).indexOf(content, at)
    add(whole.slice(at, start))
    const digest = digestOf(content)
    entries.push({
      type: 'reg',
      name,
      size: content.length,
      offset: add(whole.slice(start, start + content.length)),
      digest,
    })
    at = start + content.length
  }
  add(whole.slice(at, whole.length - 1024))
  const table = JSON.stringify({ version: 1, entries })
  const end = tarOf({ 'stargz.index.json': table })
  const position = add(end)
  const footer = new Uint8Array(51)
  footer.set([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 26, 0, 0x53, 0x47, 22, 0])
  footer.set(Buffer.from(`${position.toString(16).padStart(16, '0')}STARGZ`), 16)
  footer.set([1, 0, 0, 0xff, 0xff], 38)
  return {
    blob: new Uint8Array(Buffer.concat([...members, footer])),
    format: 'gzip',
    annotations: { [chunkedAnnotations.stargzTableDigest]: digestOf(table) },
    tar: new Uint8Array(Buffer.concat([whole.slice(0, whole.length - 1024), end])),
  }
}

/** Bytes of a blob that were asked for: all of it where no range was named. */
function bytesAsked(blob: PackedLayer): number {
  const asked = registry.seen.filter(
    ({ method, target: path }) => method === 'GET' && path.endsWith(digestOf(blob.blob)),
  )
  return asked.reduce((sum, { headers }) => {
    const range = /^bytes=(\d+)-(\d*)$/.exec(headers.get('range') ?? '')
    const end = range?.[2] === '' || range === null ? blob.blob.length : Number(range?.[2]) + 1
    return sum + end - Number(range?.[1] ?? 0)
  }, 0)
}

function fileOf(tar: Uint8Array, path: string): string {
  const snapshot = findSnapshot(target.store, digestOf(tar))
  return readFileSync(target.store.path('snapshots', snapshot?.id ?? '', 'fs', path), 'utf8')
}

function put(tag: string, tar: Uint8Array<ArrayBuffer>, packed: PackedLayer): RemoteImage {
  return registry.putImage('app', tag, [tar], { packed: [packed] })
}

/** The layer is there as the registry has it, and unpacked. */
function expectSecond(packed: PackedLayer): void {
  const digest = digestOf(packed.blob)
  expect(Buffer.compare(target.store.blobs.readAll(digest, 1e9), packed.blob)).toBe(0)
  expect(fileOf(second, 'data/small')).toBe('two, which is longer')
  expect(fileOf(second, 'data/big')).toBe(big)
}

describe('chunkedLayer()', () => {
  test('gives a zstd file that unpacks to the tar, always the same', async () => {
    const one = await chunkedFixture(first)
    expect(Buffer.compare(Bun.zstdDecompressSync(one.blob), first)).toBe(0)
    expect(digestOf((await chunkedFixture(first)).blob)).toBe(digestOf(one.blob))
    const position = one.annotations[chunkedAnnotations.tablePosition]?.split(':').map(Number) ?? []
    const [start = 0, size = 0, unpacked = 0] = position
    const table = one.blob.subarray(start, start + size)
    expect(digestOf(table)).toBe(one.annotations[chunkedAnnotations.tableDigest] as ReturnType<typeof digestOf>)
    const text = Buffer.from(Bun.zstdDecompressSync(table)).toString()
    expect(text).toHaveLength(unpacked)
    const { entries } = JSON.parse(text) as { entries: Record<string, unknown>[] }
    expect(entries.filter(({ type }) => type !== 'chunk').map(({ type, name }) => [type, name])).toContainEqual([
      'reg',
      'data/small',
    ])
    for (const { type, name, offset, endOffset, digest } of entries)
      if (type === 'reg' && name === 'data/small') {
        const frame = one.blob.subarray(Number(offset), Number(endOffset))
        expect(String(digest)).toBe(digestOf(Bun.zstdDecompressSync(frame)))
      }
  })
})

test('chunkedLayer() writes plain zstd for a name that JSON cannot hold, and refuses levels that zstd lacks', async () => {
  const tar = Buffer.from(tarOf({ 'data/naXe': 'x'.repeat(2000) }))
  const at = tar.indexOf('naXe')
  tar[at + 2] = 0xff
  // The sum of the header is that of its bytes with blanks in the place of the sum.
  const start = Math.floor(at / 512) * 512
  tar.write('        ', start + 148)
  const sum = tar.subarray(start, start + 512).reduce((total, byte) => total + byte, 0)
  tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, start + 148)
  const { blob, annotations } = await chunkedFixture(tar)
  expect(annotations).toEqual({})
  expect(Buffer.compare(Bun.zstdDecompressSync(blob), tar)).toBe(0)
  const refused = await chunkedLayer((async function* () {})(), { level: 23 })
    .next()
    .catch((error: unknown) => error)
  expect(isCairnError(refused, 'USAGE')).toBe(true)
})

describe('a pull of a layer with a table of contents', () => {
  test('fetches little more than the file that changed', async () => {
    const [one, two] = [await chunkedFixture(first), await chunkedFixture(second)]
    put('1', first, one)
    put('2', second, two)
    await pull('app:1')
    await pull('app:2')
    expectSecond(two)
    expect(bytesAsked(two)).toBeLessThan(two.blob.length * 0.03)
  })

  test('fetches all of it where the registry knows no ranges', async () => {
    const [one, two] = [await chunkedFixture(first), await chunkedFixture(second)]
    put('1', first, one)
    put('2', second, two)
    await pull('app:1')
    registry.intercept = (request, url) =>
      request.headers.has('range') && url.pathname.endsWith(digestOf(two.blob)) ? new Response(two.blob) : undefined
    await pull('app:2')
    expectSecond(two)
  })

  test('fetches the rest as it would be anyway where ranges fail in the middle', async () => {
    const [one, two] = [await chunkedFixture(first), await chunkedFixture(second)]
    put('1', first, one)
    put('2', second, two)
    await pull('app:1')
    let ranges = 0
    registry.intercept = (request) =>
      /-\d+$/.test(request.headers.get('range') ?? '') && ++ranges > 1 ? new Response(null, { status: 416 }) : undefined
    await pull('app:2')
    expect(ranges).toBeGreaterThan(1)
    expectSecond(two)
  })

  test('takes pieces of an eStargz layer', async () => {
    const one = stargz({ 'data/big': big, 'data/small': 'one' })
    const two = stargz({ 'data/big': big, 'data/small': 'two' })
    put('1', one.tar, one)
    put('2', two.tar, two)
    await pull('app:1')
    await pull('app:2')
    expect(fileOf(two.tar, 'data/small')).toBe('two')
    expect(bytesAsked(two)).toBeLessThan(two.blob.length * 0.03)
  })

  test('refuses a layer that unpacks to something else, whoever had its pieces', async () => {
    const [one, two] = [await chunkedFixture(first), await chunkedFixture(second)]
    put('1', first, one)
    put('2', tarOf({ other: 'content' }), two)
    await pull('app:1')
    const failure = await pull('app:2').then(
      () => undefined,
      (error: unknown) => error,
    )
    expect(isCairnError(failure, 'BLOB_CORRUPT')).toBe(true)
    expect(listTags(target.store).some(({ name }) => name.endsWith(':2'))).toBe(false)
    expect(readdirSync(target.store.path('snapshots'))).toHaveLength(1)
  })

  describe('with a hostile table', () => {
    type Change = (entries: Record<string, unknown>[]) => unknown
    const changed = (change: (entry: Record<string, unknown>) => object): Change => {
      return (entries) =>
        entries.map((entry) => (entry['name'] === 'data/small' ? { ...entry, ...change(entry) } : entry))
    }
    const cases: readonly (readonly [string, Change])[] = [
      ['that gives a changed file the digest of the old one', changed(() => ({ digest: digestOf('one') }))],
      [
        'whose pieces are all those of another layer',
        (entries) =>
          entries.map((entry) => (entry['name'] === 'data/text' ? { ...entry, digest: digestOf('other') } : entry)),
      ],
      ['with overlapping chunks', changed(({ offset }) => ({ offset: Number(offset) - 100 }))],
      ['with chunks beyond the layer', changed(() => ({ offset: 1e12, endOffset: 2e12 }))],
      ['with negative and broken numbers', changed(() => ({ offset: -5, endOffset: 0.5, size: 'many' }))],
      ['with a name that leads out', changed(() => ({ name: '../../../etc/passwd' }))],
      ['in no order', (entries) => entries.toReversed()],
      ['that is not JSON', () => '{"entries": ['],
      ['without entries', () => '{"version": 1, "entries": {"a": 1}}'],
      ['of nothing', () => []],
      ['that is a bomb', () => `{"entries": [${' '.repeat(80_000_000)}]}`],
    ]
    test.each(cases)('%s brings the right layer all the same', async (_, change) => {
      const two = withTable(await chunkedFixture(second), change)
      put('1', first, await chunkedFixture(first))
      put('2', second, two)
      await pull('app:1')
      await pull('app:2')
      expectSecond(two)
    })

    test.each(['1:99999999999:5:1', '99999999999999999999:1:1:1', '0:10:10:1', 'x', '5:10:10:2'])(
      'whose place is said to be %s brings the right layer all the same',
      async (position) => {
        const two = await chunkedFixture(second)
        put('1', first, await chunkedFixture(first))
        put('2', second, { ...two, annotations: { ...two.annotations, [chunkedAnnotations.tablePosition]: position } })
        await pull('app:1')
        await pull('app:2')
        expectSecond(two)
      },
    )
  })
})
