import { describe, expect, test } from 'bun:test'
import { createDisplay, parseDisplayMode } from './create-display.ts'
import type { DisplaySink } from './display.ts'
import { PlainDisplay } from './plain.ts'
import { QuietDisplay } from './quiet.ts'
import { RawJsonDisplay } from './rawjson.ts'
import { TtyDisplay } from './tty.ts'

function sinkOf(isTTY: boolean): DisplaySink & { text: string } {
  return {
    text: '',
    isTTY,
    columns: 80,
    rows: 24,
    write(data) {
      this.text += Buffer.from(data as string).toString()
    },
    onResize: () => () => {},
  }
}

describe('createDisplay()', () => {
  test('chooses by the sink when the mode is auto', () => {
    expect(createDisplay('auto', sinkOf(true))).toBeInstanceOf(TtyDisplay)
    expect(createDisplay('auto', sinkOf(false))).toBeInstanceOf(PlainDisplay)
    expect(createDisplay('auto', sinkOf(true), { TERM: 'dumb' })).toBeInstanceOf(PlainDisplay)
  })

  test('does as told otherwise', () => {
    expect(createDisplay('plain', sinkOf(true))).toBeInstanceOf(PlainDisplay)
    expect(createDisplay('rawjson', sinkOf(true))).toBeInstanceOf(RawJsonDisplay)
    expect(createDisplay('quiet', sinkOf(true))).toBeInstanceOf(QuietDisplay)
    expect(() => createDisplay('tty', sinkOf(false))).toThrow('progress mode tty needs a terminal')
  })

  test('leaves colours out for NO_COLOR', () => {
    for (const [env, colored] of [
      [{}, true],
      [{ NO_COLOR: '' }, true],
      [{ NO_COLOR: '1' }, false],
    ] as const) {
      const sink = sinkOf(true)
      const display = createDisplay('tty', sink, env)
      display.handle({ type: 'vertex', id: 'a', name: 'one', started: 1, completed: 1 })
      display.finish()
      expect(sink.text.includes('\x1b[34m')).toBe(colored)
    }
  })

  test('quiet writes nothing and remembers the end of the log', () => {
    const sink = sinkOf(false)
    const display = createDisplay('quiet', sink)
    display.handle({ type: 'vertex', id: 'a', name: 'one', started: 1 })
    display.handle({ type: 'log', vertex: 'a', stream: 1, data: Buffer.from('why\n'), timestamp: 1 })
    display.finish()
    expect(sink.text).toBe('')
    expect(display.logTail('a')).toEqual(['why'])
  })

  test('rawjson writes what BuildKit marshals, one status a line', () => {
    const sink = sinkOf(false)
    const display = createDisplay('rawjson', sink)
    const time = Date.UTC(2026, 0, 2, 3, 4, 5, 678)
    display.handle({ type: 'vertex', id: 'sha256:a', name: 'RUN x', inputs: ['sha256:b'], started: time, cached: true })
    display.handle({ type: 'vertex', id: 'sha256:a', name: 'RUN x', started: time, error: 'no', reason: 'x changed' })
    display.handle({ type: 'status', vertex: 'sha256:a', id: 's', current: 0, total: 0, timestamp: time })
    display.handle({
      type: 'status',
      vertex: 'sha256:a',
      id: 's',
      current: 1,
      total: 2,
      timestamp: time,
      completed: time,
    })
    display.handle({ type: 'log', vertex: 'sha256:a', stream: 2, data: new Uint8Array([0xff, 10]), timestamp: time })
    display.handle({ type: 'warning', vertex: 'sha256:a', short: 'hm', detail: ['a'], url: 'https://x', level: 1 })
    display.finish()
    const at = '"2026-01-02T03:04:05.678Z"'
    expect(sink.text)
      .toBe(`{"vertexes":[{"digest":"sha256:a","inputs":["sha256:b"],"name":"RUN x","started":${at},"cached":true}]}
{"vertexes":[{"digest":"sha256:a","name":"RUN x","started":${at},"error":"no","reason":"x changed"}]}
{"statuses":[{"id":"s","vertex":"sha256:a","current":0,"timestamp":${at}}]}
{"statuses":[{"id":"s","vertex":"sha256:a","total":2,"current":1,"timestamp":${at},"completed":${at}}]}
{"logs":[{"vertex":"sha256:a","stream":2,"data":"/wo=","timestamp":${at}}]}
{"warnings":[{"vertex":"sha256:a","level":1,"short":"aG0=","detail":["YQ=="],"url":"https://x"}]}
`)
  })
})

describe('parseDisplayMode()', () => {
  test('knows the modes of docker build --progress', () => {
    expect(['', 'auto', 'tty', 'plain', 'quiet', 'none', 'rawjson'].map(parseDisplayMode)).toEqual([
      'auto',
      'auto',
      'tty',
      'plain',
      'quiet',
      'none',
      'rawjson',
    ])
    expect(() => parseDisplayMode('fancy')).toThrow('invalid progress mode fancy')
  })
})
