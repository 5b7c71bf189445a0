import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { lstat } from '../linux/file-status.ts'
import { AT_FDCWD, close, open, openFlags, pwrite, ftruncate } from '../linux/files.ts'
import { changeModeAt, changeOwnerAt, linkAt, makeNodeAt, makeSymlinkAt, readLink, setTimesAt } from '../linux/names.ts'
import { getXattr, setXattr } from '../linux/xattrs.ts'
import { blankEntry, type TarEntry } from './entry.ts'
import { type TarRecord, readMember, readTar, readTarFile } from './reader.ts'
import { TarWriter } from './writer.ts'

/** Archives of GNU tar read here, and archives written here unpacked by GNU tar. */

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-tar-'))
})
afterEach(() => {
  rmSync(root, { recursive: true, force: true })
})

function tar(...args: string[]): void {
  const result = Bun.spawnSync(['tar', ...args], { cwd: root, env: { ...process.env, LC_ALL: 'C' } })
  if (result.exitCode !== 0) throw new Error(`tar ${args.join(' ')}: ${result.stderr.toString()}`)
}

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  const piece = new Uint8Array(size)
  for (let offset = 0; offset < bytes.length; offset += size) {
    // One buffer again and again, as a reader may not keep what it was given.
    const count = Math.min(size, bytes.length - offset)
    piece.set(bytes.subarray(offset, offset + count))
    yield piece.subarray(0, count)
    piece.fill(0xaa)
  }
}

async function contentOf(record: TarRecord): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for await (const piece of record.content()) pieces.push(new Uint8Array(piece))
  return Buffer.concat(pieces)
}

function joined(pieces: Iterable<Uint8Array>): Buffer {
  const copies: Uint8Array[] = []
  for (const piece of pieces) copies.push(new Uint8Array(piece))
  return Buffer.concat(copies)
}

/** Entries with content, read as a stream in pieces of `size`. */
async function readAll(archive: Uint8Array, size: number): Promise<Map<string, TarEntry & { bytes: Uint8Array }>> {
  const entries = new Map<string, TarEntry & { bytes: Uint8Array }>()
  for await (const record of readTar(inPieces(archive, size)))
    entries.set(record.entry.path, { ...record.entry, bytes: await contentOf(record) })
  return entries
}

const longName = `${'directory/'.repeat(30)}${'f'.repeat(200)}`
const rawName = 'caf\udce9 \udcff'
const capability = new Uint8Array([1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])

function makeTree(): void {
  mkdirSync(`${root}/tree/${'directory/'.repeat(30)}`, { recursive: true })
  writeFileSync(`${root}/tree/${longName}`, 'long')
  writeFileSync(`${root}/tree/plain`, 'plain content')
  changeOwnerAt(AT_FDCWD, `${root}/tree/plain`, 3_000_000, 2_500_000)
  changeModeAt(AT_FDCWD, `${root}/tree/plain`, 0o4755)
  setTimesAt(AT_FDCWD, `${root}/tree/plain`, 1_600_000_000, 123_456_789)
  setXattr(`${root}/tree/plain`, 'user.binary', new Uint8Array([0, 255, 61, 10, 0]))
  setXattr(`${root}/tree/plain`, 'security.capability', capability)
  linkAt(AT_FDCWD, `${root}/tree/plain`, AT_FDCWD, `${root}/tree/second name`)
  makeSymlinkAt(`../${'t'.repeat(150)}`, AT_FDCWD, `${root}/tree/symlink`)
  makeNodeAt(AT_FDCWD, `${root}/tree/character`, 'character-device', 0o620, 5, 1)
  makeNodeAt(AT_FDCWD, `${root}/tree/block`, 'block-device', 0o660, 259, 70_000)
  makeNodeAt(AT_FDCWD, `${root}/tree/fifo`, 'fifo', 0o600)
  writeFileSync(Buffer.concat([Buffer.from(`${root}/tree/caf`), Buffer.from([0xe9, 0x20, 0xff])]), 'raw')
  writeFileSync(`${root}/tree/日本語`, 'unicode')
  writeFileSync(`${root}/tree/old`, '')
  setTimesAt(AT_FDCWD, `${root}/tree/old`, -86_400, 0)
}

/** 20 pieces of data with holes between, a hole at the end: more than old GNU headers hold in one block. */
function makeSparse(path: string): Uint8Array {
  const size = 3_000_000
  const fd = open(path, openFlags.O_RDWR | openFlags.O_CREAT)
  try {
    ftruncate(fd, size)
    for (let index = 0; index < 30; index++) pwrite(fd, new Uint8Array(4096).fill(index + 1), (index + 1) * 81_920)
  } finally {
    close(fd)
  }
  return readFileSync(path)
}

