import { afterAll, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CairnError } from '../../errors/error.ts'
import { includeReader } from './include-files.ts'

const directory = mkdtempSync(join(tmpdir(), 'cairn-include-'))
afterAll(() => rmSync(directory, { recursive: true }))
const context = join(directory, 'context')
mkdirSync(join(context, 'docker/parts'), { recursive: true })
mkdirSync(join(context, 'ignored'))
for (const path of [
  'context/top',
  'context/docker/beside',
  'context/docker/parts/inner',
  'outside',
  'context/ignored/x',
])
  writeFileSync(join(directory, path), path)
writeFileSync(join(context, '.dockerignore'), 'ignored\n')
symlinkSync('../docker/beside', join(context, 'ignored/link'))
symlinkSync('../../outside', join(context, 'docker/escape'))
symlinkSync(join(context, 'top'), join(context, 'docker/absolute'))
symlinkSync('.', join(context, 'docker/same'))
Bun.spawnSync(['mkfifo', join(context, 'fifo')])

const inside = includeReader(context, join(context, 'docker/Dockerfile'))
const text = ({ filename, bytes }: ReturnType<typeof inside>): string[] => [filename, new TextDecoder().decode(bytes)]

test('includeReader() reads below the context, relative to the file that says so', () => {
  expect(text(inside('beside', undefined))).toEqual(['docker/beside', 'context/docker/beside'])
  expect(text(inside('../top', undefined))).toEqual(['top', 'context/top'])
  expect(text(inside('./parts//inner', undefined))).toEqual(['docker/parts/inner', 'context/docker/parts/inner'])
  expect(text(inside('../beside', 'docker/parts/inner'))).toEqual(['docker/beside', 'context/docker/beside'])
  expect(text(inside('docker/beside', 'top'))).toEqual(['docker/beside', 'context/docker/beside'])
  expect(text(inside('../ignored/x', undefined))).toEqual(['ignored/x', 'context/ignored/x'])
  expect(text(inside('../ignored/link', undefined))).toEqual(['ignored/link', 'context/docker/beside'])
  expect(text(includeReader(context, '-')('docker/beside', undefined))[0]).toBe('docker/beside')
})

test('includeReader() stays in the directory of a Dockerfile outside of the context', () => {
  const read = includeReader(context, join(directory, 'Dockerfile'))
  expect(text(read('outside', undefined))).toEqual(['outside', 'outside'])
  expect(text(read('context/top', undefined))).toEqual(['context/top', 'context/top'])
  expect(() => read('../x', undefined)).toThrow('the path leads out of the build context')
})

test.each([
  ['../../outside', 'the path leads out of the build context'],
  ['parts/../../../context/top', 'the path leads out of the build context'],
  ['escape', 'the path leads out of the build context'],
  ['same/same/escape', 'the path leads out of the build context'],
  ['absolute', 'the path leads out of the build context'],
  ['/etc/passwd', 'give a path relative to the file that the INCLUDE stands in'],
  ['none', 'there is no docker/none'],
  ['beside/none', 'there is no docker/beside/none'],
  ['..', 'the context itself is not a regular file'],
  ['parts', 'docker/parts is not a regular file'],
  ['../fifo', 'fifo is not a regular file'],
])('includeReader() refuses %s', (path, why) => {
  expect(() => inside(path, undefined)).toThrow(CairnError)
  expect(() => inside(path, undefined)).toThrow(`INCLUDE ${path}: ${why}`)
})
