import { describe, expect, test } from 'bun:test'
import { renderFailure } from './failure.ts'

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
    expect(renderFailure({ vertexName: 'RUN \x1b[2Jx\x07' })).toBe('------\n > RUN x:\n------\n')
    expect(renderFailure({ message: 'no such stage' })).toBe('ERROR: failed to build: failed to solve: no such stage\n')
    expect(renderFailure({ vertexName: 'RUN x' })).toBe('------\n > RUN x:\n------\n')
    expect(renderFailure({})).toBe('')
  })
})
