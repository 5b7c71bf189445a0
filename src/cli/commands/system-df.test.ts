import { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Cairn } from '../../../test/fixtures/cli/cairn.ts'

let cairn: Cairn
beforeEach(async () => {
  cairn = new Cairn()
  cairn.file('a', 'a'.repeat(10_000))
  cairn.file('b', 'b'.repeat(20_000))
  cairn.file('.dockerignore', 'store\n')
  cairn.file('Dockerfile', 'FROM scratch\nCOPY a /a\nCOPY b /b\n')
  await cairn.ok(['build', '-q', '-t', 'box', '.'])
})
afterEach(() => {
  cairn[Symbol.dispose]()
})

interface Row {
  readonly Type: string
  readonly TotalCount: string
  readonly Active: string
  readonly Size: string
  readonly Reclaimable: string
}

async function usage(): Promise<ReadonlyMap<string, Row>> {
  const lines = (await cairn.ok(['system', 'df', '--format', 'json'])).trim().split('\n')
  return new Map(lines.map((line) => JSON.parse(line) as Row).map((row) => [row.Type, row]))
}

describe('cairn system df', () => {
  test('counts a layer for its images, and for the build cache once no image has it', async () => {
    const built = await usage()
    // In blocks of 4 KiB: two layers of a header, the content and the closing blocks each; manifest and config.
    expect(built.get('Images')).toEqual({
      Type: 'Images',
      TotalCount: '1',
      Active: '0',
      Size: '45.06kB',
      Reclaimable: '45.06kB (100%)',
    })
    // What is known of the files of the context can be pruned, the record of the build stays.
    expect(built.get('Build Cache')).toMatchObject({ TotalCount: '3', Size: '8.192kB', Reclaimable: '4.096kB' })
    await cairn.ok(['rmi', 'box'])
    const removed = await usage()
    expect(removed.get('Images')).toMatchObject({ TotalCount: '0', Size: '0B' })
    expect(removed.get('Build Cache')).toMatchObject({ TotalCount: '3', Size: '45.06kB', Reclaimable: '40.96kB' })
  })

  test('prints the table docker prints', async () => {
    expect(await cairn.ok(['system', 'df'])).toBe(
      [
        'TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE',
        'Images          1         0         45.06kB   45.06kB (100%)',
        'Containers      0         0         0B        0B',
        'Local Volumes   0         0         0B        0B',
        'Build Cache     3         0         8.192kB   4.096kB',
        '',
      ].join('\n'),
    )
  })
})

describe('cairn builder prune', () => {
  const types = async (): Promise<string[]> =>
    (await cairn.ok(['builder', 'du', '--format', '{{.Type}}'])).trim().split('\n').toSorted()

  test('keeps what images have, and with -a forgets all', async () => {
    expect(await types()).toEqual(['regular', 'regular', 'source.local'])
    expect(await cairn.ok(['builder', 'prune', '-f'])).toMatch(/^ID\t.*\n\w{25}\* .*\nTotal:\t4\.096kB\n$/)
    expect(await types()).toEqual(['regular', 'regular'])
    expect(await cairn.ok(['builder', 'prune', '-af'])).toMatch(/^ID\t.*\n(?:\w{25} .*\n){2}Total:\t0B\n$/)
    expect(await types()).toEqual([''])
    await cairn.ok(['save', '-o', 'box.tar', 'box'])
  })

  test('frees the layers that only the cache kept', async () => {
    await cairn.ok(['rmi', 'box'])
    expect(await cairn.ok(['builder', 'prune', '-f', '--filter', 'until=1h'])).toBe('Total:\t0B\n')
    expect(await cairn.ok(['builder', 'prune'], { stdin: 'n\n' })).toBe(
      'WARNING! This will remove all dangling build cache. Are you sure you want to continue? [y/N] ',
    )
    expect(await cairn.ok(['builder', 'prune', '-f'])).toEndWith('\nTotal:\t40.96kB\n')
    expect(readdirSync(join(cairn.root, 'content/blobs/sha256'))).toEqual([])
    expect((await cairn.run(['builder', 'prune', '-f', '--filter', 'foo=1'])).err).toContain("invalid filter 'foo'")
  })

  test('keeps what a build has used since, however long ago it was made', async () => {
    using database = new Database(join(cairn.root, 'cairn.db'))
    const twoDaysAgo = Date.now() - 2 * 24 * 60 * 60 * 1000
    database.run('UPDATE cache_records SET created_at = ?1, used_at = ?1', [twoDaysAgo])
    await cairn.ok(['build', '-q', '-t', 'box', '.'])
    await cairn.ok(['rmi', 'box'])
    expect(await cairn.ok(['builder', 'prune', '-f', '--filter', 'until=24h'])).toBe('Total:\t0B\n')
  })

  test('removes the oldest until no more is left than may be', async () => {
    await cairn.ok(['rmi', 'box'])
    // 16 kB and 25 kB of layers and 4 kB of the context's index, in blocks; the first layer is the oldest.
    expect(await cairn.ok(['builder', 'prune', '-f', '--max-used-space', '41kB'])).toBe('Total:\t0B\n')
    expect(await cairn.ok(['builder', 'prune', '-f', '--max-used-space', '30kB'])).toEndWith('\nTotal:\t12.29kB\n')
    expect(await types()).toEqual(['regular', 'source.local'])
    expect(await cairn.ok(['builder', 'prune', '-f', '--max-used-space', '1', '--reserved-space', '1GB'])).toBe(
      'Total:\t0B\n',
    )
    expect(await cairn.ok(['builder', 'prune', '-f', '--min-free-space', '1PB'])).toMatch(/Total:\t28\.67kB\n$/)
  })
})
