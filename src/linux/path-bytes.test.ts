import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { comparePaths, decodePath, encodePath, encodePathInto, pathByteLength } from './path-bytes.ts'

const bytes = (...values: number[]): Uint8Array<ArrayBuffer> => new Uint8Array(values)

describe('decodePath()', () => {
  test('gives text for UTF-8 when it is valid', () => {
    expect(decodePath(Buffer.from('usr/bin/ls'))).toBe('usr/bin/ls')
    expect(decodePath(Buffer.from('naïve/日本/🦀'))).toBe('naïve/日本/🦀')
    expect(decodePath(Buffer.from(`${'x'.repeat(100)}é`))).toBe(`${'x'.repeat(100)}é`)
  })

  test('keeps a byte order mark when a name begins with one', () => {
    expect(encodePath(decodePath(bytes(0xef, 0xbb, 0xbf, 0x61)))).toEqual(bytes(0xef, 0xbb, 0xbf, 0x61))
  })

  test.each([
    ['a lone byte', [0x61, 0xff, 0x62]],
    ['Latin-1', [0x63, 0x61, 0x66, 0xe9]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['an encoded surrogate', [0xed, 0xb2, 0x80]],
    ['beyond Unicode', [0xf4, 0x90, 0x80, 0x80]],
    ['a cut sequence before text', [0xf0, 0x9f, 0xa6, 0x61]],
  ])('escapes each byte that is not UTF-8 when there is %s', (_, values) => {
    const name = bytes(...values)
    expect(decodePath(name)).toMatch(/[\udc80-\udcff]/)
    expect(encodePath(decodePath(name))).toEqual(name)
  })

  test('is undone by encodePath() when given any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (name) => {
        const path = decodePath(name)
        expect(encodePath(path)).toEqual(new Uint8Array(name))
        expect(pathByteLength(path)).toBe(name.length)
      }),
    )
  })
})

describe('encodePathInto()', () => {
  test('gives -1 when the target is too small', () => {
    expect(encodePathInto('abc', new Uint8Array(2))).toBe(-1)
    expect(encodePathInto('\udcff\udcfe', new Uint8Array(1))).toBe(-1)
    expect(encodePathInto('é', new Uint8Array(2))).toBe(2)
  })

  test('throws RangeError when a surrogate stands for no byte', () => {
    expect(() => encodePath('a\ud800b')).toThrow(RangeError)
    expect(() => encodePath('a\udc00b')).toThrow(RangeError)
  })
})

test('comparePaths() orders as the bytes do when names have astral characters or raw bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 12 }), fc.uint8Array({ maxLength: 12 }), (left, right) => {
      const order = comparePaths(decodePath(left), decodePath(right))
      expect(Math.sign(order)).toBe(Math.sign(Buffer.compare(left, right)))
    }),
  )
  expect(comparePaths('\uffee', '🦀')).toBeLessThan(0)
})
