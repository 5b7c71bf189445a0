import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { failsWith } from '../content/blobs.contract.ts'
import { collectGarbage } from '../content/gc.ts'
import { listImageRecords, listTags } from '../content/image-records.ts'
import { acquireLease } from '../content/leases.ts'
import type { Store } from '../content/store.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import type { ImageIndex } from '../oci/image-index.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { familiarString, parseReference } from '../oci/reference.ts'
import type { ByteSource } from '../streams/source.ts'
import { readMember, readTarFile } from '../tar/reader.ts'
import { configOf, putFixtureImage, tarOf, type TemporaryStore, temporaryStore } from './image-fixtures.ts'
import { listImages } from './list-images.ts'
import { loadImages } from './load-images.ts'
import { putIndex } from './put-image.ts'
import { saveImages } from './save-images.ts'

let from: TemporaryStore
let to: TemporaryStore
let store: Store
beforeEach(() => {
  from = temporaryStore()
  to = temporaryStore()
  store = from.store
})
afterEach(() => {
  from[Symbol.dispose]()
  to[Symbol.dispose]()
})

async function save(names: readonly string[], options: Parameters<typeof saveImages>[3] = {}): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  await saveImages(store, names, (bytes) => void pieces.push(bytes.slice()), options)
  return new Uint8Array(Buffer.concat(pieces))
}

/** Text and order of an archive's members. */
function membersOf(archive: Uint8Array): Map<string, string> {
  const decoder = new TextDecoder()
  return new Map(
    [...readTarFile(archive)].map((member) => [
      member.entry.path,
      decoder.decode(Buffer.concat([...readMember(archive, member)])),
    ]),
  )
}

/** An archive as a file in the other store's directory. */
function archiveFile(bytes: Uint8Array): string {
  const path = join(to.directory, 'archive.tar')
  writeFileSync(path, bytes)
  return path
}

async function* inPieces(bytes: Uint8Array, size = 1000): ByteSource {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

function tagsIn(images: Store): string[] {
  return listTags(images).map(({ name }) => familiarString(parseReference(name)))
}

/** What must hold after a load that was refused. */
function expectUntouched(images: Store): void {
  expect(listImageRecords(images)).toEqual([])
  expect(listTags(images)).toEqual([])
  expect(readdirSync(images.session.directory)).toEqual([])
}

/** Packs a tree below a directory as GNU tar does. */
function gnuTar(tree: string, ...options: string[]): string {
  const path = join(to.directory, 'gnu.tar')
  const { exitCode, stderr } = Bun.spawnSync(['tar', ...options, '-cf', path, '-C', tree, '.'])
  expect(stderr.toString()).toBe('')
  expect(exitCode).toBe(0)
  return path
}

function writeTree(files: Readonly<Record<string, string | Uint8Array>>): string {
  const tree = join(to.directory, 'tree')
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(tree, path, '..'), { recursive: true })
    writeFileSync(join(tree, path), content)
  }
  return tree
}

