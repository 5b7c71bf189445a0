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

describe('INCLUDE', () => {
  test('builds what the included files say, and names them where a step fails', async () => {
    bench.file('docker/Dockerfile', `${optIn}FROM busybox\nINCLUDE ../common/users.df\nRUN echo own > /own\n`)
    bench.file('common/users.df', '# who\nRUN echo a > /a\nINCLUDE more.df\n')
    bench.file('common/more.df', 'COPY common/more.df /b\n')
    const file = `${bench.context}/docker/Dockerfile`
    const { files, shown } = await bench.buildFile(file)
    expect(Object.keys(files)).toEqual(['/a', '/b', '/own'])
    expect((await bench.buildFile(file)).imageId).toBe((await bench.buildFile(file)).imageId)
    expect(shown.map(({ title }) => title)).toContain('[2/4] RUN echo a > /a')

    bench.file('common/more.df', 'RUN false\n')
    const failed = await bench.cairn(['build', '--progress=plain', '-f', file, bench.context])
    expect(failed.status).not.toBe(0)
    expect(failed.err).toContain('common/more.df:1\n--------------------\n   1 | >>> RUN false\n')
    bench.file('common/more.df', 'RUM false\n')
    const wrong = await bench.cairn(['build', '-f', file, bench.context])
    expect(wrong.err).toContain(
      'common/more.df: dockerfile parse error on line 1: unknown instruction: RUM (did you mean RUN?)',
    )
    expect(wrong.err).toMatch(/\(included from common\/users\.df:3, from .*Dockerfile:3\)/)
  })
  test('reads from the context for a Dockerfile on stdin, and fails where there is none', async () => {
    bench.file('part.df', 'RUN echo part > /part\n')
    const stdin = `${optIn}FROM busybox\nINCLUDE part.df\n`
    const built = await bench.cairn(['build', '-q', '-f', '-', bench.context], { stdin })
    expect(built).toMatchObject({ status: 0 })
    const failed = await bench.cairn(['build', '-'], { stdin })
    expect(failed.status).toBe(1)
    expect(failed.err).toContain('INCLUDE part.df: there is no directory to read files from')
    expect(failed.err).toContain('give the directory as build context, and the Dockerfile with -f')
  })
  test('is turned on by --build-arg BUILDKIT_SYNTAX, too', async () => {
    bench.file('part.df', 'RUN echo part > /part\n')
    bench.file('Dockerfile', 'FROM busybox\nINCLUDE part.df\n')
    const failed = await bench.cairn(['build', bench.context])
    expect(failed.err).toContain('unknown instruction: INCLUDE')
    expect(failed.err).toContain('needs "# syntax=cairn/dockerfile:1" as the first line')
    const built = await bench.cairn(['build', '-q', '--build-arg', 'BUILDKIT_SYNTAX=cairn/dockerfile:1', bench.context])
    expect(built).toMatchObject({ status: 0 })
  })
})

describe('--all-stages', () => {
  test('runs stages that the target does not need, and fails when one of them does', async () => {
    const file = (command: string) =>
      `FROM busybox AS tests\nRUN ${command}\nFROM busybox AS app\nRUN echo app > /app\n`
    const all = await bench.build(file('echo tested'), { allStages: true })
    expect(all.shown.map(({ title }) => title)).toContain('[tests 2/2] RUN echo tested')
    expect(Object.keys(all.files)).toEqual(['/app'])
    const one = await bench.build(file('echo not run'))
    expect(one.imageId).toBe(all.imageId)
    expect(one.shown.map(({ title }) => title).join()).not.toContain('not run')
    expect(await bench.failure(file('exit 3'), { allStages: true })).toMatchObject({ range: { start: 2 } })
  })
})
