import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { BuildBench, type Ended } from './fixtures/build-bench.ts'

let bench: BuildBench
beforeEach(async () => {
  bench = await BuildBench.open()
})
afterEach(() => bench[Symbol.dispose]())

async function cairn(...argv: readonly string[]): Promise<Ended> {
  bench.closeStore()
  return await bench.cairn(argv)
}

async function ok(...argv: readonly string[]): Promise<string> {
  const { out, err, status } = await cairn(...argv)
  expect({ err, status }).toEqual({ err: '', status: 0 })
  return out
}

const records = (): string[] => {
  try {
    return readdirSync(`${bench.root}/builds/records`)
      .toSorted()
      .map((name) => `${bench.root}/builds/records/${name}`)
  } catch {
    return []
  }
}

/** Waits until what the newest record has says so; gives its path. */
async function recordWith(suits: (text: string) => boolean): Promise<string> {
  for (let tries = 0; tries < 400; tries++) {
    const path = records().at(-1)
    if (path !== undefined && suits(readFileSync(path, 'latin1'))) return path
    await Bun.sleep(25)
  }
  throw new Error('no record came to have what was waited for')
}

type Json = Record<string, unknown>

/** A record of one step `x` that says `ab`, its header and end changed, with more lines before the end. */
function recordFile(header: Json = {}, end: Json = {}, lines: readonly string[] = []): string {
  const id = 'abcdefghij0123456789abcde'
  const step = { id: 'x', title: '[1/1] RUN x', text: 'RUN x', kind: 'run', stage: '0', line: 1, inputs: [] }
  const head = { record: 1, id, name: 'app', createdAt: 1_700_000_000_000, context: '/app', dockerfile: 'Dockerfile' }
  const tail = { completedAt: 1_700_000_001_000, status: 'completed', steps: [{ ...step, outcome: 'ran' }], total: 1 }
  const body = [
    JSON.stringify({ ...head, ...header }),
    JSON.stringify({ event: { type: 'vertex', id: 'x', name: '[1/1] RUN x', started: 1_700_000_000_000 } }),
    `${JSON.stringify({ log: { vertex: 'x', stream: 1, timestamp: 1_700_000_000_500, size: 2 } })}\nab`,
    ...lines,
    '',
  ].join('\n')
  const offset = String(Buffer.byteLength(body)).padStart(16, '0')
  return `${body}${JSON.stringify({ end: { ...tail, cached: 0, ...end } })}\n@${offset}\n`
}

async function importFile(text: string): Promise<Ended> {
  const path = `${bench.directory}/record`
  writeFileSync(path, text)
  return await cairn('builds', 'import', path)
}

const vertex = { type: 'vertex', id: 'y', name: 'y', started: 1, completed: 2 }
const event = (fields: Json): string => JSON.stringify({ event: { ...vertex, ...fields } })
const warning = (source: Json): string =>
  event({ type: 'warning', vertex: 'x', short: 's', source: { filename: 'f', data: '', excerpt: '', ...source } })

describe('the record of a build that runs', () => {
  test('tells of a step that says nothing, to who follows it and when it is killed; a signal ends the following', async () => {
    bench.file('Dockerfile', 'FROM busybox\nRUN sleep 1000\n')
    bench.closeStore()
    const build = bench.spawn(['build', bench.context])
    await recordWith((text) => text.includes('RUN sleep 1000","started"'))

    const following = bench.spawn(['builds', 'logs'])
    const reader = following.stdout.getReader()
    let shown = ''
    while (!shown.includes('RUN sleep 1000')) shown += Buffer.from((await reader.read()).value ?? []).toString()
    following.kill('SIGTERM')
    expect(await following.exited).not.toBe(0)
    expect(build.exitCode).toBe(null)

    build.kill('SIGKILL')
    await build.exited
    expect(await ok('builds', 'ls', '--format', '{{.Status}}')).toBe('Interrupted\n')
    expect(await ok('builds', 'logs')).toContain('[2/2] RUN sleep 1000')
  }, 30_000)

  test('is there, whole and locked, from the moment others can see it', async () => {
    bench.file('Dockerfile', 'FROM busybox\n')
    bench.closeStore()
    const builds = Array.from({ length: 4 }, () => bench.spawn(['build', '-q', bench.context]))
    const seen = new Set<string>()
    const look = async (): Promise<void> => {
      while (builds.some(({ exitCode }) => exitCode === null)) {
        for (const path of records()) seen.add(readFileSync(path, 'latin1').slice(0, 10))
        await Bun.sleep(0)
      }
    }
    await look()
    expect(await Promise.all(builds.map(({ exited }) => exited))).toEqual([0, 0, 0, 0])
    expect([...seen]).toEqual(['{"record":'])
  }, 30_000)

  test('is read to where it was written, in the middle of what a step said', async () => {
    const path = `${bench.directory}/record`
    writeFileSync(path, recordFile().replace('"size":2', '"size":2000'))
    truncateSync(path, statSync(path).size - 100)
    expect((await cairn('builds', 'import', path)).err).toBe('')
    expect(await ok('builds', 'ls', '--format', '{{.Status}}')).toBe('Interrupted\n')
    expect(await ok('builds', 'logs')).toContain('#1 0.500 ab')
  })
})

