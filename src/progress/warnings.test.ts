import { describe, expect, test } from 'bun:test'
import type { WarningEvent } from './events.ts'
import { renderWarnings } from './warnings.ts'

const plain = { expanded: false, colored: false }

function warning(short: string, more: Partial<WarningEvent> = {}): WarningEvent {
  return { type: 'warning', vertex: 'definition', short, ...more }
}

describe('renderWarnings()', () => {
  test('lists warnings in the order in which they came', () => {
    const short = "FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)"
    expect(renderWarnings([warning(short)], plain)).toBe(
      `\n 1 warning found (use cairn --debug to expand):\n - ${short}\n`,
    )
    expect(renderWarnings([warning('b'), warning('a')], plain)).toBe(
      '\n 2 warnings found (use cairn --debug to expand):\n - b\n - a\n',
    )
    expect(renderWarnings([], plain)).toBe('')
  })

  test('shows what each means, its page and its lines when expanded', () => {
    const source = { filename: 'Dockerfile', data: 'FROM x', start: 1, end: 1, excerpt: 'Dockerfile:1\n>>> FROM x' }
    const warnings = [warning('Rule: a', { detail: ['What it means'], url: 'https://page', source }), warning('b')]
    expect(renderWarnings(warnings, { expanded: true, colored: true })).toBe(
      [
        '\n \u001b[33m2 warnings found:\u001b[0m',
        ' - Rule: a\nWhat it means\nMore info: https://page\nDockerfile:1\n>>> FROM x\n',
        ' - b\n\n',
      ].join('\n'),
    )
  })
})