describe('saveImages()', () => {
  test('writes an OCI layout and a docker-archive in one', async () => {
    const put = await putFixtureImage(store, { tags: ['app:1', 'ghcr.io/me/app:2'], layers: [{ a: '1' }, { b: '2' }] })
    const members = membersOf(await save(['app:1', 'ghcr.io/me/app:2', 'app:1']))
    const hex = (digest: string) => digest.slice('sha256:'.length)
    const layers = [tarOf({ a: '1' }), tarOf({ b: '2' })].map((tar) => `blobs/sha256/${hex(digestOf(tar))}`)
    const blobs = [...layers, `blobs/sha256/${hex(put.imageId)}`, `blobs/sha256/${hex(put.target.digest)}`].toSorted()
    expect([...members.keys()]).toEqual([
      'blobs',
      'blobs/sha256',
      ...blobs,
      'index.json',
      'manifest.json',
      'oci-layout',
    ])
    expect(members.get('oci-layout')).toBe('{"imageLayoutVersion":"1.0.0"}')
    expect(JSON.parse(members.get('manifest.json') ?? '')).toEqual([
      {
        Config: `blobs/sha256/${hex(put.imageId)}`,
        RepoTags: ['app:1', 'ghcr.io/me/app:2'],
        Layers: layers,
      },
    ])
    const index = JSON.parse(members.get('index.json') ?? '') as ImageIndex
    expect(index.manifests.map(({ annotations }) => annotations)).toEqual([
      { 'io.containerd.image.name': 'docker.io/library/app:1', 'org.opencontainers.image.ref.name': '1' },
      { 'io.containerd.image.name': 'ghcr.io/me/app:2', 'org.opencontainers.image.ref.name': '2' },
    ])
  })

  test('writes the same bytes whatever the order of names and the store', async () => {
    for (const images of [from.store, to.store]) {
      await putFixtureImage(images, { tags: ['b', 'c'], layers: [{ x: '2' }] })
      await putFixtureImage(images, { tags: ['a'], layers: [{ x: '1' }] })
    }
    const first = await save(['a', 'b', 'c'])
    store = to.store
    expect(Buffer.compare(await save(['c', 'b', 'a']), first)).toBe(0)
  })

  test('takes all tags of a repository for its bare name', async () => {
    await putFixtureImage(store, { tags: ['app:1', 'app:2'], layers: [{ x: '1' }] })
    await putFixtureImage(store, { tags: ['app:3', 'application'], layers: [{ x: '3' }] })
    const [first, second] = JSON.parse(membersOf(await save(['app'])).get('manifest.json') ?? '') as {
      RepoTags: string[]
    }[]
    expect([first?.RepoTags, second?.RepoTags]).toEqual([['app:1', 'app:2'], ['app:3']])
  })

  test('gives no name to an image asked for by ID', async () => {
    const { imageId } = await putFixtureImage(store, { tags: ['app'] })
    const members = membersOf(await save([imageId.slice(7, 19)]))
    expect(JSON.parse(members.get('manifest.json') ?? '')).toMatchObject([{ RepoTags: null }])
    expect(members.get('index.json')).not.toContain('annotations')
  })

  test('writes nothing when an image or a blob is missing', async () => {
    const { target } = await putFixtureImage(store, { tags: ['app'] })
    let written = 0
    const sink = (bytes: Uint8Array) => void (written += bytes.length)
    await failsWith('IMAGE_UNKNOWN', () => saveImages(store, ['app', 'nothing'], sink))
    const { unlinkSync } = await import('node:fs')
    unlinkSync(store.blobs.path(digestOf(tarOf({ 'etc/name': 'fixture' }))))
    await failsWith('BLOB_UNKNOWN', () => saveImages(store, ['app'], sink))
    unlinkSync(store.blobs.path(target.digest))
    await failsWith('BLOB_UNKNOWN', () => saveImages(store, ['app'], sink))
    expect(written).toBe(0)
  })

  test('waits for the sink and passes its failure on', async () => {
    await putFixtureImage(store, { tags: ['app'], layers: [{ a: 'x'.repeat(5_000_000) }] })
    let isBusy = false
    await saveImages(store, ['app'], async () => {
      expect(isBusy).toBe(false)
      isBusy = true
      await Bun.sleep(1)
      isBusy = false
    })
    const failing = saveImages(store, ['app'], () => Promise.reject(new Error('pipe closed')))
    expect(await failing.catch((error: unknown) => error)).toEqual(new Error('pipe closed'))
  })

  test('is read by GNU tar', async () => {
    await putFixtureImage(store, { tags: ['app'] })
    const path = archiveFile(await save(['app']))
    const { stdout, exitCode } = Bun.spawnSync(['tar', '-tvf', path])
    expect(exitCode).toBe(0)
    expect(stdout.toString()).toContain('1970-01-01')
    expect(stdout.toString().trim().split('\n')).toHaveLength(8)
  })
})

