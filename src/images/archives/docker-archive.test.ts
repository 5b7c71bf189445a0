import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { linkSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { failsWith } from '../../content/blobs.contract.ts'
import { collectGarbage } from '../../content/gc.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import { archiveFile, expectUntouched, gnuTar, inPieces, tagsIn, writeTree } from './archive-fixtures.ts'
import { configOf, tarOf, type TemporaryStore, temporaryStore } from '../image-fixtures.ts'
import { listImages } from '../records/list-images.ts'
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

  describe('of docker before 1.10', () => {
    const ids = ['a', 'b', 'c'].map((letter) => letter.repeat(64))
    const [lowest, middle, newest] = ids as [string, string, string]
    const layerJson = (index: number, fields: object = {}): string =>
      JSON.stringify({
        id: ids[index],
        ...(index === 0 ? {} : { parent: ids[index - 1] }),
        created: `2015-10-0${index + 1}T01:02:03.1234567${index}0Z`,
        container: 'c'.repeat(64),
        container_config: { Cmd: ['/bin/sh', '-c', `#(nop) step ${index} && <x>`] },
        docker_version: '1.9.1',
        config: { Hostname: 'abc', User: '', Env: ['PATH=/bin'], Cmd: ['sh', '-c', 'a && b <c>'], Labels: null },
        architecture: 'amd64',
        os: 'linux',
        Size: 1,
        ...fields,
      })
    const members = {
      [`${lowest}/VERSION`]: '1.0',
      [`${lowest}/json`]: layerJson(0),
      [`${lowest}/layer.tar`]: base,
      [`${middle}/json`]: layerJson(1, { author: 'me' }),
      [`${middle}/layer.tar`]: top,
      [`${newest}/json`]: layerJson(2, { comment: 'hi' }),
      [`${newest}/layer.tar`]: tarOf({}),
      repositories: JSON.stringify({ 'old/app': { 1: newest, base: lowest }, other: { latest: newest } }),
    }

    test('makes the config that docker makes, so that images have the ID they have there', async () => {
      const images = await loadImages(to.store, gnuTar(to.directory, writeTree(to.directory, members)))
      expect(tagsIn(to.store)).toEqual(['other:latest', 'old/app:1', 'old/app:base'])
      const config = new TextDecoder().decode(to.store.blobs.readAll(images[0]?.imageId as Digest, 1e6))
      // What docker 28.5 made of it, but for the diff IDs.
      expect(config).toBe(
        String.raw`{"architecture":"amd64","comment":"hi","config":{"Hostname":"abc","User":"","Env":["PATH=/bin"],` +
          String.raw`"Cmd":["sh","-c","a \u0026\u0026 b \u003cc\u003e"],"Labels":null},"container":"${'c'.repeat(64)}",` +
          String.raw`"container_config":{"Cmd":["/bin/sh","-c","#(nop) step 2 \u0026\u0026 \u003cx\u003e"]},` +
          String.raw`"created":"2015-10-03T01:02:03.123456720Z","docker_version":"1.9.1","history":[` +
          String.raw`{"created":"2015-10-01T01:02:03.1234567Z","created_by":"/bin/sh -c #(nop) step 0 \u0026\u0026 \u003cx\u003e"},` +
          String.raw`{"created":"2015-10-02T01:02:03.12345671Z","created_by":"/bin/sh -c #(nop) step 1 \u0026\u0026 \u003cx\u003e","author":"me"},` +
          String.raw`{"created":"2015-10-03T01:02:03.12345672Z","created_by":"/bin/sh -c #(nop) step 2 \u0026\u0026 \u003cx\u003e","comment":"hi"}],` +
          `"os":"linux","rootfs":{"type":"layers","diff_ids":["${digestOf(base)}","${digestOf(top)}","${digestOf(tarOf({}))}"]}}`,
      )
    })

    test.each([
      ['a parent that is not there', { [`${middle}/json`]: layerJson(1, { parent: 'd'.repeat(64) }) }, 'lacks dddd'],
      ['a parent that is its own child', { [`${lowest}/json`]: layerJson(0, { parent: newest }) }, 'more than 500'],
      ['an ID that is a path', { repositories: '{"x":{"1":"../../etc"}}' }, 'not 64 hex digits'],
      ['no names', { repositories: '{}' }, 'names no image'],
      ['a key given twice', { repositories: `{"x":{"1":"${newest}","1":"${lowest}"}}` }, 'twice'],
      ['a layer that is not there', { [`${middle}/layer.tar`]: undefined }, 'lacks bbbb'],
    ])('refuses %s', async (_what, changes, text) => {
      const files = Object.entries({ ...members, ...changes }).filter(([, content]) => content !== undefined)
      const tree = writeTree(to.directory, Object.fromEntries(files) as Record<string, string>)
      const { message } = await failsWith('ARCHIVE_INVALID', () => loadImages(to.store, gnuTar(to.directory, tree)))
      expect(message).toContain(text)
      expect(tagsIn(to.store)).toEqual([])
    })
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
