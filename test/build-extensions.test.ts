import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { mkdirSync, rmSync } from 'node:fs'
import type { Digest } from '../src/oci/digest.ts'
import { BuildBench, describeTree } from './fixtures/build-bench.ts'

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
    expect(failed.err).toContain('Give the directory as build context, and the Dockerfile with -f.')
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

describe('--squash', () => {
  const file =
    'FROM busybox\nRUN echo big > /big; echo a > /a; rm /etc/group\nENV x=1\nRUN rm /big; echo b > /a\nCOPY c /\n'
  test('gives the same filesystem in one new layer, with the history docker writes', async () => {
    bench.file('c')
    const all = await bench.build(file)
    const one = await bench.build(file, { squash: true })
    expect(one.files).toEqual(all.files)
    const base = all.config.rootfs.diff_ids.length - 3
    expect(one.config.rootfs.diff_ids).toHaveLength(base + 1)
    expect(one.config.rootfs.diff_ids.slice(0, base)).toEqual(all.config.rootfs.diff_ids.slice(0, base))
    const own = describeTree(bench.layer(one.config.rootfs.diff_ids.at(-1) as Digest))
    expect(Object.keys(own)).not.toContain('/big')
    expect(bench.layer(one.config.rootfs.diff_ids.at(-1) as Digest).whiteouts('/etc')).toEqual(['group'])
    expect(one.config.config).toEqual(all.config.config)
    const history = one.config.history ?? []
    const before = all.config.history ?? []
    expect(history.slice(0, -1).map(({ created_by }) => created_by)).toEqual(before.map(({ created_by }) => created_by))
    expect(history.filter(({ empty_layer }) => empty_layer !== true)).toHaveLength(base + 1)
    expect(history.at(-1)?.comment).toMatch(new RegExp(`^merge ${all.imageId} to sha256:[0-9a-f]{64}$`))
  })
  test('takes steps from the cache, and gives the same image again', async () => {
    bench.file('c')
    await bench.build(file)
    const first = await bench.build(file, { squash: true })
    expect(first.shown.map(({ cached }) => cached)).toEqual([false, true, true, true])
    const second = await bench.build(file, { squash: true })
    expect(second.imageId).toBe(first.imageId)
    expect((await bench.build(file)).config.rootfs.diff_ids.length).toBeGreaterThan(first.config.rootfs.diff_ids.length)
    bench.closeStore()
    const run = await bench.cairn(['build', '-q', '--squash', bench.context])
    expect(run.out.trim()).toBe(first.imageId)
  })
  test('says what it is made of where there is no base image, and leaves one new layer alone', async () => {
    bench.file('c')
    const scratch = await bench.build('FROM scratch\nCOPY c /1\nCOPY c /2\n', { squash: true })
    expect(scratch.config.history?.at(-1)?.comment).toMatch(/^create new from sha256:/)
    expect(scratch.config.rootfs.diff_ids).toHaveLength(1)
    const single = await bench.build('FROM busybox\nCOPY c /1\n', { squash: true })
    expect(single.imageId).toBe((await bench.build('FROM busybox\nCOPY c /1\n')).imageId)
  })
})
