import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Member,
  directory,
  file,
  hardlink,
  layerOf,
  listOverlay,
  listTree,
  sourceOf,
  symlink,
  writeLayer,
} from '../../../test/fixtures/layers.ts'
import { isCairnError } from '../../errors/error.ts'
import { lstat } from '../../linux/file-status.ts'
import { applyLayer } from '../unpack/apply.ts'
import { directoryTree, overlayTree, stackTree, tarTree } from './layer-tree.ts'
import { resolvePath } from './resolve-path.ts'
import type { Tree } from '../tree.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-tree-'))
})
afterEach(() => {
  rmSync(root, { recursive: true, force: true })
})

/** Unpacks each layer for an overlay; gives the directories. */
async function unpack(layers: readonly Uint8Array[]): Promise<string[]> {
  const directories: string[] = []
  const below = mkdtempSync(`${root}/layers-`)
  for (const [index, layer] of layers.entries()) {
    const path = `${below}/${index}`
    mkdirSync(path)
    const lower = stackTree(directories.map((one) => overlayTree(one)))
    await applyLayer(sourceOf(layer), path, { mode: 'overlay', lower })
    directories.push(path)
  }
  return directories
}

/** The same layers as the kernel, unpacked trees, archives and one flat directory show them. */
async function everyView(layers: readonly Uint8Array[]): Promise<unknown[]> {
  const directories = await unpack(layers)
  const scratch = mkdtempSync(`${root}/mount-`)
  const flat = mkdtempSync(`${root}/flat-`)
  for (const layer of layers) await applyLayer(sourceOf(layer), flat, { mode: 'plain' })
  return [
    await listOverlay(directories, scratch),
    listTree(stackTree(directories.map((path) => overlayTree(path)))),
    listTree(stackTree(layers.map((layer) => tarTree(layer)))),
    listTree(directoryTree(flat)),
  ]
}

const rootEntry = directory('./', { mode: 0o755 })

