import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import {
  closeSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openFileSink } from './file-sink.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-sink-'))
})
afterEach(() => {
  rmSync(root, { recursive: true })
})

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

function writeTo(path: string, text: string): void {
  using sink = openFileSink(path)
  sink.write(bytes(text))
  sink.commit()
}

describe('openFileSink()', () => {
  test('puts a file in its place when it is committed, and leaves nothing otherwise', () => {
    writeFileSync(join(root, 'f'), 'before')
    {
      using sink = openFileSink(join(root, 'f'))
      sink.write(bytes('half'))
    }
    expect(readFileSync(join(root, 'f'), 'utf8')).toBe('before')
    writeTo(join(root, 'f'), 'after')
    expect(readFileSync(join(root, 'f'), 'utf8')).toBe('after')
    expect(readdirSync(root)).toEqual(['f'])
  })

  test('has no name before it is committed, and no other name when it cannot be put in its place', () => {
    {
      using sink = openFileSink(join(root, 'f'))
      sink.write(bytes('half'))
      // Nothing is left where the process is killed here.
      expect(readdirSync(root)).toEqual([])
      mkdirSync(join(root, 'f'))
      expect(() => sink.commit()).toThrow('directory')
    }
    expect(readdirSync(root)).toEqual(['f'])
  })

  test('names the path where no file can be made', () => {
    expect(() => openFileSink('/proc/nothing/f')).toThrow('/proc/nothing/f')
    expect(() => openFileSink(join(root, 'absent/f'))).toThrow(join(root, 'absent/f'))
  })

  test('writes where a symlink leads, and leaves the link', () => {
    writeFileSync(join(root, 'f'), 'a longer text than is written')
    symlinkSync('f', join(root, 'link'))
    symlinkSync('new', join(root, 'dangling'))
    writeTo(join(root, 'link'), 'text')
    writeTo(join(root, 'dangling'), 'text')
    expect([readFileSync(join(root, 'f'), 'utf8'), readFileSync(join(root, 'new'), 'utf8')]).toEqual(['text', 'text'])
    expect(lstatSync(join(root, 'link')).isSymbolicLink()).toBe(true)
  })

  test('writes into a file that is open, as /dev/stdout is of a command whose output goes to a file', () => {
    const fd = openSync(join(root, 'f'), 'w+')
    try {
      symlinkSync(`/proc/self/fd/${fd}`, join(root, 'stdout'))
      writeTo(join(root, 'stdout'), 'text')
      expect(readFileSync(fd, 'utf8')).toBe('text')
      expect(readdirSync(root).sort()).toEqual(['f', 'stdout'])
    } finally {
      closeSync(fd)
    }
  })

  test('names the path of what cannot be written', () => {
    expect(() => openFileSink(join(root, 'no/f'))).toThrow(`open ${root}/no/f: no such file or directory`)
    expect(() => openFileSink(root)).toThrow(`open ${root}: is a directory`)
  })
})
