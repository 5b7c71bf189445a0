import { describe, expect, test } from 'bun:test'
import { Screen } from '../../test/fixtures/progress/screen.ts'
import type { DisplaySink } from './display.ts'
import { createTransferDisplay } from './transfer-display.ts'

/** A terminal, or a pipe, and what is to be seen there. */
function stage(isTTY: boolean, columns = 100, rows = 20): { readonly sink: DisplaySink; readonly screen: Screen } {
  const screen = new Screen(columns, rows)
  const write = (data: string | Uint8Array): void => screen.write(String(data).replaceAll('\n', '\r\n'))
  return { screen, sink: { isTTY, columns, rows, write, onResize: () => () => {} } }
}

describe('createTransferDisplay()', () => {
  test('prints each change of a layer once where there is no terminal, and no progress', () => {
    const { sink, screen } = stage(false)
    const display = createTransferDisplay(sink)
    display.handle({ id: undefined, text: '1: Pulling from app' })
    display.handle({ id: 'aaa', text: 'Pulling fs layer' })
    display.handle({ id: 'aaa', text: 'Downloading', current: 5, total: 10 })
    display.handle({ id: 'aaa', text: 'Pull complete' })
    display.handle({ id: 'aaa', text: 'Pull complete' })
    display.finish()
    expect(screen.text).toBe('1: Pulling from app\naaa: Pulling fs layer\naaa: Pull complete')
  })

  test('keeps one line for each layer on a terminal, below what was said before', async () => {
    const { sink, screen } = stage(true)
    const display = createTransferDisplay(sink)
    display.handle({ id: undefined, text: '1: Pulling from app' })
    display.handle({ id: 'aaa', text: 'Pulling fs layer' })
    display.handle({ id: 'bbb', text: 'Downloading', current: 2_000_000, total: 4_000_000 })
    await Bun.sleep(150)
    expect(screen.text).toBe(
      `1: Pulling from app\naaa: Pulling fs layer\nbbb: Downloading [${'='.repeat(25)}>${' '.repeat(24)}]  2.00MB/4.00MB`,
    )
    display.handle({ id: 'bbb', text: 'Pull complete' })
    display.handle({ id: undefined, text: 'Digest: sha256:x' })
    display.finish()
    expect(screen.text).toBe('1: Pulling from app\naaa: Pulling fs layer\nbbb: Pull complete\nDigest: sha256:x')
  })

  test('never writes past the edge, nor more lines than there are', async () => {
    const { sink, screen } = stage(true, 30, 4)
    const display = createTransferDisplay(sink)
    for (let count = 0; count < 6; count++)
      display.handle({ id: `layer-${count}`, text: 'Downloading', current: 1, total: 1_000_000_000 })
    await Bun.sleep(150)
    display.finish()
    for (const line of screen.text.split('\n')) expect(line.length).toBeLessThan(30)
    expect(screen.text.split('\n')).toHaveLength(3)
  })

  test('says nothing when it is to be quiet', () => {
    const { sink, screen } = stage(true)
    const display = createTransferDisplay(sink, { isQuiet: true })
    display.handle({ id: undefined, text: 'x' })
    display.finish()
    expect(screen.text).toBe('')
  })
})