describe('stackTree()', () => {
  const cases: readonly (readonly [string, Member[][]])[] = [
    [
      'directories merge',
      [
        [directory('d', { mode: 0o700 }), file('d/a')],
        [directory('d', { mode: 0o711 }), file('d/b')],
      ],
    ],
    ['a parent is not described', [[directory('d', { mode: 0o700, uid: 4 })], [file('d/b')], [file('d/c')]]],
    ['a file is removed and made anew', [[file('f', '1')], [file('.wh.f')], [file('f', '3')]]],
    ['a directory is removed', [[file('d/a'), file('d/b')], [file('.wh.d')], [file('other')]]],
    ['a directory is removed and made anew', [[file('d/a')], [file('.wh.d')], [directory('d'), file('d/b')]]],
    [
      'a directory is made opaque',
      [
        [file('d/a'), file('d/e/f')],
        [directory('d'), file('d/.wh..wh..opq'), file('d/e/g')],
      ],
    ],
    ['an opaque directory is filled above', [[file('d/a')], [file('d/.wh..wh..opq')], [file('d/a', 'new')]]],
    ['a whiteout stands beside the directory itself', [[file('d/a')], [directory('d'), file('d/b'), file('.wh.d')]]],
    ['a directory becomes a file', [[file('d/a')], [file('d', 'file')], [file('x')]]],
    ['a file becomes a directory', [[file('d', 'file')], [file('d/a')], [file('d/b')]]],
    [
      'a symlink becomes a directory',
      [
        [symlink('d', 'e'), file('e/f')],
        [directory('d'), file('d/g')],
      ],
    ],
    ['a file hides a directory further down', [[file('d/a')], [file('d', 'file')], [file('.wh.d'), file('d/b')]]],
    ['hard links join names', [[file('a', 'shared'), hardlink('b', 'a'), hardlink('c/d', 'b')], [file('a', 'own')]]],
    ['a parent is a symlink of its layer', [[directory('real'), symlink('link', 'real'), file('link/f')], [file('x')]]],
    [
      'the root is opaque',
      [
        [file('a'), file('d/b')],
        [rootEntry, file('.wh..wh..opq'), file('d/c')],
      ],
    ],
  ]
  test.each(cases)('shows what the kernel shows when %s', async (_, layers) => {
    const [kernel, ...views] = await everyView(layers.map((members) => layerOf(rootEntry, ...members)))
    for (const view of views) expect(view).toEqual(kernel)
  })

  const names = ['a', 'b', 'c']
  const path = fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'))
  const dirOf = (one: string): string => one.slice(0, one.lastIndexOf('/') + 1)
  const baseOf = (one: string): string => one.slice(one.lastIndexOf('/') + 1)
  const member = fc.oneof(
    fc.record({ path, content: fc.constantFrom('1', '22', '') }).map(({ path, content }) => file(path, content)),
    fc.record({ path, mode: fc.constantFrom(0o700, 0o755) }).map(({ path, mode }) => directory(path, { mode })),
    path.map((one) => file(`${dirOf(one)}.wh.${baseOf(one)}`, '')),
    path.map((one) => file(`${one}/.wh..wh..opq`, '')),
    path.map((one) => symlink(one, 'dangling')),
  )

  /** Layers as a differ makes them: sorted, no path twice, nothing below anything but a directory. */
  const layer = fc.array(member, { maxLength: 6 }).map((members) => {
    const kept = new Map<string, Member>()
    const isLeaf = (one: string): boolean => kept.has(one) && kept.get(one)?.type !== 'directory'
    for (const one of members) {
      const parts = one.path.split('/')
      const parents = parts.slice(0, -1).map((_, index) => parts.slice(0, index + 1).join('/'))
      const isAbove = [...kept.keys()].some((other) => other.startsWith(`${one.path}/`)) && one.type !== 'directory'
      if (parents.some(isLeaf) || kept.has(one.path) || isAbove) continue
      kept.set(one.path, one)
    }
    for (const one of describedParents([...kept.keys()])) if (!kept.has(one)) kept.set(one, directory(one))
    return [...kept.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
  })

  /** Directories at and below what a layer hides: a differ always describes these. */
  function describedParents(paths: readonly string[]): string[] {
    const parentsOf = (one: string): string[] =>
      one
        .split('/')
        .slice(0, -1)
        .map((_, index) =>
          one
            .split('/')
            .slice(0, index + 1)
            .join('/'),
        )
    const hidden = paths
      .filter((one) => baseOf(one).startsWith('.wh.'))
      .map((one) => (one.endsWith('/.wh..wh..opq') ? dirOf(one).slice(0, -1) : dirOf(one) + baseOf(one).slice(4)))
    const isHidden = (one: string): boolean => hidden.some((path) => one === path || one.startsWith(`${path}/`))
    return paths.flatMap(parentsOf).filter(isHidden)
  }

  test('shows what the kernel shows when layers are arbitrary', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(layer, { minLength: 1, maxLength: 4 }), async (layers) => {
        const [kernel, ...views] = await everyView(layers.map((members) => layerOf(rootEntry, ...members)))
        for (const view of views) expect(view).toEqual(kernel)
      }),
      { numRuns: 40 },
    )
  }, 60_000)

  test('lookup() and list() agree when asked for paths that are not there', () => {
    const tree = stackTree([tarTree(layerOf(file('d/f'))), tarTree(layerOf(file('.wh.d')))])
    expect(tree.lookup('/d/f')).toBeUndefined()
    expect(tree.lookup('/d')).toBeUndefined()
    expect(tree.list('/d')).toEqual([])
    expect(tree.list('/absent')).toEqual([])
    expect(() => tree.read('/d/f')).toThrow(expect.objectContaining({ code: 'FILE_UNKNOWN' }))
  })

  test('tells hard links of different layers apart', () => {
    const linked = layerOf(file('a', 'x'), hardlink('b', 'a'))
    const tree = stackTree([tarTree(linked), tarTree(layerOf(file('c', 'y'), hardlink('a', 'c')))])
    expect(tree.lookup('/a')?.inode).toBe(tree.lookup('/c')?.inode)
    expect(tree.lookup('/b')?.inode).not.toBe(tree.lookup('/a')?.inode)
  })

  test('shows an empty root when there are no layers', () => {
    expect(stackTree([]).list('/')).toEqual([])
  })
})

