import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdirSync, readdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { Children } from '../../../test/fixtures/children.ts'
import { failsWith } from '../../content/blobs.contract.ts'
import { collectGarbage } from '../../content/gc.ts'
import { acquireLease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import type { ImageIndex } from '../../oci/image-index.ts'
import { hostPlatform } from '../../oci/platform.ts'
import { familiarString, parseReference } from '../../oci/reference.ts'
import { archiveFile, inPieces, membersOf, save, tagsIn } from './archive-fixtures.ts'
import { putFixtureImage, tarOf, type TemporaryStore, temporaryStore } from '../image-fixtures.ts'
import { listImages } from '../records/list-images.ts'
import { loadImages } from './load-images.ts'
import { putIndex } from '../records/put-image.ts'
import { removeImage } from '../records/remove-image.ts'
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

describe('saveImages()', () => {
  test('saves an image that is removed while it is looked at, and then lets it go', async () => {
    const { target } = await putFixtureImage(store, { tags: ['app'] })
    const bytes: Uint8Array[] = []
    const saving = saveImages(store, ['app'], (piece) => void bytes.push(piece), { platform: hostPlatform() })
    removeImage(store, 'app')
    const [{ targets }] = await Promise.all([saving, collectGarbage(store)])
    expect(targets.map(({ digest }) => digest)).toEqual([target.digest])
    expect(bytes.length).toBeGreaterThan(0)
    expect(store.blobs.has(target.digest)).toBe(false)
  })

  test('writes an OCI layout and a docker-archive in one', async () => {
    const put = await putFixtureImage(store, { tags: ['app:1', 'ghcr.io/me/app:2'], layers: [{ a: '1' }, { b: '2' }] })
    const members = membersOf(await save(store, ['app:1', 'ghcr.io/me/app:2', 'app:1']))
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
    const first = await save(store, ['a', 'b', 'c'])
    store = to.store
    expect(Buffer.compare(await save(store, ['c', 'b', 'a']), first)).toBe(0)
  })

  test('takes all tags of a repository for its bare name', async () => {
    await putFixtureImage(store, { tags: ['app:1', 'app:2'], layers: [{ x: '1' }] })
    await putFixtureImage(store, { tags: ['app:3', 'application'], layers: [{ x: '3' }] })
    const [first, second] = JSON.parse(membersOf(await save(store, ['app'])).get('manifest.json') ?? '') as {
      RepoTags: string[]
    }[]
    expect([first?.RepoTags, second?.RepoTags]).toEqual([['app:1', 'app:2'], ['app:3']])
  })

  test('gives no name to an image asked for by ID', async () => {
    const { imageId } = await putFixtureImage(store, { tags: ['app'] })
    const members = membersOf(await save(store, [imageId.slice(7, 19)]))
    expect(JSON.parse(members.get('manifest.json') ?? '')).toMatchObject([{ RepoTags: null }])
    expect(members.get('index.json')).not.toContain('annotations')
  })

  test('writes nothing when an image or a blob is missing', async () => {
    const { target } = await putFixtureImage(store, { tags: ['app'] })
    let written = 0
    const sink = (bytes: Uint8Array) => void (written += bytes.length)
    await failsWith('IMAGE_UNKNOWN', () => saveImages(store, ['app', 'nothing'], sink))
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
    const path = archiveFile(to.directory, await save(store, ['app']))
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
    const archive = await save(store, ['app', 'other'])
    for (const source of [archiveFile(to.directory, archive), inPieces(archive)]) {
      using target = temporaryStore()
      const loaded = await loadImages(target.store, source)
      expect(loaded.map(({ imageId, references }) => [imageId, references.map(familiarString)])).toEqual([
        [one.imageId, ['app:1', 'app:2']],
        [two.imageId, ['other:latest']],
      ])
      expect(loaded.map(({ target: { digest } }) => digest)).toEqual([one.target.digest, two.target.digest])
      expect(tagsIn(target.store)).toEqual(['app:1', 'app:2', 'other:latest'])
      expect((await collectGarbage(target.store)).blobs).toEqual([])
      const sizes = (images: Store) => new Map(listImages(images).map(({ imageId, platforms }) => [imageId, platforms]))
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
    const packed = Bun.spawnSync(command, { stdin: await save(store, ['app']) }).stdout
    const loaded = await loadImages(to.store, archiveFile(to.directory, packed))
    expect(loaded[0]?.imageId).toBe(imageId)
    expect(tagsIn(to.store)).toEqual(['app:latest'])
  })

  test('reads from a pipe', async () => {
    const { imageId } = await putFixtureImage(store, { tags: ['app'] })
    const path = archiveFile(to.directory, await save(store, ['app']))
    const fifo = join(to.directory, 'fifo')
    Bun.spawnSync(['mkfifo', fifo])
    using children = new Children()
    const cat = children.add(Bun.spawn(['sh', '-c', 'cat "$0" > "$1"', path, fifo]))
    const [loaded] = await loadImages(to.store, fifo)
    await cat.exited
    expect(loaded?.imageId).toBe(imageId)
  })

  test('writes nothing again of what the store has, and moves names', async () => {
    const { imageId, target } = await putFixtureImage(store, { tags: ['app'] })
    const path = archiveFile(to.directory, await save(store, ['app']))
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
    const [loaded] = await loadImages(to.store, archiveFile(to.directory, await save(store, ['multi'])))
    expect(loaded).toMatchObject({ imageId: index.imageId, target: { digest: index.target.digest } })
    expect(listImages(to.store)[0]?.platforms.map(({ platform }) => platform.architecture)).toEqual(['amd64', 'arm64'])
    expect((await collectGarbage(to.store)).blobs).toEqual([])
  })

  test('takes one platform where that is asked for, in saving or in loading', async () => {
    const index = await putPlatforms('amd64', 'arm64')
    const arm = { os: 'linux', architecture: 'arm64' }
    const [saved] = await loadImages(
      to.store,
      archiveFile(to.directory, await save(store, ['multi'], { platform: arm })),
    )
    expect(saved?.target).toMatchObject({ platform: arm })
    expect(listImages(to.store)).toHaveLength(1)
    const [loaded] = await loadImages(to.store, archiveFile(to.directory, await save(store, ['multi'])), {
      platform: arm,
    })
    expect(loaded?.target.digest).toBe(index.target.digest)
    expect(listImages(to.store)[0]?.platforms.map(({ platform }) => platform.architecture)).toEqual(['arm64'])
    const riscv = { os: 'linux', architecture: 'riscv64' }
    const path = archiveFile(to.directory, await save(store, ['multi']))
    await failsWith('IMAGE_PLATFORM', () => loadImages(to.store, path, { platform: riscv }))
  })

  test.each(['index.json', 'manifest.json'])(
    'takes no image for another platform out of an archive without %s',
    async (other) => {
      await putFixtureImage(store, { tags: ['amd'] })
      await putFixtureImage(store, { tags: ['arm'], config: { architecture: 'arm64' } })
      const load = async (names: string[], architecture: string) => {
        const tree = join(to.directory, names.join())
        mkdirSync(tree)
        Bun.spawnSync(['tar', '-x', '-C', tree, '--exclude', other], { stdin: await save(store, names) })
        return await loadImages(to.store, tree, { platform: { os: 'linux', architecture } })
      }
      await failsWith('IMAGE_PLATFORM', () => load(['amd'], 'arm64'))
      expect(listImages(to.store)).toEqual([])
      const loaded = await load(['amd', 'arm'], 'arm64')
      expect(loaded.flatMap(({ references }) => references.map(familiarString))).toEqual(['arm:latest'])
    },
  )

  test('makes a whole archive of an index that the store has in part, and tells what is missing', async () => {
    const index = await putPlatforms('amd64', 'arm64', 's390x')
    const children = (JSON.parse(new TextDecoder().decode(store.blobs.readAll(index.target.digest, 1e6))) as ImageIndex)
      .manifests
    unlinkSync(store.blobs.path(children[1]?.digest as Digest))
    const report = await saveImages(store, ['multi'], () => {})
    expect(report.missing).toEqual([children[1] as never])
    const [loaded] = await loadImages(to.store, archiveFile(to.directory, await save(store, ['multi'])))
    expect(loaded?.target.digest).not.toBe(index.target.digest)
    expect(listImages(to.store)[0]?.platforms.map(({ platform }) => platform.architecture)).toEqual(['amd64', 's390x'])
    unlinkSync(store.blobs.path(children[2]?.digest as Digest))
    using third = temporaryStore()
    const [single] = await loadImages(third.store, archiveFile(to.directory, await save(store, ['multi'])))
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
