import { describe, expect, test } from 'bun:test'
import { defaultLimits } from '../content/limits.ts'
import { digestOf } from '../oci/digest.ts'
import { analyzeFixture, fixtureConfig, type FixtureMember, layerTar, noise } from './analysis-fixtures.ts'
import { type AnalysisInput, analyzeImage } from './analyze-image.ts'
import { instructionOf } from './instructions.ts'

const one = (layer: Uint8Array | Parameters<typeof layerTar>[0]) => [
  { createdBy: 'x', layer: [{ path: 'a', content: 'a' }] },
  { createdBy: 'y', layer },
]

function inputOf(tars: readonly Uint8Array[]): AnalysisInput {
  const layers = tars.map((tar) => ({
    digest: digestOf(tar),
    diffId: digestOf(tar),
    isVerified: true,
    open: async function* () {
      yield tar
    },
  }))
  return { config: fixtureConfig(tars.map((layer) => ({ createdBy: 'x', layer }))), layers }
}

describe('analyzeImage() of hostile images', () => {
  test('names the layer that is cut off', async () => {
    const tar = layerTar([{ path: 'etc/name', content: noise(5000) }])
    const error = await analyzeFixture(one(tar.subarray(0, 2000))).catch((caught: unknown) => caught)
    expect(error).toMatchObject({ code: 'TAR_INVALID' })
    expect(String(error)).toContain('layer 2 of 2 (sha256:')
    expect(String(error)).toContain('etc/name')
  })

  test('names the layer whose compression is cut off', async () => {
    const gzip = Bun.gzipSync(layerTar([{ path: 'a', content: noise(50_000) }]))
    const error = await analyzeFixture(one(gzip.subarray(0, 20_000))).catch((caught: unknown) => caught)
    expect(error).toMatchObject({ code: 'COMPRESSION_INVALID' })
    expect(String(error)).toContain('layer 2 of 2')
  })

  test.each([
    ['a path that leads out', [{ path: '../etc/passwd' }], 'LAYER_UNSAFE'],
    ['an absolute path', [{ path: '/etc/passwd' }], 'LAYER_UNSAFE'],
    [
      'a member below a symlink to nothing',
      [{ path: 'e', entry: { type: 'symlink', linkname: '/host' } }, { path: 'e/x' }],
      'LAYER_UNSAFE',
    ],
    ['a hard link that leads out', [{ path: 'x', entry: { type: 'hardlink', linkname: '../../x' } }], 'LAYER_UNSAFE'],
    ['a hard link to nothing', [{ path: 'x', entry: { type: 'hardlink', linkname: 'none' } }], 'TAR_INVALID'],
    ['a member below a file', [{ path: 'x' }, { path: 'x/y' }], 'LAYER_UNSAFE'],
    [
      'a loop of symlinks',
      [
        { path: 'x', entry: { type: 'symlink', linkname: 'y' } },
        { path: 'y', entry: { type: 'symlink', linkname: 'x' } },
        { path: 'x/z' },
      ],
      'LAYER_UNSAFE',
    ],
    ['a whiteout of no name', [{ path: 'd/.wh.' }], 'LAYER_UNSAFE'],
    ['a member below a whiteout', [{ path: '.wh.d/x' }], 'LAYER_UNSAFE'],
  ] as const)('refuses %s, naming layer and member', async (_name, layer, code) => {
    const error = await analyzeFixture(one(layer)).catch((caught: unknown) => caught)
    expect(error).toMatchObject({ code })
    expect(String(error)).toContain('layer 2 of 2')
    expect(String(error)).toContain(JSON.stringify(layer.at(-1)?.path))
  })

  test('refuses members below a symlink of a lower layer that leads nowhere, and takes them below one that leads to a directory', async () => {
    const link = (linkname: string) => ({ path: 'e', entry: { type: 'symlink' as const, linkname } })
    for (const target of ['/host', 'none', 'e', '../../x', 'file']) {
      for (const member of ['e/x', 'e/.wh.x'])
        await expect(
          analyzeFixture([
            { createdBy: 'x', layer: [{ path: 'file' }, link(target)] },
            { createdBy: 'y', layer: [{ path: member }] },
          ]),
        ).rejects.toMatchObject({ code: 'LAYER_UNSAFE', message: expect.stringContaining('layer 2 of 2') })
    }
    const steps = (layer: readonly FixtureMember[]) => [
      { createdBy: 'x', layer: [{ path: 'usr/lib/a' }, link('/usr/../usr/./lib')] },
      { createdBy: 'y', layer },
    ]
    expect((await analyzeFixture(steps([{ path: 'e/x' }]))).visible.files).toBe(2)
    const replaced = [{ path: 'e', entry: { type: 'directory' as const } }, { path: 'e/x' }]
    expect(
      (
        await analyzeFixture([
          { createdBy: 'x', layer: [link('/host')] },
          { createdBy: 'y', layer: replaced },
        ])
      ).visible.files,
    ).toBe(1)
  })

  test('stops at too many names in all layers together', async () => {
    const tars = ['f', 'g'].map((name) =>
      layerTar(Array.from({ length: 30 }, (_, index) => ({ path: `${name}${index}` }))),
    )
    const analyze = (entries: number) => analyzeImage(inputOf(tars), { ...defaultLimits, tar: { entries } })
    expect((await analyze(60)).visible.files).toBe(60)
    await expect(analyze(59)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' })
  })

  test('counts what a sparse file stores and does not go through its holes', async () => {
    const map = '1\n1099511000000\n5\n'
    const content = Buffer.concat([Buffer.from(map.padEnd(512, '\0')), Buffer.from('hello')])
    const header = layerTar([{ path: 'GNUSparseFile.0/disk', content }])
    const record = (key: string, value: string): string => {
      for (let length = key.length + value.length + 3; ; length++) {
        const text = `${length} ${key}=${value}\n`
        if (text.length === length) return text
      }
    }
    const pax =
      record('GNU.sparse.major', '1') +
      record('GNU.sparse.minor', '0') +
      record('GNU.sparse.name', 'disk') +
      record('GNU.sparse.realsize', '1099511000005')
    const extended = layerTar([{ path: 'PaxHeaders/disk', content: pax }])
    // The type of the member is the 157th byte; its checksum grows with it.
    const block = extended.subarray(0, 1024)
    block[156] = 'x'.charCodeAt(0)
    block.set(new TextEncoder().encode('        '), 148)
    const sum = block.subarray(0, 512).reduce((total, byte) => total + byte, 0)
    block.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, '0')}\0 `), 148)
    const tar = new Uint8Array(Buffer.concat([block, header]))
    const start = performance.now()
    const limits = { ...defaultLimits, tar: { holeBytes: 2 ** 41, contentBytes: 2 ** 42 } }
    const analysis = await analyzeImage(inputOf([tar]), limits)
    expect(analysis.visible).toEqual({ files: 1, bytes: 5 })
    expect(performance.now() - start).toBeLessThan(2000)
  })

  test('is linear where whiteouts, deep paths and long names come by the thousand', async () => {
    const deep = `${'d/'.repeat(400)}f`
    const below = Array.from({ length: 20_000 }, (_, index) => ({ path: `many/f${index}`, content: 'x' }))
    const hiding = Array.from({ length: 20_000 }, (_, index) => ({
      path: index % 2 === 0 ? 'many/.wh..wh..opq' : `.wh.many`,
    }))
    const start = performance.now()
    const analysis = await analyzeFixture([
      {
        createdBy: 'x',
        layer: [...below, { path: deep, content: 'x' }, { path: `long/${'n'.repeat(250)}`, content: 'x' }],
      },
      { createdBy: 'y', layer: [{ path: 'many/own', content: 'y' }, ...hiding, ...below] },
    ])
    expect(analysis.visible.files).toBe(20_003)
    expect(analysis.waste.map(({ path, files }) => [path, files])).toEqual([['/many', 20_000]])
    expect(performance.now() - start).toBeLessThan(20_000)
  }, 30_000)
})

describe('instructionOf()', () => {
  test.each([
    ['RUN /bin/sh -c apt-get update # buildkit', 'RUN apt-get update'],
    ['RUN |2 A=1 B=two words /bin/sh -c echo $A # buildkit', 'RUN echo $A'],
    ['RUN /bin/bash -o pipefail -c curl | sh # buildkit', 'RUN curl | sh'],
    ['/bin/sh -c apt-get update', 'RUN apt-get update'],
    ['/bin/sh -c #(nop) ADD file:1 in / ', 'ADD file:1 in /'],
    ['|1 A=1 /bin/sh -c make', 'RUN make'],
    ['COPY . /app # buildkit', 'COPY . /app'],
    ['CMD ["sh"]', 'CMD ["sh"]'],
    ['', ''],
  ])('of %p is %p', (createdBy, instruction) => expect(instructionOf(createdBy)).toBe(instruction))

  test('takes no time that grows with the square of a text', () => {
    const start = performance.now()
    instructionOf(`RUN |1 ${'/bin/sh -c'.repeat(50_000)}`.replaceAll('-c', '-x'))
    instructionOf(`|9 ${'sh -o '.repeat(50_000)}`)
    expect(performance.now() - start).toBeLessThan(2000)
  })
})
