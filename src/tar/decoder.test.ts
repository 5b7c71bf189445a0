import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { CairnError } from '../errors/error.ts'
import { TarDecoder } from './decoder.ts'
import { blankEntry, type TarEntry } from './entry.ts'
import type { TarLimits } from './limits.ts'
import { readTarFile } from './reader.ts'
import { TarWriter } from './writer.ts'

/** Archives that are wrong: each fails with the right code, and nothing else ever happens. */

const entry: TarEntry = { ...blankEntry, type: 'file', path: 'name', mode: 0o644, size: 600 }

function archive(...entries: TarEntry[]): Buffer {
  const pieces: Uint8Array[] = []
  const writer = new TarWriter((bytes) => void pieces.push(bytes.slice()))
  for (const one of entries) {
    writer.add(one)
    if (one.type === 'file') writer.write(Buffer.alloc(one.size, 0x61))
  }
  writer.finish()
  return Buffer.concat(pieces)
}

/** A header block with these fields, its checksum right. */
function header(values: {
  type: string
  name?: string
  size?: string
  magic?: string
  more?: (block: Buffer) => void
}): Buffer {
  const block = Buffer.alloc(512)
  block.write(values.name ?? 'name', 0)
  block.write('0000644\0', 100)
  block.write('0000000\0', 108)
  block.write('0000000\0', 116)
  block.write(values.size ?? '00000000000\0', 124)
  block.write('00000000000\0', 136)
  block.write(values.type, 156, 'latin1')
  block.write(values.magic ?? 'ustar\u000000', 257, 'latin1')
  values.more?.(block)
  block.fill(0x20, 148, 156)
  let sum = 0
  for (const byte of block) sum += byte
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

const octal = (value: number): string => `${value.toString(8).padStart(11, '0')}\0`

function pax(...records: string[]): Buffer {
  const body = Buffer.from(
    records
      .map((record) => {
        let length = record.length + 3
        while (String(length).length + record.length + 2 !== length) length++
        return `${length} ${record}\n`
      })
      .join(''),
    'latin1',
  )
  return Buffer.concat([
    header({ type: 'x', size: octal(body.length) }),
    body,
    Buffer.alloc((512 - (body.length % 512)) % 512),
  ])
}

function read(bytes: Uint8Array, limits: Partial<TarLimits> = {}): TarEntry[] {
  return [...readTarFile(bytes, { name: 'x.tar', limits })].map((member) => member.entry)
}

function failure(bytes: Uint8Array, limits: Partial<TarLimits> = {}): CairnError {
  try {
    read(bytes, limits)
  } catch (error) {
    if (error instanceof CairnError) return error
    throw error
  }
  throw new Error('did not fail')
}

const end = Buffer.alloc(1024)

describe('TarDecoder', () => {
  test('fails with TAR_INVALID naming the entry and its position when the archive is cut off anywhere', () => {
    const whole = archive(entry, { ...entry, path: 'long'.repeat(60), mtimeNanoseconds: 1 })
    const firstEnd = 1536
    for (let length = 1; length < whole.length; length += 37) {
      if (length === firstEnd || length >= whole.length - 1024) continue
      expect(failure(whole.subarray(0, length))).toMatchObject({ code: 'TAR_INVALID' })
    }
    expect(failure(whole.subarray(0, 1000)).message).toBe('x.tar at byte 0, "name": the archive is cut off')
  })

  test('takes an archive without closing blocks when it ends between members, as Go does', () => {
    const whole = archive(entry)
    expect(read(whole.subarray(0, whole.length - 1024))).toHaveLength(1)
    expect(read(whole.subarray(0, whole.length - 512))).toHaveLength(1)
    expect(read(new Uint8Array(0))).toEqual([])
  })

  test('ignores what follows the closing blocks', () => {
    expect(read(Buffer.concat([archive(entry), Buffer.from('garbage')]))).toHaveLength(1)
  })

  test('fails when garbage or a lone block of zeros stands between members', () => {
    const member = archive(entry).subarray(0, 1536)
    expect(failure(Buffer.concat([member, Buffer.alloc(512, 'garbage'), end])).message).toContain(
      'x.tar at byte 1536: this is no tar header',
    )
    expect(failure(Buffer.concat([member, Buffer.alloc(512), member, end])).code).toBe('TAR_INVALID')
  })

  test('fails when any bit of a header is flipped', () => {
    const whole = archive({ ...entry, size: 0 })
    for (let bit = 0; bit < 512 * 8; bit += 5) {
      const flipped = Buffer.from(whole)
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      // The space and NUL around a checksum are not part of it.
      if (bit >> 3 >= 154 && bit >> 3 < 156) continue
      expect(failure(flipped).code).toBe('TAR_INVALID')
    }
  })

  test('takes a member without a name, which stands for the root', () => {
    const [member] = read(Buffer.concat([header({ type: '0', more: (block) => block.fill(0, 0, 100) }), end]))
    expect(member).toMatchObject({ type: 'file', path: '' })
  })

  test.each([
    ['an unknown type', header({ type: 'Z' })],
    ['a size that is no number', header({ type: '0', size: '0000000x000\0' })],
    ['a negative size', header({ type: '0', more: (block) => block.fill(0xff, 124, 136) })],
    [
      'a size beyond what numbers hold',
      header({ type: '0', more: (block) => block.fill(0x7f, 125, 136).fill(0x80, 124, 125) }),
    ],
    ['a symlink without a target', header({ type: '2' })],
    [
      'a pax record without a length',
      Buffer.concat([header({ type: 'x', size: octal(5) }), Buffer.alloc(512, 'abcde')]),
    ],
    [
      'a pax record longer than its header',
      Buffer.concat([header({ type: 'x', size: octal(8) }), Buffer.alloc(512, '99 a=bcd')]),
    ],
    ['a pax record without =', Buffer.concat([header({ type: 'x', size: octal(6) }), Buffer.alloc(512, '6 abc\n')])],
    ['a pax header and no member', Buffer.concat([pax('path=x'), end])],
    ['a pax path with a NUL', Buffer.concat([pax('path=a\0b'), header({ type: '0' })])],
    ['a pax size that is no number', Buffer.concat([pax('size=1e9'), header({ type: '0' })])],
    ['a negative pax uid', Buffer.concat([pax('uid=-1'), header({ type: '0' })])],
    ['a pax time that is none', Buffer.concat([pax('mtime=yesterday'), header({ type: '0' })])],
    [
      'a long name and no member',
      Buffer.concat([header({ type: 'L', size: octal(4) }), Buffer.alloc(512, 'abc\0'), end]),
    ],
    ['a sparse map beyond the file', sparse([0, 10, 100, 20], 110, 30)],
    ['a sparse map that overlaps', sparse([0, 20, 10, 10], 100, 30)],
    ['a sparse map that holds less than is stored', sparse([0, 10], 100, 30)],
    ['a sparse map out of order', sparse([50, 10, 0, 20], 100, 30)],
    ['a sparse map of odd length', sparse([0, 30, 40], 100, 30)],
    ['sparse 1.0 without its map', Buffer.concat([pax(...sparse1), header({ type: '0', size: octal(0) })])],
    [
      'sparse 1.0 with a map of text',
      Buffer.concat([pax(...sparse1), header({ type: '0', size: octal(512) }), Buffer.alloc(512, 'x')]),
    ],
    [
      'sparse 1.0 with an endless map',
      Buffer.concat([
        pax(...sparse1),
        header({ type: '0', size: octal(512) }),
        Buffer.from('9999\n'.padEnd(512, '1\n')),
      ]),
    ],
    [
      'an old sparse map of nonsense',
      header({ type: 'S', magic: 'ustar  \0', more: (block) => block.write('nonsense', 386) }),
    ],
  ])('fails with TAR_INVALID when there is %s', (_, bytes) => {
    expect(failure(Buffer.concat([bytes, end])).code).toBe('TAR_INVALID')
  })

  test('takes directories of old archives for what they are when only a slash tells', () => {
    expect(read(Buffer.concat([header({ type: '\0', name: 'd/', magic: '' }), end]))[0]).toMatchObject({
      type: 'directory',
      path: 'd',
    })
  })

  test('lets an empty pax value mean the header field', () => {
    expect(read(Buffer.concat([pax('path=', 'uid='), header({ type: '0', name: 'plain' }), end]))[0]).toMatchObject({
      path: 'plain',
      uid: 0,
    })
  })

  test.each([
    ['entries', archive(entry, entry, entry), { entries: 2 }],
    ['pathLength', archive({ ...entry, path: 'p'.repeat(300) }), { pathLength: 299 }],
    [
      'pathLength, for link names',
      archive({ ...entry, type: 'symlink', linkname: 'é'.repeat(200) }),
      { pathLength: 399 },
    ],
    ['headerBytes', archive({ ...entry, xattrs: new Map([['user.a', new Uint8Array(5000)]]) }), { headerBytes: 4096 }],
    ['headerBytes, for long names', Buffer.concat([header({ type: 'L', size: octal(2_000_000) }), end]), {}],
    ['headerBytes, for global headers', Buffer.concat([...globals(1), end]), { headerBytes: 800 }],
    ['contentBytes', archive(entry, entry), { contentBytes: 1199 }],
    ['contentBytes, holes included', sparse([0, 30], 1000, 30), { contentBytes: 999 }],
  ])('fails with LIMIT_EXCEEDED past the limit %s', (_, bytes, limits) => {
    expect(failure(bytes, limits).code).toBe('LIMIT_EXCEEDED')
  })

  test('takes just as much as its limits allow', () => {
    expect(read(archive(entry, entry), { entries: 2, contentBytes: 1200, pathLength: 4 })).toHaveLength(2)
  })

  test('fails with nothing but TAR_INVALID or LIMIT_EXCEEDED when given any bytes', () => {
    const whole = archive(entry, { ...entry, path: 'l'.repeat(200), xattrs: new Map([['user.x', new Uint8Array(10)]]) })
    const change = fc.record({ at: fc.nat(whole.length - 1), byte: fc.nat(255) })
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 8 }),
        fc.integer({ min: 1, max: 2000 }),
        fc.boolean(),
        (changes, piece, fix) => {
          const bytes = Buffer.from(whole)
          for (const { at, byte } of changes) bytes[at] = byte
          if (fix) fixChecksums(bytes)
          const outcome = [decode(bytes, piece), decode(bytes, bytes.length)]
          expect(outcome[0]).toEqual(outcome[1])
          expect(['ok', 'TAR_INVALID', 'LIMIT_EXCEEDED']).toContain(outcome[0]?.at(-1) as string)
        },
      ),
      { numRuns: 1500 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), (bytes) => void decode(bytes, 512)),
      { numRuns: 300 },
    )
  })
})

