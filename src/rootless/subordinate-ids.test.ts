import { describe, expect, test } from 'bun:test'
import { hostUser, subordinateRanges } from './subordinate-ids.ts'

describe('subordinateRanges()', () => {
  const text = `
alice:100000:65536
1001:300000:1000
bob:200000:65536
alice:400000:10
alice:x:10
alice:500000
alicea:600000:10
alice:700000:0
`
  test('gives the lines of an account, by name and by number, in their order', () => {
    expect(subordinateRanges({ id: 1000, name: 'alice' }, text)).toEqual([
      { first: 100_000, length: 65_536 },
      { first: 400_000, length: 10 },
    ])
    expect(subordinateRanges({ id: 1001, name: 'carol' }, text)).toEqual([{ first: 300_000, length: 1000 }])
    expect(subordinateRanges({ id: 1002, name: undefined }, text)).toEqual([])
  })
})

test('hostUser() finds the name of a number in passwd, and knows those without one', () => {
  const passwd = 'root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n'
  expect(hostUser(1000, passwd)).toEqual({ id: 1000, name: 'alice' })
  expect(hostUser(1001, passwd)).toEqual({ id: 1001, name: undefined })
})
