import { describe, expect, test } from 'bun:test'
import { renderFailure, renderWarnings } from './failure.ts'

const excerpt = `Dockerfile:2
--------------------
   1 |     FROM busybox
   2 | >>> RUN false
--------------------
`

describe('renderFailure()', () => {
  test('is the report BuildKit prints', () => {
    const message = 'process "/bin/sh -c false" did not complete successfully: exit code: 1'
    expect(renderFailure({ vertexName: '[2/2] RUN false', logTail: ['one', 'two'], excerpt, message })).toBe(`------
 > [2/2] RUN false:
one
two
------
Dockerfile:2
--------------------
   1 |     FROM busybox
   2 | >>> RUN false
--------------------
ERROR: failed to build: failed to solve: process "/bin/sh -c false" did not complete successfully: exit code: 1
`)
  })

  test('leaves out what there is none of', () => {
    expect(renderFailure({ message: 'no such stage' })).toBe('ERROR: failed to build: failed to solve: no such stage\n')
    expect(renderFailure({ vertexName: 'RUN x' })).toBe('------\n > RUN x:\n------\n')
    expect(renderFailure({})).toBe('')
  })
})

describe('renderWarnings()', () => {
  test('lists findings with their lines', () => {
    const short = "FromAsCasing: 'as' and 'FROM' keywords' casing do not match"
    expect(renderWarnings([{ short, line: 1 }])).toBe(`\n 1 warning found:\n - ${short} (line 1)\n`)
    expect(renderWarnings([{ short: 'a' }, { short: 'b', line: 2 }])).toBe(
      '\n 2 warnings found:\n - a\n - b (line 2)\n',
    )
    expect(renderWarnings([])).toBe('')
  })
})
