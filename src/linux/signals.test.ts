import { describe, expect, test } from 'bun:test'
import { parseSignal } from './signals.ts'

describe('parseSignal()', () => {
  test.each([
    ['SIGTERM', 15],
    ['term', 15],
    ['sigkill', 9],
    ['IOT', 6],
    ['9', 9],
    ['SIGRTMIN', 34],
    ['SIGRTMIN+3', 37],
    ['RTMIN+15', 49],
    ['SIGRTMAX-14', 50],
    ['RTMAX', 64],
  ])('%s is %d', (text, number) => {
    expect(parseSignal(text)).toBe(number)
  })
  test.each(['', 'SIG', 'FOO', '0', '-1', '65', ' 15', '9x', 'RTMIN+16', 'RTMAX-15', 'RTMIN-1', 'toString', '1.5'])(
    '%j is none',
    (text) => {
      expect(() => parseSignal(text)).toThrow(`invalid signal: ${text}`)
    },
  )
})
