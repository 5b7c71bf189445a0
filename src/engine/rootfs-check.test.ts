import { describe, expect, test } from 'bun:test'
import { directory, file, hardlink, layerOf, type Member, symlink } from '../../test/fixtures/layers.ts'
import { TarDecoder } from '../tar/decoder.ts'
import { RootfsCheck } from './rootfs-check.ts'

function check(...members: Member[]): RootfsCheck {
  const found = new RootfsCheck('rootfs.tar')
  const decoder = new TarDecoder(found)
  decoder.push(layerOf(...members))
  decoder.finish()
  return found
}

describe('RootfsCheck', () => {
  test('takes a root filesystem with links of every kind', () => {
    const { entries } = check(
      directory('.'),
      directory('./usr/lib'),
      symlink('lib', 'usr/lib'),
      symlink('etc/abs', '/etc/other'),
      symlink('out', '../../../../etc/passwd'),
      file('./usr/lib/a'),
      hardlink('b', 'lib/a'),
      hardlink('lib/c', '/usr/lib/a'),
      hardlink('d', './b'),
      file('../inside/after/all'.replace('../', 'x/../')),
    )
    expect(entries).toBe(10)
  })

  test('refuses what leads out of it', () => {
    expect(() => check(file('../etc/passwd'))).toThrow(
      'rootfs.tar: "../etc/passwd" is refused: its path leads out of the archive',
    )
    expect(() => check(file('a/../../b'))).toThrow('leads out')
    expect(() => check(file('a'), hardlink('b', '../../etc/shadow'))).toThrow('out of the archive')
    expect(() => check({ ...file('.'), type: 'symlink', linkname: '/etc' })).toThrow('the root cannot be a symlink')
  })

  test('refuses hard links to what is not there', () => {
    expect(() => check(hardlink('b', 'a'), file('a'))).toThrow('it is a hard link to a, which is no file before it')
    expect(() => check(directory('a'), hardlink('b', 'a'))).toThrow('no file before it')
    expect(() => check(file('a'), hardlink('a', './a'))).toThrow('a hard link to itself')
    expect(() => check(file('a'), directory('a'), hardlink('b', 'a'))).toThrow('no file before it')
  })

  test('refuses a path through a loop of symlinks', () => {
    expect(() => check(symlink('a', 'b'), symlink('b', 'a'), file('a/x'))).toThrow('too many symbolic links')
  })

  test('knows an archive of images', () => {
    expect(check(file('manifest.json'), file('oci-layout')).looksLikeImages).toBe(true)
    expect(check(file('index.json'), file('./oci-layout')).looksLikeImages).toBe(true)
    expect(check(directory('etc'), file('manifest.json')).looksLikeImages).toBe(false)
  })
})
