import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Member, directory, file, hardlink, layerOf, sourceOf, symlink } from '../../../test/fixtures/layers.ts'
import { CairnError } from '../../errors/error.ts'
import { lstat } from '../../linux/file-status.ts'
import { getXattr, listXattrs, setXattr } from '../../linux/xattrs.ts'
import { digestOf } from '../../oci/digest.ts'
import type { AppliedLayer, ApplyOptions } from './apply-options.ts'
import { applyLayer, applyLayerFile } from './apply.ts'
import { directoryTree } from '../trees/layer-tree.ts'

let root: string
let target: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-apply-'))
  target = `${root}/target`
  mkdirSync(target)
  writeFileSync(`${root}/secret`, 'secret')
})
afterEach(() => {
  rmSync(root, { recursive: true, force: true })
})

const at = (path: string): string => `${target}/${path}`
const apply = (members: Member[], options: Partial<ApplyOptions> = {}): Promise<AppliedLayer> =>
  applyLayer(sourceOf(layerOf(...members)), target, { mode: 'overlay', ...options })

async function failure(promise: Promise<unknown>): Promise<CairnError> {
  try {
    await promise
  } catch (error) {
    if (error instanceof CairnError) return error
    throw error
  }
  throw new Error('did not fail')
}

const isWhiteout = (path: string): boolean => {
  const status = lstat(at(path))
  return status.type === 'character-device' && status.rdevMajor === 0 && status.rdevMinor === 0
}
const isOpaque = (path: string): boolean =>
  Buffer.from(getXattr(at(path), 'trusted.overlay.opaque') ?? []).toString() === 'y'

const modes: ApplyOptions['mode'][] = ['overlay', 'plain']

