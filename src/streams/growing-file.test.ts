import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GrowingFile } from './growing-file.ts'

let root: string
beforeAll(() => void (root = mkdtempSync(join(tmpdir(), 'cairn-growing-'))))
afterAll(() => rmSync(root, { recursive: true, force: true }))

async function textOf(source: AsyncIterable<Uint8Array>): Promise<string> {
  let text = ''
  for await (const bytes of source) text += Buffer.from(bytes).toString()
  return text
}

describe('GrowingFile', () => {
  test('open() gives bytes as they come, and all of them to whoever comes late', async () => {
    const path = join(root, 'growing')
    writeFileSync(path, '')
    const file = new GrowingFile(path)
    const reading = textOf(file.open())
    for (const piece of ['one ', 'two ', 'three']) {
      appendFileSync(path, piece)
      file.grow(Bun.file(path).size)
      await Bun.sleep(2)
    }
    file.end()
    expect(await reading).toBe('one two three')
    expect(await textOf(file.open())).toBe('one two three')
  })

  test('open() gives no byte that was not told of', async () => {
    const path = join(root, 'more')
    writeFileSync(path, 'told untold')
    const file = new GrowingFile(path)
    file.grow(5)
    file.end()
    expect(await textOf(file.open())).toBe('told ')
  })

  test('open() finds a file that was moved before anyone read it', async () => {
    const [path, target] = [join(root, 'before'), join(root, 'after')]
    writeFileSync(path, 'moved')
    const file = new GrowingFile(path, target)
    renameSync(path, target)
    file.grow(5)
    file.end()
    expect(await textOf(file.open())).toBe('moved')
  })

  test('open() fails with the reason of fail(), after what is there; an empty file needs none', async () => {
    const path = join(root, 'failing')
    writeFileSync(path, 'some')
    const file = new GrowingFile(path)
    file.grow(4)
    let seen = ''
    const reading = (async () => {
      for await (const bytes of file.open()) seen += Buffer.from(bytes).toString()
    })()
    await Bun.sleep(2)
    file.fail(new Error('gone'))
    await expect(reading).rejects.toThrow('gone')
    expect(seen).toBe('some')
    expect(await textOf(GrowingFile.whole(join(root, 'absent'), 0).open())).toBe('')
  })

  test('watch() tells the state now and at each change', () => {
    const file = new GrowingFile(join(root, 'watched'))
    const sizes: number[] = []
    file.watch(({ size }) => void sizes.push(size))
    file.grow(3)
    file.grow(7)
    file.end()
    expect(sizes).toEqual([0, 3, 7, 7])
  })
})
