import { describe, expect, test } from 'bun:test'
import { analyzeFixture, type FixtureMember, noise } from './analysis-fixtures.ts'
import type { ImageAnalysis } from './analysis.ts'

const big = (seed: number, size = 10_000): Uint8Array => noise(size, seed)
const file = (path: string, content: string | Uint8Array, entry: FixtureMember['entry'] = {}): FixtureMember => ({
  path,
  content,
  entry,
})
const directory = (path: string, entry: FixtureMember['entry'] = {}): FixtureMember => ({
  path,
  entry: { type: 'directory', ...entry },
})
const told = ({ waste }: ImageAnalysis) =>
  waste.map(({ kind, path, bytes, files, layer, origin, detail }) => ({
    kind,
    path,
    bytes,
    files,
    layer,
    origin,
    detail,
  }))

describe('analyzeImage() of waste', () => {
  test('blames an overwritten file on the instruction that writes it again', async () => {
    const analysis = await analyzeFixture([
      { createdBy: 'COPY a /a # buildkit', layer: [file('a', big(1)), file('b', big(2))] },
      { createdBy: 'RUN /bin/sh -c make # buildkit', layer: [file('a', big(3, 500))] },
    ])
    expect(told(analysis)).toEqual([
      { kind: 'overwritten', path: '/a', bytes: 10_000, files: 1, layer: 2, origin: 1, detail: '' },
    ])
    expect(analysis.layers.map(({ instruction }) => instruction)).toEqual(['COPY a /a', 'RUN make'])
    expect(analysis.layers[1]).toMatchObject({
      added: { files: 0, bytes: 0 },
      changed: { files: 1, bytes: 500 },
      removed: { files: 0, bytes: 0 },
    })
    expect(analysis.layers[0]?.wastedBytes).toBe(10_000)
  })

  test('tells a removed directory as one item for each layer that had files in it', async () => {
    const analysis = await analyzeFixture([
      {
        createdBy: 'one',
        layer: [directory('opt'), directory('opt/app'), file('opt/app/x', big(1)), file('opt/app/y', big(2))],
      },
      { createdBy: 'two', layer: [file('opt/app/z', big(3, 700))] },
      { createdBy: 'three', layer: [directory('opt'), file('opt/.wh.app', '')] },
    ])
    expect(told(analysis)).toEqual([
      { kind: 'removed', path: '/opt/app', bytes: 20_000, files: 2, layer: 3, origin: 1, detail: '' },
      { kind: 'removed', path: '/opt/app', bytes: 700, files: 1, layer: 3, origin: 2, detail: '' },
    ])
    expect(analysis.layers[2]?.removed).toEqual({ files: 3, bytes: 20_700 })
    expect(analysis.visible).toEqual({ files: 0, bytes: 0 })
  })

  test('takes files removed one by one together when nothing stays beside them', async () => {
    const analysis = await analyzeFixture([
      { createdBy: 'one', layer: [file('d/a', big(1)), file('d/b', big(2)), file('e/a', big(3)), file('e/b', big(4))] },
      { createdBy: 'two', layer: [file('d/.wh.a', ''), file('d/.wh.b', ''), file('e/.wh.a', '')] },
    ])
    expect(told(analysis).map(({ path, files }) => [path, files])).toEqual([
      ['/d', 2],
      ['/e/a', 1],
    ])
  })

  test('keeps what the layer of an opaque directory brings itself, wherever its marker stands', async () => {
    const below = { createdBy: 'below', layer: [file('d/old', big(1)), file('d/sub/old', big(2))] }
    const marker = file('d/.wh..wh..opq', '')
    const own = [directory('d/sub'), file('d/sub/new', big(3)), file('d/new', big(4))]
    for (const layer of [
      [marker, ...own],
      [...own, marker],
    ]) {
      const analysis = await analyzeFixture([below, { createdBy: 'above', layer }])
      expect(told(analysis)).toEqual([
        { kind: 'removed', path: '/d', bytes: 20_000, files: 2, layer: 2, origin: 1, detail: '' },
      ])
      expect(analysis.visible).toEqual({ files: 2, bytes: 20_000 })
    }
  })

  test('tells the copy-ups of chmod, chown and touch by what changed, a whole directory as one', async () => {
    const tree = (entry: FixtureMember['entry']): FixtureMember[] => [
      directory('app', entry),
      file('app/a', big(1), entry),
      file('app/sub/b', big(2), entry),
    ]
    const analysis = await analyzeFixture([
      { createdBy: 'COPY . /app', layer: [...tree({}), file('etc/x', big(5))] },
      { createdBy: 'RUN /bin/sh -c chown -R 7:7 /app', layer: tree({ uid: 7, gid: 7 }) },
      { createdBy: 'RUN /bin/sh -c chmod 600 /app/a', layer: [file('app/a', big(1), { uid: 7, gid: 7, mode: 0o600 })] },
      { createdBy: 'RUN /bin/sh -c touch /etc/x', layer: [file('etc/x', big(5), { mtimeSeconds: 99 })] },
      { createdBy: 'COPY x /etc/x', layer: [file('etc/x', big(5), { mtimeSeconds: 99 })] },
    ])
    expect(told(analysis)).toEqual([
      { kind: 'metadata', path: '/app', bytes: 20_000, files: 2, layer: 2, origin: 1, detail: 'owner' },
      { kind: 'metadata', path: '/app/a', bytes: 10_000, files: 1, layer: 3, origin: 2, detail: 'mode' },
      { kind: 'metadata', path: '/etc/x', bytes: 10_000, files: 1, layer: 4, origin: 1, detail: 'time' },
      { kind: 'metadata', path: '/etc/x', bytes: 10_000, files: 1, layer: 5, origin: 4, detail: 'nothing' },
    ])
    expect(analysis.waste.map(({ advice }) => advice)).toEqual([
      'set the owner where the file is made: COPY --chown, or chown in the same RUN',
      'set the mode where the file is made: COPY --chmod, or chmod in the same RUN',
      'leave the file alone: it has the same content again',
      'leave the file alone: it has the same content again',
    ])
  })

  test('finds equal contents at several paths and takes no hard link for a duplicate', async () => {
    const analysis = await analyzeFixture([
      {
        createdBy: 'one',
        layer: [
          file('srv/a', big(1)),
          file('srv/link', '', { type: 'hardlink', linkname: 'srv/a', size: 0 }),
          file('srv/small-a', 'same'),
          file('srv/small-b', 'same'),
        ],
      },
      { createdBy: 'two', layer: [file('opt/a', big(1)), file('opt/b', big(1))] },
    ])
    expect(told(analysis)).toEqual([
      { kind: 'duplicate', path: '/opt', bytes: 20_000, files: 2, layer: 2, origin: 2, detail: '/srv/a' },
    ])
    expect(analysis.visible).toEqual({ files: 5, bytes: 30_008 })
  })

  test('leaves out the copies that packages of the distribution bring', async () => {
    const analysis = await analyzeFixture([
      {
        createdBy: 'base',
        layer: [file('usr/lib/x/a', big(1)), file('usr/share/y/a', big(1)), file('usr/share/doc/p/copyright', big(2))],
      },
      { createdBy: 'install', layer: [file('usr/share/doc/q/copyright', big(2)), file('usr/local/a', big(1))] },
    ])
    expect(told(analysis).map(({ path, detail }) => [path, detail])).toEqual([['/usr/local/a', '/usr/lib/x/a']])
  })

  test('finds the caches of package managers and temporary files, with what to write instead', async () => {
    const caches: Record<string, string> = {
      'var/lib/apt/lists/deb.debian.org_dists_main_Packages': 'apt',
      'var/cache/apt/pkgcache.bin': 'apt',
      'var/cache/apt/archives/python3.deb': 'apt',
      'var/cache/apk/APKINDEX.x.tar.gz': 'apk',
      'var/cache/dnf/base/packages.solv': 'dnf',
      'root/.cache/pip/http/a': 'pip',
      'home/dev/.npm/_cacache/content-v2/a': 'npm',
      'usr/local/share/.cache/yarn/v6/a': 'yarn',
      'root/.cache/go-build/00/a': 'go',
      'go/pkg/mod/example.org/m@v1/m.go': 'go',
      'usr/local/cargo/registry/cache/index/a.crate': 'cargo',
      'tmp/install.sh': 'tmp',
    }
    const kept = [
      'usr/lib/python3/dist-packages/m/__pycache__/m.pyc',
      'var/lib/dpkg/status',
      'var/lib/apt/extended_states',
      'app/node_modules/x/index.js',
      'usr/local/cargo/bin/tool',
      'var/cache/debconf/templates.dat',
      'go/bin/tool',
    ]
    const layer = [...Object.keys(caches), ...kept].map((path, index) => file(path, big(index + 1, 100 + index)))
    const analysis = await analyzeFixture([{ createdBy: 'RUN /bin/sh -c all', layer }])
    const found = analysis.waste.map(({ path, detail }) => [path, detail])
    expect(found.length).toBe(Object.keys(caches).length)
    for (const [path, name] of Object.entries(caches))
      expect(found.some(([top = '', owner]) => owner === name && `/${path}`.startsWith(`${top}/`))).toBe(true)
    expect(analysis.waste.every(({ advice }) => advice.length > 10)).toBe(true)
  })

  test('takes no file of a cache for waste that another name keeps in use', async () => {
    const store = 'root/.local/share/pnpm/store/v3/files/00/a'
    const analysis = await analyzeFixture([
      {
        createdBy: 'pnpm install',
        layer: [file(store, big(1)), file('app/node_modules/a', '', { type: 'hardlink', linkname: store, size: 0 })],
      },
    ])
    expect(told(analysis)).toEqual([])
  })

  test('follows a symlink of the same layer and replaces one of a layer below', async () => {
    const link = file('lib', '', { type: 'symlink', linkname: 'usr/lib', size: 0 })
    const same = await analyzeFixture([
      { createdBy: 'x', layer: [directory('usr/lib'), link, file('lib/a', big(1)), file('usr/lib/a', big(2))] },
    ])
    expect(told(same)).toEqual([
      { kind: 'overwritten', path: '/usr/lib/a', bytes: 10_000, files: 1, layer: 1, origin: 1, detail: '' },
    ])
    const lower = await analyzeFixture([
      { createdBy: 'x', layer: [file('usr/lib/a', big(1)), link] },
      { createdBy: 'y', layer: [file('lib/a', big(2))] },
    ])
    expect(told(lower)).toEqual([])
    expect(lower.visible.files).toBe(2)
  })

  test('counts a file with several names as long as one of them is left', async () => {
    const steps = [
      {
        createdBy: 'x',
        layer: [file('a', big(1)), file('b', '', { type: 'hardlink', linkname: 'a', size: 0 })],
      },
      { createdBy: 'y', layer: [file('.wh.a', '')] },
    ]
    expect(told(await analyzeFixture(steps))).toEqual([])
    const both = await analyzeFixture([...steps, { createdBy: 'z', layer: [file('.wh.b', '')] }])
    expect(told(both).map(({ path, bytes, layer }) => [path, bytes, layer])).toEqual([['/b', 10_000, 3]])
  })
})

