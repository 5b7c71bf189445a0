import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ContainerCairn } from './fixtures/cli/container-cairn.ts'

let cairn: ContainerCairn
beforeEach(() => {
  cairn = new ContainerCairn()
})
afterEach(() => {
  cairn[Symbol.dispose]()
})

/** Bytes on the disk of what the store holds: all but its database, which no command frees. */
function storeSize(): number {
  const parts = ['content', 'snapshots', 'containers', 'volumes', 'cache', 'builds', 'registry', 'tmp']
  const paths = parts.map((part) => join(cairn.root, part)).filter((path) => existsSync(path))
  const du = Bun.spawnSync(['du', '-s', '-c', '-B1', '--exclude=builds/run', ...paths])
  return Number(/^(\d+)\ttotal$/m.exec(du.stdout.toString())?.[1])
}

const units: Readonly<Record<string, number>> = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9 }

/** Bytes that a text such as `1.234MB` stands for. */
function bytes(text = ''): number {
  const [, number = 'NaN', unit = ''] = /^([\d.]+)([kMG]?B)/.exec(text) ?? []
  return Number(number) * (units[unit] ?? Number.NaN)
}

interface Usage {
  readonly size: number
  readonly reclaimable: number
}

async function usage(): Promise<Usage> {
  const rows = (await cairn.ok(['system', 'df', '--format', '{{.Size}} {{.Reclaimable}}'])).trim().split('\n')
  const sum = (column: number): number => rows.reduce((total, row) => total + bytes(row.split(' ')[column]), 0)
  return { size: sum(0), reclaimable: sum(1) }
}

async function prune(...args: string[]): Promise<number> {
  const out = await cairn.ok([...args, '-f'])
  return bytes(/^(?:Total reclaimed space: |Total:\t)(\S+)$/m.exec(out)?.[1])
}

/** Within one percent of a whole. */
function expectSame(actual: number, wanted: number, whole: number): void {
  expect(Math.abs(actual - wanted)).toBeLessThanOrEqual(whole / 100)
}

