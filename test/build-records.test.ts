import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { BuildBench, busyboxArchive } from './fixtures/build-bench.ts'

let bench: BuildBench
beforeEach(async () => {
  bench = await BuildBench.open()
})
afterEach(() => bench[Symbol.dispose]())

/** Builds the context by the command line; gives what it wrote to stderr. */
async function build(dockerfile: string, ...flags: readonly string[]): Promise<{ err: string; status: number }> {
  bench.file('Dockerfile', dockerfile)
  bench.closeStore()
  return await bench.cairn(['build', '--progress=plain', ...flags, bench.context])
}

async function ok(...argv: readonly string[]): Promise<string> {
  bench.closeStore()
  const { out, err, status } = await bench.cairn(argv)
  expect({ err, status }).toEqual({ err: '', status: 0 })
  return out
}

/** Busybox with another letter in its /etc/passwd. */
function otherArchive(): Uint8Array {
  const archive = Buffer.from(busyboxArchive())
  archive.write('APP:', archive.indexOf('\napp:x:1000:1000') + 1)
  return archive
}

const recordFiles = (): string[] =>
  readdirSync(`${bench.root}/builds/records`).map((name) => `${bench.root}/builds/records/${name}`)

describe('the record of a build', () => {
  test('lists builds as buildx does, the newest first', async () => {
    await build('FROM busybox\nRUN true\n', '-t', 'app')
    await build('FROM busybox\nRUN false\n')
    const [heading, second, first] = (await ok('builds', 'ls')).split('\n')
    expect(heading).toMatch(/^BUILD ID +NAME +STATUS +CREATED AT +DURATION/)
    expect(second).toMatch(/^[a-z0-9]{25} +context +Error +(?:Less than a second|\d+ seconds?) ago +\d+\.\ds/)
    expect(first).toMatch(/ Completed /)
    expect(await ok('builds', 'ls', '-q', '--filter', 'status=error')).toBe(`${second?.slice(0, 25)}\n`)
    expect(JSON.parse(await ok('builds', 'inspect', '--format', 'json', '^1'))).toMatchObject({
      Ref: first?.slice(0, 25),
      Name: 'context',
      Context: bench.context,
      Status: 'completed',
      NumTotalSteps: 2,
      Tags: ['docker.io/library/app:latest'],
      ImageID: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
    })
    expect(await ok('builds', 'inspect')).toContain('>>> RUN false')
  })

  test('has the log whole, byte for byte, as it was shown', async () => {
    const lines = 60_000
    const { err } = await build(
      `FROM busybox\nRUN i=0; while [ $i -lt ${lines} ]; do echo "line $i of many"; i=$((i+1)); done; printf 'no%s' end\n`,
    )
    const logs = await ok('builds', 'logs')
    const output = (text: string): string[] => (text.match(/line \d+ of many|noend/g) ?? []) as string[]
    expect(output(logs)).toHaveLength(lines + 1)
    expect(output(logs)).toEqual(output(err))
    expect(logs.replace(/^#\d+ \d+\.\d+ /gm, '')).toBe(err.replace(/^#\d+ \d+\.\d+ /gm, ''))
  }, 30_000)

  test('shows single steps, and rawjson with the warnings of the Dockerfile', async () => {
    await build('FROM busybox as base\nRUN echo one\nRUN echo two\n')
    const logs = await ok('builds', 'logs', '--step', 'echo one')
    expect(logs).toContain('one')
    expect(logs).not.toContain('two')
    const raw = (await ok('builds', 'logs', '--progress', 'rawjson'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { warnings?: { sourceInfo: { data: string } }[] })
    const warning = raw.flatMap(({ warnings = [] }) => warnings)[0]
    expect(Buffer.from(warning?.sourceInfo.data ?? '', 'base64').toString()).toContain('FROM busybox as base')
    expect(await ok('builds', 'logs')).toContain('FromAsCasing')
  })

  test('holds no value of an argument or a secret, and is readable by its owner only', async () => {
    const { status } = await bench.cairn(['version'])
    expect(status).toBe(0)
    bench.file('Dockerfile', 'FROM busybox\nARG TOKEN\nRUN --mount=type=secret,id=s,env=S true\n')
    bench.closeStore()
    const argv = ['build', '--build-arg', 'TOKEN=very-secret-value', '--secret', 'id=s,env=S', bench.context]
    expect((await bench.cairn(argv, { env: { S: 'other-secret-value' } })).status).toBe(0)
    const [path = ''] = recordFiles()
    expect(readFileSync(path, 'latin1')).not.toMatch(/(?:very|other)-secret-value/)
    expect(readFileSync(path, 'latin1')).toContain('"buildArgs":["TOKEN"]')
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  test('of a build that runs is followed to its end, and of one that was killed says so', async () => {
    bench.file('Dockerfile', 'FROM busybox\nRUN echo begun; sleep 1; echo over\n')
    bench.closeStore()
    const running = bench.spawn(['build', bench.context])
    let logs = ''
    for (let tries = 0; !logs.includes('begun') && tries < 200; tries++) {
      await Bun.sleep(25)
      try {
        logs = readFileSync(recordFiles()[0] ?? '', 'latin1')
      } catch {
        // Not there yet.
      }
    }
    expect(await ok('builds', 'ls', '--format', '{{.Status}} {{.Duration}}')).toMatch(/^Running \d+\.\ds\+\n$/)
    expect((await bench.cairn(['builds', 'rm', (recordFiles()[0] ?? '').slice(-25)])).err).toContain('is running')
    expect(await ok('builds', 'logs')).toContain('over')
    expect(await running.exited).toBe(0)

    const killed = bench.spawn(['build', '--no-cache', bench.context])
    while (recordFiles().filter((path) => statSync(path).size > 0).length < 2) await Bun.sleep(10)
    killed.kill('SIGKILL')
    await killed.exited
    expect(await ok('builds', 'ls', '--format', '{{.Status}}')).toBe('Interrupted\nCompleted\n')
    expect((await bench.cairn(['explain'])).err).toContain('was interrupted')
    await ok('builds', 'rm', '--all')
    expect(recordFiles()).toEqual([])
  }, 30_000)

  test('goes from one store to another, and rubbish does not', async () => {
    await build('FROM busybox\nRUN echo one\n')
    const file = `${bench.directory}/build.record`
    await ok('builds', 'export', '-o', file)
    const logs = await ok('builds', 'logs')
    expect((await bench.cairn(['builds', 'import', file])).err).toContain('is there already')
    const [path = ''] = recordFiles()
    await ok('builds', 'rm', path.slice(-25))
    expect(await ok('builds', 'import', file)).toBe(`${path.slice(-25)}\n`)
    expect(await ok('builds', 'logs')).toBe(logs)
    await ok('builds', 'rm', '--all')
    const good = readFileSync(file)
    const broken: [string, (path: string) => void][] = [
      ['nothing', (name) => writeFileSync(name, '')],
      ['no record', (name) => writeFileSync(name, 'FROM busybox\n')],
      [
        'another form',
        (name) => writeFileSync(name, good.toString('latin1').replace('"record":1', '"record":0'), 'latin1'),
      ],
      [
        'an id that is a path',
        (name) => writeFileSync(name, good.toString('latin1').replace(/"id":"\w+"/, '"id":"../../x"'), 'latin1'),
      ],
      [
        'output larger than the file',
        (name) => writeFileSync(name, good.toString('latin1').replace(/"size":\d+/, '"size":99999999999'), 'latin1'),
      ],
      [
        'an end elsewhere',
        (name) => writeFileSync(name, good.toString('latin1').replace(/@\d{16}\n$/, '@9999999999999999\n'), 'latin1'),
      ],
    ]
    for (const [, spoil] of broken) {
      spoil(file)
      const { err, status } = await bench.cairn(['builds', 'import', file])
      expect(err).toContain('is no build record')
      expect(status).toBe(1)
      expect(recordFiles()).toEqual([])
    }
    // Cut off, it is the record of a build that was interrupted.
    writeFileSync(file, good)
    truncateSync(file, good.length - 100)
    expect((await bench.cairn(['builds', 'import', file])).status).toBe(0)
    expect(await ok('builds', 'ls', '--format', '{{.Status}}')).toBe('Interrupted\n')
  }, 30_000)

  test('is found by the beginning of its id, and says what is wrong with a name', async () => {
    expect((await bench.cairn(['builds', 'logs'])).err).toContain('no build was recorded yet')
    await build('FROM busybox\n')
    const id = (recordFiles()[0] ?? '').slice(-25)
    expect(await ok('builds', 'inspect', '--format', '{{.Ref}}', id.slice(0, 6))).toBe(`${id}\n`)
    expect((await bench.cairn(['builds', 'inspect', 'nothing'])).err).toContain('no such build record: nothing')
    expect((await bench.cairn(['builds', 'inspect', '^7'])).err).toContain('no build record with offset 7')
  })
})

test.each([
  ['with a name', ['-t', 'app']],
  ['without a name', []],
])('a build of an image that is there %s does not record it again, and leaves a small record', async (_, flags) => {
  const dockerfile = 'FROM busybox\nRUN echo one\n'
  const images = (): unknown[] => bench.store.database.all('SELECT * FROM images ORDER BY digest')
  for (let times = 0; times < 2; times++) await build(dockerfile, ...flags)
  const before = images()
  expect((await build(dockerfile, ...flags)).err).toContain('writing image sha256:')
  expect(images()).toEqual(before)
  expect(recordFiles()).toHaveLength(3)
  expect(statSync(recordFiles()[2] ?? '').size).toBeLessThan(10_000)
})

describe('the timeline', () => {
  test('tells what decided how long the build took, and what a cause cost', async () => {
    const dockerfile =
      'FROM busybox AS slow\nCOPY a /\nRUN cat /a && sleep 0.6\nFROM busybox AS fast\nCOPY b /\nRUN cat /b && sleep 0.1\nFROM busybox\nCOPY --from=slow /a /a\nCOPY --from=fast /b /b\n'
    bench.file('a')
    bench.file('b')
    await build(dockerfile)
    bench.file('a', 'A')
    bench.file('b', 'B')
    await build(dockerfile)
    const { spans, costs } = JSON.parse(await ok('builds', 'timeline', '--format', 'json')) as {
      spans: { name: string; isCritical: boolean; reason?: string }[]
      costs: { cause: string; steps: string[]; spent: number; gain: number }[]
    }
    const critical = spans.filter(({ isCritical }) => isCritical).map(({ name }) => name)
    expect(critical).toContain('[slow 3/3] RUN cat /a && sleep 0.6')
    expect(critical).not.toContain('[fast 3/3] RUN cat /b && sleep 0.1')
    expect(costs[0]?.cause).toBe('a changed (COPY a /, line 2)')
    expect(costs[0]?.gain).toBeGreaterThan(300)
    expect(costs.find(({ cause }) => cause.startsWith('b changed'))?.gain).toBeLessThan(costs[0]?.gain ?? 0)
  }, 30_000)

  test('is one page that no text of the build can break out of', async () => {
    await build('FROM busybox\nRUN echo "</pre><script>alert(1)</script>" # <script>\n')
    const page = await ok('builds', 'timeline')
    expect(page).toContain('&lt;/pre&gt;&lt;script&gt;alert(1)')
    expect(page).not.toMatch(/<script|https?:/)
    const path = `${bench.directory}/build.html`
    await ok('builds', 'timeline', '-o', path)
    expect(readFileSync(path, 'utf8')).toBe(page)
  })
})

describe('explain', () => {
  test('says of every step whether it was cached, why not, what would have been, and what to do', async () => {
    const dockerfile = 'FROM busybox\nWORKDIR /app\nCOPY . .\nRUN echo npm ci\n'
    bench.file('package.json', '{}')
    bench.file('server.js', 'one')
    await build(dockerfile)
    bench.file('server.js', 'two')
    const { err } = await build(dockerfile, '--explain')
    const text = [
      'base    [1/4] FROM docker.io/library/busybox:latest',
      'cached  [2/4] WORKDIR /app',
      'ran     [3/4] COPY . .',
      '        server.js changed',
      '        but for that it would have been cached',
      'ran     [4/4] RUN echo npm ci',
      '        server.js changed (COPY . ., line 3)',
      '        but for that it would have been cached',
      '        advice: copy package.json and its lock file first, run this, and do COPY . . (line 3) after it',
      '',
    ].join('\n')
    expect(err).toEndWith(`\n${text}`)
    expect(await ok('explain')).toBe(text)
    const { Steps } = JSON.parse(await ok('explain', '--format', 'json')) as { Steps: object[] }
    expect(Steps[3]).toMatchObject({
      outcome: 'ran',
      line: 4,
      isFormerKept: true,
      miss: {
        own: [],
        inherited: { step: { line: 3 }, causes: [{ kind: 'file', path: 'server.js', change: 'content' }] },
      },
    })
  })

  test('gives no advice about a variable that the step names, expanded as it is where it is shown', async () => {
    await build('FROM busybox\nARG V=1\nRUN echo $V\nRUN <<EOF\necho $V\nEOF\n')
    await build('FROM busybox\nARG V=2\nRUN echo $V\nRUN <<EOF\necho $V\nEOF\n')
    const explained = await ok('explain')
    expect(explained).toContain('variable V changed')
    expect(explained).not.toContain('advice')
  })

  test.each([
    [
      'a variable',
      'FROM busybox\nARG V=1\nRUN echo x\n',
      'V=1',
      'V=2',
      'it does not name V (line 2): declare it below this step',
    ],
    [
      'files for the ignore file',
      'FROM busybox\nCOPY . /\n',
      'busybox',
      'busybox ',
      'nothing but files that images do not need changed: put **/Dockerfile* in .dockerignore',
    ],
  ])('advises about %s', async (_, dockerfile, from, to, advice) => {
    await build(dockerfile)
    expect((await build(dockerfile.replace(from, to), '--explain')).err).toContain(`advice: ${advice}`.slice(8))
  })

  test('advises about a base image that moved', async () => {
    await build('FROM busybox\nRUN echo x\n')
    await bench.importBase('busybox', [], otherArchive())
    expect((await build('FROM busybox\nCOPY Dockerfile /\n', '--explain')).err).toContain(
      'advice: pin the base image by digest, or build with --lock',
    )
  })
})

describe('--fail-on-miss', () => {
  test('passes where all is cached, and else fails before anything runs, with the cause', async () => {
    const dockerfile = 'FROM busybox\nCOPY a /\nRUN cat /a\n'
    bench.file('a', 'one')
    expect((await build(dockerfile, '--fail-on-miss')).err).toContain('not in the cache: first build')
    expect((await build(dockerfile)).status).toBe(0)
    expect((await build(dockerfile, '--fail-on-miss')).status).toBe(0)
    bench.file('a', 'two')
    const { err, status } = await build(dockerfile, '--fail-on-miss', '--explain')
    expect(status).toBe(1)
    expect(err).toContain('not in the cache: a changed')
    expect(err).toContain('>>> COPY a /')
    expect(err).toContain('unreached  [3/3] RUN cat /a')
    expect((await build(dockerfile)).err).toContain('rebuilt: a changed')
  }, 30_000)
})