describe.each(modes)('applyLayer() in the mode %s', (mode) => {
  test('makes every kind of file with owner, mode, time, attributes and links', async () => {
    const value = new Uint8Array([0, 1, 255])
    const times = { mtimeSeconds: -5, mtimeNanoseconds: 250 }
    const result = await apply(
      [
        directory('d', { mode: 0o2750, uid: 5, gid: 6, xattrs: new Map([['user.d', value]]), ...times }),
        file('d/f', 'content', { mode: 0o4711, uid: 7, gid: 8, xattrs: new Map([['user.f', value]]), ...times }),
        hardlink('d/h', 'd/f'),
        { ...symlink('d/l', '../d/f'), uid: 9, gid: 10, ...times },
        { type: 'fifo', path: 'd/p', mode: 0o620, ...times },
        { type: 'character-device', path: 'd/c', devMajor: 1, devMinor: 3, mode: 0o666, ...times },
        { type: 'block-device', path: 'd/b', devMajor: 259, devMinor: 70_000, ...times },
        file('d/caf\udce9', 'raw', times),
        file('closed/f', 'x'),
        directory('closed', { mode: 0 }),
      ],
      { mode },
    )
    expect(result).toMatchObject({ entries: 10, skipped: [] })
    expect(lstat(at('d'))).toMatchObject({ type: 'directory', mode: 0o2750, uid: 5, gid: 6, ...times })
    expect(lstat(at('d/f'))).toMatchObject({ type: 'file', mode: 0o4711, uid: 7, gid: 8, nlink: 2, ...times })
    expect(lstat(at('d/h')).inode).toBe(lstat(at('d/f')).inode)
    expect(lstat(at('d/l'))).toMatchObject({ type: 'symlink', uid: 9, gid: 10, ...times })
    expect(lstat(at('d/p'))).toMatchObject({ type: 'fifo', mode: 0o620, ...times })
    expect(lstat(at('d/c'))).toMatchObject({
      type: 'character-device',
      mode: 0o666,
      rdevMajor: 1,
      rdevMinor: 3,
      ...times,
    })
    expect(lstat(at('d/b'))).toMatchObject({ type: 'block-device', rdevMajor: 259, rdevMinor: 70_000, ...times })
    expect(lstat(at('d/caf\udce9')).size).toBe(3)
    expect(lstat(at('closed')).mode).toBe(0)
    expect(readFileSync(at('d/f'), 'utf8')).toBe('content')
    expect(getXattr(at('d'), 'user.d')).toEqual(value)
    expect(getXattr(at('d/f'), 'user.f')).toEqual(value)
  })

  test('sets mode, owner and time of the root when the layer has an entry for it', async () => {
    await apply([directory('./', { mode: 0o700, uid: 3, mtimeSeconds: 77 }), file('./f')], { mode })
    expect(lstat(target)).toMatchObject({ mode: 0o700, uid: 3, mtimeSeconds: 77 })
  })

  test('lets a later member replace an earlier one of any kind', async () => {
    await apply(
      [
        directory('a'),
        file('a/below'),
        file('a', 'file now'),
        symlink('b', 'a'),
        directory('b'),
        file('b/x'),
        file('c', 'c'),
        symlink('c', 'a'),
        file('e', 'first'),
        file('e', 'second'),
        directory('same', { mode: 0o700 }),
        file('same/kept'),
        directory('same', { mode: 0o711 }),
      ],
      { mode },
    )
    expect(readFileSync(at('a'), 'utf8')).toBe('file now')
    expect(lstat(at('b')).type).toBe('directory')
    expect(readFileSync(at('b/x'), 'utf8')).toBe('b/x')
    expect(readlinkSync(at('c'))).toBe('a')
    expect(readFileSync(at('e'), 'utf8')).toBe('second')
    expect(lstat(at('same')).mode).toBe(0o711)
    expect(existsSync(at('same/kept'))).toBe(true)
  })

  test('makes parents that have no entry, root-owned and 0755', async () => {
    await apply([file('x/y/z')], { mode })
    expect(lstat(at('x'))).toMatchObject({ mode: 0o755, uid: 0, gid: 0, mtimeSeconds: 0 })
    expect(lstat(at('x/y'))).toMatchObject({ mode: 0o755, mtimeSeconds: 0 })
  })

  test('keeps the holes of sparse files', async () => {
    writeFileSync(`${root}/sparse`, '')
    Bun.spawnSync(['truncate', '-s', '50M', `${root}/sparse`])
    Bun.spawnSync(['tar', '-S', '--format=pax', '-C', root, '-cf', `${root}/s.tar`, 'sparse'])
    applyLayerFile(`${root}/s.tar`, target, { mode })
    expect(lstat(at('sparse'))).toMatchObject({ size: 50 * 1024 * 1024, allocated: 0 })
  })
})