describe('loadImages() of what saveImages() wrote', () => {
  test('gives the same images with the same names, from a file and from a stream', async () => {
    const one = await putFixtureImage(store, {
      tags: ['app:1', 'app:2'],
      layers: [{ a: '1' }, { big: 'x'.repeat(3e6) }],
    })
    const two = await putFixtureImage(store, { tags: ['other'], layers: [{ a: '1' }], compression: 'gzip' })
    const archive = await save(['app', 'other'])
    for (const source of [archiveFile(archive), inPieces(archive)]) {
      using target = temporaryStore()
      const loaded = await loadImages(target.store, source)
      expect(loaded.map(({ imageId, references }) => [imageId, references.map(familiarString)])).toEqual([
        [one.imageId, ['app:1', 'app:2']],
        [two.imageId, ['other:latest']],
      ])
      expect(loaded.map(({ target: { digest } }) => digest)).toEqual([one.target.digest, two.target.digest])
      expect(tagsIn(target.store)).toEqual(['app:1', 'app:2', 'other:latest'])
      expect((await collectGarbage(target.store)).blobs).toEqual([])
      const sizes = (images: Store) => new Map(listImages(images).map(({ imageId, size }) => [imageId, size]))
      expect(sizes(target.store)).toEqual(sizes(store))
      expect(readdirSync(target.store.session.directory)).toEqual([])
    }
  })

  test.each([
    ['gzip', ['gzip', '-c']],
    ['zstd', ['zstd', '-c']],
    ['bzip2', ['bzip2', '-c']],
    ['xz', ['xz', '-c']],
  ])('reads an archive compressed with %s', async (_name, command) => {
    const { imageId } = await putFixtureImage(store, { tags: ['app'], layers: [{ big: 'abc'.repeat(1e5) }] })
    const packed = Bun.spawnSync(command, { stdin: await save(['app']) }).stdout
    const loaded = await loadImages(to.store, archiveFile(packed))
    expect(loaded[0]?.imageId).toBe(imageId)
    expect(tagsIn(to.store)).toEqual(['app:latest'])
  })

  test('reads from a pipe', async () => {
    const { imageId } = await putFixtureImage(store, { tags: ['app'] })
    const path = archiveFile(await save(['app']))
    const fifo = join(to.directory, 'fifo')
    Bun.spawnSync(['mkfifo', fifo])
    const cat = Bun.spawn(['sh', '-c', 'cat "$0" > "$1"', path, fifo])
    const [loaded] = await loadImages(to.store, fifo)
    await cat.exited
    expect(loaded?.imageId).toBe(imageId)
  })

  test('writes nothing again of what the store has, and moves names', async () => {
    const { imageId, target } = await putFixtureImage(store, { tags: ['app'] })
    const path = archiveFile(await save(['app']))
    await loadImages(to.store, path)
    const [again] = await loadImages(to.store, path)
    expect(again).toMatchObject({ imageId, moved: [] })
    await putFixtureImage(to.store, { tags: ['app'], layers: [{ other: 'x' }] })
    const [third] = await loadImages(to.store, path)
    expect(third?.moved).toHaveLength(1)
    expect(third?.target.digest).toBe(target.digest)
  })

  test('keeps an index with all its platforms', async () => {
    const index = await putPlatforms('amd64', 'arm64')
    const [loaded] = await loadImages(to.store, archiveFile(await save(['multi'])))
    expect(loaded).toMatchObject({ imageId: index.imageId, target: { digest: index.target.digest } })
    expect(listImages(to.store)[0]?.platforms.map(({ platform }) => platform.architecture)).toEqual(['amd64', 'arm64'])
    expect((await collectGarbage(to.store)).blobs).toEqual([])
  })

  test('takes one platform where that is asked for, in saving or in loading', async () => {
    const index = await putPlatforms('amd64', 'arm64')
    const arm = { os: 'linux', architecture: 'arm64' }
    const [saved] = await loadImages(to.store, archiveFile(await save(['multi'], { platform: arm })))
    expect(saved?.target).toMatchObject({ platform: arm })
    expect(listImages(to.store)).toHaveLength(1)
    const [loaded] = await loadImages(to.store, archiveFile(await save(['multi'])), { platform: arm })
    expect(loaded?.target.digest).toBe(index.target.digest)
    expect(listImages(to.store)[0]?.platforms.map(({ platform }) => platform.architecture)).toEqual(['arm64'])
    const riscv = { os: 'linux', architecture: 'riscv64' }
    const path = archiveFile(await save(['multi']))
    await failsWith('IMAGE_PLATFORM', () => loadImages(to.store, path, { platform: riscv }))
  })

  test('makes a whole archive of an index that the store has in part, and tells what is missing', async () => {
    const index = await putPlatforms('amd64', 'arm64', 's390x')
    const children = (JSON.parse(new TextDecoder().decode(store.blobs.readAll(index.target.digest, 1e6))) as ImageIndex)
      .manifests
    const { unlinkSync } = await import('node:fs')
    unlinkSync(store.blobs.path(children[1]?.digest as Digest))
    const report = await saveImages(store, ['multi'], () => {})
    expect(report.missing).toEqual([children[1] as never])
    const [loaded] = await loadImages(to.store, archiveFile(await save(['multi'])))
    expect(loaded?.target.digest).not.toBe(index.target.digest)
    expect(listImages(to.store)[0]?.platforms.map(({ platform }) => platform.architecture)).toEqual(['amd64', 's390x'])
    unlinkSync(store.blobs.path(children[2]?.digest as Digest))
    using third = temporaryStore()
    const [single] = await loadImages(third.store, archiveFile(await save(['multi'])))
    expect(single?.target.digest).toBe(children[0]?.digest as Digest)
  })

  async function putPlatforms(...architectures: string[]): Promise<Awaited<ReturnType<typeof putIndex>>> {
    using lease = acquireLease(store)
    const manifests = []
    for (const architecture of architectures) {
      const image = { layers: [{ arch: architecture }], config: { architecture }, isPart: true }
      manifests.push((await putFixtureImage(store, image, lease)).target)
    }
    return await putIndex(store, { manifests, tags: [parseReference('multi')], lease })
  }
})

