import { describe, expect, test } from 'bun:test'
import { directory, file, hardlink, layerOf, type Member, symlink } from '../../../test/fixtures/layers.ts'
import { TarDecoder } from '../../tar/decoder.ts'
import { checkDemands, LayerScan, stackTree } from './layer-tree.ts'

function scan(members: readonly Member[], absolutePaths: 'refuse' | 'allow' = 'refuse'): LayerScan {
  const found = new LayerScan({ name: 'layer 7', absolutePaths })
  const decoder = new TarDecoder(found)
  decoder.push(layerOf(...members))
  decoder.finish()
  return found
}

/** Layers of an image, base first: what {@link checkDemands} says of the topmost. */
function stack(...layers: readonly Member[][]): void {
  const scans = layers.map((members) => scan(members))
  checkDemands('layer 7', scans.at(-1)?.demands ?? [], stackTree(scans.slice(0, -1).map(({ tree }) => tree)))
}

describe('LayerScan', () => {
  test('takes links of every kind and climbing names that stay inside', () => {
    const { entries, demands } = scan([
      directory('.'),
      directory('./usr/lib'),
      symlink('lib', 'usr/lib'),
      symlink('etc/abs', '/etc/other'),
      symlink('out', '../../../../etc/passwd'),
      file('./usr/lib/a'),
      hardlink('b', 'lib/a'),
      hardlink('lib/c', '/usr/lib/a'),
      file('x/../inside/after/all'),
    ])
    expect(entries).toBe(9)
    expect(demands.map(({ path }) => path)).toEqual(['/usr', '/etc', '/inside', '/inside/after'])
  })

  test.each([
    ['a path that climbs out', [file('a/../../b')], 'its path leads out of the layer'],
    ['a hard link that climbs out', [file('a'), hardlink('b', '../../etc/shadow')], 'out of the layer'],
    ['a root that is a symlink', [symlink('.', '/etc')], 'the root of a layer cannot be a symlink'],
    ['a path below a symlink out', [symlink('e', '/host/dir'), file('e/x')], 'e is no directory'],
    ['a path through a loop', [symlink('a', 'b'), symlink('b', 'a'), file('a/x')], 'loop of symlinks'],
    ['an absolute path', [file('/etc/x')], 'its path is absolute'],
    ['a hard link to itself', [hardlink('a', './a')], 'a hard link to itself'],
    ['a hard link to a directory', [directory('a'), hardlink('b', 'a')], 'a directory'],
    ['a whiteout of the parent', [file('d/.wh...')], 'a whiteout of no name'],
  ] as const)('refuses %s, naming layer and member', (_, members, message) => {
    expect(() => scan(members)).toThrow(message)
    expect(() => scan(members)).toThrow('layer 7, "')
  })

  test('takes absolute paths from the root where they are allowed, and the root itself anywhere', () => {
    expect(scan([file('/ko-app/x')], 'allow').tree.lookup('/ko-app/x')?.type).toBe('file')
    expect(scan([directory('/'), file('x')]).entries).toBe(2)
  })

  test('drops the attributes of overlayfs', () => {
    const xattrs = new Map(
      ['trusted.overlay.redirect', 'user.overlay.opaque', 'user.a'].map((key) => [key, new Uint8Array(1)]),
    )
    const { tree } = scan([directory('d', { xattrs })])
    expect([...(tree.lookup('/d')?.xattrs.keys() ?? [])]).toEqual(['user.a'])
  })
})

describe('checkDemands()', () => {
  test('refuses what would stand below a symlink that leads to no directory of the image', () => {
    const base = [symlink('e', '/host/dir')]
    for (const member of ['e/x', 'e/.wh.victim', 'e/d/x'])
      expect(() => stack(base, [file(member)])).toThrow('it stands below the symlink e, which leads to /host/dir')
    expect(() => stack([symlink('a', 'b'), symlink('b', 'a')], [file('a/x')])).toThrow('it stands below the symlink a')
  })

  test('takes a symlink that is replaced, and one that leads to a directory of the image', () => {
    stack([symlink('e', '/host/dir')], [directory('e'), file('e/x')])
    stack([symlink('bin/ls', 'busybox')], [directory('bin'), file('bin/ls')])
    stack([directory('usr/lib'), symlink('lib', '/usr/lib')], [file('lib/x')])
    stack([directory('usr')], [file('usr/lib/x')])
  })

  test('takes a hard link to a file of the layers below and to no other', () => {
    stack([file('etc/a')], [hardlink('b', 'etc/a')])
    expect(() => stack([file('etc/a')], [hardlink('b', '/etc/hostname')])).toThrow(
      'it is a hard link to /etc/hostname, which is no file of the image',
    )
    expect(() => stack([directory('a')], [hardlink('b', 'a')])).toThrow('no file of the image')
  })
})