test.each(['plain', 'rawjson', 'quiet', 'none'])(
  'with --progress=%s the log has every byte of both outputs, whatever they are',
  async (mode) => {
    const shapes = [
      crypto.getRandomValues(new Uint8Array(60_000)),
      Buffer.from('\r50%\r100%\r\n\u001b[31mred\u001b[0m\n\n\r\n€'.repeat(5_000)).subarray(0, -1),
      new Uint8Array(3_000_000).fill(120),
      Buffer.from('short\n'.repeat(100_000)),
      Uint8Array.of(0, 255, 0xe2, 0x82),
    ]
    const outputs = [Buffer.concat(shapes), Buffer.concat(shapes.toReversed())]
    for (const [index, bytes] of outputs.entries()) bench.file(`out${index + 1}`, bytes)
    bench.file('Dockerfile', 'FROM busybox\nCOPY out1 out2 /\nRUN cat /out1 & cat /out2 >&2; wait; exec 1>&- 2>&-\n')
    expect(await cairn('build', `--progress=${mode}`, bench.context)).toMatchObject({ status: 0 })
    const parts: [Uint8Array[], Uint8Array[]] = [[], []]
    for (const line of (await ok('builds', 'logs', '--progress', 'rawjson')).trimEnd().split('\n')) {
      const { logs = [] } = JSON.parse(line) as { logs?: { stream: 1 | 2; data: string }[] }
      for (const { stream, data } of logs) parts[stream - 1]?.push(Uint8Array.fromBase64(data))
    }
    for (const [index, bytes] of outputs.entries()) expect(Buffer.concat(parts[index] ?? []).equals(bytes)).toBe(true)
  },
  30_000,
)

describe('builds ls', () => {
  test.each<[readonly string[], string]>([
    [[], 'b a'],
    [['status=error'], 'b'],
    [['status!=error'], 'a'],
    [['status=error', 'status=completed'], 'b a'],
    [['name=other'], 'b'],
    [['ref=abcdefghija'], 'a'],
    [['ref!=abcdefghija0123456789abcd'], 'b'],
    [['duration>=2s'], 'b'],
    [['duration<2s'], 'a'],
    [['startedAt>24h'], ''],
    [['completedAt<=2023-11-14T22:13:21Z'], 'a'],
    [['startedAt<24h', 'name=other'], 'b'],
  ])('with the filters %p lists as buildx does', async (filters, names) => {
    await importFile(recordFile({ id: 'abcdefghija0123456789abcd' }))
    await importFile(
      recordFile(
        { id: 'abcdefghijb0123456789abcd', name: 'another', createdAt: 1_700_000_000_500 },
        { status: 'error', completedAt: 1_700_000_003_000, error: { code: 'STEP_FAILED', message: 'no' } },
      ),
    )
    const flags = filters.flatMap((filter) => ['--filter', filter])
    const ids = (await ok('builds', 'ls', '-q', ...flags)).split('\n').filter((id) => id !== '')
    expect(ids.map((id) => id[10]).join(' ')).toBe(names)
  })

  test.each([
    ['status', 'invalid filter "status"'],
    ['status=failed', 'A status is one of running, completed, error, canceled, interrupted.'],
    ['status>error', 'invalid separator for "status>error", expected = or !='],
    ['duration=1s', 'invalid separator for "duration=1s", expected <=, <, >= or >'],
    ['duration>long', 'invalid duration long'],
    ['startedAt>yesterday', 'invalid time yesterday'],
    ['color=red', 'unsupported filter "color=red"'],
  ])('refuses the filter %p in words of buildx', async (filter, message) => {
    const { err, status } = await cairn('builds', 'ls', '--filter', filter)
    expect(err).toContain(message)
    expect(status).toBe(1)
  })

  test('gives JSON with the keys of buildx, also to a template', async () => {
    await importFile(recordFile({ name: 'a <b>' }))
    const text = await ok('builds', 'ls', '--format', 'json')
    expect(JSON.parse(text)).toEqual({
      ref: 'abcdefghij0123456789abcde',
      name: 'a <b>',
      status: 'Completed',
      created_at: '2023-11-14T22:13:20.000Z',
      completed_at: '2023-11-14T22:13:21.000Z',
      total_steps: 1,
      completed_steps: 1,
      cached_steps: 0,
      size: expect.any(Number),
    })
    expect(await ok('builds', 'ls', '--format', '{{json .}}')).toBe(text)
  })
})

test('builds inspect shows where a build failed, and what the step said last', async () => {
  bench.file('Dockerfile', 'FROM busybox\nRUN echo some; printf "\\033[31mred\\033[0m\\n"; exit 3\n')
  expect((await cairn('build', bench.context)).status).toBe(1)
  const text = await ok('builds', 'inspect')
  expect(text).toContain('>>> RUN echo some')
  expect(text).toMatch(/^Logs:\n> => \[2\/2\] RUN echo some.*:\n> some\n> red\n/m)
  expect(await ok('builds', 'inspect', '--format', 'pretty')).toBe(text)
})

