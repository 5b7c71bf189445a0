import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { mkdirSync, rmSync } from 'node:fs'
import { BuildBench } from './fixtures/build-bench.ts'

let bench: BuildBench
beforeAll(async () => {
  bench = await BuildBench.open()
})
afterAll(() => bench[Symbol.dispose]())
beforeEach(() => {
  rmSync(bench.context, { recursive: true })
  mkdirSync(bench.context, { mode: 0o755 })
})

const optIn = '# syntax=cairn/dockerfile:1\n'

describe('COPY --optional', () => {
  test('leaves out what is missing and copies the rest, also from stages and with --parents', async () => {
    bench.file('there', 'x')
    const { files } = await bench.build(
      `${optIn}FROM busybox AS other\nFROM busybox\nCOPY --optional there gone a/gone /d/\n` +
        'COPY --optional gone /nothing/\nCOPY --optional --parents gone/deep there /p/\n' +
        'COPY --optional --from=other /etc/gone /etc/passwd /o/\n',
    )
    expect(Object.keys(files)).toEqual(['/d', '/d/there', '/o', '/o/passwd', '/p', '/p/there'])
  })
  test('is done again with the right reason once the file is there, and once it is gone', async () => {
    const dockerfile = `${optIn}FROM busybox\nCOPY --optional settings.json /etc/\n`
    const build = async () => (await bench.build(dockerfile)).shown.at(-1)
    await build()
    expect(await build()).toMatchObject({ cached: true })
    bench.file('settings.json', '{}')
    expect(await build()).toMatchObject({ reason: 'settings.json added' })
    rmSync(`${bench.context}/settings.json`)
    // What was built without the file is still in the cache.
    expect(await build()).toMatchObject({ cached: true })
  })
})
