import { describe, expect, test } from 'bun:test'
import { parseChmod } from './chmod.ts'

/** Permissions a file, or a directory, with `mode` ends up with. */
const apply = (text: string, mode: number, isDirectory = false): string =>
  parseChmod(text).apply(mode, isDirectory).toString(8)

describe('parseChmod()', () => {
  // The results of coreutils' chmod with umask 0, but for the last three: there the BSD rules that BuildKit follows
  // keep what a clause does not name (sticky, set-group-id) and let u set sticky.
  test.each([
    ['644', 0o777, '644'],
    ['0755', 0o4600, '755'],
    ['7777', 0, '7777'],
    ['u=rwX,go=rX', 0o640, '644'],
    ['u=rwX,go=rX', 0o750, '755'],
    ['+x', 0o644, '755'],
    ['a+x', 0o644, '755'],
    ['-w', 0o777, '555'],
    ['go=', 0o777, '700'],
    ['g=u', 0o640, '660'],
    ['go=u-w', 0o700, '755'],
    ['o=g', 0o750, '755'],
    ['u+s,g+s,+t', 0o755, '7755'],
    ['u-s', 0o4755, '755'],
    ['o+s', 0o755, '755'],
    ['ug+rw,o-r', 0o604, '660'],
    ['+X', 0o644, '644'],
    ['+X', 0o744, '755'],
    ['a-X', 0o755, '644'],
    ['u=rw+x', 0o000, '700'],
    ['=', 0o755, '0'],
    ['a=r', 0o1777, '1444'],
    ['g=u', 0o2640, '2660'],
    ['u+t', 0o644, '1644'],
  ])('%s on %o', (text, mode, expected) => {
    expect(apply(text, mode)).toBe(expected)
  })

  test('X counts for directories whatever they have', () => {
    expect(apply('a=rX', 0o600, true)).toBe('555')
  })
  test('bits above the permissions stay', () => {
    expect(apply('600', 0o100755)).toBe('100600')
    expect(apply('go-rx', 0o100755)).toBe('100700')
  })
  test('keeps the text, and the number where it is one', () => {
    expect(parseChmod('0644')).toMatchObject({ text: '0644', octal: 0o644 })
    expect(parseChmod('u+x')).toMatchObject({ text: 'u+x', octal: undefined })
  })
  test.each(['10000', '888', '64x'])('%s is refused as a number', (text) => {
    expect(() => parseChmod(text)).toThrow(
      `invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`,
    )
  })
  test.each(['', 'a', 'u', 'u+y', 'u+x,', ',u+x', 'rwx', 'u=rg', 'u=go', '$MODE'])('%j is refused', (text) => {
    expect(() => parseChmod(text)).toThrow(expect.objectContaining({ code: 'DOCKERFILE_INVALID' }))
  })
})