describe.each(['gnu', 'pax'])('readTar() of GNU tar --format=%s', (format) => {
  test('gives every kind of entry as it is on disk when the archive comes in pieces of any size', async () => {
    makeTree()
    // GNU tar writes attributes by pax records only, and turns to pax by itself when asked for them.
    const xattrs = format === 'pax' ? ['--xattrs', '--xattrs-include=*'] : []
    tar(`--format=${format}`, ...xattrs, '-cf', 'a.tar', '-C', 'tree', '.')
    const archive = readFileSync(`${root}/a.tar`)
    const whole = await readAll(archive, archive.length)
    const hasPax = format === 'pax'
    const names = [whole.get('./plain'), whole.get('./second name')]
    const plain = names.find((entry) => entry?.type === 'file')
    expect(plain).toMatchObject({ type: 'file', mode: 0o4755, uid: 3_000_000, gid: 2_500_000, size: 13 })
    expect(plain).toMatchObject({ mtimeSeconds: 1_600_000_000, mtimeNanoseconds: hasPax ? 123_456_789 : 0 })
    expect(Buffer.from(plain?.bytes ?? []).toString()).toBe('plain content')
    if (hasPax) {
      expect(plain?.xattrs.get('user.binary')).toEqual(new Uint8Array([0, 255, 61, 10, 0]))
      expect(plain?.xattrs.get('security.capability')).toEqual(capability)
    }
    const link = names.find((entry) => entry?.type === 'hardlink')
    expect(link?.linkname).toBe(plain?.path ?? '')
    expect(whole.get('./symlink')).toMatchObject({ type: 'symlink', linkname: `../${'t'.repeat(150)}`, size: 0 })
    expect(whole.get('./character')).toMatchObject({ type: 'character-device', devMajor: 5, devMinor: 1 })
    expect(whole.get('./block')).toMatchObject({ type: 'block-device', devMajor: 259, devMinor: 70_000 })
    expect(whole.get('./fifo')).toMatchObject({ type: 'fifo', mode: 0o600 })
    expect(Buffer.from(whole.get(`./${rawName}`)?.bytes ?? []).toString()).toBe('raw')
    expect(Buffer.from(whole.get('./日本語')?.bytes ?? []).toString()).toBe('unicode')
    expect(Buffer.from(whole.get(`./${longName}`)?.bytes ?? []).toString()).toBe('long')
    expect(whole.get('./old')).toMatchObject({ mtimeSeconds: -86_400, mtimeNanoseconds: 0 })
    expect(whole.get('./directory')).toMatchObject({ type: 'directory' })
    for (const size of [1, 511, 513, 4096]) expect(await readAll(archive, size)).toEqual(whole)
  })
})

describe.each([
  ['old GNU', ['--format=gnu']],
  ['0.0', ['--format=pax', '--sparse-version=0.0']],
  ['0.1', ['--format=pax', '--sparse-version=0.1']],
  ['1.0', ['--format=pax', '--sparse-version=1.0']],
])('sparse files in the format %s', (_, options) => {
  test('are read with their holes by readTar() and readTarFile()', async () => {
    const bytes = makeSparse(`${root}/sparse`)
    writeFileSync(`${root}/after`, 'after')
    tar(...options, '-S', '-cf', 'a.tar', 'sparse', 'after')
    const archive = readFileSync(`${root}/a.tar`)
    expect(archive.length).toBeLessThan(300_000)
    for (const size of [777, archive.length]) {
      const entries = await readAll(archive, size)
      expect(entries.get('sparse')?.size).toBe(bytes.length)
      expect(Buffer.compare(entries.get('sparse')?.bytes ?? new Uint8Array(), bytes)).toBe(0)
      expect(Buffer.from(entries.get('after')?.bytes ?? []).toString()).toBe('after')
    }
    const [sparse, after] = [...readTarFile(`${root}/a.tar`)]
    expect(sparse?.extents).toHaveLength(30)
    expect(Buffer.compare(joined(readMember(archive, sparse!)), bytes)).toBe(0)
    expect(after?.entry.path).toBe('after')
  })

  test('are read when they hold nothing but a hole', async () => {
    const fd = open(`${root}/hole`, openFlags.O_RDWR | openFlags.O_CREAT)
    ftruncate(fd, 200_000)
    close(fd)
    tar(...options, '-S', '-cf', 'a.tar', 'hole')
    const entries = await readAll(readFileSync(`${root}/a.tar`), 1000)
    expect(Buffer.compare(entries.get('hole')?.bytes ?? new Uint8Array(), new Uint8Array(200_000))).toBe(0)
  })
})

