import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { listDirectory } from './directories.ts'
import { SystemCallError, errno } from './errno.ts'
import { fstat, lstat, stat, tryLstat } from './file-status.ts'
import {
  AT_FDCWD,
  close,
  copyContent,
  open,
  openAt2,
  openFlags,
  pread,
  pwrite,
  read,
  resolveFlags,
  tryLock,
  unlock,
  write,
} from './files.ts'
import {
  changeModeAt,
  changeOwnerAt,
  linkAt,
  makeDirectories,
  makeNodeAt,
  makeSymlinkAt,
  readLink,
  removeFile,
  rename,
  setTimesAt,
} from './names.ts'
import { getXattr, listXattrs, removeXattr, setXattr } from './xattrs.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-files-'))
})
afterEach(() => {
  rmSync(root, { recursive: true, force: true })
})

const at = (name: string): string => `${root}/${name}`

function failure(run: () => unknown): SystemCallError {
  try {
    run()
  } catch (error) {
    if (error instanceof SystemCallError) return error
    throw error
  }
  throw new Error('did not fail')
}

describe('lstat()', () => {
  test('tells type, mode, owner, size, times and links when the file has them', () => {
    writeFileSync(at('f'), 'hello')
    changeOwnerAt(AT_FDCWD, at('f'), 3_000_000, 4_000_000_000)
    changeModeAt(AT_FDCWD, at('f'), 0o6751)
    setTimesAt(AT_FDCWD, at('f'), -12345, 987_654_321)
    linkAt(AT_FDCWD, at('f'), AT_FDCWD, at('g'))
    const status = lstat(at('g'))
    expect(status).toMatchObject({
      type: 'file',
      mode: 0o6751,
      uid: 3_000_000,
      gid: 4_000_000_000,
      size: 5,
      nlink: 2,
      mtimeSeconds: -12345,
      mtimeNanoseconds: 987_654_321,
    })
    const other = statSync(at('f'), { bigint: true })
    expect(BigInt(status.inode)).toBe(other.ino)
    expect(BigInt(status.ctimeSeconds) * 1_000_000_000n + BigInt(status.ctimeNanoseconds)).toBe(other.ctimeNs)
  })

  test('tells major and minor when it is a device', () => {
    makeNodeAt(AT_FDCWD, at('c'), 'character-device', 0o600, 511, 1_048_575)
    makeNodeAt(AT_FDCWD, at('b'), 'block-device', 0o600, 7, 1)
    makeNodeAt(AT_FDCWD, at('p'), 'fifo', 0o600)
    expect(lstat(at('c'))).toMatchObject({ type: 'character-device', rdevMajor: 511, rdevMinor: 1_048_575 })
    expect(lstat(at('b'))).toMatchObject({ type: 'block-device', rdevMajor: 7, rdevMinor: 1 })
    expect(lstat(at('p')).type).toBe('fifo')
  })

  test('does not follow a symlink, as stat() does', () => {
    makeSymlinkAt('nowhere/\udcff', AT_FDCWD, at('l'))
    expect(lstat(at('l')).type).toBe('symlink')
    expect(readLink(at('l'))).toBe('nowhere/\udcff')
    expect(failure(() => stat(at('l')))).toMatchObject({ code: 'FILE_UNKNOWN', errno: errno.ENOENT })
  })

  test('throws FILE_UNKNOWN naming the path when there is nothing, where tryLstat() gives undefined', () => {
    const error = failure(() => lstat(at('absent')))
    expect(error.code).toBe('FILE_UNKNOWN')
    expect(error.message).toContain(at('absent'))
    expect(tryLstat(at('absent'))).toBeUndefined()
    writeFileSync(at('f'), '')
    expect(tryLstat(at('f/below'))).toBeUndefined()
  })

  test('refuses a path with a NUL and one longer than PATH_MAX', () => {
    expect(failure(() => lstat(`${root}\0/etc/passwd`)).errno).toBe(errno.EINVAL)
    expect(failure(() => lstat(`/${'x/'.repeat(2048)}`)).errno).toBe(errno.ENAMETOOLONG)
    expect(failure(() => lstat(`/${'é/'.repeat(1400)}`)).errno).toBe(errno.ENAMETOOLONG)
  })
})

