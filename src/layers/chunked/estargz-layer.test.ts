import { describe, expect, test } from 'bun:test'
import { tarArchive } from '../../../test/fixtures/tar-archive.ts'
import { isCairnError } from '../../errors/error.ts'
import { isJsonObject } from '../../oci/descriptor.ts'
import { digestOf } from '../../oci/digest.ts'
import { blankEntry } from '../../tar/entry.ts'
import { formatHeaders } from '../../tar/header-writer.ts'
import { footerTable, largestFooter, readTable } from './chunk-table.ts'
import { type EstargzLayer, estargzLayer } from './estargz-layer.ts'

const table = 'containerd.io/snapshot/stargz/toc.digest'
const size = 'io.containers.estargz.uncompressed-size'

async function packed(
  tar: Uint8Array,
  { step = 1_000_000, level }: { step?: number; level?: number } = {},
): Promise<EstargzLayer & { readonly blob: Uint8Array<ArrayBuffer> }> {
  const pieces: Uint8Array[] = []
  const source = (async function* () {
    for (let at = 0; at < tar.length; at += step) yield tar.subarray(at, at + step)
  })()
  const layer = estargzLayer(source, { level })
  for (;;) {
    const { done, value } = await layer.next()
    if (done === true) return { ...value, blob: new Uint8Array(Buffer.concat(pieces)) }
    pieces.push(value)
  }
}

/** All members, unpacked. */
async function unpacked(blob: Uint8Array): Promise<Uint8Array> {
  return await new Response(
    new Blob([new Uint8Array(blob)]).stream().pipeThrough(new DecompressionStream('gzip')),
  ).bytes()
}

function tableOf(
  whole: Uint8Array,
  tar: Uint8Array,
): { readonly json: Uint8Array; readonly entries: readonly Entry[] } {
  const tail = whole.subarray(tar.length)
  const name = Buffer.from(tail.buffer, tail.byteOffset).indexOf('stargz.index.json')
  const length = parseInt(Buffer.from(tail.subarray(name + 124, name + 135)).toString(), 8)
  const json = tail.subarray(name + 512, name + 512 + length)
  const value: unknown = JSON.parse(new TextDecoder().decode(json))
  return { json, entries: (isJsonObject(value) ? value['entries'] : []) as Entry[] }
}

interface Entry {
  readonly name: string
  readonly type: string
  readonly size?: number
  readonly offset?: number
  readonly chunkOffset?: number
  readonly chunkSize?: number
  readonly chunkDigest?: string
  readonly digest?: string
}

const long = 'x'.repeat(4 * 1024 * 1024) + 'y'.repeat(5 * 1024 * 1024)
const tar = tarArchive([
  { name: 'd/', type: '5', mode: '755' },
  { name: 'd/short', text: 'short\n' },
  { name: 'd/empty' },
  { name: 'd/long', text: long },
  { name: 'd/link', type: '2', link: 'short' },
])

describe('estargzLayer()', () => {
  test('keeps the tar, and adds landmark and table after its end', async () => {
    const { blob, annotations, diffId, unpackedSize } = await packed(tar)
    const whole = await unpacked(blob)
    expect(Buffer.compare(whole.subarray(0, tar.length), tar)).toBe(0)
    expect(diffId).toBe(digestOf(whole))
    expect(unpackedSize).toBe(whole.length)
    const { json, entries } = tableOf(whole, tar)
    expect(annotations).toEqual({ [table]: digestOf(json), [size]: String(whole.length) })
    expect(entries.map(({ name, type }) => `${type} ${name}`)).toEqual([
      'dir d/',
      'reg d/short',
      'reg d/empty',
      'reg d/long',
      'chunk d/long',
      'chunk d/long',
      'symlink d/link',
      'reg .no.prefetch.landmark',
    ])
  })

  test('begins a gzip member with each chunk, by the digests of its table', async () => {
    const { blob } = await packed(tar)
    const { entries } = tableOf(await unpacked(blob), tar)
    const short = entries.find(({ name }) => name === 'd/short')
    expect(short).toMatchObject({ size: 6, digest: digestOf('short\n'), chunkDigest: digestOf('short\n') })
    expect(entries.find(({ name }) => name === 'd/empty')).toMatchObject({ digest: digestOf('') })
    const chunks = entries.filter(({ name }) => name === 'd/long')
    expect(chunks.map((chunk) => [chunk.chunkOffset ?? 0, chunk.chunkSize ?? 'rest'])).toEqual([
      [0, 4194304],
      [4194304, 4194304],
      [8388608, 'rest'],
    ])
    expect(chunks[0]).toMatchObject({ size: long.length, digest: digestOf(long) })
    for (const { offset = 0, chunkOffset = 0, chunkSize = long.length - chunkOffset, chunkDigest } of chunks) {
      const bytes = (await unpacked(blob.subarray(offset))).subarray(0, chunkSize)
      expect(digestOf(bytes)).toBe(chunkDigest as never)
    }
  })

  test('is read by those who look for the table', async () => {
    const { blob, annotations } = await packed(tar)
    const place = footerTable(blob.subarray(-largestFooter), blob.length)
    if (place === undefined) throw new Error('there is no footer')
    expect(place.format).toBe('estargz')
    const digest = annotations[table] as ReturnType<typeof digestOf>
    const { pieces } = (await readTable(blob.subarray(place.start, place.end), { ...place, digest })) ?? { pieces: [] }
    expect(pieces.at(0)?.start).toBe(0)
    expect(pieces.at(-1)?.end).toBe(place.start)
  })

  test('gives the same bytes however the tar arrives, and others for another level', async () => {
    const digests = await Promise.all(
      [777, 512, 65_536, 20_000_000].map(async (step) => digestOf((await packed(tar, { step })).blob)),
    )
    expect(new Set(digests).size).toBe(1)
    expect(digestOf((await packed(tar, { level: 9 })).blob)).not.toBe(digests[0] as never)
  })

  test.each([
    ['a file called as the table', tarArchive([{ name: './stargz.index.json', text: '{}' }])],
    [
      'a name that is no UTF-8',
      Buffer.concat([formatHeaders({ ...blankEntry, type: 'file', path: 'a\udcff', mode: 0o644 }), Buffer.alloc(1024)]),
    ],
  ])('writes a tar with %s as plain gzip', async (_, odd) => {
    const { blob, annotations, diffId, unpackedSize } = await packed(odd)
    expect(annotations).toEqual({})
    expect({ diffId, unpackedSize }).toEqual({ diffId: digestOf(odd), unpackedSize: odd.length })
    expect(Buffer.compare(await unpacked(blob), odd)).toBe(0)
  })

  test('refuses what is no tar, and a level that there is not', async () => {
    const code = async (attempt: Promise<unknown>) =>
      await attempt.then(
        () => 'nothing',
        (error: unknown) => (isCairnError(error) ? error.code : 'other'),
      )
    expect(await code(packed(new Uint8Array(2000).fill(7)))).toBe('TAR_INVALID')
    expect(await code(packed(tar, { level: 13 }))).toBe('USAGE')
  })
})