describe('a record from elsewhere', () => {
  test('is taken from STDIN too', async () => {
    bench.closeStore()
    const { out, err, status } = await bench.cairn(['builds', 'import', '-'], { stdin: recordFile() })
    expect({ out, err, status }).toEqual({ out: 'abcdefghij0123456789abcde\n', err: '', status: 0 })
  })

  test('is readable by its owner only, and its texts cannot drive the terminal', async () => {
    const name = '\u001b]0;pwned\u0007\u001b[2Jevil\nname'
    expect(await importFile(recordFile({ name, tags: ['\u001b[31m'] }))).toMatchObject({ status: 0 })
    expect(statSync(records()[0] ?? '').mode & 0o777).toBe(0o600)
    for (const argv of [['ls'], ['inspect'], ['ls', '--format', '{{.Name}}']]) {
      const text = await ok('builds', ...argv)
      // oxlint-disable-next-line no-control-regex -- that is what must not be there
      expect(text).not.toMatch(/[\u001b\u0007]/)
      expect(text).toContain('evil name')
    }
  })

  test.each<[string, string]>([
    ['a moment that is none', recordFile({ createdAt: 1e300 })],
    ['a moment before 1970', recordFile({ createdAt: -5 })],
    ['half a millisecond', recordFile({ createdAt: 1.5 })],
    ['tags that are a text', recordFile({ tags: 'x' })],
    ['no platforms', recordFile({ platforms: null })],
    ['an end that never came', recordFile({}, { completedAt: 1e300 })],
    ['an unknown status', recordFile({}, { status: 'toString' })],
    ['an error without a message', recordFile({}, { error: { code: 'X' } })],
    ['steps that are none', recordFile({}, { steps: [null] })],
    ['a step without fields', recordFile({}, { steps: [{}] })],
    ['a cause of no kind', recordFile({}, { steps: [{ miss: { own: [{ kind: 'constructor' }] } }] })],
    ['a step without a name', recordFile({}, {}, [event({ name: undefined })])],
    ['a step with a number for its name', recordFile({}, {}, [event({ name: 5 })])],
    ['a step at no time', recordFile({}, {}, [event({ started: 1e300 })])],
    ['inputs that are a text', recordFile({}, {}, [event({ inputs: 'abc' })])],
    ['an error that is a number', recordFile({}, {}, [event({ error: 5 })])],
    ['an event of no kind', recordFile({}, {}, [event({ type: 'constructor' })])],
    ['a status without numbers', recordFile({}, {}, [event({ type: 'status', vertex: 'x' })])],
    ['a warning of number', recordFile({}, {}, [event({ type: 'warning', vertex: 'x', short: 5 })])],
    ['a warning of a trillion lines', recordFile({}, {}, [warning({ start: 1, end: 1e12 })])],
    ['a warning that ends before it begins', recordFile({}, {}, [warning({ start: 9, end: 1 })])],
    ['output of no stream', recordFile({}, {}, ['{"log":{"vertex":"x","stream":9,"timestamp":1,"size":1}}\na'])],
    ['output at no time', recordFile({}, {}, ['{"log":{"vertex":"x","stream":1,"timestamp":1e300,"size":1}}\na'])],
    ['output of half a byte', recordFile({}, {}, ['{"log":{"vertex":"x","stream":1,"timestamp":1,"size":0.5}}\na'])],
    ['a Dockerfile without text', recordFile({}, {}, ['{"source":{"filename":"Dockerfile"}}'])],
    ['brackets without end', recordFile({}, {}, ['['.repeat(100_000)])],
  ])('with %s is refused as no build record', async (_, text) => {
    expect(await importFile(recordFile())).toMatchObject({ err: '', status: 0 })
    await ok('builds', 'rm', '--all')
    const { err, status } = await importFile(text)
    expect(err).toContain(`${bench.directory}/record is no build record: `)
    expect(status).toBe(1)
    expect(records()).toEqual([])
  })

  test('of a newer form is named as that, is no damage, and can be removed; so can what is damaged', async () => {
    await importFile(recordFile())
    const [path = ''] = records()
    const good = readFileSync(path, 'latin1')
    const id = path.slice(-25)
    for (const [bad, message] of [
      [good.replace('"record":1', '"record":2'), 'has form 2 of build records, newer than 1'],
      [good.replace('"name"', '"nome"'), 'is no build record: header: name is missing'],
    ] as const) {
      writeFileSync(path, bad)
      expect((await cairn('builds', 'logs')).err).toContain(message)
      expect(await ok('builds', 'ls', '-q')).toBe('')
      expect((await cairn('system', 'check')).status).toBe(message.includes('newer') ? 0 : 1)
      expect(await ok('builds', 'rm', id)).toBe(`${id}\n`)
      writeFileSync(path, bad)
      await ok('builds', 'rm', '--all')
      expect(records()).toEqual([])
    }
    writeFileSync(path, good)
    const { out, err, status } = await cairn('builds', 'rm', 'nothing', id)
    expect({ out, status }).toEqual({ out: `${id}\n`, status: 1 })
    expect(err).toContain('no such build record: nothing')
  })
})
