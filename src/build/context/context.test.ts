import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Swapper } from '../../../test/fixtures/swapped-directory.ts'
import { LayerWriter } from '../../layers/pack/layer-writer.ts'
import { digestOf } from '../../oci/digest.ts'
import { ContextTree } from './context.ts'

let directory: string
let tree: ContextTree
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-context-'))
  writeFileSync(`${directory}/f`, 'one')
  symlinkSync('f', `${directory}/link`)
  tree = new ContextTree(directory, [])
})
afterEach(() => rmSync(directory, { recursive: true }))

const read = (): string => Buffer.concat([...tree.read('/f')].map((piece) => piece.slice())).toString()

/** Writes `/f` of the tree into a layer. */
function pack(): void {
  const entry = tree.lookup('/f')
  if (entry?.type !== 'file') throw new Error('there is no file')
  const { inode: _inode, ...fields } = entry
  new LayerWriter(() => undefined).add({ ...fields, path: 'f' }, { from: 'tree', tree, path: '/f' })
}

test('ContextTree gives the bytes that it was asked the digest of, and nothing else', () => {
  expect(tree.digest('/f')).toBe(digestOf('one'))
  expect(read()).toBe('one')
  pack()
  writeFileSync(`${directory}/f`, 'two')
  expect(tree.digest('/f')).toBe(digestOf('one'))
  expect(read).toThrow(`${directory}/f changed while it was read`)
  expect(pack).toThrow(`${directory}/f changed while it was read`)
  writeFileSync(`${directory}/f`, 'one')
  pack()
})

test('ContextTree shows names and links as they were when it first looked', () => {
  expect(tree.list('/')).toEqual(['f', 'link'])
  expect(tree.lookup('/link')?.linkname).toBe('f')
  writeFileSync(`${directory}/new`, '')
  unlinkSync(`${directory}/link`)
  symlinkSync('/etc', `${directory}/link`)
  expect(tree.list('/')).toEqual(['f', 'link'])
  expect(tree.lookup('/link')?.linkname).toBe('f')
})

test('ContextTree.digest() fails for a file that is gone', () => {
  unlinkSync(`${directory}/f`)
  expect(() => tree.digest('/f')).toThrow('/f vanished from the build context while it was read')
})

test('ContextTree reads nothing from outside of a directory that is swapped for a symlink all the time', async () => {
  const outside = mkdtempSync(join(tmpdir(), 'cairn-outside-'))
  try {
    writeFileSync(`${outside}/f`, 'secret')
    mkdirSync(`${directory}/d`)
    writeFileSync(`${directory}/d/f`, 'ours')
    symlinkSync(outside, `${directory}/other`)
    using _swapper = await Swapper.start(`${directory}/d`, `${directory}/other`)
    const seen = new Set<string>()
    const end = Date.now() + 500
    while (Date.now() < end) {
      using fresh = new ContextTree(directory, [])
      try {
        if (fresh.lookup('/d/f')?.size !== 6) seen.add(Buffer.concat([...fresh.read('/d/f')]).toString())
        else seen.add('size of a file outside')
      } catch {
        seen.add('gone')
      }
    }
    expect([...seen].sort()).toEqual(['gone', 'ours'])
  } finally {
    rmSync(outside, { recursive: true })
  }
})
