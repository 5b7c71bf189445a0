import { describe, expect, test } from 'bun:test'
import { LogTail } from './trace.ts'

function tailOf(pieces: readonly string[], lines: number): readonly string[] {
  const tail = new LogTail(lines)
  for (const piece of pieces) tail.push(new TextEncoder().encode(piece))
  return tail.lines()
}

describe('LogTail', () => {
  test.each([
    ['', []],
    ['\n', ['']],
    ['\na\n', ['', 'a']],
    ['a\nb\nc\nd\n', ['b', 'c', 'd']],
    ['a\n\n\nb', ['', '', 'b']],
    ['10%\r20%\rdone\r\nb', ['done', 'b']],
  ])('gives the last lines of %j, however it came', (log, expected) => {
    expect(tailOf([log], 3)).toEqual(expected)
    for (let cut = 0; cut <= log.length; cut++) expect(tailOf([log.slice(0, cut), log.slice(cut)], 3)).toEqual(expected)
    expect(tailOf(log.split(''), 3)).toEqual(expected)
  })

  test('keeps 64 KiB of lines that are longer', () => {
    const long = 'x'.repeat(50_000)
    expect(tailOf([long, long], 3)).toEqual(['x'.repeat(65_536)])
    expect(tailOf([`${long}\n`, `${long}\n`, 'end'], 3)).toEqual(['x'.repeat(65_536 - 50_000 - 5), long, 'end'])
    expect(tailOf([`${'y'.repeat(70_000)}\nend`], 3)).toEqual(['y'.repeat(65_532), 'end'])
  })
})
