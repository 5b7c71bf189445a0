import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import type { DisplaySink } from './display.ts'
import type { ProgressEvent, VertexEvent } from './events.ts'
import { PlainDisplay } from './plain.ts'

const start = Date.UTC(2026, 0, 1)

/** A display whose output is kept and whose clock is set by hand. */
class Recorder {
  readonly #chunks: Uint8Array[] = []
  time = start
  readonly display: PlainDisplay

  constructor() {
    const sink: DisplaySink = {
      isTTY: false,
      columns: 80,
      rows: 24,
      write: (data) => void this.#chunks.push(typeof data === 'string' ? Buffer.from(data) : data.slice()),
      onResize: () => () => {},
    }
    this.display = new PlainDisplay(sink, () => this.time)
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks)
  }

  get text(): string {
    return this.bytes.toString()
  }

  vertex(id: string, name: string, more: Partial<VertexEvent> = {}): this {
    this.display.handle({ type: 'vertex', id, name, started: start, ...more })
    return this
  }

  log(vertex: string, data: string | Uint8Array, after = this.time - start): this {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data
    this.display.handle({ type: 'log', vertex, stream: 1, data: bytes, timestamp: start + after })
    return this
  }

  send(event: ProgressEvent): this {
    this.display.handle(event)
    return this
  }
}

