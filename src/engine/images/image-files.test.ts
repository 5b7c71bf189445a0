import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { directory, file, hardlink, layerOf, type Member, symlink } from '../../../test/fixtures/layers.ts'
import { acquireLease } from '../../content/leases.ts'
import { putFixtureTars, type TemporaryStore, temporaryStore } from '../../images/image-fixtures.ts'
import { readTarFile } from '../../tar/reader.ts'
import { copyImage } from './copy-image.ts'
import { extractArchive, extractFiles } from './extract-image.ts'
import { listImageFiles, openImageFiles, readImageFile } from './image-files.ts'

let place: TemporaryStore
const layers: readonly Member[][] = [
  [
    directory('etc'),
    file('etc/name', 'base'),
    file('etc/gone', 'x'),
    symlink('etc/abs', '/etc/name'),
    symlink('lib', 'usr/lib'),
    directory('usr/lib', { mode: 0o2750, uid: 7, gid: 8 }),
    file('usr/lib/so', 'shared', { mode: 0o4711, uid: 5 }),
    symlink('loop', 'loop'),
    symlink('out', '../../../../../../etc/hostname'),
  ],
  [directory('etc'), file('etc/.wh.gone'), file('etc/name', 'second'), hardlink('etc/name2', 'etc/name')],
  [
    file('top', 'newest'),
    directory('new'),
    symlink('new/up', '../etc/name2'),
    { ...file('null'), type: 'character-device', devMajor: 1, devMinor: 3 },
  ],
]

beforeEach(async () => {
  place = temporaryStore()
  using lease = acquireLease(place.store)
  const tars = layers.map((members) => new Uint8Array(layerOf(...members)))
  await putFixtureTars(place.store, lease, tars, { tags: ['app'] })
  await putFixtureTars(place.store, lease, tars, { tags: ['zipped'], compression: 'gzip' })
  await copyImage(place.store, 'zipped', `oci:${place.directory}/layout:1`)
})
afterEach(() => place[Symbol.dispose]())

const text = (pieces: Iterable<Uint8Array>): string =>
  Buffer.concat([...pieces].map((piece) => new Uint8Array(piece))).toString()

describe.each(['app', 'zipped', 'oci'])('the files of %s', (name) => {
  const open = async () => await openImageFiles(place.store, name === 'oci' ? `oci:${place.directory}/layout:1` : name)

  test('are read from the newest layer that has them, through symlinks inside the image', async () => {
    using opened = await open()
    const read = async (path: string): Promise<string> => text(await readImageFile(opened.files, path))
    expect(await read('/top')).toBe('newest')
    expect(await read('etc/name')).toBe('second')
    expect(await read('/etc/abs')).toBe('second')
    expect(await read('/new/up')).toBe('second')
    expect(await read('/lib/so')).toBe('shared')
    expect(await read('/../lib/../lib/so')).toBe('shared')
    for (const path of ['/etc/gone', '/out', '/nothing', '/loop'])
      await expect(read(path)).rejects.toMatchObject({ code: 'FILE_UNKNOWN' })
    await expect(read('/etc')).rejects.toThrow('/etc is a directory, not a file')
  })

  test('are listed with the layer they come from', async () => {
    using opened = await open()
    const listed = await listImageFiles(opened.files, '/etc')
    expect(listed.map(({ path, layer }) => `${layer} ${path}`)).toEqual([
      '2 /etc',
      '1 /etc/abs',
      '2 /etc/name',
      '2 /etc/name2',
    ])
    expect((await listImageFiles(opened.files, '/')).length).toBe(15)
    await expect(listImageFiles(opened.files, '/nowhere')).rejects.toThrow('no such file')
  })

  test('are extracted with modes, owners and links, and replace nothing', async () => {
    using opened = await open()
    const to = `${place.directory}/rootfs`
    expect(await extractFiles(opened.files, '/', to, 'archive')).toEqual({ path: to, skipped: [] })
    expect(lstatSync(`${to}/usr/lib`)).toMatchObject({ mode: 0o042750, uid: 7, gid: 8 })
    expect(lstatSync(`${to}/usr/lib/so`)).toMatchObject({ mode: 0o104711, uid: 5 })
    expect(lstatSync(`${to}/etc/name`).ino).toBe(lstatSync(`${to}/etc/name2`).ino)
    expect(readlinkSync(`${to}/out`)).toBe('../../../../../../etc/hostname')
    expect(lstatSync(`${to}/null`).isCharacterDevice()).toBe(true)
    expect(readdirSync(`${to}/etc`).sort()).toEqual(['abs', 'name', 'name2'])
    await expect(extractFiles(opened.files, '/', to, 'archive')).rejects.toMatchObject({ code: 'NAME_IN_USE' })

    const into = `${place.directory}/into`
    mkdirSync(into)
    await extractFiles(opened.files, '/usr/lib', into, 'archive')
    expect(lstatSync(`${into}/lib`)).toMatchObject({ mode: 0o042750, uid: 7 })
    await extractFiles(opened.files, '/etc/name', into, 'archive')
    expect(readFileSync(`${into}/name`, 'utf8')).toBe('second')
    writeFileSync(`${into}/so`, 'mine')
    await expect(extractFiles(opened.files, '/lib/so', into, 'archive')).rejects.toThrow('is there already')
    await extractFiles(opened.files, '/lib/', `${into}/content`, 'archive')
    expect(readdirSync(into).sort()).toEqual(['content', 'lib', 'name', 'so'])
    expect(readdirSync(`${into}/content`)).toEqual(['so'])
    expect(readFileSync(`${into}/so`, 'utf8')).toBe('mine')
  })

  test('are packed into the same tar each time', async () => {
    const pack = async (path: string): Promise<Uint8Array> => {
      using opened = await open()
      const pieces: Uint8Array[] = []
      await extractArchive(opened.files, path, (bytes) => void pieces.push(bytes.slice()))
      return new Uint8Array(Buffer.concat(pieces))
    }
    const whole = await pack('/')
    expect(whole).toEqual(await pack('/'))
    const members = [...readTarFile(whole)].map(({ entry }) => `${entry.type} ${entry.path}`)
    expect(members).toContain('hardlink etc/name2')
    expect(members).not.toContain('file etc/.wh.gone')
    expect([...readTarFile(await pack('/etc'))].map(({ entry }) => entry.path)).toEqual(['.', 'abs', 'name', 'name2'])
  })

  test('leave no temporary file', async () => {
    {
      using opened = await open()
      await listImageFiles(opened.files, '/')
    }
    expect(readdirSync(place.store.session.directory)).toEqual([])
  })
})