describe('tarTree()', () => {
  const cases: readonly (readonly [string, Member[]])[] = [
    ['a path that climbs out', [file('../x')]],
    ['a file below a file', [file('a'), file('a/b')]],
    ['a file below a dangling symlink', [symlink('a', 'none'), file('a/b')]],
    ['a hard link to a directory', [directory('d'), hardlink('l', 'd')]],
    ['a whiteout of the parent', [file('d/.wh...')]],
    ['a root that is a symlink', [symlink('.', 'etc')]],
  ]
  test.each(cases)('refuses %s as applyLayer() does', (_, members) => {
    const run = (): unknown => tarTree(layerOf(...members), { name: 'layer 7' })
    expect(run).toThrow(expect.objectContaining({ code: 'LAYER_UNSAFE' }))
    expect(run).toThrow('layer 7')
  })

  test('reads content from the file at its place', () => {
    const big = 'big'.repeat(1_000_000)
    const tree = tarTree(writeLayer(`${root}/l.tar`, file('a', 'x'), file('d/big', big), file('empty', '')))
    const read = (path: string): string => {
      const pieces: Uint8Array[] = []
      for (const piece of tree.read(path)) pieces.push(new Uint8Array(piece))
      return Buffer.concat(pieces).toString()
    }
    expect([read('/a'), read('/d/big') === big, read('/empty')]).toEqual(['x', true, ''])
    expect(() => [...tree.read('/d')]).toThrow(expect.objectContaining({ code: 'FILE_UNKNOWN' }))
  })
})

describe('any layer', () => {
  const component = fc.constantFrom('a', 'b', 'c', '..', '.', '', '.wh.a', '.wh.b', '.wh..wh..opq', '.wh..', 'secret')
  const path = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'))
  const target = fc.oneof(
    path,
    path.map((one) => `/${one}`),
    fc.constantFrom('/', '..', '../..', '../../secret'),
  )
  const member: fc.Arbitrary<Member> = fc.oneof(
    path.map((one) => file(one)),
    path.map((one) => directory(one)),
    fc.tuple(path, target).map(([one, to]) => symlink(one, to)),
    fc.tuple(path, target).map(([one, to]) => hardlink(one, to)),
    path.map((one): Member => ({ type: 'character-device', path: one, devMajor: 0, devMinor: 0 })),
  )
  const members = fc
    .array(member, { minLength: 1, maxLength: 8 })
    .map((all) => all.filter((one) => one.path !== '' && (one.linkname ?? 'x') !== ''))

  const outcome = async (run: () => unknown): Promise<string> => {
    try {
      await run()
      return 'ok'
    } catch (error) {
      if (!isCairnError(error)) throw error
      return error.code
    }
  }

  test('may end with a loop of symlinks in place of a directory with content', async () => {
    const layer = layerOf(directory('a/a'), symlink('a', '/a'))
    mkdirSync(`${root}/overlay`)
    await applyLayer(sourceOf(layer), `${root}/overlay`, { mode: 'overlay' })
    expect(listTree(stackTree([tarTree(layer)]))).toEqual(listTree(overlayTree(`${root}/overlay`)))
  })

  test('stays inside the root, and is refused or shown by tarTree() as applyLayer() makes it', async () => {
    writeFileSync(`${root}/secret`, 'secret')
    mkdirSync(`${root}/plain`)
    let accepted = 0
    await fc.assert(
      fc.asyncProperty(members, async (all) => {
        const layer = layerOf(...all)
        const overlay = mkdtempSync(`${root}/overlay-`)
        const applied = await outcome(() => applyLayer(sourceOf(layer), overlay, { mode: 'overlay' }))
        await outcome(() => applyLayer(sourceOf(layer), `${root}/plain`, { mode: 'plain' }))
        expect((await outcome(() => tarTree(layer))) === 'ok').toBe(applied === 'ok')
        if (applied === 'ok') {
          accepted++
          expect(listTree(stackTree([tarTree(layer)]))).toEqual(listTree(stackTree([overlayTree(overlay)])))
        }
        rmSync(overlay, { recursive: true })
        expect(readFileSync(`${root}/secret`, 'utf8')).toBe('secret')
        expect(lstat(`${root}/secret`).nlink).toBe(1)
        expect(readdirSync(root).sort()).toEqual(['plain', 'secret'])
      }),
      { numRuns: 600 },
    )
    expect(accepted).toBeGreaterThan(30)
  }, 60_000)
})

