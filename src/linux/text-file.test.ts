import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readTextFile, TextFileWriter } from './text-file.ts'

let directory: string
beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), 'cairn-text-'))))
afterEach(() => rmSync(directory, { recursive: true }))

const path = (): string => `${directory}/text`

describe('readTextFile()', () => {
  test.each([0, 1, 8191, 8192, 8193, 100_000])('gives all of %i bytes, or as many as are wanted', (size) => {
    writeFileSync(path(), 'é'.repeat(size / 2).padEnd(size / 2 + (size % 2), 'x'))
    expect(readTextFile(path())).toBe(readFileSync(path(), 'utf8'))
    expect(readTextFile(path(), 10)).toBe(readFileSync(path()).subarray(0, 10).toString('utf8'))
  })

  test('reads files that say they are empty, and a large hole only as far as it may', () => {
    expect(readTextFile('/proc/self/status')).toStartWith('Name:')
    writeFileSync(path(), 'head')
    truncateSync(path(), 2 ** 40)
    expect(readTextFile(path(), 6)).toBe('head\0\0')
    expect(readTextFile(`${directory}/none`)).toBeUndefined()
  })
})

describe('TextFileWriter', () => {
  test('writes much text in pieces and the rest when it is closed', () => {
    using file = new TextFileWriter(path())
    const lines = Array.from({ length: 20_000 }, (_, index) => `line ${index} é\n`)
    for (const line of lines) file.write(line)
    expect(readFileSync(path(), 'utf8').length).toBeGreaterThan(100_000)
    file.close()
    expect(readFileSync(path(), 'utf8')).toBe(lines.join(''))
  })

  test('replaces a file only once there is something to write', () => {
    writeFileSync(path(), 'before')
    {
      using file = new TextFileWriter(path())
      file.write('after')
    }
    expect(readFileSync(path(), 'utf8')).toBe('before')
    using file = new TextFileWriter(path())
    file.write('after')
    file.close()
    expect(readFileSync(path(), 'utf8')).toBe('after')
  })
})