describe.each(modes)('applyLayer() of a hostile layer in the mode %s', (mode) => {
  const refused: readonly (readonly [string, Member[]])[] = [
    ['a path that climbs out', [file('../escaped')]],
    ['a path that climbs out later', [file('a/../../escaped')]],
    ['a hard link to a path outside', [hardlink('f', '../secret')]],
    ['a hard link to the root', [hardlink('f', '.')]],
    ['a hard link to a directory', [directory('d'), hardlink('f', 'd')]],
    ['a symlink as the root', [symlink('.', '/etc')]],
    ['a symlink as the root with a slash', [symlink('./', '/etc'), file('passwd')]],
    ['a file as the root', [file('.')]],
    ['a file below a file', [file('a'), file('a/b')]],
    ['a file below a dangling symlink', [symlink('a', 'nowhere'), file('a/b')]],
    ['a file below a loop', [symlink('a', 'b'), symlink('b', 'a'), file('a/c')]],
    ['a whiteout of nothing', [file('d/.wh.')]],
    ['a whiteout of the directory itself', [file('d/.wh..')]],
    ['a whiteout of the parent', [file('d/.wh...')]],
    ['a file below a whiteout', [file('.wh.d/f')]],
  ]
  test.each(refused)('refuses %s as LAYER_UNSAFE and touches nothing outside', async (_, members) => {
    const error = await failure(apply(members, { mode, name: 'layer 3' }))
    expect(error.code).toBe('LAYER_UNSAFE')
    expect(error.message).toContain('layer 3')
    expect(error.message).toContain(
      JSON.stringify(members.at(-1)?.path === 'passwd' ? './' : members.at(-1)?.path).slice(1, 4),
    )
    expect(readdirSync(root).sort()).toEqual(['secret', 'target'])
    expect(readFileSync(`${root}/secret`, 'utf8')).toBe('secret')
  })

  const contained: readonly (readonly [string, Member[], string])[] = [
    ['an absolute path', [file('/etc/x', 'in')], 'etc/x'],
    ['.. that stays inside', [directory('a'), file('a/../b', 'in')], 'b'],
    ['an absolute symlink as a parent', [directory('d'), symlink('a', '/d'), file('a/f', 'in')], 'd/f'],
    ['a climbing symlink as a parent', [directory('d'), symlink('a', '../../../../d'), file('a/f', 'in')], 'd/f'],
    ['a symlink to the root as a parent', [symlink('a', '/'), file('a/f', 'in')], 'f'],
    [
      'a hard link through a symlink',
      [directory('d'), file('d/f', 'in'), symlink('a', '/d'), hardlink('h', 'a/f')],
      'h',
    ],
    ['a file in place of a symlink out', [symlink('a', '/secret'), file('a', 'in')], 'a'],
  ]
  test.each(contained)('keeps inside what has %s', async (_, members, path) => {
    await apply(members, { mode })
    expect(readFileSync(at(path), 'utf8')).toBe('in')
    expect(readdirSync(root).sort()).toEqual(['secret', 'target'])
    expect(existsSync('/etc/x')).toBe(false)
  })

  test('neither follows nor changes what a symlink out of the root leads to', async () => {
    chmodSync(`${root}/secret`, 0o600)
    const members = [
      { ...symlink('l', `${root}/secret`), mode: 0o777, uid: 55, xattrs: new Map([['user.x', new Uint8Array(1)]]) },
      hardlink('h', 'l'),
    ]
    await apply(members, { mode })
    expect(lstat(at('h')).type).toBe('symlink')
    expect(lstat(`${root}/secret`)).toMatchObject({ mode: 0o600, uid: 0 })
    expect(listXattrs(`${root}/secret`)).toEqual([])
  })

  test('removes nothing outside when a whiteout stands behind a symlink', async () => {
    mkdirSync(`${root}/outside`)
    writeFileSync(`${root}/outside/f`, 'kept')
    symlinkSync(`${root}/outside`, at('link'))
    // The symlink leads to nothing inside, so in an overlay's layer there is no directory to put the whiteout in.
    if (mode === 'overlay') expect((await failure(apply([file('link/.wh.f')], { mode }))).code).toBe('LAYER_UNSAFE')
    else await apply([file('link/.wh.f'), file('.wh.link')], { mode })
    expect(readFileSync(`${root}/outside/f`, 'utf8')).toBe('kept')
  })

  test('drops overlay attributes smuggled in and ignores what AUFS left', async () => {
    const y = Buffer.from('y')
    await apply(
      [
        directory('d', {
          xattrs: new Map([
            ['trusted.overlay.opaque', y],
            ['trusted.overlay.redirect', y],
            ['user.overlay.opaque', y],
          ]),
        }),
        file('d/f', 'f', {
          xattrs: new Map([
            ['trusted.overlay.metacopy', y],
            ['user.kept', y],
          ]),
        }),
        directory('.wh..wh.plnk'),
        file('.wh..wh.plnk/1.2'),
        file('.wh..wh.aufs'),
        file('d/.wh..wh.orph'),
      ],
      { mode },
    )
    expect(listXattrs(at('d'))).toEqual([])
    expect(listXattrs(at('d/f'))).toEqual(['user.kept'])
    expect(readdirSync(target)).toEqual(['d'])
    expect(readdirSync(at('d'))).toEqual(['f'])
  })

  test('refuses names longer than Linux allows, naming the member', async () => {
    const error = await failure(apply([file('n'.repeat(300))], { mode }))
    expect(error.code).toBe('SYSTEM_CALL')
    expect(error.message).toContain('nnnn')
  })

  test('stops at its limits', async () => {
    const many = [file('a', 'x'.repeat(600)), file('b', 'x'.repeat(600))]
    expect((await failure(apply(many, { mode, limits: { contentBytes: 1000 } }))).code).toBe('LIMIT_EXCEEDED')
    expect((await failure(apply(many, { mode, limits: { entries: 1 } }))).code).toBe('LIMIT_EXCEEDED')
  })

  test('leaves no descriptor open when it fails', async () => {
    const open = (): number => readdirSync('/proc/self/fd').length
    const before = open()
    for (let index = 0; index < 20; index++) {
      await failure(apply([directory('a'), file('a/b', 'x'), file('../c')], { mode }))
      const cut = layerOf(directory('a'), file('a/b', 'x'.repeat(2000))).subarray(0, 2000)
      await failure(applyLayer(sourceOf(cut), target, { mode }))
    }
    expect(open()).toBe(before)
  })
})

