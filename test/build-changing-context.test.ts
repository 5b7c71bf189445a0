import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import type { CairnError } from '../src/errors/error.ts'
import { BuildBench } from './fixtures/build-bench.ts'
import { Swapper } from './fixtures/swapped-directory.ts'

setDefaultTimeout(60_000)

let bench: BuildBench
beforeAll(async () => {
  bench = await BuildBench.open()
})
afterAll(() => bench[Symbol.dispose]())

const dockerfile = 'FROM busybox\nRUN echo running; sleep 0.2\nCOPY d /d\n'

/** Builds a COPY of a directory that `change` changes after the build looked at it and before it copies it. */
async function buildWhile(change: () => void): Promise<CairnError> {
  rmSync(bench.context, { recursive: true })
  bench.file('d/file', 'before')
  bench.file('d/sub/inner', 'inside')
  let changed = false
  return await bench.failure(dockerfile, {
    noCache: true,
    progress: (event) => {
      if (event.type !== 'log' || changed) return
      changed = true
      change()
    },
  })
}

/** Nothing half-made is left, and the context as it is now builds. */
async function buildsNow(): Promise<Readonly<Record<string, string>>> {
  expect(
    readdirSync(`${bench.root}/tmp`)
      .filter((name) => !name.endsWith('.lock'))
      .flatMap(below),
  ).toEqual([])
  return (await bench.build(dockerfile)).files
}

const below = (session: string): string[] => readdirSync(`${bench.root}/tmp/${session}`)

describe('a context that changes while it is built', () => {
  const file = (): string => `${bench.context}/d/file`

  for (const [what, change, after] of [
    ['grew', () => appendFileSync(file(), ' and after'), '"before and after"'],
    ['shrank', () => truncateSync(file(), 3), '"bef"'],
    ['has other bytes', () => writeFileSync(file(), 'after!'), '"after!"'],
    [
      'was replaced',
      () => {
        writeFileSync(`${bench.context}/other`, 'after!')
        renameSync(`${bench.context}/other`, file())
      },
      '"after!"',
    ],
  ] as const)
    test(`fails, naming the file, where one ${what}`, async () => {
      const { code, message } = await buildWhile(change)
      expect([code, message]).toEqual(['FILE_CHANGED', expect.stringContaining(`${file()} `)])
      expect((await buildsNow())['/d/file']).toContain(after)
    })

  test('fails where a file is gone', async () => {
    const { message } = await buildWhile(() => rmSync(file()))
    expect(message).toBe(`open ${file()}: no such file or directory`)
    expect(Object.keys(await buildsNow())).toEqual(['/d', '/d/sub', '/d/sub/inner'])
  })

  test('does not follow a symlink that took the place of a file', async () => {
    writeFileSync(`${bench.directory}/outside`, 'before')
    const { message } = await buildWhile(() => {
      rmSync(file())
      symlinkSync(`${bench.directory}/outside`, file())
    })
    expect(message).toContain(file())
  })

  test('takes nothing else from a directory that became a symlink out of it', async () => {
    mkdirSync(`${bench.directory}/elsewhere`)
    writeFileSync(`${bench.directory}/elsewhere/inner`, 'secret')
    const { message } = await buildWhile(() => {
      rmSync(`${bench.context}/d/sub`, { recursive: true })
      symlinkSync(`${bench.directory}/elsewhere`, `${bench.context}/d/sub`)
    })
    expect(message).toBe(`open ${bench.context}/d/sub/inner: no such file or directory`)
    expect((await buildsNow())['/d/sub']).toBe(`symlink -> ${bench.directory}/elsewhere`)
  })

  test('never gives a step what a directory leads to that is swapped for a symlink all the time', async () => {
    rmSync(bench.context, { recursive: true })
    bench.file('d/sub/inner', 'inside')
    mkdirSync(`${bench.directory}/secrets`)
    writeFileSync(`${bench.directory}/secrets/inner`, 'secret')
    symlinkSync(`${bench.directory}/secrets`, `${bench.context}/link`)
    using _swapper = await Swapper.start(`${bench.context}/d/sub`, `${bench.context}/link`)
    const seen = new Set<string>()
    for (let attempt = 0; attempt < 20; attempt++) {
      try {
        const { files } = await bench.build('FROM scratch\nCOPY d /d\n', { noCache: true })
        seen.add(files['/d/sub/inner'] ?? files['/d/sub'] ?? 'nothing')
      } catch (error) {
        seen.add((error as CairnError).message.includes(bench.context) ? 'failed' : String(error))
      }
    }
    const allowed = [/inside/, /^symlink -> /, /^dir /, /^failed$/]
    expect([...seen].filter((what) => !allowed.some((pattern) => pattern.test(what)))).toEqual([])
  })
})