const sparse1 = ['GNU.sparse.major=1', 'GNU.sparse.minor=0', 'GNU.sparse.realsize=9999']

/** A member in sparse format 0.1. */
function sparse(map: readonly number[], size: number, stored: number): Buffer {
  const records = pax(`GNU.sparse.size=${size}`, `GNU.sparse.map=${map.join(',')}`)
  return Buffer.concat([records, header({ type: '0', size: octal(stored) }), Buffer.alloc(512)])
}

function globals(count: number): Buffer[] {
  return Array.from({ length: count }, (_, index) => {
    const block = pax(`comment${index}=${'c'.repeat(900)}`)
    return Buffer.concat([
      header({ type: 'g', size: octal(Number.parseInt(block.toString('latin1', 124, 135), 8)) }),
      block.subarray(512),
    ])
  })
}

/** What a decoder tells of these bytes, in pieces of `size`: paths, then `ok` or the code of the failure. */
function decode(bytes: Uint8Array, size: number): string[] {
  const seen: string[] = []
  let given = 0
  const decoder = new TarDecoder(
    {
      entry: (member) => seen.push(`${member.entry.path} ${member.entry.size}`) > 0,
      content: (piece) => void (given += piece.length),
      end: () => void seen.push(`${given}`),
    },
    { contentBytes: 1_000_000 },
  )
  try {
    for (let offset = 0; offset < bytes.length; offset += size) decoder.push(bytes.subarray(offset, offset + size))
    decoder.finish()
    seen.push('ok')
  } catch (error) {
    if (!(error instanceof CairnError)) throw error
    seen.push(error.code)
  }
  return seen
}

function fixChecksums(bytes: Buffer): void {
  for (let offset = 0; offset + 512 <= bytes.length; offset += 512) {
    const block = bytes.subarray(offset, offset + 512)
    if (block.toString('latin1', 257, 262) !== 'ustar') continue
    block.fill(0x20, 148, 156)
    let sum = 0
    for (const byte of block) sum += byte
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  }
}
