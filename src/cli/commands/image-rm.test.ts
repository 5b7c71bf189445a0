import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Cairn } from '../../../test/fixtures/cli/cairn.ts'
import { file, layerOf } from '../../../test/fixtures/layers.ts'

let cairn: Cairn
beforeEach(() => {
  cairn = new Cairn()
})
afterEach(() => {
  cairn[Symbol.dispose]()
})

/** Imports a layer of its own; gives the image ID. */
async function make(name: string, content = name): Promise<string> {
  return (await cairn.ok(['import', '-', name], { stdin: layerOf(file('a', content)) })).trim()
}

/** The layer of such an image: also its chain ID, by which removals name it. */
const layerId = (content: string): string =>
  `sha256:${new Bun.CryptoHasher('sha256').update(layerOf(file('a', content))).digest('hex')}`

const blobs = (): number => {
  const path = join(cairn.root, 'content/blobs/sha256')
  return existsSync(path) ? readdirSync(path).length : 0
}

describe('cairn tag', () => {
  test('names an image, taking the name from another', async () => {
    const [first, second] = [await make('first'), await make('second')]
    expect(await cairn.run(['tag', 'first', 'registry.example.com:5000/a/b'])).toEqual({ status: 0, out: '', err: '' })
    expect(await cairn.ok(['inspect', '-f', '{{.Id}}', 'registry.example.com:5000/a/b:latest'])).toBe(`${first}\n`)
    await cairn.ok(['image', 'tag', second.slice(7, 19), 'first:latest'])
    expect(await cairn.ok(['inspect', '-f', '{{.Id}}', 'first'])).toBe(`${second}\n`)
  })

  test('refuses what cannot be', async () => {
    await make('box')
    expect((await cairn.run(['tag', 'nosuch', 'a:b'])).err).toBe('cairn: No such image: nosuch:latest\n')
    expect((await cairn.run(['tag', 'box', 'A:b'])).err).toContain(
      '"A:b" is not a valid repository/tag: invalid reference format: repository name (library/A) must be lowercase',
    )
    expect((await cairn.run(['tag', 'box', `a@sha256:${'0'.repeat(64)}`])).err).toContain(
      'refusing to create a tag with a digest',
    )
    expect(await cairn.run(['tag', 'box'])).toMatchObject({ status: 1 })
  })
})

describe('cairn rmi', () => {
  test('takes names away and frees the disk with the last one', async () => {
    const id = await make('box')
    await cairn.ok(['tag', 'box', 'box:2'])
    expect(await cairn.ok(['rmi', 'box'])).toBe('Untagged: box:latest\n')
    expect(blobs()).toBe(3)
    expect(await cairn.ok(['image', 'rm', 'box:2'])).toBe(
      `Untagged: box:2\nDeleted: ${id}\nDeleted: ${layerId('box')}\n`,
    )
    expect(blobs()).toBe(0)
  })

  test('keeps what other images share', async () => {
    const id = await make('one', 'same')
    const env = { SOURCE_DATE_EPOCH: '1' }
    await cairn.ok(['import', '-', 'two'], { stdin: layerOf(file('a', 'same')), env })
    expect(blobs()).toBe(5)
    expect(await cairn.ok(['image', 'remove', id.slice(7, 20)])).toBe(`Untagged: one:latest\nDeleted: ${id}\n`)
    expect(blobs()).toBe(3)
    await cairn.ok(['save', '-o', 'two.tar', 'two'])
  })

  test('--no-prune leaves the blobs to the next prune', async () => {
    const id = await make('box')
    expect(await cairn.ok(['rmi', '--no-prune', 'box'])).toBe(`Untagged: box:latest\nDeleted: ${id}\n`)
    expect(blobs()).toBe(3)
    expect(await cairn.ok(['image', 'prune', '-f'])).toMatch(/^Total reclaimed space: \d[\d.]*kB\n$/)
    expect(blobs()).toBe(0)
  })

  test('refuses an ID with names in several repositories unless forced', async () => {
    const id = await make('one')
    await cairn.ok(['tag', 'one', 'two:x'])
    const short = id.slice(7, 19)
    expect(await cairn.run(['rmi', short])).toEqual({
      status: 1,
      out: '',
      err: expect.stringContaining(
        `conflict: unable to delete ${short} (must be forced) - image is referenced in multiple repositories`,
      ),
    })
    expect((await cairn.ok(['rmi', '-f', short])).split('\n').toSorted()).toEqual([
      '',
      ...[`Deleted: ${id}`, `Deleted: ${layerId('one')}`].toSorted(),
      'Untagged: one:latest',
      'Untagged: two:x',
    ])
  })

  test('removes what it can of several and tells of the rest', async () => {
    const id = await make('box')
    expect(await cairn.run(['rmi', 'nosuch', 'box', 'No/Such'])).toEqual({
      status: 1,
      out: `Untagged: box:latest\nDeleted: ${id}\nDeleted: ${layerId('box')}\n`,
      err: 'cairn: No such image: nosuch:latest\ncairn: invalid reference format: repository name (Such) must be lowercase\n',
    })
    expect(await cairn.run(['rmi', '-f', 'nosuch'])).toEqual({
      status: 0,
      out: '',
      err: 'cairn: No such image: nosuch:latest\n',
    })
  })
})

