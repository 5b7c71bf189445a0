import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { Screen } from '../../test/fixtures/progress/screen.ts'
import type { DisplaySink } from './display.ts'
import type { ProgressEvent, VertexEvent } from './events.ts'
import { TtyDisplay } from './tty.ts'

const start = Date.UTC(2026, 0, 1)

/** A display on a screen whose clock is set by hand. Its own timer is too slow to paint during a test. */
class Stage {
  readonly screen: Screen
  readonly frames: string[] = []
  time = start
  readonly size: { columns: number; rows: number }
  readonly display: TtyDisplay
  resized: (() => void) | undefined

  constructor(columns = 70, rows = 20, color = false) {
    this.size = { columns, rows }
    this.screen = new Screen(columns, rows)
    const size = this.size
    const sink: DisplaySink = {
      isTTY: true,
      get columns() {
        return size.columns
      },
      get rows() {
        return size.rows
      },
      write: (data) => {
        this.frames.push(String(data))
        // As the kernel's line discipline does.
        this.screen.write(String(data).replaceAll('\n', '\r\n'))
      },
      onResize: (listener) => {
        this.resized = listener
        return () => (this.resized = undefined)
      },
    }
    this.display = new TtyDisplay(sink, { color, now: () => this.time })
  }

  vertex(id: string, name: string, more: Partial<VertexEvent> = {}): this {
    return this.send({ type: 'vertex', id, name, started: start, ...more })
  }

  log(vertex: string, text: string): this {
    return this.send({ type: 'log', vertex, stream: 1, data: Buffer.from(text), timestamp: this.time })
  }

  /** Each event comes long enough after the last to be painted. */
  send(event: ProgressEvent): this {
    this.time += 100
    this.display.handle(event)
    return this
  }
}

