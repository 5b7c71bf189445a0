import { describe, expect, test } from 'bun:test'
import type { LayerTree, TreeEntry } from '../layers/tree.ts'
import { blankEntry } from '../tar/entry.ts'
import { datedFiles } from './dated-files.ts'

const written = 315_532_800
const now = new Date('2026-11-22T10:00:00Z')

/** A layer of texts in `/etc`, all of one time. */
function layer(files: Readonly<Record<string, string>>, mtimeSeconds: number): LayerTree {
  const entry = (type: TreeEntry['type'], size: number): TreeEntry => ({
    ...blankEntry,
    type,
    mode: 0o644,
    size,
    mtimeSeconds,
    inode: undefined,
  })
  return {
    lookup: (path) => {
      const text = files[path.slice('/etc/'.length)]
      if (path === '/' || path === '/etc') return entry('directory', 0)
      return text === undefined ? undefined : entry('file', text.length)
    },
    list: (path) => (path === '/' ? ['etc'] : Object.keys(files)),
    read: (path) => [Buffer.from(files[path.slice('/etc/'.length)] ?? '')],
    hides: () => false,
    whiteouts: () => [],
    isImplied: () => false,
  }
}

describe('datedFiles()', () => {
  test.each([
    ['on 2026-11-22.', '2026-11-22'],
    ['2026/11/22', '2026/11/22'],
    ['v20261122', undefined],
    ['build 20261122\n', '20261122'],
    ['20261122103000', '20261122'],
    ['2026112299', undefined],
    ['202611221', undefined],
    ['2026-11-23', undefined],
    ['2026-1122', undefined],
    ['22 Nov 2026', '22 Nov 2026'],
    ['November 22, 2026', 'November 22, 2026'],
    ['Sun Nov 22 10:11:12 UTC 2026', 'Nov 22 10:11:12 UTC 2026'],
    ['Nov 2 2026', undefined],
  ])('finds in %j the day %p', (text, found) => {
    const files = datedFiles(layer({ f: text }, written), written, now)
    expect(files.map((file) => file.text)).toEqual(found === undefined ? [] : [found])
  })

  test('takes the day of the last change of an account for that, and another number not', () => {
    const day = String(Date.UTC(2026, 10, 22) / 86_400_000)
    const shadow = `root:*:20000:0:99999:7:::\nu:!:${day}:0:99999:7:::\n`
    const found = datedFiles(layer({ shadow, other: shadow }, written), written, now)
    expect(found).toMatchObject([{ path: '/etc/shadow', text: `u:…:${day}` }])
    expect(datedFiles(layer({ shadow: `u:!:1:0:${day}\n` }, written), written, now)).toEqual([])
  })

  test('leaves out what has times of its own, as files of packages do', () => {
    expect(datedFiles(layer({ f: '2026-11-22' }, written + 1), written, now)).toEqual([])
  })
})