describe('directoryTree()', () => {
  test('follows no symlink, not even one that is a parent', () => {
    mkdirSync(`${root}/t/real`, { recursive: true })
    writeFileSync(`${root}/t/real/f`, 'f')
    writeFileSync(`${root}/secret`, 'secret')
    symlinkSync('real', `${root}/t/link`)
    symlinkSync('..', `${root}/t/up`)
    symlinkSync(`${root}/secret`, `${root}/t/out`)
    symlinkSync(root, `${root}/through`)
    for (const tree of [directoryTree(`${root}/t`), overlayTree(`${root}/t`), directoryTree(`${root}/through/t`)]) {
      expect(tree.lookup('/link')).toMatchObject({ type: 'symlink', linkname: 'real' })
      expect(tree.lookup('/link/f')).toBeUndefined()
      expect(tree.lookup('/up/secret')).toBeUndefined()
      expect(tree.list('/up')).toEqual([])
      expect(() => [...tree.read('/out')]).toThrow()
      expect(() => [...tree.read('/up/secret')]).toThrow()
      expect(tree.list('/')).toEqual(['link', 'out', 'real', 'up'])
    }
  })

  test('does not show sockets', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => void server.listen(`${root}/socket`, () => resolve()))
    try {
      expect(directoryTree(root).list('/')).toEqual([])
      expect(directoryTree(root).lookup('/socket')).toBeUndefined()
    } finally {
      server.close()
    }
  })
})

describe('resolvePath()', () => {
  const tree: Tree = tarTree(
    layerOf(
      directory('usr'),
      directory('usr/bin'),
      file('usr/bin/sh'),
      symlink('bin', 'usr/bin'),
      symlink('abs', '/usr'),
      symlink('up', '../../../usr'),
      symlink('chain', 'bin'),
      symlink('loop', 'loop'),
      symlink('usr/back', '../bin/./'),
      symlink('dangling', 'no/where'),
    ),
  )
  test.each([
    ['/bin/sh', '/usr/bin/sh'],
    ['/chain/sh', '/usr/bin/sh'],
    ['/abs/bin/../bin/sh', '/usr/bin/sh'],
    ['/up/bin', '/usr/bin'],
    ['/usr/back/sh', '/usr/bin/sh'],
    ['/../../bin', '/usr/bin'],
    ['/dangling/x', '/no/where/x'],
    ['/', '/'],
    ['/usr/..', '/'],
    ['//usr/./bin//', '/usr/bin'],
  ])('leads from %s to %s', (path, expected) => {
    expect(resolvePath(tree, path, { followLast: true })).toBe(expected)
  })

  test('leaves the last component alone when told so', () => {
    expect(resolvePath(tree, '/bin', { followLast: false })).toBe('/bin')
    expect(resolvePath(tree, '/abs/bin/', { followLast: false })).toBe('/usr/bin')
  })

  test('fails with FILE_UNKNOWN for a loop', () => {
    let error: unknown
    try {
      resolvePath(tree, '/loop/x', { followLast: true })
    } catch (thrown) {
      error = thrown
    }
    expect(isCairnError(error, 'FILE_UNKNOWN')).toBe(true)
  })
})