test('readTarFile() finds content by its position when the archive is on disk', () => {
  mkdirSync(`${root}/d`)
  const big = Buffer.alloc(3_000_001, 'big')
  writeFileSync(`${root}/d/big`, big)
  writeFileSync(`${root}/d/small`, 'small')
  tar('-cf', 'a.tar', 'd/big', 'd/small')
  const fd = open(`${root}/a.tar`, openFlags.O_RDONLY)
  try {
    const members = [...readTarFile(fd)]
    const read = (index: number): Buffer => joined(readMember(fd, members[index]!))
    expect(members.map(({ entry }) => entry.path)).toEqual(['d/big', 'd/small'])
    expect(members[0]).toMatchObject({ headerPosition: 0, extents: [{ offset: 0, length: big.length, position: 512 }] })
    expect(Buffer.compare(read(0), big)).toBe(0)
    expect(read(1).toString()).toBe('small')
  } finally {
    close(fd)
  }
})

test('readTar() passes over global pax headers, as Go does', async () => {
  writeFileSync(`${root}/a`, '')
  writeFileSync(`${root}/b`, '')
  tar('--format=pax', '--pax-option=globexthdr.name=g,uid=77777,gid=8', '-cf', 'a.tar', 'a', 'b')
  const entries = await readAll(readFileSync(`${root}/a.tar`), 100)
  expect([...entries.keys()]).toEqual(['a', 'b'])
  expect(entries.get('a')).toMatchObject({ uid: 0, gid: 0 })
  expect(entries.get('b')).toMatchObject({ uid: 0, gid: 0 })
})

const plainEntry: TarEntry = { ...blankEntry, type: 'file', path: 'f', mode: 0o644 }

/** An archive of `entries` whose files hold their own path over and over. */
function archiveOf(entries: readonly TarEntry[]): Buffer {
  const pieces: Uint8Array[] = []
  const writer = new TarWriter((bytes) => void pieces.push(bytes.slice()))
  for (const entry of entries) {
    writer.add(entry)
    if (entry.type === 'file' && entry.size > 0) writer.write(Buffer.alloc(entry.size, 'content'))
  }
  writer.finish()
  return Buffer.concat(pieces)
}

const everyKind: readonly TarEntry[] = [
  { ...plainEntry, type: 'directory', path: 'd', mode: 0o1777 },
  { ...plainEntry, path: 'd/file', size: 1000, mode: 0o4755, uid: 1000, gid: 1000, mtimeSeconds: 1_600_000_000 },
  { ...plainEntry, path: 'd/fraction', mtimeSeconds: 1_600_000_000, mtimeNanoseconds: 5000 },
  { ...plainEntry, path: 'd/old', mtimeSeconds: -2, mtimeNanoseconds: 500_000_000 },
  { ...plainEntry, path: 'd/owner', uid: 3_000_000, gid: 4_000_000_000 },
  { ...plainEntry, path: `d/${'n'.repeat(98)}` },
  { ...plainEntry, path: `d/${'p'.repeat(120)}/${'n'.repeat(90)}` },
  { ...plainEntry, path: `d/${'l'.repeat(200)}` },
  { ...plainEntry, path: `d/${'é'.repeat(60)}` },
  { ...plainEntry, path: `d/${rawName}` },
  { ...plainEntry, type: 'hardlink', path: 'd/second', linkname: 'd/file', mode: 0o4755 },
  { ...plainEntry, type: 'symlink', path: 'd/short', linkname: '../x', mode: 0o777 },
  { ...plainEntry, type: 'symlink', path: 'd/target', linkname: `/${'t'.repeat(140)}`, mode: 0o777 },
  { ...plainEntry, type: 'character-device', path: 'd/null', devMajor: 1, devMinor: 3 },
  { ...plainEntry, type: 'block-device', path: 'd/block', devMajor: 259, devMinor: 70_000 },
  { ...plainEntry, type: 'fifo', path: 'd/fifo' },
  { ...plainEntry, path: 'd/xattrs', xattrs: new Map([['user.z', new Uint8Array([0, 10, 61, 255])]]) },
]

