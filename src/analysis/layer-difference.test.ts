import { describe, expect, test } from 'bun:test'
import type { LayerTree, TreeEntry } from '../layers/tree.ts'
import { blankEntry } from '../tar/entry.ts'
import { firstDifference } from './byte-difference.ts'
import { compareLayers } from './layer-difference.ts'

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1')

/** A layer of files in `/`; a path may be a whiteout instead. */
function layer(files: Readonly<Record<string, string>>, removed: readonly string[] = []): LayerTree {
  const entry = (type: TreeEntry['type'], size: number): TreeEntry => ({
    ...blankEntry,
    type,
    mode: 0o644,
    size,
    inode: undefined,
  })
  return {
    lookup: (path) => {
      const text = files[path.slice(1)]
      return path === '/' ? entry('directory', 0) : text === undefined ? undefined : entry('file', text.length)
    },
    list: (path) => (path === '/' ? Object.keys(files).toSorted() : []),
    read: (path) => [bytes(files[path.slice(1)] ?? '')],
    hides: () => false,
    whiteouts: (path) => (path === '/' ? removed : []),
    isImplied: () => false,
  }
}

describe('firstDifference()', () => {
  test.each([
    [['abc', 'def'], ['ab', 'cdef'], undefined],
    [[], [''], undefined],
    [['abc'], ['abd'], 2],
    [['abc'], ['ab', 'c', 'd'], 3],
    [[], ['x'], 0],
    [['a'.repeat(100), 'b'], ['a'.repeat(99), 'a', 'c'], 100],
  ])('of %j and %j is %p', (from, to, offset) => {
    const found = firstDifference(from.map(bytes), to.map(bytes))
    expect(found?.offset).toBe(offset as number)
    if (found === undefined) return
    expect(Buffer.from(found.from.subarray(0, found.lead)).toString()).toBe(
      from.join('').slice(Math.max(0, found.offset - 24), found.offset),
    )
  })
})

describe('compareLayers()', () => {
  test('finds nothing where nothing differs', () => {
    expect(compareLayers(layer({ a: '1' }, ['x']), layer({ a: '1' }, ['x']))).toBeUndefined()
  })

  test('tells the first file, and all that differ', () => {
    const found = compareLayers(layer({ a: '1', b: 'at 12:00:01', c: 'x' }), layer({ a: '1', b: 'at 12:00:02' }))
    expect(found).toMatchObject({ path: '/b', aspect: 'content', cause: 'a date or time', paths: ['/b', '/c'] })
    expect(found?.others.map(({ path }) => path)).toEqual(['/c'])
    expect(found?.bytes?.offset).toBe(10)
  })

  test('tells another order of the same lines', () => {
    const found = compareLayers(layer({ list: 'one\ntwo\n' }), layer({ list: 'two\none\n' }))
    expect(found?.cause).toStartWith('the same lines are in another order')
  })

  test('tells what only one of them removes', () => {
    const found = compareLayers(layer({}, ['gone']), layer({}, []))
    expect(found).toMatchObject({ path: '/gone', from: 'removed', to: 'left', paths: ['/gone'] })
  })
})
