import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { linkSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { failsWith } from '../content/blobs.contract.ts'
import { collectGarbage } from '../content/gc.ts'
import { digestOf } from '../oci/digest.ts'
import { archiveFile, expectUntouched, gnuTar, inPieces, tagsIn, writeTree } from './archive-fixtures.ts'
import { configOf, tarOf, type TemporaryStore, temporaryStore } from './image-fixtures.ts'
import { listImages } from './list-images.ts'
import { loadImages } from './load-images.ts'

let to: TemporaryStore
beforeEach(() => {
  to = temporaryStore()
})
afterEach(() => to[Symbol.dispose]())

describe('loadImages() of docker-archives', () => {
  const base = tarOf({ 'etc/os-release': 'ID=test' })
  const top = tarOf({ app: 'x'.repeat(100_000) })
  const config = JSON.stringify(configOf([digestOf(base), digestOf(top)]))
  const imageId = digestOf(config)
  const configPath = `${imageId.slice(7)}.json`
  const list = (...entries: object[]) => JSON.stringify(entries)

  test('reads the layout of docker before 25: <id>/layer.tar', async () => {
    const tree = writeTree(to.directory, {
      [configPath]: config,
      'aaa/VERSION': '1.0',
      'aaa/json': '{}',
      'aaa/layer.tar': base,
      'bbb/layer.tar': top,
      'manifest.json': list({
        Config: configPath,
        RepoTags: ['old/app:1', 'old/app:2'],
        Layers: ['aaa/layer.tar', 'bbb/layer.tar'],
      }),
      repositories: '{}',
    })
    const [loaded] = await loadImages(to.store, gnuTar(to.directory, tree))
    expect(loaded?.imageId).toBe(imageId)
    expect(tagsIn(to.store)).toEqual(['old/app:1', 'old/app:2'])
    expect(to.store.blobs.readAll(digestOf(top), 1e6)).toEqual(top)
    expect((await collectGarbage(to.store)).blobs).toEqual([])
  })

  test.each([['--format=pax'], ['--format=gnu'], ['--format=ustar'], ['--format=v7']])(
    'follows links to layers, as written by tar %s',
    async (format) => {
      const twice = JSON.stringify(configOf([digestOf(base), digestOf(top), digestOf(base), digestOf(base)]))
      const tree = writeTree(to.directory, {
        'config.json': twice,
        'aaa/layer.tar': base,
        'bbb/layer.tar': top,
        'ccc/VERSION': '1.0',
        'manifest.json': list({
          Config: 'config.json',
          RepoTags: null,
          Layers: ['aaa/layer.tar', './bbb//layer.tar', 'ccc/layer.tar', 'ddd.tar'],
        }),
      })
      symlinkSync('../aaa/layer.tar', join(tree, 'ccc/layer.tar'))
      linkSync(join(tree, 'aaa/layer.tar'), join(tree, 'ddd.tar'))
      const [loaded] = await loadImages(to.store, gnuTar(to.directory, tree, format))
      expect(loaded).toMatchObject({ imageId: digestOf(twice), references: [] })
      expect(listImages(to.store)[0]?.isDangling).toBe(true)
    },
  )

  test('keeps layers that come compressed, and unpacks those no image may have so', async () => {
    const gzipped = Bun.gzipSync(base)
    const packed = Bun.spawnSync(['xz', '-c'], { stdin: top }).stdout
    const tree = writeTree(to.directory, {
      [configPath]: config,
      'one.tar.gz': gzipped,
      'two.tar.xz': packed,
      'manifest.json': list({ Config: configPath, RepoTags: ['a'], Layers: ['one.tar.gz', 'two.tar.xz'] }),
    })
    const [loaded] = await loadImages(to.store, gnuTar(to.directory, tree))
    expect(loaded?.imageId).toBe(imageId)
    expect(to.store.blobs.has(digestOf(gzipped))).toBe(true)
    expect(to.store.blobs.has(digestOf(top))).toBe(true)
    expect(to.store.blobs.has(digestOf(packed))).toBe(false)
    expect(listImages(to.store)[0]?.platforms[0]?.unpackedSize).toBe(base.length + top.length)
  })

  test('reads an image without layers', async () => {
    const empty = JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: null } })
    const tree = writeTree(to.directory, {
      'c.json': empty,
      'manifest.json': list({ Config: 'c.json', RepoTags: ['e'], Layers: null }),
    })
    expect((await loadImages(to.store, gnuTar(to.directory, tree)))[0]?.imageId).toBe(digestOf(empty))
  })

  test.each([
    [
      'ARCHIVE_INVALID',
      'lacks bbb.tar',
      { 'manifest.json': list({ Config: configPath, Layers: ['aaa.tar', 'bbb.tar'] }) },
    ],
    [
      'ARCHIVE_INVALID',
      'lacks ../../etc/passwd',
      { 'manifest.json': list({ Config: '../../etc/passwd', Layers: [] }) },
    ],
    ['ARCHIVE_INVALID', '[0].Config is missing', { 'manifest.json': list({ Layers: [] }) }],
    ['ARCHIVE_INVALID', '[0].Layers is not a list', { 'manifest.json': list({ Config: configPath, Layers: 'x' }) }],
    [
      'ARCHIVE_INVALID',
      '[0].RepoTags is not a list',
      { 'manifest.json': list({ Config: configPath, RepoTags: 'x', Layers: [] }) },
    ],
    ['ARCHIVE_INVALID', 'lists no images', { 'manifest.json': '[]' }],
    ['ARCHIVE_INVALID', 'is not JSON', { 'manifest.json': '[' }],
    [
      'ARCHIVE_INVALID',
      '1 layers, but that has 2',
      { 'manifest.json': list({ Config: configPath, Layers: ['aaa.tar'] }) },
    ],
    [
      'ARCHIVE_INVALID',
      'names an image "Not A Name"',
      {
        'b.tar': top,
        'manifest.json': list({ Config: configPath, RepoTags: ['Not A Name'], Layers: ['aaa.tar', 'b.tar'] }),
      },
    ],
    [
      'BLOB_CORRUPT',
      'arrived as',
      { 'b.tar': base, 'manifest.json': list({ Config: configPath, Layers: ['aaa.tar', 'b.tar'] }) },
    ],
    [
      'BLOB_CORRUPT',
      'but its image config says',
      {
        'b.tar.gz': Bun.gzipSync(base),
        'manifest.json': list({ Config: configPath, Layers: ['aaa.tar', 'b.tar.gz'] }),
      },
    ],
    [
      'COMPRESSION_INVALID',
      '',
      {
        'b.gz': Bun.gzipSync(top).slice(0, 60),
        'manifest.json': list({ Config: configPath, Layers: ['aaa.tar', 'b.gz'] }),
      },
    ],
    [
      'BLOB_CORRUPT',
      'has the digest',
      { [configPath]: config.replace('sh', 'id'), 'manifest.json': list({ Config: configPath, Layers: [] }) },
    ],
    [
      'CONFIG_INVALID',
      'os is missing',
      { 'c.json': '{"architecture":"x"}', 'manifest.json': list({ Config: 'c.json', Layers: [] }) },
    ],
  ] as const)('fails with %s: %s', async (code, message, files) => {
    const tree = writeTree(to.directory, { [configPath]: config, 'aaa.tar': base, ...files })
    const path = gnuTar(to.directory, tree)
    for (const source of [path, inPieces(new Uint8Array(readFileSync(path)), 70_000)]) {
      const error = await failsWith(code, () => loadImages(to.store, source))
      expect(error.message).toContain(message)
      expectUntouched(to.store)
    }
  })

  test('refuses links that lead nowhere or in a circle', async () => {
    const tree = writeTree(to.directory, { 'manifest.json': list({ Config: 'a.json', Layers: [] }) })
    symlinkSync('b.json', join(tree, 'a.json'))
    symlinkSync('a.json', join(tree, 'b.json'))
    const circle = await failsWith('ARCHIVE_INVALID', () => loadImages(to.store, gnuTar(to.directory, tree)))
    expect(circle.message).toContain('too many links')
    const tree2 = writeTree(to.directory, { 'manifest.json': list({ Config: 'out.json', Layers: [] }) })
    writeFileSync(join(to.directory, 'secret.json'), config)
    symlinkSync(join(to.directory, 'secret.json'), join(tree2, 'out.json'))
    const outside = await failsWith('ARCHIVE_INVALID', () => loadImages(to.store, gnuTar(to.directory, tree2)))
    expect(outside.message).toContain('lacks out.json')
    expectUntouched(to.store)
  })

  test('refuses sparse files and members given twice', async () => {
    const tree = writeTree(to.directory, { 'manifest.json': list({ Config: 'c', Layers: [] }), sparse: 'x' })
    Bun.spawnSync(['truncate', '-s', '1G', join(tree, 'sparse')])
    const sparse = await failsWith('ARCHIVE_INVALID', () =>
      loadImages(to.store, gnuTar(to.directory, tree, '--sparse')),
    )
    expect(sparse.message).toContain('has the sparse file "./sparse"')
    const path = gnuTar(to.directory, writeTree(to.directory, { sparse: 'x' }))
    Bun.spawnSync(['tar', '-rf', path, '-C', join(to.directory, 'tree'), './manifest.json'])
    const twice = await failsWith('ARCHIVE_INVALID', () => loadImages(to.store, path))
    expect(twice.message).toContain('has "manifest.json" twice')
    expectUntouched(to.store)
  })

  test('refuses what is no archive of images', async () => {
    const nothing = await failsWith('ARCHIVE_INVALID', () => loadImages(to.store, archiveFile(to.directory, base)))
    expect(nothing.message).toContain('has neither index.json and oci-layout nor manifest.json')
    for (const bytes of ['', 'x'.repeat(10_000), new Uint8Array(5000).fill(0xff)])
      await failsWith('ARCHIVE_INVALID', () =>
        loadImages(to.store, archiveFile(to.directory, new Uint8Array(Buffer.from(bytes)))),
      )
    const cut = Bun.gzipSync(top).subarray(0, 80)
    await failsWith('ARCHIVE_INVALID', () => loadImages(to.store, archiveFile(to.directory, cut)))
    await failsWith('FILE_UNKNOWN', () => loadImages(to.store, '/no/such/file'))
    expectUntouched(to.store)
  })
})
