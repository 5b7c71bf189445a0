import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Swapper } from '../../../test/fixtures/swapped-directory.ts'
import { close, read } from '../../linux/files.ts'
import { DirectoryFiles } from './directory-files.ts'
import { packDirectory } from './pack.ts'

let directory: string
let files: DirectoryFiles
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-files-'))
  for (const name of ['inside/d', 'outside']) mkdirSync(`${directory}/${name}`, { recursive: true })
  writeFileSync(`${directory}/inside/d/name`, 'ours')
  writeFileSync(`${directory}/outside/name`, 'secret')
  symlinkSync('../outside', `${directory}/inside/link`)
  files = new DirectoryFiles(`${directory}/inside`)
})
afterEach(() => {
  files[Symbol.dispose]()
  rmSync(directory, { recursive: true })
})

function content(path: string): string {
  const fd = files.open(path)
  try {
    const bytes = new Uint8Array(100)
    return Buffer.from(bytes.subarray(0, read(fd, bytes))).toString()
  } finally {
    close(fd)
  }
}

test('DirectoryFiles read what is in the directory', () => {
  expect(files.list('').sort()).toEqual(['d', 'link'])
  expect(files.status('').type).toBe('directory')
  expect(files.list('d')).toEqual(['name'])
  expect(files.tryStatus('d/name')?.size).toBe(4)
  expect(files.link('link')).toBe('../outside')
  expect(content('d/name')).toBe('ours')
  expect(files.xattrPath('d/name')).toBeUndefined()
})

test('DirectoryFiles follow no symlink, and name what is not there', () => {
  expect(files.tryStatus('link')?.type).toBe('symlink')
  expect(files.tryStatus('link/name')).toBeUndefined()
  expect(files.tryStatus('absent')).toBeUndefined()
  for (const attempt of [() => content('link/name'), () => content('link'), () => files.list('link')])
    expect(attempt).toThrow(`open ${directory}/inside/link`)
  expect(() => content('d/absent')).toThrow(`open ${directory}/inside/d/absent: no such file or directory`)
})

test('DirectoryFiles never leave a directory that is swapped for a symlink all the time', async () => {
  using _swapper = await Swapper.start(`${directory}/inside/d`, `${directory}/inside/link`)
  const seen = new Set<string>()
  const end = Date.now() + 500
  while (Date.now() < end) {
    using fresh = new DirectoryFiles(`${directory}/inside`)
    try {
      const fd = fresh.open('d/name')
      const bytes = new Uint8Array(100)
      seen.add(Buffer.from(bytes.subarray(0, read(fd, bytes))).toString())
      close(fd)
    } catch {
      seen.add('gone')
    }
  }
  expect([...seen].sort()).toEqual(['gone', 'ours'])
})

test('packDirectory() packs nothing from outside of a directory that is swapped for a symlink all the time', async () => {
  using _swapper = await Swapper.start(`${directory}/inside/d`, `${directory}/inside/link`)
  let [packed, failed] = [0, 0]
  const end = Date.now() + 500
  while (Date.now() < end) {
    const pieces: Uint8Array[] = []
    try {
      packDirectory(`${directory}/inside`, (bytes) => void pieces.push(bytes.slice()))
      packed++
    } catch {
      failed++
    }
    expect(Buffer.concat(pieces).includes('secret')).toBe(false)
  }
  expect(packed).toBeGreaterThan(0)
  expect(failed).toBeGreaterThan(0)
})
