import { afterEach, beforeEach, expect, test } from 'bun:test'
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { directoryTree } from '../layers/trees/layer-tree.ts'
import { makeNodeAt } from '../linux/names.ts'
import { AT_FDCWD } from '../linux/files.ts'
import { getXattr, setXattr } from '../linux/xattrs.ts'
import { copyTree } from './copy-tree.ts'

let directory: string

beforeEach(() => {
  directory = mkdtempSync('/tmp/cairn-copy-')
})

afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

test('`copyTree()` copies files, modes, owners, times, links, devices and attributes of one directory', () => {
  const source = join(directory, 'source')
  mkdirSync(join(source, 'data/sub'), { recursive: true })
  writeFileSync(join(source, 'outside'), 'not copied')
  const file = join(source, 'data/sub/file')
  writeFileSync(file, Buffer.alloc(300_000, 'x'))
  chownSync(file, 1000, 2000)
  chmodSync(file, 0o4751)
  setXattr(file, 'user.note', new TextEncoder().encode('kept'))
  linkSync(file, join(source, 'data/again'))
  symlinkSync('../../outside', join(source, 'data/sub/link'))
  makeNodeAt(AT_FDCWD, join(source, 'data/pipe'), 'fifo', 0o600)
  makeNodeAt(AT_FDCWD, join(source, 'data/null'), 'character-device', 0o666, 1, 3)
  chmodSync(join(source, 'data/sub'), 0o2770)
  for (const path of [file, join(source, 'data/sub'), join(source, 'data')]) utimesSync(path, 1_000_000, 1_000_000)
  const target = join(directory, 'target')
  mkdirSync(target)

  copyTree(directoryTree(source), '/data', target)

  const copied = statSync(join(target, 'sub/file'))
  expect({ mode: copied.mode & 0o7777, uid: copied.uid, gid: copied.gid, size: copied.size }).toEqual({
    mode: 0o4751,
    uid: 1000,
    gid: 2000,
    size: 300_000,
  })
  expect(statSync(join(target, 'again')).ino).toBe(copied.ino)
  expect(new TextDecoder().decode(getXattr(join(target, 'sub/file'), 'user.note'))).toBe('kept')
  expect(readlinkSync(join(target, 'sub/link'))).toBe('../../outside')
  expect(statSync(join(target, 'pipe')).isFIFO()).toBe(true)
  expect(statSync(join(target, 'null')).rdev).toBe(statSync('/dev/null').rdev)
  expect(statSync(join(target, 'sub')).mode & 0o7777).toBe(0o2770)
  for (const path of ['', 'sub', 'sub/file']) expect(statSync(join(target, path)).mtimeMs).toBe(1_000_000_000)
  expect(readFileSync(join(target, 'sub/file')).every((byte) => byte === 0x78)).toBe(true)
})
