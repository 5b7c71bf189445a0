import { describe, expect, test } from 'bun:test'
import { checkSignal, parseSignal } from './signal.ts'

describe('parseSignal()', () => {
  test.each([
    ['SIGTERM', 15],
    ['term', 15],
    ['sigkill', 9],
    ['9', 9],
    ['SIGRTMIN', 34],
    ['RTMIN+15', 49],
    ['SIGRTMAX-14', 50],
    ['RTMAX', 64],
  ])('%s is %d', (text, number) => {
    expect(parseSignal(text)).toBe(number)
  })
  test.each(['', 'SIG', 'FOO', '0', '-1', '65', 'RTMIN+16', 'RTMAX-15', 'RTMIN-1', 'toString', '1.5'])(
    '%j is none',
    (text) => {
      expect(() => checkSignal(text)).toThrow(`invalid signal: ${text}`)
    },
  )
})