describe('reading and writing', () => {
  test('write() and read() move on; pwrite() and pread() do not', () => {
    const fd = open(at('f'), openFlags.O_RDWR | openFlags.O_CREAT, 0o640)
    try {
      write(fd, Buffer.from('hello world'))
      pwrite(fd, Buffer.from('W'), 6)
      const target = new Uint8Array(5)
      expect(pread(fd, target, 6)).toBe(5)
      expect(Buffer.from(target).toString()).toBe('World')
      expect(read(fd, target)).toBe(0)
      expect(fstat(fd).size).toBe(11)
    } finally {
      close(fd)
    }
    expect(readFileSync(at('f'), 'utf8')).toBe('hello World')
  })

  test.each([tmpdir(), '/dev/shm'])('copyContent() copies a file of %s, also to another file system', (directory) => {
    const from = mkdtempSync(join(directory, 'cairn-copy-'))
    try {
      const bytes = crypto.getRandomValues(new Uint8Array(60_000)).toBase64().repeat(40)
      writeFileSync(join(from, 'f'), bytes)
      const [source, target] = [
        open(join(from, 'f'), openFlags.O_RDONLY),
        open(at('t'), openFlags.O_WRONLY | openFlags.O_CREAT),
      ]
      try {
        copyContent(source, target, bytes.length - 7)
      } finally {
        close(source)
        close(target)
      }
      expect(readFileSync(at('t'), 'utf8') === bytes.slice(0, -7)).toBe(true)
    } finally {
      rmSync(from, { recursive: true })
    }
  })

  test('tryLock() gives false when another descriptor holds the lock', () => {
    const first = open(at('lock'), openFlags.O_RDWR | openFlags.O_CREAT)
    const second = open(at('lock'), openFlags.O_RDWR)
    try {
      expect(tryLock(first, 'exclusive')).toBe(true)
      expect(tryLock(second, 'shared')).toBe(false)
      unlock(first)
      expect(tryLock(second, 'shared')).toBe(true)
      expect(tryLock(first, 'shared')).toBe(true)
    } finally {
      close(first)
      close(second)
    }
  })

  test('read() of a directory throws SYSTEM_CALL', () => {
    const fd = open(root, openFlags.O_RDONLY)
    try {
      expect(failure(() => read(fd, new Uint8Array(10), root))).toMatchObject({
        code: 'SYSTEM_CALL',
        errno: errno.EISDIR,
      })
    } finally {
      close(fd)
    }
  })
})

describe('openAt2()', () => {
  test('stays in the root when a path has .. and absolute symlinks with IN_ROOT', () => {
    writeFileSync(at('passwd'), 'inside')
    symlinkSync('/passwd', at('absolute'))
    symlinkSync('../../../passwd', at('relative'))
    const directory = open(root, openFlags.O_PATH | openFlags.O_DIRECTORY)
    try {
      for (const path of ['../../passwd', '/passwd', 'absolute', 'relative']) {
        const fd = openAt2(directory, path, openFlags.O_RDONLY, resolveFlags.IN_ROOT)
        const target = new Uint8Array(16)
        expect(fd).toBeGreaterThan(0)
        expect(Buffer.from(target.subarray(0, read(fd, target))).toString()).toBe('inside')
        close(fd)
      }
      expect(openAt2(directory, 'absolute', openFlags.O_RDONLY, resolveFlags.NO_SYMLINKS)).toBe(-errno.ELOOP)
      expect(openAt2(directory, '../x', openFlags.O_RDONLY, resolveFlags.BENEATH)).toBe(-errno.EXDEV)
    } finally {
      close(directory)
    }
  })
})

describe('names', () => {
  test('listDirectory() gives each name with its type, raw bytes too', () => {
    mkdirSync(at('d'))
    writeFileSync(Buffer.concat([Buffer.from(`${root}/caf`), Buffer.from([0xe9])]), '')
    makeSymlinkAt('d', AT_FDCWD, at('l'))
    const names = listDirectory(root).sort((a, b) => (a.name < b.name ? -1 : 1))
    expect(names).toEqual([
      { name: 'caf\udce9', type: 'file' },
      { name: 'd', type: 'directory' },
      { name: 'l', type: 'symlink' },
    ])
  })

  test('listDirectory() gives all names when they need many system calls', () => {
    for (let index = 0; index < 700; index++) writeFileSync(at(`${index}-${'n'.repeat(200)}`), '')
    expect(new Set(listDirectory(root).map(({ name }) => name))).toEqual(new Set(readdirSync(root)))
  })

  test('makeDirectories() makes missing parents and takes what is there', () => {
    makeDirectories(at('a/b/c/'))
    makeDirectories(at('a/b/c'))
    expect(lstat(at('a/b/c')).type).toBe('directory')
    writeFileSync(at('f'), '')
    expect(failure(() => makeDirectories(at('f/x'))).errno).toBe(errno.ENOTDIR)
  })

  test('rename() replaces and removeFile() takes absence for success', () => {
    writeFileSync(at('a'), 'a')
    writeFileSync(at('b'), 'b')
    rename(at('a'), at('b'))
    expect(readFileSync(at('b'), 'utf8')).toBe('a')
    removeFile(at('b'))
    removeFile(at('b'))
    expect(readdirSync(root)).toEqual([])
  })
})

describe('xattrs', () => {
  test('setXattr() keeps binary values, on symlinks themselves', () => {
    writeFileSync(at('f'), '')
    makeSymlinkAt('f', AT_FDCWD, at('l'))
    const value = new Uint8Array([0, 255, 10, 0])
    setXattr(at('f'), 'user.binary', value)
    setXattr(at('f'), 'user.empty', new Uint8Array(0))
    setXattr(at('l'), 'trusted.link', value)
    expect(getXattr(at('f'), 'user.binary')).toEqual(value)
    expect(getXattr(at('f'), 'user.empty')).toEqual(new Uint8Array(0))
    expect([...listXattrs(at('f'))].sort()).toEqual(['user.binary', 'user.empty'])
    expect(listXattrs(at('l'))).toEqual(['trusted.link'])
    removeXattr(at('f'), 'user.binary')
    removeXattr(at('f'), 'user.binary')
    expect(getXattr(at('f'), 'user.binary')).toBeUndefined()
  })

  test('setXattr() throws when the value is larger than Linux allows', () => {
    writeFileSync(at('f'), '')
    expect(failure(() => setXattr(at('f'), 'user.x', new Uint8Array(65_537))).errno).toBe(errno.E2BIG)
  })
})
