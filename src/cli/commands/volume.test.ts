import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ContainerCairn } from '../../../test/fixtures/cli/container-cairn.ts'

let cairn: ContainerCairn
beforeEach(() => {
  cairn = new ContainerCairn()
})
afterEach(() => {
  cairn[Symbol.dispose]()
})

describe('cairn volume', () => {
  test('makes a directory that containers mount, and removes it with its files', async () => {
    await cairn.image('box')
    expect(await cairn.ok(['volume', 'create', 'data'])).toBe('data\n')
    const mountpoint = (await cairn.ok(['volume', 'inspect', '-f', '{{.Mountpoint}}', 'data'])).trim()
    expect(mountpoint).toBe(join(cairn.root, 'volumes/data/_data'))
    writeFileSync(join(mountpoint, 'a'), 'hello')
    expect(await cairn.ok(['run', '--rm', '-v', 'data:/d', 'box', 'cat', '/d/a'])).toBe('hello')
    expect(await cairn.ok(['volume', 'rm', 'data'])).toBe('data\n')
    expect(existsSync(join(cairn.root, 'volumes/data'))).toBe(false)
    expect(readdirSync(join(cairn.root, 'tmp'))).toEqual([])
  })

  test('prune frees what system df calls reclaimable', async () => {
    for (const name of ['one', 'two']) {
      await cairn.ok(['volume', 'create', name])
      writeFileSync(join(cairn.root, 'volumes', name, '_data/file'), 'x'.repeat(1_000_000))
    }
    const row = async (): Promise<string> =>
      (await cairn.ok(['system', 'df', '--format', '{{.Type}}: {{.TotalCount}} {{.Reclaimable}}'])).split('\n')[2] ?? ''
    const reclaimable = /^Local Volumes: 2 (\S+) \(100%\)$/.exec(await row())?.[1]
    expect(await cairn.ok(['volume', 'prune', '-f'])).toBe('Total reclaimed space: 0B\n')
    expect(await cairn.ok(['volume', 'prune', '-af'])).toBe(
      `Deleted Volumes:\none\ntwo\n\nTotal reclaimed space: ${reclaimable}\n`,
    )
    expect(await row()).toBe('Local Volumes: 0 0B')
  })
})