describe('applyLayer() for an overlay', () => {
  test('turns whiteouts into devices 0:0 and the opaque marker into the attribute', async () => {
    await apply([file('d/.wh.gone'), file('e/.wh..wh..opq'), file('e/.wh.gone'), file('.wh.top'), file('.wh..wh..opq')])
    expect(readdirSync(target).sort()).toEqual(['d', 'e', 'top'])
    expect(readdirSync(at('d'))).toEqual(['gone'])
    // A whiteout in an opaque directory would show in listings.
    expect(readdirSync(at('e'))).toEqual([])
    expect([isWhiteout('d/gone'), isWhiteout('top'), isOpaque('e'), isOpaque('d')]).toEqual([true, true, true, false])
  })

  test.each([
    ['before', [file('.wh.f'), file('f', 'new'), file('.wh.d'), directory('d'), file('d/x')]],
    ['after', [file('f', 'new'), file('.wh.f'), directory('d'), file('d/x'), file('.wh.d')]],
    ['before implied parents', [file('.wh.f'), file('f', 'new'), file('.wh.d'), file('d/x')]],
  ])('keeps what the layer itself has when a whiteout of it stands %s it', async (_, members) => {
    await apply(members)
    expect(readFileSync(at('f'), 'utf8')).toBe('new')
    expect(readFileSync(at('d/x'), 'utf8')).toBe('d/x')
    expect(isOpaque('d')).toBe(true)
  })

  test('uses the attribute of user overlays when told so', async () => {
    await apply([file('d/.wh..wh..opq')], { opaqueXattr: 'user.overlay.opaque' })
    expect(listXattrs(at('d'))).toEqual(['user.overlay.opaque'])
  })

  test('takes metadata of implied parents and targets of hard links from the layers below', async () => {
    mkdirSync(`${root}/lower/d`, { recursive: true })
    mkdirSync(`${root}/lower/d/e`, { mode: 0o710 })
    writeFileSync(`${root}/lower/f`, 'below', { mode: 0o640 })
    setXattr(`${root}/lower/d/e`, 'user.x', new Uint8Array([1]))
    symlinkSync('f', `${root}/lower/l`)
    const members = [file('d/e/new'), hardlink('h', 'f'), hardlink('hl', 'l')]
    expect((await failure(apply(members))).code).toBe('TAR_INVALID')
    rmSync(target, { recursive: true })
    mkdirSync(target)
    await apply(members, { lower: directoryTree(`${root}/lower`) })
    expect(lstat(at('d/e')).mode).toBe(0o710)
    expect(listXattrs(at('d/e'))).toEqual(['user.x'])
    expect(readFileSync(at('h'), 'utf8')).toBe('below')
    expect(lstat(at('h')).mode).toBe(0o640)
    expect(readlinkSync(at('hl'))).toBe('f')
  })
})