describe('TarWriter', () => {
  test('is read back by readTar() just as it was written', async () => {
    const entries = await readAll(archiveOf(everyKind), 700)
    expect([...entries.values()]).toMatchObject([...everyKind])
    expect(entries.get('d/file')?.bytes).toEqual(Buffer.alloc(1000, 'content'))
  })

  test('is unpacked by GNU tar into the same files', () => {
    writeFileSync(`${root}/a.tar`, archiveOf(everyKind))
    tar('--xattrs', '--xattrs-include=*', '--same-owner', '-xpf', 'a.tar')
    for (const entry of everyKind) {
      const status = lstat(`${root}/${entry.path}`)
      const first = entry.type === 'hardlink' ? everyKind.find(({ path }) => path === entry.linkname) : entry
      expect(status.type).toBe(entry.type === 'hardlink' ? 'file' : entry.type)
      expect(status).toMatchObject({ uid: first?.uid, gid: first?.gid, mode: first?.mode })
      if (entry.type === 'directory') continue
      expect(status.mtimeSeconds).toBe(first?.mtimeSeconds ?? Number.NaN)
      expect(status.mtimeNanoseconds).toBe(first?.mtimeNanoseconds ?? Number.NaN)
      if (entry.type === 'symlink') expect(readLink(`${root}/${entry.path}`)).toBe(entry.linkname)
      expect([status.rdevMajor, status.rdevMinor]).toEqual([entry.devMajor, entry.devMinor])
    }
    expect(lstat(`${root}/d/second`).inode).toBe(lstat(`${root}/d/file`).inode)
    expect(readFileSync(`${root}/d/file`)).toEqual(Buffer.alloc(1000, 'content'))
    expect(getXattr(`${root}/d/xattrs`, 'user.z')).toEqual(new Uint8Array([0, 10, 61, 255]))
  })

  test('uses a plain ustar header when the entry fits one', () => {
    const archive = archiveOf([{ ...plainEntry, path: `${'p'.repeat(150)}/${'n'.repeat(100)}`, uid: 0o7777777 }])
    expect(archive.length).toBe(512 + 1024)
    expect(archive.subarray(257, 265).toString('latin1')).toBe('ustar\u000000')
  })

  test('gives the same bytes when made anew, whatever order attributes come in', () => {
    const a = new Uint8Array([1])
    const forth = {
      ...plainEntry,
      xattrs: new Map([
        ['user.a', a],
        ['user.b', a],
      ]),
    }
    const back = {
      ...plainEntry,
      xattrs: new Map([
        ['user.b', a],
        ['user.a', a],
      ]),
    }
    expect(archiveOf([...everyKind, forth])).toEqual(archiveOf([...everyKind, back]))
    expect(Bun.CryptoHasher.hash('sha256', archiveOf(everyKind), 'hex')).toBe(
      'dd934641405d97d6c20fd5a45f958f73142bbb4299763a7db1127af6285ac506',
    )
  })

  test('is read by GNU tar when a file is larger than 8 GiB', () => {
    const size = 9 * 1024 ** 3
    const headers: Uint8Array[] = []
    let position = 0
    const writer = new TarWriter((bytes) => {
      if (position === 0) headers.push(bytes.slice(0, 2048))
      position += bytes.length
    })
    writer.add({ ...plainEntry, size })
    writer.write(new Uint8Array(1024 * 1024))
    writer.write(new Uint8Array(1024 * 1024))
    writeFileSync(`${root}/head.tar`, headers[0]!)
    const listed = Bun.spawnSync(['tar', '-tvf', `${root}/head.tar`]).stdout.toString()
    expect(listed).toContain(String(size))
  })

  test('keeps a long path whole when the member needs a pax header for something else', async () => {
    const path = `${'p'.repeat(120)}/${'n'.repeat(90)}`
    const archive = archiveOf([{ ...plainEntry, path, uid: 3_000_000, size: 1 }])
    expect([...(await readAll(archive, 100)).keys()]).toEqual([path])
    writeFileSync(`${root}/long.tar`, archive)
    expect(
      Bun.spawnSync(['tar', '-tf', `${root}/long.tar`])
        .stdout.toString()
        .trim(),
    ).toBe(path)
  })

  test('refuses what no archive can hold', () => {
    const add = (entry: Partial<TarEntry>): unknown => archiveOf([{ ...plainEntry, ...entry }])
    expect(() => add({ path: '' })).toThrow('no name')
    expect(() => add({ path: 'a\0b' })).toThrow('NUL')
    expect(() => add({ type: 'symlink' })).toThrow('no target')
    expect(() => add({ uid: -1 })).toThrow('out of range')
    expect(() => add({ xattrs: new Map([['user.a=b', new Uint8Array()]]) })).toThrow('attribute')
  })

  test('throws FILE_CHANGED naming the file when it holds more or less than its entry says', () => {
    writeFileSync(`${root}/f`, Buffer.alloc(2_500_000))
    const copy = (size: number): void => {
      const fd = open(`${root}/f`, openFlags.O_RDONLY)
      try {
        const writer = new TarWriter(() => {})
        writer.add({ ...plainEntry, size })
        writer.copyFrom(fd, `${root}/f`)
      } finally {
        close(fd)
      }
    }
    copy(2_500_000)
    for (const size of [2_499_999, 2_500_001, 0]) {
      expect(() => copy(size)).toThrow(expect.objectContaining({ code: 'FILE_CHANGED' }))
      expect(() => copy(size)).toThrow(`${root}/f`)
    }
  })
})