describe('TtyDisplay', () => {
  test('note() puts a line above the steps, which are then painted anew below it', () => {
    const stage = new Stage(40, 8)
    stage.display.note('before all')
    stage.vertex('a', 'first step')
    stage.vertex('b', 'second step').log('b', 'working\n')
    stage.display.note('waiting for cairn build (process 12) \x1b[2Jto finish')
    stage.send({ type: 'vertex', id: 'a', name: 'first step', started: start, completed: stage.time })
    stage.display.finish()
    stage.display.note('after all')
    const lines = stage.screen.text.split('\n').filter((line) => line.trim() !== '')
    expect(lines).toEqual([
      'before all',
      'waiting for cairn build (process 12) to',
      'finish',
      expect.stringContaining('[+] Building'),
      expect.stringContaining('=> first step'),
      expect.stringContaining('=> second step'),
      'after all',
    ])
  })

  test('shows a line for each step with its time, the log of those that run, and what is finished', () => {
    const stage = new Stage()
      .vertex('a', '[internal] load build definition from Dockerfile', { completed: start + 20 })
      .vertex('b', '[1/3] FROM docker.io/library/busybox', { completed: start, cached: true })
      .send({ type: 'vertex', id: 'd', name: '[3/3] RUN later' })
      .vertex('c', '[2/3] RUN make', { reason: 'Makefile changed' })
      .log('c', 'cc a.c\ncc b.c\n')
      .send({
        type: 'status',
        vertex: 'c',
        id: 'sha256:0123',
        current: 500_000,
        total: 2_000_000,
        timestamp: start,
        started: start,
      })
    expect(stage.screen.text).toBe(`[+] Building 0.5s (2/4), 1 cached
 => [internal] load build definition from Dockerfile             0.0s
 => CACHED [1/3] FROM docker.io/library/busybox                  0.0s
 => [2/3] RUN make                                               0.6s
 => => rebuilt: Makefile changed
 => => sha256:0123 500.00kB / 2.00MB                             0.6s
 => => # cc a.c
 => => # cc b.c`)
    stage.vertex('c', '[2/3] RUN make', { completed: start + 1500 })
    stage.vertex('d', '[3/3] RUN later', { completed: start + 1800, error: 'exit code: 1' })
    stage.display.finish()
    expect(stage.screen.text).toBe(`[+] Building 0.7s (4/4) FINISHED, 1 cached
 => [internal] load build definition from Dockerfile             0.0s
 => CACHED [1/3] FROM docker.io/library/busybox                  0.0s
 => ERROR [3/3] RUN later                                        1.8s
 => [2/3] RUN make                                               1.5s
 => => rebuilt: Makefile changed
 => => sha256:0123 500.00kB / 2.00MB                             0.8s`)
  })

  test('paints at the first event, and not again within 100 ms', () => {
    const stage = new Stage()
    stage.vertex('a', 'one')
    expect(stage.frames).toHaveLength(1)
    for (let count = 0; count < 50; count++)
      stage.display.handle({ type: 'vertex', id: `${count}`, name: 'x', started: start })
    expect(stage.frames).toHaveLength(1)
    stage.display.finish()
    expect(stage.frames).toHaveLength(2)
    expect(stage.screen.text).toContain('(0/51)')
  })

  test('writes each frame as one synchronized update that ends with a visible cursor', () => {
    const stage = new Stage().vertex('a', 'one').log('a', 'x\n')
    for (const frame of stage.frames) {
      expect(frame).toStartWith('\x1b[?2026h\x1b[?25l')
      expect(frame).toEndWith('\x1b[?25h\x1b[?2026l')
    }
    expect(stage.screen.cursorVisible).toBe(true)
    expect(stage.screen.synchronized).toBe(false)
  })

  test('keeps to the height of the terminal while it runs and shows all when finished', () => {
    const stage = new Stage(70, 8)
    for (let count = 0; count < 12; count++) stage.vertex(`${count}`, `done ${count}`, { completed: start })
    stage.vertex('first', 'running first').vertex('second', 'running second')
    for (let line = 0; line < 9; line++) stage.log('first', `line ${line}\n`)
    expect(stage.screen.text).toBe(`[+] Building 2.2s (12/14)
 => running first                                                2.3s
 => => # line 5
 => => # line 6
 => => # line 7
 => => # line 8
 => running second                                               2.3s`)
    stage.display.finish()
    const lines = stage.screen.text.split('\n')
    expect(lines).toHaveLength(15)
    expect(lines[1]).toBe(' => done 0                                                       0.0s')
  })

  test('shows the newest steps that run when not even those fit', () => {
    const stage = new Stage(70, 5)
    for (let count = 0; count < 9; count++) stage.vertex(`${count}`, `running ${count}`)
    expect(stage.screen.text.split('\n').map((line) => line.slice(0, 13))).toEqual([
      '[+] Building ',
      ' => running 6',
      ' => running 7',
      ' => running 8',
    ])
  })

  test('cuts names and logs to the width by the cells they take', () => {
    const stage = new Stage(40, 20)
      .vertex('a', `RUN ${'日本語'.repeat(20)}`)
      .log('a', `${'ログ'.repeat(30)}\n${'x'.repeat(90)}\n`)
    for (const line of stage.screen.text.split('\n')) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(39)
    expect(stage.screen.text).toContain(' => RUN 日本語日本語日本語日本語日 0.2s\n')
  })

  test('shows names and logs without what would control the terminal', () => {
    const stage = new Stage().vertex('a', 'RUN \x1b[2J\x1b]0;title\x07\ttab\nnew \u202eline\x00')
    stage.log('a', '\x1b[31mred\x1b[0m 10%\r\x1b[K20%\r30%\n\x1b[5A up\n')
    expect(stage.screen.text).toContain(' => RUN  tab new line')
    expect(stage.screen.text).toContain(' => => # 30%\n => => #  up')
  })

  test('repaints in place after the terminal became narrower and wrapped its lines', () => {
    const stage = new Stage(60, 20).vertex('a', 'a step with a name that is rather long for it').vertex('b', 'b')
    stage.size.columns = 30
    stage.resized?.()
    // Both lines with a time took two rows of the narrower terminal.
    expect(stage.frames.at(-1)).toContain('\r\x1b[5A')
    stage.display.finish()
    expect(stage.resized).toBeUndefined()
  })

  test('colours what ended only when colours are wanted', () => {
    const ended = (color: boolean): string =>
      new Stage(70, 20, color)
        .vertex('a', 'one', { completed: start, error: 'exit code: 1' })
        .vertex('b', 'two', { completed: start })
        .frames.join('')
    expect(ended(true)).toContain('\x1b[31m => ERROR one')
    expect(ended(true)).toContain('\x1b[34m => two')
    expect(ended(false)).not.toMatch(/\x1b\[\d+m/)
  })

  test('writes nothing without events, and nothing after the end', () => {
    const idle = new Stage()
    idle.display.finish()
    expect(idle.frames).toEqual([])
    const stage = new Stage().vertex('a', 'one')
    stage.display.finish()
    const count = stage.frames.length
    stage.display.finish()
    stage.vertex('b', 'two')
    expect(stage.frames).toHaveLength(count)
  })
})

describe('TtyDisplay on a terminal', () => {
  const script = join(import.meta.dir, '../../test/fixtures/progress/live-build.ts')

  async function live(
    how: string,
    size: { cols: number; rows: number },
    during?: (terminal: Bun.Terminal) => Promise<void>,
  ) {
    const decoder = new TextDecoder()
    let seen = ''
    const began = performance.now()
    const command = Bun.spawn([process.execPath, script, how], {
      env: { TERM: 'xterm-256color', NO_COLOR: '1' },
      terminal: { ...size, data: (_terminal, data) => (seen += decoder.decode(data, { stream: true })) },
    })
    const { terminal } = command
    if (terminal === undefined) throw new Error('no terminal')
    try {
      await during?.(terminal)
      const status = await command.exited
      await Bun.sleep(20)
      return { status, seen, took: performance.now() - began }
    } finally {
      command.kill('SIGKILL')
      terminal.close()
    }
  }

  test('leaves the finished build on the screen', async () => {
    const { status, seen } = await live('finish', { cols: 60, rows: 15 })
    const screen = new Screen(60, 15)
    screen.write(seen)
    expect(status).toBe(0)
    expect(screen.text.replace(/Building \d\.\ds/, 'Building 0.2s')).toBe(`[+] Building 0.2s (2/2) FINISHED, 1 cached
 => CACHED [1/2] FROM busybox                          0.0s
 => [2/2] RUN make                                     3.2s
 => => rebuilt: Makefile changed`)
    expect(screen.cursorVisible).toBe(true)
  })

  test('paints again with the new width when the terminal is resized', async () => {
    const { seen } = await live('wait', { cols: 80, rows: 15 }, async (terminal) => {
      await Bun.sleep(250)
      terminal.resize(44, 15)
    })
    const lines = seen.split('\x1b[?2026h').at(-1)?.split('\n') ?? []
    expect(lines.map((line) => Bun.stringWidth(line.trimEnd()))).toContain(43)
    expect(Math.max(...lines.map((line) => Bun.stringWidth(line.trimEnd())))).toBe(43)
  })

  test('leaves the cursor visible when the program crashes', async () => {
    const { status, seen } = await live('crash', { cols: 80, rows: 15 })
    expect(status).not.toBe(0)
    expect(seen).toContain('crashed in the middle')
    expect(seen.lastIndexOf('\x1b[?25h')).toBeGreaterThan(seen.lastIndexOf('\x1b[?25l'))
    expect(seen.lastIndexOf('\x1b[?2026l')).toBeGreaterThan(seen.lastIndexOf('\x1b[?2026h'))
  })

  test('does not keep a program alive that forgets to finish it', async () => {
    const { status, took } = await live('leave', { cols: 80, rows: 15 })
    expect(status).toBe(0)
    expect(took).toBeLessThan(3000)
  })
})
