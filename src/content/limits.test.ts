import { describe, expect, test } from 'bun:test'
import { defaultLimits, parseLimits } from './limits.ts'

describe('parseLimits()', () => {
  test('keeps the default of what is not named', () => {
    expect(parseLimits(undefined)).toEqual(defaultLimits)
    expect(parseLimits('')).toEqual(defaultLimits)
    expect(parseLimits('layer-bytes=2g, ratio=1000,depth=9,absolute-paths=allow')).toEqual({
      ...defaultLimits,
      layerBytes: 2 * 1024 ** 3,
      ratio: 1000,
      tar: { depth: 9 },
      absolutePaths: 'allow',
    })
  })

  test('never lets paths be longer than Linux has them', () => {
    expect(parseLimits('path-bytes=1m').tar.pathLength).toBe(4095)
  })

  test.each(['ratio', 'ratio=', 'ratio=-1', 'size=3', 'layer-bytes=1.5g', 'absolute-paths=yes', '__proto__=1'])(
    'refuses %s, naming it',
    (text) => {
      expect(() => parseLimits(text)).toThrow(JSON.stringify(text))
    },
  )
})
