import { describe, expect, test } from 'bun:test'
import {
  contains,
  formatAddress,
  formatSubnet,
  lastOf,
  overlaps,
  parseAddress,
  parseSubnet,
  type Subnet,
} from './addresses.ts'

function subnet(text: string): Subnet {
  const found = parseSubnet(text)
  if (found === undefined) throw new Error(text)
  return found
}

describe('parseAddress()', () => {
  test.each([
    ['10.0.0.1', '10.0.0.1'],
    ['255.255.255.255', '255.255.255.255'],
    ['::', '::'],
    ['::1', '::1'],
    ['FD00:0:0:1::A', 'fd00:0:0:1::a'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
    ['::ffff:10.0.0.1', '::ffff:a00:1'],
  ])('reads %p, and formatAddress() gives %p', (text, expected) => {
    const address = parseAddress(text)
    expect(address === undefined ? undefined : formatAddress(address)).toBe(expected)
  })

  test.each([
    '',
    '10.0.0',
    '10.0.0.256',
    '010.0.0.1',
    '10.0.0.1.2',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '12345::',
    'g::',
    '::1%lo',
    '::10.0.0',
  ])('refuses %p', (text) => {
    expect(parseAddress(text)).toBeUndefined()
  })
})

describe('parseSubnet()', () => {
  test('`parseSubnet()` drops what is behind the prefix and refuses prefixes that are too long', () => {
    expect(formatSubnet(subnet('10.1.2.3/16'))).toBe('10.1.0.0/16')
    expect(formatSubnet(subnet('fd00::5/64'))).toBe('fd00::/64')
    expect(formatAddress(lastOf(subnet('10.1.0.0/16')))).toBe('10.1.255.255')
    for (const text of ['10.0.0.0/33', 'fd00::/129', '10.0.0.0', '10.0.0.0/', '10.0.0.0/a'])
      expect(parseSubnet(text)).toBeUndefined()
  })

  test('`overlaps()` is true where one subnet is in the other, and never for different versions', () => {
    expect(overlaps(subnet('10.0.0.0/8'), subnet('10.9.0.0/16'))).toBe(true)
    expect(overlaps(subnet('10.9.0.0/16'), subnet('10.0.0.0/8'))).toBe(true)
    expect(overlaps(subnet('10.8.0.0/16'), subnet('10.9.0.0/16'))).toBe(false)
    expect(overlaps(subnet('0.0.0.0/0'), subnet('::/0'))).toBe(false)
    expect(contains(subnet('10.0.0.0/8'), { version: 4, value: 10n << 24n })).toBe(true)
  })
})
