import { expect, test } from 'bun:test'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { BuildBench, busyboxArchive } from './fixtures/build-bench.ts'

/** What a command may say when another took away what it wanted. */
const excuses =
  /no such image|is already in use|conflict: unable|not found|unable to find image|is not in the store|failed to resolve|connect/i

test('twenty processes that build, load, run, remove and prune at once neither fail, wait for ever nor damage anything', async () => {
  using bench = await BuildBench.open()
  const { status } = await bench.cairn(['save', '-o', `${bench.directory}/base.tar`, 'busybox'])
  expect(status).toBe(0)
  bench.closeStore()
  const contexts = Array.from({ length: 4 }, (_, index) => {
    const context = `${bench.directory}/c${index}`
    mkdirSync(context)
    writeFileSync(`${context}/file`, 'x'.repeat(100_000 * (index + 1)))
    writeFileSync(
      `${context}/Dockerfile`,
      `FROM busybox\nRUN echo same > /same\nCOPY file /file\nRUN echo ${index} > /n\n`,
    )
    return context
  })
  const commands = (worker: number): readonly string[][] => [
    ['build', '-q', '-t', `i${worker % 4}`, contexts[worker % 4] ?? ''],
    ['load', '-q', '-i', `${bench.directory}/base.tar`],
    ['tag', 'busybox', `t${worker}`],
    ['run', '--rm', 'busybox', 'true'],
    [['rmi', '-f', `t${worker}`], ['image', 'prune', '-f'], ['builder', 'prune', '-f'], ['images'], ['system', 'df']][
      worker % 5
    ] ?? [],
    ['run', '--rm', `i${(worker + 1) % 4}`, 'cat', '/same'],
    ['rmi', '-f', `i${(worker + 2) % 4}`],
  ]
  const failures: string[] = []
  await Promise.all(
    Array.from({ length: 20 }, async (_, worker) => {
      for (const argv of commands(worker)) {
        const ended = await bench.cairn(argv)
        const isExcused = ended.status === 0 || excuses.test(ended.err)
        if (!isExcused || /SQLITE|locked|internal error/.test(ended.err))
          failures.push(`${argv.join(' ')}: ${ended.err}`)
      }
    }),
  )
  expect(failures).toEqual([])
  const check = await bench.cairn(['system', 'check'])
  expect(check.out).toMatch(/: ok;/)
  for (const area of ['tmp', 'locks']) expect(readdirSync(`${bench.root}/${area}`)).toEqual([])
}, 180_000)

test('what fails leaves nothing of itself', async () => {
  using bench = await BuildBench.open()
  const before = readdirSync(`${bench.root}/content/blobs/sha256`)
  writeFileSync(`${bench.directory}/base.tar`, busyboxArchive())
  const dockerfile = bench.file('Dockerfile', 'FROM busybox\nRUN echo x > /x; echo out; exit 3\n')
  for (const argv of [
    ['build', '-f', dockerfile, bench.context],
    ['import', '-c', 'ENV =x', `${bench.directory}/base.tar`],
    ['import', `${bench.directory}/base.tar`, 'UPPER:case'],
    ['commit', 'none', 'name'],
  ])
    expect([argv, (await bench.cairn(argv)).status]).not.toEqual([argv, 0])
  expect(readdirSync(`${bench.root}/content/blobs/sha256`).toSorted()).toEqual(before.toSorted())
  expect((await bench.cairn(['system', 'check'])).out).toMatch(/: ok;/)
}, 60_000)
