import { describe, expect, test } from 'bun:test'
import { renderExcerpt } from './excerpt.ts'

const file = (count: number): { filename: string; lines: string[] } => ({
  filename: 'Dockerfile',
  lines: Array.from({ length: count }, (_, index) => `line ${index + 1}`),
})

describe('renderExcerpt()', () => {
  test('pads a single line more than several, and only inside the file', () => {
    expect(renderExcerpt(file(9), { start: 5, end: 5 })).toBe(
      [
        'Dockerfile:5',
        '--------------------',
        '   3 |     line 3',
        '   4 |     line 4',
        '   5 | >>> line 5',
        '   6 |     line 6',
        '   7 |     line 7',
        '--------------------',
      ].join('\n'),
    )
    expect(renderExcerpt(file(2), { start: 1, end: 9 })).toBe(
      ['Dockerfile:1', '--------------------', '   1 | >>> line 1', '   2 | >>> line 2', '--------------------'].join(
        '\n',
      ),
    )
    expect(renderExcerpt(file(2), { start: 3, end: 3 })).toBe('')
  })
  test('leaves out the middle of a long range', () => {
    const lines = renderExcerpt(file(500), { start: 100, end: 400 }).split('\n')
    expect(lines.length).toBeLessThan(45)
    expect(lines).toContain('     | >>> … 271 more lines')
    expect(lines).toContain(' 114 | >>> line 114')
    expect(lines).toContain(' 386 | >>> line 386')
    expect(lines).not.toContain(' 115 | >>> line 115')
  })
  test('shows the beginning of a long line', () => {
    const excerpt = renderExcerpt({ filename: 'f', lines: ['x'.repeat(60_000)] }, { start: 1, end: 1 })
    expect(excerpt.length).toBeLessThan(1100)
    expect(excerpt).toContain('xxx…')
  })
  test('makes control characters visible', () => {
    const excerpt = renderExcerpt({ filename: 'f', lines: ['a\tb\u001b[31m\u0000\u007f\u009b'] }, { start: 1, end: 1 })
    expect(excerpt).toContain('   1 | >>> a\tb^[[31m^@^?\ufffd')
  })
  test('hides what a URL holds for its server alone', () => {
    const lines = ['ADD https://me:pass@host/x?token=abc&v=1 "http://you:word@host" /', 'ADD ssh://git@host/x.git /']
    const excerpt = renderExcerpt({ filename: 'f', lines }, { start: 1, end: 1 })
    expect(excerpt).toContain('ADD https://host/x?token=xxxxx&v=1 "http://host/" /')
    expect(excerpt).toContain(lines[1] ?? '')
  })
})
