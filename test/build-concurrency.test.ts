import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { BuildBench, endOf } from './fixtures/build-bench.ts'
import { eventually, processesWith } from './fixtures/container-bench.ts'

let bench: BuildBench
beforeEach(async () => {
  bench = await BuildBench.open()
})
afterEach(() => bench[Symbol.dispose]())

const build = (...flags: string[]): string[] => ['build', '--progress=plain', ...flags, bench.context]

function namesIn(path: string): string[] {
  try {
    return readdirSync(`${bench.root}/${path}`)
  } catch {
    return []
  }
}

/** What should not be there once no build runs: temporary files, containers, snapshots without a record, mounts. */
function leftovers(): string[] {
  const known = new Set(
    bench.store.database.all<{ id: string }>("SELECT id FROM snapshots WHERE state = 'committed'").map(({ id }) => id),
  )
  const own = bench.store.session.id
  bench.closeStore()
  const containers = namesIn('builds/run')
    .filter((name) => /^\d/.test(name))
    .flatMap((owner) => namesIn(`builds/run/${owner}/crun`).map((id) => `builds/run/${owner}/crun/${id}`))
  return [
    ...namesIn('tmp')
      .filter((name) => !name.startsWith(own))
      .map((name) => `tmp/${name}`),
    ...namesIn('snapshots')
      .filter((id) => !known.has(id))
      .map((id) => `snapshots/${id}`),
    ...containers,
    ...readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes(bench.root)),
  ]
}

/** Lines that steps wrote to the only cache mount. */
function cacheLog(): string[] {
  const [mount] = namesIn('cache/mounts')
  return readFileSync(`${bench.root}/cache/mounts/${mount}/fs/log`, 'utf8').split('\n').filter(Boolean)
}

describe('builds at the same time', () => {
  test('do each step once and give the same image', async () => {
    const mount = '--mount=type=cache,target=/c,id=log'
    bench.file('f', 'f')
    bench.file(
      'Dockerfile',
      `FROM busybox
RUN ${mount} echo one >> /c/log; sleep 0.3; date +%N > /one
COPY f /f
RUN ${mount} echo two >> /c/log; sleep 0.1; date +%N > /two
RUN ${mount} echo three >> /c/log
`,
    )
    bench.closeStore()
    const ends = await Promise.all([1, 2, 3].map(() => bench.cairn(['build', '-q', '-t', 'app', bench.context])))
    expect(ends.map(({ status, err }) => [status, err])).toEqual([
      [0, ''],
      [0, ''],
      [0, ''],
    ])
    expect(new Set(ends.map(({ out }) => out)).size).toBe(1)
    expect(cacheLog()).toEqual(['one', 'two', 'three'])
    expect(leftovers()).toEqual([])
  })

  test('say what they wait for', async () => {
    bench.file('Dockerfile', 'FROM busybox\nRUN echo x > /x; sleep 1\n')
    bench.closeStore()
    const [one, two] = await Promise.all([bench.cairn(build()), bench.cairn(build())])
    const waited = [one, two].filter(({ err }) =>
      / waiting for cairn build \(process \d+\) to run this step\n/.test(err),
    )
    expect([one.status, two.status]).toEqual([0, 0])
    expect(waited).toHaveLength(1)
    expect(waited[0]?.err).toContain('CACHED')
  })

  test('name whoever holds the cache mount they wait for', async () => {
    const mount = '--mount=type=cache,id=packages,target=/c,sharing=locked'
    const files = [1, 2].map((number) =>
      bench.file(`Dockerfile.${number}`, `FROM busybox\nRUN ${mount} echo ${number}; sleep 1\n`),
    )
    bench.closeStore()
    const ends = await Promise.all(
      files.map((file) => bench.cairn(['build', '--progress', 'plain', '-f', file, bench.context])),
    )
    expect(ends.map(({ status }) => status)).toEqual([0, 0])
    const waits = ends.flatMap(({ err }) => err.match(/waiting for .*/g) ?? [])
    expect(waits).toEqual([
      expect.stringMatching(/^waiting for cairn build \(process \d+\) to release the cache mount \S+$/),
    ])
  })

  test('of other Dockerfiles go on beside each other and unpack their base once', async () => {
    const ends = await Promise.all(
      [1, 2, 3, 4].map(async (number) => {
        const file = bench.file(`Dockerfile.${number}`, `FROM busybox\nRUN echo ${number} > /n\nRUN cat /n\n`)
        return await bench.cairn(['build', '-q', '-f', file, '-t', `app${number}`, bench.context])
      }),
    )
    expect(ends.map(({ status, err }) => [status, err])).toEqual(ends.map(() => [0, '']))
    const { config } = await bench.build('FROM busybox\n')
    const [base] = config.rootfs.diff_ids
    expect(bench.store.database.all('SELECT id FROM snapshots WHERE diff_id = ?', base as string)).toHaveLength(1)
    expect(leftovers()).toEqual([])
  })

  test('leave each other the cache while garbage is collected', async () => {
    bench.file(
      'Dockerfile',
      'FROM busybox\nRUN echo 1 > /1; sleep 0.5; true\nRUN echo 2 > /2\nCOPY Dockerfile /\nRUN cat /1 /2 > /3\n',
    )
    bench.closeStore()
    const builds = [1, 2].map(() => bench.spawn(build('--no-cache')))
    const ends = builds.map((child) => endOf(child))
    expect(await eventually(() => processesWith('echo 1 > /1').length > 0, 20_000)).toBe(true)
    // Also the base image loses its name now, and all that no build needs goes.
    const pruned: number[] = []
    for (let round = 0; round < 3; round++) pruned.push((await bench.cairn(['image', 'prune', '-f', '-a'])).status)
    for (const { status, err } of await Promise.all(ends)) expect([status, status === 0 ? '' : err]).toEqual([0, ''])
    expect(new Set(pruned)).toEqual(new Set([0]))
  })
})