describe('PlainDisplay', () => {
  test('shows names and reasons without what would drive a terminal, and logs as they are', () => {
    const recorder = new Recorder()
      .vertex('run', '[2/2] RUN echo \x1b]0;title\x07 \x1b[2J\u202e\n<<E', { reason: 'changed: \x1b[1mfile' })
      .log('run', '\x1b[32mgreen\x1b[m\n', 61)
      .vertex('run', '[2/2] RUN', { started: start, completed: start + 70 })
    recorder.display.finish()
    expect(recorder.text).toBe(
      '#1 [2/2] RUN echo   <<E\n#1 rebuilt: changed: file\n#1 0.061 \x1b[32mgreen\x1b[m\n#1 DONE 0.1s\n',
    )
  })

  test('prints the build that BuildKit prints for the same events', () => {
    const at = (ms: number): { started: number; completed: number } => ({ started: start, completed: start + ms })
    const recorder = new Recorder()
      .vertex('dockerfile', '[internal] load build definition from Dockerfile')
      .send({
        type: 'status',
        vertex: 'dockerfile',
        id: 'transferring dockerfile:',
        current: 119,
        total: 0,
        timestamp: start,
        started: start,
        completed: start,
      })
      .vertex('dockerfile', '[internal] load build definition from Dockerfile', at(4))
      .vertex('metadata', '[internal] load metadata for docker.io/library/bb:1', at(2))
      .vertex('from', '[1/3] FROM docker.io/library/bb:1', at(0))
      .vertex('copy', '[2/3] COPY f /f', { ...at(0), cached: true })
      .vertex('run', '[3/3] RUN cat /f && echo 1 > /g')
      .log('run', 'data\n', 61)
      .vertex('run', '[3/3] RUN cat /f && echo 1 > /g', at(104))
      .vertex('export', 'exporting to client directory')
      .send({
        type: 'status',
        vertex: 'export',
        id: 'copying files',
        current: 2_063_342,
        total: 0,
        timestamp: start,
        started: start,
        completed: start + 20,
      })
      .vertex('export', 'exporting to client directory', at(49))
    recorder.display.finish()
    expect(recorder.text).toBe(`#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 119B done
#1 DONE 0.0s

#2 [internal] load metadata for docker.io/library/bb:1
#2 DONE 0.0s

#3 [1/3] FROM docker.io/library/bb:1
#3 DONE 0.0s

#4 [2/3] COPY f /f
#4 CACHED

#5 [3/3] RUN cat /f && echo 1 > /g
#5 0.061 data
#5 DONE 0.1s

#6 exporting to client directory
#6 copying files 2.06MB 0.0s done
#6 DONE 0.0s
`)
  })

  test('says below the name why a step ran again', () => {
    const { text } = new Recorder()
      .vertex('a', '[2/3] COPY . .', { reason: 'src/server.ts changed' })
      .log('a', 'x\n', 1234)
      .vertex('a', '[2/3] COPY . .', { reason: 'src/server.ts changed', completed: start + 2000 })
    expect(text).toBe('#1 [2/3] COPY . .\n#1 rebuilt: src/server.ts changed\n#1 1.234 x\n#1 DONE 2.0s\n')
  })

  test('tells failure from cancellation', () => {
    const { text } = new Recorder()
      .vertex('a', 'RUN false', { completed: start + 1, error: 'exit code: 1' })
      .vertex('b', 'RUN sleep 9', { completed: start + 1, error: 'context canceled' })
    expect(text).toBe('#1 RUN false\n#1 ERROR: exit code: 1\n\n#2 RUN sleep 9\n#2 CANCELED\n')
  })

  test('prints warnings, and nothing for a step that only waits', () => {
    const recorder = new Recorder()
    recorder.display.handle({ type: 'vertex', id: 'a', name: 'waits' })
    recorder.vertex('b', 'RUN x').send({ type: 'warning', vertex: 'b', short: 'careful' })
    expect(recorder.text).toBe('#1 RUN x\n#1 WARN: careful\n')
  })

  test('stays with one step while others run, and shows those whole when they end', () => {
    const recorder = new Recorder()
      .vertex('a', 'RUN a')
      .vertex('b', 'RUN b')
      .log('b', 'hidden\n', 5)
      .log('a', 'shown\n', 10)
      .vertex('b', 'RUN b', { completed: start + 2000 })
      .log('a', 'more\n', 20)
      .vertex('a', 'RUN a', { completed: start + 3000 })
    expect(recorder.text).toBe(`#1 RUN a
#1 0.010 shown
#1 ...

#2 RUN b
#2 0.005 hidden
#2 DONE 2.0s

#1 RUN a
#1 0.020 more
#1 DONE 3.0s
`)
  })

  test('goes to the busiest of the others when the step on show ends', () => {
    const recorder = new Recorder().vertex('a', 'RUN a').vertex('b', 'RUN b').vertex('c', 'RUN c')
    recorder.log('c', '1\n', 1).log('c', '2\n', 2).log('b', '3\n', 3).vertex('a', 'RUN a', { completed: start })
    expect(recorder.text).toBe('#1 RUN a\n#1 DONE 0.0s\n\n#2 RUN c\n#2 0.001 1\n#2 0.002 2\n')
  })

  test('goes to a step that was hidden for more than ten seconds', () => {
    const recorder = new Recorder().vertex('a', 'RUN a').vertex('b', 'RUN b').log('b', 'hidden\n')
    for (recorder.time = start + 1000; recorder.time <= start + 11_000; recorder.time += 1000)
      for (let line = 0; line < 100; line++) recorder.log('a', 'busy\n')
    expect(recorder.text.split('\n')).toContain('#2 0.000 hidden')
    expect(recorder.text).toContain('busy\n#1 ...\n\n#2 RUN b\n')
  })

  test('goes away from a step that stays silent', () => {
    const recorder = new Recorder().vertex('a', 'RUN a').vertex('b', 'RUN b')
    recorder.time += 4000
    recorder.log('b', 'early\n')
    expect(recorder.text).not.toContain('early')
    recorder.time += 4000
    recorder.log('b', 'late\n')
    expect(recorder.text).toBe('#1 RUN a\n#1 ...\n\n#2 RUN b\n#2 4.000 early\n#2 8.000 late\n')
  })

  test('does not pile up the output of a hidden step', () => {
    const recorder = new Recorder().vertex('a', 'RUN a').vertex('b', 'RUN b')
    const line = `${'x'.repeat(65_000)}\n`
    for (let count = 0; count < 20; count++) recorder.log('b', line, 0)
    expect(recorder.text).toContain('#2 0.000 xxx')
  })

  test('prints a line in pieces as it comes, and gives it its end before anything else', () => {
    const recorder = new Recorder().vertex('a', 'RUN a').log('a', 'down', 100)
    expect(recorder.text).toBe('#1 RUN a\n#1 0.100 down')
    recorder.log('a', 'loading', 9000).log('a', '...', 9500)
    expect(recorder.text).toEndWith('#1 0.100 downloading...')
    recorder.log('a', ' done\nnext', 10_000).vertex('a', 'RUN a', { completed: start + 10_000 })
    expect(recorder.text).toEndWith('#1 0.100 downloading... done\n#1 10.00 next\n#1 DONE 10.0s\n')
  })

  test('goes on with a line after another step came between', () => {
    const recorder = new Recorder().vertex('a', 'RUN a').log('a', 'half').vertex('b', 'RUN b', { completed: start })
    recorder.log('a', ' whole\n', 50)
    expect(recorder.text).toBe(`#1 RUN a
#1 0.000 half
#1 ...

#2 RUN b
#2 DONE 0.0s

#1 RUN a
#1 0.050  whole
`)
  })

  test.each([
    ['a lone \\r ends a line', ['10%\r20%\r', '30%\r\n', 'ok\n'], ['10%', '20%', '30%', 'ok']],
    ['\\r\\n is one end, also cut in two', ['a\r\nb\r', '\nc\n'], ['a', 'b', 'c']],
    ['an empty line is kept', ['a\n\nb\n', '\n'], ['a', '', 'b', '']],
    ['repeated \\r are one end', ['a\r\r\rb\n', '\r\rc\n'], ['a', 'b', 'c']],
    ['a cut \\r after a line is no line', ['a\n\r', 'b\n'], ['a', 'b']],
  ])('%s', (_name, chunks, lines) => {
    const recorder = new Recorder().vertex('a', 'RUN a')
    for (const chunk of chunks) recorder.log('a', chunk, 0)
    recorder.display.finish()
    expect(recorder.text).toBe(`#1 RUN a\n${lines.map((line) => `#1 0.000 ${line}\n`).join('')}`)
  })

  test('keeps bytes that are no UTF-8, and characters cut in two', () => {
    const recorder = new Recorder().vertex('a', 'RUN a')
    const word = Buffer.from('é')
    recorder
      .log('a', word.subarray(0, 1))
      .log('a', word.subarray(1))
      .log('a', new Uint8Array([0xff, 0x00, 0xfe, 10]))
    const expected = Buffer.concat([Buffer.from('#1 RUN a\n#1 0.000 '), word, new Uint8Array([0xff, 0, 0xfe, 10])])
    expect(recorder.bytes).toEqual(expected)
  })

  test('prints a status again only after a twentieth or five seconds', () => {
    const recorder = new Recorder().vertex('a', 'FROM x')
    const status = (current: number, after: number, completed?: number): ProgressEvent => ({
      type: 'status',
      vertex: 'a',
      id: 'sha256:0123',
      current,
      total: 1_000_000,
      timestamp: start + after,
      started: start,
      ...(completed === undefined ? {} : { completed }),
    })
    for (const event of [status(0, 0), status(10_000, 100), status(60_000, 200), status(61_000, 5300)])
      recorder.send(event)
    recorder.send(status(1_000_000, 6000, start + 6000))
    expect(recorder.text).toBe(`#1 FROM x
#1 sha256:0123 0B / 1.00MB
#1 sha256:0123 60.00kB / 1.00MB 0.2s
#1 sha256:0123 61.00kB / 1.00MB 5.3s
#1 sha256:0123 1.00MB / 1.00MB 6.0s done
`)
  })

  test('shows what comes after the end of a step, and tells the end once', () => {
    const recorder = new Recorder()
      .vertex('a', 'RUN a', { completed: start })
      .vertex('a', 'RUN a', { completed: start })
      .log('a', 'late\n', 3)
    recorder.vertex('b', 'RUN b')
    expect(recorder.text).toBe('#1 RUN a\n#1 DONE 0.0s\n\n#1 RUN a\n#1 0.003 late\n\n#2 RUN b\n')
  })

  test('ignores events of a step that was never announced', () => {
    const recorder = new Recorder().log('nobody', 'x\n')
    recorder.display.finish()
    expect(recorder.text).toBe('')
    expect(recorder.display.logTail('nobody')).toEqual([])
  })

  test('keeps the last lines for the report of a failure', () => {
    const recorder = new Recorder().vertex('a', 'RUN a')
    for (let line = 1; line <= 30; line++) recorder.log('a', `line ${line}\n`)
    expect(recorder.display.logTail('a')).toEqual(Array.from({ length: 20 }, (_, index) => `line ${index + 11}`))
  })

  test('shows hidden steps by itself when no event comes', async () => {
    const recorder = new Recorder().vertex('a', 'RUN a').vertex('b', 'RUN b').log('b', 'hidden\n')
    recorder.time += 60_000
    const deadline = Date.now() + 5000
    while (!recorder.text.includes('hidden') && Date.now() < deadline) await Bun.sleep(50)
    expect(recorder.text).toContain('#2 0.000 hidden\n')
    recorder.display.finish()
  })

  test('prints every line of every step once and in order, however steps interleave', () => {
    const step = fc.record({
      vertex: fc.integer({ min: 0, max: 3 }),
      text: fc.stringMatching(/^[ab\n]{0,6}$/),
      wait: fc.constantFrom(0, 100, 3000, 12_000),
    })
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 60 }),
        fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
        (steps, ends) => {
          const recorder = new Recorder()
          const logs = ['', '', '', '']
          logs.forEach((_, id) => recorder.vertex(`${id}`, `step ${id}`))
          for (const { vertex, text, wait } of steps) {
            recorder.time += wait
            logs[vertex] += text
            recorder.log(`${vertex}`, text)
          }
          ends.forEach((ends, id) => ends && recorder.vertex(`${id}`, `step ${id}`, { completed: recorder.time }))
          recorder.display.finish()
          const indexes = new Map<number, string>()
          const printed = new Map<string, string>()
          for (const line of recorder.text.split('\n')) {
            const [, index = '', name, log] = /^#(\d+) (?:(step \d)$|[\d.]+ (.*)$)?/.exec(line) ?? []
            if (name !== undefined) indexes.set(Number(index), name)
            const owner = indexes.get(Number(index))
            if (log !== undefined && owner !== undefined) printed.set(owner, (printed.get(owner) ?? '') + log)
          }
          logs.forEach((log, id) => expect(printed.get(`step ${id}`) ?? '').toBe(log.replaceAll('\n', '')))
        },
      ),
      { numRuns: 300 },
    )
  })
})