describe('system df, prune and du', () => {
  test('agree within one percent on images, containers, volumes, unpacked layers and every kind of cache', async () => {
    await cairn.image('base')
    cairn.file('big', crypto.getRandomValues(new Uint8Array(65_536)).toString().repeat(40))
    cairn.file('.dockerignore', 'store\nrootfs-*\n')
    const write = (name: string, size: number): string => `head -c ${size} /dev/urandom > ${name}`
    cairn.file(
      'Dockerfile',
      `FROM base
COPY big /big
RUN --mount=type=cache,target=/cache ${write('/cache/kept', 4_000_000)}; ${write('/made', 3_000_000)}
RUN for i in $(seq 300); do echo $i > /file$i; done
`,
    )
    await cairn.ok(['build', '-q', '-t', 'app', '.'])
    await cairn.ok(['save', '-o', 'app.tar', 'app'])
    await cairn.ok(['rmi', 'app'])
    await cairn.ok(['load', '-q', '-i', 'app.tar'])
    await cairn.ok(['run', '--name', 'used', '-v', 'data:/data', 'app', 'sh', '-c', write('/data/a', 2_000_000)])
    await cairn.ok(['run', '--name', 'idle', 'app', 'sh', '-c', write('/written', 2_500_000)])
    await cairn.ok(['volume', 'create', 'loose'])
    writeFileSync(join(cairn.root, 'volumes/loose/_data/file'), new Uint8Array(1_500_000))
    await cairn.ok(['import', '-', 'spare'], { stdin: await Bun.file(join(cairn.directory, 'app.tar')).bytes() })

    const full = storeSize()
    expect(full).toBeGreaterThan(25_000_000)
    const before = await usage()
    expectSame(before.size, full, full)

    // One kind after the other: each frees what it said, and the disk has it back. Layers of images that the build cache
    // has too count for the images, which free them once it has let go of them.
    let last = full
    const steps: readonly (readonly [string, readonly string[]])[] = [
      ['Containers', ['container', 'prune']],
      ['Local Volumes', ['volume', 'prune', '-a']],
      ['Build Cache', ['builder', 'prune', '-a']],
      ['Images', ['image', 'prune', '-a']],
    ]
    for (const [type, command] of steps) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const rows = await cairn.ok(['system', 'df', '--format', '{{.Type}}: {{.Reclaimable}}'])
      const promised = bytes(new RegExp(`^${type}: (\\S+)`, 'm').exec(rows)?.[1])
      // oxlint-disable-next-line no-await-in-loop
      const freed = await prune(...command)
      const left = storeSize()
      expectSame(freed, promised, full)
      expectSame(last - left, freed, full)
      last = left
    }
    const after = await usage()
    expect(after.reclaimable).toBe(0)
    expect(last).toBeLessThan(full / 100)
  }, 60_000)

  test('agree on what system prune -a --volumes frees at once', async () => {
    await cairn.image('base')
    cairn.file('.dockerignore', 'store\nrootfs-*\n')
    cairn.file(
      'Dockerfile',
      'FROM base\nRUN --mount=type=cache,target=/c head -c 3000000 /dev/urandom > /c/f; head -c 5000000 /dev/urandom > /f\n',
    )
    await cairn.ok(['build', '-q', '-t', 'app', '.'])
    await cairn.ok(['run', '--name', 'done', 'app', 'sh', '-c', 'head -c 2000000 /dev/urandom > /g'])
    const full = storeSize()
    const freed = await prune('system', 'prune', '-a', '--volumes')
    expectSame(full - storeSize(), freed, full)
    expect(storeSize()).toBeLessThan(full / 100)
  }, 60_000)

  test('agree on images that went while they were saved, and on those whose content rmi --no-prune left', async () => {
    await cairn.image('base', { files: { text: 'x'.repeat(3_000_000) } })
    await cairn.image('other', { files: { text: 'y'.repeat(2_000_000) } })
    const empty = storeSize() - (await usage()).size
    const saving = cairn.start(['save', 'base'])
    const output = saving.stdout.getReader()
    await output.read()
    await cairn.ok(['rmi', 'base'])
    expectSame((await usage()).size, storeSize() - empty, storeSize())
    for (;;) if ((await output.read()).done) break
    expect(await saving.exited).toBe(0)
    expect(storeSize()).toBeLessThan(4_500_000)
    expectSame((await usage()).size, storeSize() - empty, storeSize())
    await cairn.ok(['rmi', '--no-prune', 'other'])
    const left = await usage()
    expect(left.reclaimable).toBeGreaterThan(2_000_000)
    expectSame(left.size, storeSize() - empty, storeSize())
    await cairn.ok(['system', 'check'])
    expectSame(await prune('image', 'prune'), left.reclaimable, left.size)
    expect((await usage()).size).toBe(0)
  }, 60_000)

  test('image prune --unpacked keeps images, and what containers have mounted', async () => {
    await cairn.image('base')
    await cairn.image('other', { files: { text: 'x'.repeat(3_000_000) } })
    await cairn.ok(['run', '--rm', 'other', 'true'])
    await cairn.ok(['run', '--name', 'kept', 'base', 'true'])
    const full = storeSize()
    const freed = await prune('image', 'prune', '--unpacked')
    expect(freed).toBeGreaterThan(3_000_000)
    expectSame(full - storeSize(), freed, full)
    expect(await prune('image', 'prune', '--unpacked')).toBe(0)
    expect(await cairn.ok(['run', '--rm', 'other', 'wc', '-c', '/text'])).toBe('3000000 /text\n')
    expect(await cairn.ok(['system', 'check'])).not.toContain('damaged')
  }, 60_000)

  test('agree where the store is served as a registry, with what it shares with images and what it alone has', async () => {
    const random = (size: number): string => Buffer.from(crypto.getRandomValues(new Uint8Array(size))).toString('hex')
    await cairn.image('kept', { files: { a: random(1_000_000) } })
    await cairn.image('gone', { files: { b: random(2_000_000) } })
    const server = cairn.start(['registry', 'serve', '--addr', '127.0.0.1:0'])
    try {
      let text = ''
      for await (const chunk of server.stderr) {
        text += Buffer.from(chunk).toString()
        if (text.includes('Registry at ')) break
      }
      const url = /Registry at (\S+)/.exec(text)?.[1] ?? ''
      const host = new URL(url).host
      for (const name of ['kept', 'gone']) {
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        await cairn.ok(['tag', name, `${host}/team/${name}`])
        // oxlint-disable-next-line no-await-in-loop
        await cairn.ok(['push', '-q', '--compression', name === 'kept' ? 'none' : 'gzip', `${host}/team/${name}`])
      }
      const begun = await fetch(`${url}/v2/team/kept/blobs/uploads/`, { method: 'POST' })
      const upload = new URL(begun.headers.get('location') ?? '', url)
      expect((await fetch(upload, { method: 'PATCH', body: new Uint8Array(3_000_000) })).status).toBe(202)
    } finally {
      server.kill()
      await server.exited
    }
    await cairn.ok([
      'rmi',
      'gone',
      ...(await cairn.ok(['images', '--format', '{{.Repository}}:{{.Tag}}']))
        .split('\n')
        .filter((name) => name.includes('/team/gone')),
    ])
    const rows = await cairn.ok(['system', 'df', '--format', '{{.Type}} {{.TotalCount}} {{.Size}} {{.Reclaimable}}'])
    const [, size] = /^Registry 2 (\S+) 0B/m.exec(rows) ?? []
    // The layer of `gone`, half of whose text is compressed away, and the upload; that of `kept` counts for its image.
    expect(bytes(size)).toBeGreaterThan(4_500_000)
    expect(bytes(size)).toBeLessThan(6_500_000)
    const full = storeSize()
    expectSame((await usage()).size, full, full)
    expect(await cairn.ok(['system', 'df', '-v'])).toContain(`Registry usage: ${size}\n`)
    expect(await cairn.ok(['system', 'check'])).toContain(': ok;')
    expect(await cairn.ok(['system', 'prune', '-a', '-f'])).toContain('Total reclaimed space')
    const left = storeSize()
    expectSame((await usage()).size, left, left)
  }, 60_000)
})