describe('a build that is killed', () => {
  test('at any moment leaves the other one right, and nothing behind once the next command has run', async () => {
    for (let round = 0; round < 10; round++) {
      const marker = `marker-${round}-${process.pid}`
      bench.file('data', `round ${round}`)
      bench.file(
        'Dockerfile',
        `FROM busybox AS one
COPY data /data
RUN cat /data > /one; sleep 0.1; : ${marker}
FROM busybox AS two
RUN echo ${round} > /two; sleep 0.15; : ${marker}
FROM busybox
COPY --from=one /one /
COPY --from=two /two /
RUN cat /one /two > /both; : ${marker}
`,
      )
      bench.closeStore()
      const victim = bench.spawn(build())
      const other = bench.spawn(build('-t', 'app'))
      const victimEnd = endOf(victim)
      const otherEnd = endOf(other)
      // Spread over the whole of a build, the first round right at its start.
      await Bun.sleep(round * 110 + Math.random() * 100)
      victim.kill('SIGKILL')
      await victimEnd
      const { status, err } = await otherEnd
      expect([round, status, status === 0 ? '' : err]).toEqual([round, 0, ''])
      const { files, shown } = await bench.buildFile(undefined)
      expect(files).toEqual({
        '/both': `file 644 0:0 "round ${round}${round}\\n"`,
        '/one': `file 644 0:0 "round ${round}"`,
        '/two': `file 644 0:0 "${round}\\n"`,
      })
      expect(shown.filter(({ cached, title }) => !cached && !title.includes('FROM'))).toEqual([])
      expect(await eventually(() => processesWith(marker).length === 0)).toBe(true)
      expect(leftovers()).toEqual([])
    }
  }, 120_000)

  test('does not take its container with it only later', async () => {
    const marker = `sleep 987${process.pid}`
    bench.file('Dockerfile', `FROM busybox\nRUN ${marker}\n`)
    bench.closeStore()
    const victim = bench.spawn(build())
    const end = endOf(victim)
    expect(await eventually(() => processesWith(marker.replace(' ', '\0')).length > 0, 20_000)).toBe(true)
    victim.kill('SIGKILL')
    await end
    expect(await eventually(() => processesWith(marker.replace(' ', '\0')).length === 0, 5000)).toBe(true)
    // The step is nobody's now: another build of it does not wait.
    bench.file('Dockerfile', 'FROM busybox\nRUN true\n')
    expect((await bench.cairn(build())).status).toBe(0)
    expect(leftovers()).toEqual([])
  })
})

describe('a build that is interrupted', () => {
  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('by %s ends soon with %i and leaves nothing', async (signal, expected) => {
    const marker = `sleep 986${process.pid}`
    bench.file('Dockerfile', `FROM busybox\nRUN echo kept > /kept\nRUN echo started; ${marker}; true\nRUN never\n`)
    bench.closeStore()
    const child = bench.spawn(build('-t', 'app'))
    const end = endOf(child)
    const isRunning = (): boolean => processesWith(marker.replace(' ', '\0')).length > 0
    expect(await eventually(isRunning, 20_000)).toBe(true)
    const started = performance.now()
    child.kill(signal)
    const { status, out, err } = await end
    expect(performance.now() - started).toBeLessThan(5000)
    expect([status, out]).toEqual([expected, ''])
    expect(err).toContain('CANCELED')
    expect(err).not.toContain('>>>')
    expect(await eventually(() => !isRunning())).toBe(true)
    expect(leftovers()).toEqual([])
    expect((await bench.cairn(['image', 'inspect', 'app'])).status).toBe(1)
    // What was done before it is kept.
    const { shown } = await bench.build('FROM busybox\nRUN echo kept > /kept\n')
    expect(shown.at(-1)?.cached).toBe(true)
  })

  test('while it waits for another build ends at once, and the other goes on', async () => {
    bench.file('Dockerfile', 'FROM busybox\nRUN echo x > /x; sleep 2; true\n')
    bench.closeStore()
    const first = bench.spawn(build())
    const firstEnd = endOf(first)
    expect(await eventually(() => processesWith('echo x > /x; sleep 2; true').length > 0, 20_000)).toBe(true)
    const second = bench.spawn(build())
    let shown = ''
    let isTold = false
    for await (const chunk of second.stderr) {
      shown += Buffer.from(chunk).toString()
      // A second one would end it without cleaning up.
      if (isTold || !shown.includes('waiting for cairn build (process')) continue
      isTold = true
      second.kill('SIGINT')
    }
    expect(await second.exited).toBe(130)
    expect((await firstEnd).status).toBe(0)
    expect(leftovers()).toEqual([])
  })
})