describe('an image for several platforms', () => {
  let ids: string[]
  beforeEach(async () => {
    ids = []
    for (const platform of ['amd64', 'arm64', 's390x']) {
      const stdin = layerOf(file('a', platform.repeat(1000)))
      ids.push((await cairn.ok(['import', '--platform', `linux/${platform}`, '-', platform], { stdin })).trim())
    }
    await cairn.ok(['manifest', 'create', 'multi', 'amd64', 'arm64', 's390x'])
    await cairn.ok(['rmi', 'amd64', 'arm64', 's390x'])
  })
  const platforms = async (): Promise<string[]> =>
    (await cairn.ok(['images', '--tree'])).split('\n').flatMap((line) => /[├└]─ (\S+)/.exec(line)?.[1] ?? [])

  test('stands above them in a tree, with what each takes', async () => {
    const [, , heading, top, ...rest] = (await cairn.ok(['images', '--tree', 'multi'])).trimEnd().split('\n')
    expect(heading).toBe(`IMAGE${' '.repeat(27)}ID             DISK USAGE   CONTENT SIZE   EXTRA`)
    expect(top).toMatch(/^multi:latest {20}[0-9a-f]{12} +[\d.]+kB +[\d.]+kB$/)
    expect(rest.map((line) => line.slice(0, 15))).toEqual(['├─ linux/amd64 ', '├─ linux/arm64 ', '└─ linux/s390x '])
    for (const [index, line] of rest.entries()) expect(line).toContain(ids[index]?.slice(7, 19) ?? '')
  })

  test('loses the platforms that rmi names, with their blobs, and goes with the last', async () => {
    const before = blobs()
    const removal = await cairn.ok(['rmi', '--platform', 'linux/arm64', 'multi'])
    expect(removal).toMatch(new RegExp(`^Deleted: ${ids[1]}\nDeleted: sha256:[0-9a-f]{64}\n$`))
    expect(blobs()).toBe(before - 3)
    expect(await platforms()).toEqual(['linux/amd64', 'linux/s390x'])
    expect((await cairn.run(['rmi', '--platform', 'linux/arm64', 'multi'])).err).toContain(
      'does not provide the specified platform (linux/arm64)',
    )
    expect(await cairn.ok(['image', 'inspect', '--platform', 'linux/s390x', '-f', '{{.Architecture}}', 'multi'])).toBe(
      's390x\n',
    )
    await cairn.ok(['rmi', '--platform', 'linux/amd64', 'multi'])
    // The ID is that of what is left.
    expect(await cairn.ok(['images', '-q', '--no-trunc'])).toBe(`${ids[2]}\n`)
    expect(await cairn.ok(['rmi', '--platform', 'linux/s390x', 'multi'])).toStartWith(
      `Untagged: multi:latest\nDeleted: ${ids[2]}\n`,
    )
    expect(blobs()).toBe(0)
  })
})

describe('cairn image prune', () => {
  test('asks first, and only y is yes', async () => {
    await make('box', 'old')
    await make('box', 'new')
    const question = 'WARNING! This will remove all dangling images.\nAre you sure you want to continue? [y/N] '
    for (const answer of ['', 'n\n', 'yes please\n'])
      expect(await cairn.run(['image', 'prune'], { stdin: answer })).toEqual({ status: 0, out: question, err: '' })
    const pruned = await cairn.ok(['image', 'prune'], { stdin: 'y\n' })
    expect(pruned).toStartWith(`${question}Deleted Images:\ndeleted: sha256:`)
    expect(pruned).toMatch(/\n\nTotal reclaimed space: \d[\d.]*kB\n$/)
    expect(await cairn.ok(['images', '--format', '{{.Repository}}'])).toBe('box\n')
    expect(blobs()).toBe(3)
  })

  test('-a removes images with names too, as filters allow', async () => {
    const one = (await cairn.ok(['import', '-c', 'LABEL keep=1', '-', 'one'], { stdin: layerOf(file('a')) })).trim()
    const two = await make('two')
    const question = 'WARNING! This will remove all images without at least one container associated to them.\n'
    expect(await cairn.ok(['image', 'prune', '-a'], { stdin: 'n\n' })).toStartWith(question)
    expect(await cairn.ok(['image', 'prune', '-af', '--filter', 'until=1h'])).toBe('Total reclaimed space: 0B\n')
    expect(await cairn.ok(['image', 'prune', '-af', '--filter', 'label!=keep'])).toStartWith(
      `Deleted Images:\nuntagged: two:latest\ndeleted: ${two}\ndeleted: ${layerId('two')}\n\n`,
    )
    expect(await cairn.ok(['images', '-q', '--no-trunc'])).toBe(`${one}\n`)
    expect((await cairn.run(['image', 'prune', '-f', '--filter', 'foo=bar'])).err).toContain("invalid filter 'foo'")
  })
})

describe('processes at once', () => {
  test('import, tag, list and remove without losing an image or leaving a blob', async () => {
    const layers = ['a', 'b'].map((content) => layerOf(file('a', content.repeat(100_000))))
    const work = async (worker: number): Promise<void> => {
      for (let round = 0; round < 6; round++) {
        const name = `w${worker}:${round}`
        await cairn.ok(['import', '-', name], { stdin: layers[round % 2] ?? '' })
        await cairn.ok(['tag', name, `shared:${round}`])
        await cairn.ok(['images'])
        await cairn.ok(['inspect', name])
        await cairn.ok(['rmi', name])
      }
    }
    await Promise.all([work(1), work(2)])
    const left = (await cairn.ok(['images', '--format', '{{.Repository}}:{{.Tag}}'])).trim().split('\n').toSorted()
    // The other worker may have taken shared:N first; each is there once, what lost its name is untagged.
    expect(left.filter((name) => name !== '<none>:<none>')).toEqual(
      [0, 1, 2, 3, 4, 5].map((round) => `shared:${round}`),
    )
    for (const round of [0, 1, 2, 3, 4, 5]) await cairn.ok(['save', '-o', 'saved.tar', `shared:${round}`])
    await cairn.ok(['image', 'prune', '-af'])
    expect(blobs()).toBe(0)
    expect(readdirSync(join(cairn.root, 'tmp'))).toEqual([])
  }, 60_000)
})
