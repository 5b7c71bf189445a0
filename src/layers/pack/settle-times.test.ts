import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { AT_FDCWD } from '../../linux/files.ts'
import { setTimesAt } from '../../linux/names.ts'
import { settleTimes } from './settle-times.ts'

describe('settleTimes()', () => {
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync('/tmp/cairn-times-')
    mkdirSync(`${directory}/upper/d`, { recursive: true })
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  const timesOf = (...names: string[]): number[] =>
    names.map((name) => lstatSync(`${directory}/${name}`).mtimeMs / 1000)

  test('sets times at or after the limit back and keeps whole seconds of earlier ones', () => {
    for (const [name, seconds, nanoseconds] of [
      ['d/before', 999, 999_000_000],
      ['d/at', 1000, 0],
      ['d/after', 5_000_000_000, 1],
      ['d/old', -5, 0],
    ] as const) {
      writeFileSync(`${directory}/upper/${name}`, '')
      setTimesAt(AT_FDCWD, `${directory}/upper/${name}`, seconds, nanoseconds)
    }
    settleTimes(`${directory}/upper`, { from: 1000, to: 7 })
    expect(timesOf('upper/d/before', 'upper/d/at', 'upper/d/after', 'upper/d/old')).toEqual([999, 7, 7, -5])
    // Also directories, and the root that shows through the overlay.
    expect(timesOf('upper/d', 'upper')).toEqual([7, 7])
  })

  test('sets the time that compiled Python holds of its source, and nothing else in a file', () => {
    /** A compiled file of a source of that time. */
    const compiled = (magic: number, flags: number, time: number): Buffer => {
      const bytes = Buffer.from('0000\r\n000000000000sizecode')
      bytes.writeUInt16LE(magic, 0)
      bytes.write('\r\n', 2)
      bytes.writeUInt32LE(flags, 4)
      bytes.writeUInt32LE(time, 8)
      return bytes
    }
    const files: Readonly<Record<string, [Buffer, Buffer]>> = {
      'new.pyc': [compiled(3495, 0, 1234), compiled(3495, 0, 7)],
      'of-a-package.pyc': [compiled(3495, 0, 999), compiled(3495, 0, 999)],
      'by-content.pyc': [compiled(3495, 3, 1234), compiled(3495, 3, 1234)],
      'of-python-2.pyc': [compiled(62211, 0, 1234), compiled(62211, 0, 1234)],
      'short.pyc': [Buffer.from('x'), Buffer.from('x')],
      'empty.pyc': [Buffer.alloc(0), Buffer.alloc(0)],
      'other.py': [compiled(3495, 0, 1234), compiled(3495, 0, 1234)],
    }
    for (const [name, [before]] of Object.entries(files)) writeFileSync(`${directory}/upper/${name}`, before)
    settleTimes(`${directory}/upper`, { from: 1000, to: 7 })
    for (const [name, [, after]] of Object.entries(files)) {
      expect([name, readFileSync(`${directory}/upper/${name}`).toString('hex')]).toEqual([name, after.toString('hex')])
      expect(timesOf(`upper/${name}`)).toEqual([7])
    }
  })

  test('follows no symlink and leaves whiteouts alone', () => {
    mkdirSync(`${directory}/outside`)
    writeFileSync(`${directory}/outside/f`, '')
    setTimesAt(AT_FDCWD, `${directory}/outside/f`, 2000, 0)
    symlinkSync('../outside', `${directory}/upper/dir`)
    symlinkSync('../outside/f', `${directory}/upper/file`)
    expect(Bun.spawnSync(['mknod', `${directory}/upper/gone`, 'c', '0', '0']).success).toBe(true)
    setTimesAt(AT_FDCWD, `${directory}/upper/gone`, 3000, 0)
    settleTimes(`${directory}/upper`, { from: 1000, to: 7 })
    expect(timesOf('outside/f', 'upper/dir', 'upper/file', 'upper/gone')).toEqual([2000, 7, 7, 3000])
  })
})
