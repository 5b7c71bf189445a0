import { describe, expect, test } from 'bun:test'
import { type LogPosition, prefixedLines } from './log-lines.ts'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const start = (): LogPosition => ({ isInLine: false, isOpen: false, isAfterReturn: false })

/** What is printed of a log that comes in these pieces. */
function printed(pieces: readonly string[], position = start()): string {
  return pieces.map((piece) => new TextDecoder().decode(prefixedLines(encode(piece), encode('> '), position))).join('')
}

describe('prefixedLines()', () => {
  test.each([
    ['a\nb', '> a\n> b'],
    ['\n\na\n', '> \n> \n> a\n'],
    ['a\r\n\r\nb\r\n', '> a\n> \n> b\n'],
    ['10%\r20%\r\r30%\n', '> 10%\n> 20%\n> 30%\n'],
    ['a\r\r\nb', '> a\n> \n> b'],
    ['\ra\r', '> a'],
    ['é\n€', '> é\n> €'],
  ])('puts the prefix before each line of %j, however it is cut', (log, expected) => {
    expect(printed([log])).toBe(expected)
    for (let cut = 1; cut < log.length; cut++) expect(printed([log.slice(0, cut), log.slice(cut)])).toBe(expected)
    expect(printed(log.split(''))).toBe(expected)
  })

  test('begins a line anew where the output was elsewhere meanwhile', () => {
    const position = start()
    expect(printed(['half'], position)).toBe('> half')
    position.isOpen = false
    expect(printed([' a line\r', 'next\n'], position)).toBe('>  a line\n> next\n')
    expect(printed(['half'], position)).toBe('> half')
    position.isOpen = false
    expect(printed(['\n'], position)).toBe('> \n')
  })

  test('keeps all of a piece in which every byte is a line', () => {
    expect(printed(['\n'.repeat(1000)])).toBe('> \n'.repeat(1000))
  })
})