describe('loadImages() of docker-archives', () => {
  const base = tarOf({ 'etc/os-release': 'ID=test' })
  const top = tarOf({ app: 'x'.repeat(100_000) })
  const config = JSON.stringify(configOf([digestOf(base), digestOf(top)]))
  const imageId = digestOf(config)
  const configPath = `${imageId.slice(7)}.json`
  const list = (...entries: object[]) => JSON.stringify(entries)

  test('reads the layout of docker before 25: <id>/layer.tar', async () => {
    const tree = writeTree({
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
    const [loaded] = await loadImages(to.store, gnuTar(tree))
    expect(loaded?.imageId).toBe(imageId)
    expect(tagsIn(to.store)).toEqual(['old/app:1', 'old/app:2'])
    expect(to.store.blobs.readAll(digestOf(top), 1e6)).toEqual(top)
    expect((await collectGarbage(to.store)).blobs).toEqual([])
  })

  test.each([['--format=pax'], ['--format=gnu'], ['--format=ustar'], ['--format=v7']])(
    'follows links to layers, as written by tar %s',
    async (format) => {
      const twice = JSON.stringify(configOf([digestOf(base), digestOf(top), digestOf(base), digestOf(base)]))
      const tree = writeTree({
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
      const { linkSync } = await import('node:fs')
      linkSync(join(tree, 'aaa/layer.tar'), join(tree, 'ddd.tar'))
      const [loaded] = await loadImages(to.store, gnuTar(tree, format))
      expect(loaded).toMatchObject({ imageId: digestOf(twice), references: [] })
      expect(listImages(to.store)[0]?.isDangling).toBe(true)
    },
  )

  test('keeps layers that come compressed, and unpacks those no image may have so', async () => {
    const gzipped = Bun.gzipSync(base)
    const packed = Bun.spawnSync(['xz', '-c'], { stdin: top }).stdout
    const tree = writeTree({
      [configPath]: config,
      'one.tar.gz': gzipped,
      'two.tar.xz': packed,
      'manifest.json': list({ Config: configPath, RepoTags: ['a'], Layers: ['one.tar.gz', 'two.tar.xz'] }),
    })
    const [loaded] = await loadImages(to.store, gnuTar(tree))
    expect(loaded?.imageId).toBe(imageId)
    expect(to.store.blobs.has(digestOf(gzipped))).toBe(true)
    expect(to.store.blobs.has(digestOf(top))).toBe(true)
    expect(to.store.blobs.has(digestOf(packed))).toBe(false)
    expect(listImages(to.store)[0]?.size.unpacked).toBe(base.length + top.length)
  })

  test('reads an image without layers', async () => {
    const empty = JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: null } })
    const tree = writeTree({
      'c.json': empty,
      'manifest.json': list({ Config: 'c.json', RepoTags: ['e'], Layers: null }),
    })
    expect((await loadImages(to.store, gnuTar(tree)))[0]?.imageId).toBe(digestOf(empty))
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
    const tree = writeTree({ [configPath]: config, 'aaa.tar': base, ...files })
    const path = gnuTar(tree)
    for (const source of [path, inPieces(new Uint8Array(readFileSync(path)), 70_000)]) {
      const error = await failsWith(code, () => loadImages(to.store, source))
      expect(error.message).toContain(message)
      expectUntouched(to.store)
    }
  })

  test('refuses links that lead nowhere or in a circle', async () => {
    const tree = writeTree({ 'manifest.json': list({ Config: 'a.json', Layers: [] }) })
    symlinkSync('b.json', join(tree, 'a.json'))
    symlinkSync('a.json', join(tree, 'b.json'))
    const circle = await failsWith('ARCHIVE_INVALID', () => loadImages(to.store, gnuTar(tree)))
    expect(circle.message).toContain('too many links')
    const tree2 = writeTree({ 'manifest.json': list({ Config: 'out.json', Layers: [] }) })
    writeFileSync(join(to.directory, 'secret.json'), config)
    symlinkSync(join(to.directory, 'secret.json'), join(tree2, 'out.json'))
    const outside = await failsWith('ARCHIVE_INVALID', () => loadImages(to.store, gnuTar(tree2)))
    expect(outside.message).toContain('lacks out.json')
    expectUntouched(to.store)
  })

  test('refuses sparse files and members given twice', async () => {
    const tree = writeTree({ 'manifest.json': list({ Config: 'c', Layers: [] }), sparse: 'x' })
    Bun.spawnSync(['truncate', '-s', '1G', join(tree, 'sparse')])
    const sparse = await failsWith('ARCHIVE_INVALID', () => loadImages(to.store, gnuTar(tree, '--sparse')))
    expect(sparse.message).toContain('has the sparse file "./sparse"')
    const path = gnuTar(writeTree({ sparse: 'x' }))
    Bun.spawnSync(['tar', '-rf', path, '-C', join(to.directory, 'tree'), './manifest.json'])
    const twice = await failsWith('ARCHIVE_INVALID', () => loadImages(to.store, path))
    expect(twice.message).toContain('has "manifest.json" twice')
    expectUntouched(to.store)
  })

  test('refuses what is no archive of images', async () => {
    const nothing = await failsWith('ARCHIVE_INVALID', () => loadImages(to.store, archiveFile(base)))
    expect(nothing.message).toContain('has neither index.json and oci-layout nor manifest.json')
    for (const bytes of ['', 'x'.repeat(10_000), new Uint8Array(5000).fill(0xff)])
      await failsWith('ARCHIVE_INVALID', () => loadImages(to.store, archiveFile(new Uint8Array(Buffer.from(bytes)))))
    const cut = Bun.gzipSync(top).subarray(0, 80)
    await failsWith('ARCHIVE_INVALID', () => loadImages(to.store, archiveFile(cut)))
    await failsWith('FILE_UNKNOWN', () => loadImages(to.store, '/no/such/file'))
    expectUntouched(to.store)
  })
})

describe('loadImages() of OCI archives', () => {
  const layer = tarOf({ a: '1' })

  interface Layout {
    readonly config?: object
    readonly layers?: readonly Uint8Array[]
    readonly manifest?: (manifest: Record<string, unknown>) => object
    readonly entry?: object
    readonly files?: Readonly<Record<string, string | Uint8Array>>
    /** Replaces a blob after its digest was taken. */
    readonly corrupt?: (blobs: Map<string, Uint8Array>) => void
  }

  /** An archive whose parts are as asked for and fit each other otherwise. */
  function layoutArchive(layout: Layout = {}): string {
    const blobs = new Map<string, Uint8Array>()
    const put = (bytes: Uint8Array | string, mediaType: string) => {
      const raw = typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes
      const digest = digestOf(raw)
      blobs.set(digest.slice(7), raw)
      return { mediaType, digest, size: raw.length }
    }
    const layers = layout.layers ?? [layer]
    const descriptors = layers.map((bytes) => put(Bun.gzipSync(new Uint8Array(bytes)), mediaTypes.ociLayerGzip))
    const config = put(
      JSON.stringify(layout.config ?? configOf(layers.map((bytes) => digestOf(bytes)))),
      mediaTypes.ociConfig,
    )
    const plain = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: descriptors }
    const manifest = put(JSON.stringify(layout.manifest?.(plain) ?? plain), mediaTypes.ociManifest)
    layout.corrupt?.(blobs)
    const files = Object.fromEntries([...blobs].map(([hex, bytes]) => [`blobs/sha256/${hex}`, bytes]))
    const entry = { ...manifest, ...layout.entry }
    return gnuTar(
      writeTree({
        ...files,
        'index.json': JSON.stringify({ schemaVersion: 2, manifests: [entry] }),
        'oci-layout': '{"imageLayoutVersion":"1.0.0"}',
        ...layout.files,
      }),
    )
  }

  const named = (name: string) => ({ annotations: { 'org.opencontainers.image.ref.name': name } })

  test.each([
    ['a whole reference', 'localhost/app:1', ['localhost/app:1']],
    ['a mere tag, which names nothing', 'latest', []],
  ])('takes as name %s', async (_case, name, tags) => {
    const [loaded] = await loadImages(to.store, layoutArchive({ entry: named(name) }))
    expect(loaded?.references.map(familiarString)).toEqual(tags)
  })

  test('takes names from manifest.json where the layout has none', async () => {
    const config = configOf([digestOf(layer)])
    const path = `blobs/sha256/${digestOf(JSON.stringify(config)).slice(7)}`
    const files = { 'manifest.json': JSON.stringify([{ Config: path, RepoTags: ['from/docker:1'], Layers: [] }]) }
    await loadImages(to.store, layoutArchive({ config, files }))
    expect(tagsIn(to.store)).toEqual(['from/docker:1'])
  })

  test('refuses a manifest.json that speaks of another image', async () => {
    const files = {
      'manifest.json': JSON.stringify([{ Config: 'other.json', RepoTags: ['evil'], Layers: [] }]),
      'other.json': JSON.stringify(configOf([])),
    }
    const error = await failsWith('ARCHIVE_INVALID', () => loadImages(to.store, layoutArchive({ files })))
    expect(error.message).toContain('an image that index.json does not lead to')
    expectUntouched(to.store)
  })

  test('keeps an artifact that is no image', async () => {
    const manifest = (plain: Record<string, unknown>) => ({
      ...plain,
      artifactType: 'application/x',
      config: { ...(plain['config'] as object), mediaType: 'application/vnd.oci.empty.v1+json' },
    })
    const [loaded] = await loadImages(to.store, layoutArchive({ manifest, entry: named('localhost/artifact:1') }))
    expect(loaded?.imageId).toBe(loaded?.target.digest as Digest)
    expect((await collectGarbage(to.store)).blobs).toEqual([])
  })

  test('reads an index within the index', async () => {
    const path = layoutArchive({ entry: named('x/y:z') })
    const members = membersOf(new Uint8Array(readFileSync(path)))
    const inner = members.get('./index.json') ?? members.get('index.json') ?? ''
    const nested = JSON.stringify({
      schemaVersion: 2,
      manifests: [{ mediaType: mediaTypes.ociIndex, digest: digestOf(inner), size: inner.length }],
    })
    const tree = writeTree({ [`blobs/sha256/${digestOf(inner).slice(7)}`]: inner, 'index.json': nested })
    const [loaded] = await loadImages(to.store, gnuTar(tree))
    expect(loaded?.target).toEqual({ mediaType: mediaTypes.ociIndex, digest: digestOf(inner), size: inner.length })
    expect(listImages(to.store)[0]?.platforms).toHaveLength(1)
  })

  const wrongLayer = (change: object) => (manifest: Record<string, unknown>) => ({
    ...manifest,
    layers: (manifest['layers'] as object[]).map((descriptor) => ({ ...descriptor, ...change })),
  })

  test.each<[string, Parameters<typeof failsWith>[0], string, Layout]>([
    ['a layer size that is wrong', 'BLOB_CORRUPT', 'bytes', { manifest: wrongLayer({ size: 7 }) }],
    ['a negative size', 'MANIFEST_INVALID', 'layers[0].size', { manifest: wrongLayer({ size: -1 }) }],
    [
      'a digest that is a path',
      'MANIFEST_INVALID',
      'layers[0].digest',
      { manifest: wrongLayer({ digest: 'sha256:../../x' }) },
    ],
    ['a diff ID that is wrong', 'BLOB_CORRUPT', 'unpacks to', { config: configOf([digestOf('x')]) }],
    ['layers without diff IDs', 'MANIFEST_INVALID', '1 layers', { config: configOf([]) }],
    [
      'fields of manifest and index',
      'MANIFEST_INVALID',
      'of an image index',
      { manifest: (m) => ({ ...m, manifests: [] }) },
    ],
    [
      'a media type unlike its descriptor',
      'MANIFEST_INVALID',
      'not that of a manifest',
      { manifest: (m) => ({ ...m, mediaType: mediaTypes.ociIndex }) },
    ],
    ['an entry of unknown type', 'MANIFEST_INVALID', 'not the media type', { entry: { mediaType: 'text/plain' } }],
    ['an entry of wrong size', 'BLOB_CORRUPT', 'is in the archive as', { entry: { size: 3 } }],
    ['a manifest that is not there', 'ARCHIVE_INVALID', 'lacks blobs/sha256/', { entry: { digest: digestOf('x') } }],
    [
      'a manifest too big',
      'LIMIT_EXCEEDED',
      'larger than the limit',
      { manifest: (m) => ({ ...m, annotations: { x: 'A'.repeat(5_000_000) } }) },
    ],
    [
      'a layout of the future',
      'ARCHIVE_INVALID',
      'imageLayoutVersion',
      { files: { 'oci-layout': '{"imageLayoutVersion":"9"}' } },
    ],
    ['a name that is none', 'ARCHIVE_INVALID', 'names an image', { entry: named('a//b:') }],
  ])('refuses %s', async (_case, code, message, layout) => {
    const path = layoutArchive(layout)
    for (const source of [path, inPieces(new Uint8Array(readFileSync(path)), 70_000)]) {
      const error = await failsWith(code, () => loadImages(to.store, source))
      expect(error.message).toContain(message)
      expectUntouched(to.store)
    }
  })

  test('refuses an archive in which any one blob has a bit flipped', async () => {
    for (let victim = 0; victim < 3; victim++) {
      using target = temporaryStore()
      const path = layoutArchive({
        corrupt: (blobs) => {
          const [hex, bytes] = [...blobs][victim] as [string, Uint8Array]
          const flipped = bytes.slice()
          flipped[flipped.length >> 1] = (flipped[flipped.length >> 1] as number) ^ 1
          blobs.set(hex, flipped)
        },
      })
      for (const source of [path, inPieces(new Uint8Array(readFileSync(path)))]) {
        await failsWith('BLOB_CORRUPT', () => loadImages(target.store, source))
        expectUntouched(target.store)
      }
    }
  })
})