describe('analyzeImage() of efficiency', () => {
  test('is 1 − wasted / stored', async () => {
    const analysis = await analyzeFixture([
      { createdBy: 'x', layer: [file('a', big(1, 3000)), file('b', big(2, 1000))] },
      { createdBy: 'y', layer: [file('b', big(3, 1000))] },
    ])
    expect(analysis).toMatchObject({
      stored: { files: 3, bytes: 5000 },
      userBytes: 1000,
      wastedBytes: 1000,
      userWasted: 1,
    })
    expect(analysis.efficiency).toBeCloseTo(0.8)
  })

  test.each([
    ['no layers', []],
    ['an empty layer', [[]]],
    ['one layer', [[file('a', 'text')]]],
    ['empty files only', [[file('a', '')], [file('a', '')]]],
  ])('is a number with %s', async (_name, layers) => {
    const analysis = await analyzeFixture(layers.map((layer) => ({ createdBy: 'x', layer })))
    expect(analysis).toMatchObject({ efficiency: 1, userWasted: 0, wastedBytes: 0 })
  })

  test('gives each byte of any stack of layers to one fate', async () => {
    let state = 42
    const random = (below: number): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) % below
    for (let round = 0; round < 60; round++) {
      const steps = Array.from({ length: 5 }, () => {
        const members = new Map<string, FixtureMember>()
        for (let count = random(12); count > 0; count--) {
          const parent = ['', 'a/', 'a/b/', 'tmp/', 'c/'][random(5)] as string
          const name = ['x', 'y', '.wh.x', '.wh.y', '.wh..wh..opq', '.wh.b'][random(6)] as string
          members.set(parent + name, file(parent + name, name.startsWith('.wh') ? '' : big(random(3), 5000)))
        }
        return { createdBy: 'x', layer: [...members.values()] }
      })
      const { stored, visible, wastedBytes, waste, efficiency, layers } = await analyzeFixture(steps)
      const hidden = waste.filter(({ kind }) => ['overwritten', 'removed', 'metadata'].includes(kind))
      expect(hidden.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(stored.bytes - visible.bytes)
      expect(wastedBytes).toBeLessThanOrEqual(stored.bytes)
      expect(layers.reduce((sum, layer) => sum + layer.wastedBytes, 0)).toBe(wastedBytes)
      expect(efficiency).toBeGreaterThanOrEqual(0)
    }
  })
})