describe('applyLayer() onto the layers below', () => {
  beforeEach(async () => {
    await apply(
      [
        directory('d', { xattrs: new Map([['user.old', new Uint8Array(1)]]) }),
        file('d/a'),
        file('d/b'),
        directory('d/e'),
        file('d/e/f'),
        file('top'),
      ],
      { mode: 'plain' },
    )
  })

  test('removes what whiteouts name and keeps what the layer brings', async () => {
    await apply([file('d/.wh.a'), file('.wh.top'), file('.wh.absent'), file('no/.wh.where'), file('top', 'new')], {
      mode: 'plain',
    })
    expect(readdirSync(at('d')).sort()).toEqual(['b', 'e'])
    expect(readFileSync(at('top'), 'utf8')).toBe('new')
    expect(readdirSync(target).sort()).toEqual(['d', 'no', 'top'])
  })

  test.each([
    ['first', [file('d/.wh..wh..opq'), directory('d'), file('d/e/new')]],
    ['last', [directory('d'), file('d/e/new'), file('d/.wh..wh..opq')]],
    ['as a whiteout of the directory', [directory('d'), file('d/e/new'), file('.wh.d')]],
  ])('empties an opaque directory of all but what the layer has when the marker comes %s', async (_, members) => {
    await apply(members, { mode: 'plain' })
    expect(readdirSync(at('d'))).toEqual(['e'])
    expect(readdirSync(at('d/e'))).toEqual(['new'])
  })

  test('gives a directory the attributes of its new entry alone', async () => {
    await apply([directory('d', { mode: 0o700, xattrs: new Map([['user.new', new Uint8Array(1)]]) })], {
      mode: 'plain',
    })
    expect(listXattrs(at('d'))).toEqual(['user.new'])
    expect(statSync(at('d')).mode & 0o777).toBe(0o700)
    expect(existsSync(at('d/e/f'))).toBe(true)
  })

  test('replaces a directory of the layers below by a file', async () => {
    await apply([file('d', 'file')], { mode: 'plain' })
    expect(readFileSync(at('d'), 'utf8')).toBe('file')
  })
})

describe('the diff ID', () => {
  test('is given, and fails with BLOB_CORRUPT when it is not the one wanted', async () => {
    const layer = Buffer.concat([layerOf(file('f')), Buffer.alloc(4096)])
    const right = digestOf(layer)
    const options = { mode: 'overlay', diffId: right } as const
    expect(await applyLayer(sourceOf(layer), target, options)).toMatchObject({ diffId: right, size: layer.length })
    const wrong = Buffer.from(layer)
    wrong[layer.length - 1] = 1
    const error = await failure(applyLayer(sourceOf(wrong), target, options))
    expect(error).toMatchObject({ code: 'BLOB_CORRUPT' })
    expect(error.message).toContain(right)
  })
})

describe('as an ordinary user', () => {
  test('applyLayer() leaves owners alone and says which device files it skipped when told so', () => {
    const layer = `${root}/l.tar`
    writeFileSync(
      layer,
      layerOf(directory('d', { mode: 0o555, uid: 9 }), file('d/f', 'f', { uid: 7, mode: 0o400 }), {
        type: 'character-device',
        path: 'null',
        devMajor: 1,
        devMinor: 3,
      }),
    )
    chmodSync(root, 0o777)
    chmodSync(target, 0o777)
    const program = `
      const { applyLayerFile } = await import('${import.meta.dir}/apply.ts')
      process.setgid(65534); process.setuid(65534)
      console.log(JSON.stringify(applyLayerFile('${layer}', '${target}', { mode: 'plain', owners: 'caller' })))
    `
    const result = Bun.spawnSync([process.execPath, '-e', program])
    expect(result.stderr.toString()).toBe('')
    expect(JSON.parse(result.stdout.toString())).toMatchObject({
      entries: 3,
      skipped: ['null: this user may not make device files'],
    })
    expect(lstatSync(at('d/f')).uid).toBe(65_534)
    expect(lstat(at('d')).mode).toBe(0o555)
  })
})
