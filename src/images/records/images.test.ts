import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import { failsWith } from '../../content/blobs.contract.ts'
import { collectGarbage } from '../../content/gc.ts'
import { getTag, listImageRecords, listTags } from '../../content/image-records.ts'
import { acquireLease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import { formatPlatform } from '../../oci/platform.ts'
import { familiarString, parseReference } from '../../oci/reference.ts'
import { collect } from '../../streams/source.ts'
import { imageHistory } from '../history.ts'
import { storedImage } from '../image.ts'
import { configOf, putFixtureImage, putLayer, tarOf, type TemporaryStore, temporaryStore } from '../image-fixtures.ts'
import { type ImageSummary, listImages } from './list-images.ts'
import { putImage, putIndex } from './put-image.ts'
import { type ImageUse, removeImage } from './remove-image.ts'
import { findImage, platformEntries, platformManifest, resolveImage } from './resolve-image.ts'
import { ImageSizes } from '../size.ts'
import { tagImage } from './tag-image.ts'

let temporary: TemporaryStore
let store: Store
beforeEach(() => {
  temporary = temporaryStore()
  store = temporary.store
})
afterEach(() => temporary[Symbol.dispose]())

function tagNames(): string[] {
  return listTags(store).map(({ name }) => familiarString(parseReference(name)))
}

describe('putImage()', () => {
  test('records an image that can be read back whole', async () => {
    const put = await putFixtureImage(store, { tags: ['app', 'app:2'], layers: [{ a: '1' }, { b: '2' }] })
    expect(put.moved).toEqual([])
    expect(tagNames()).toEqual(['app:2', 'app:latest'])
    const image = storedImage(store, put.target.digest)
    expect(await image.digest()).toBe(put.target.digest)
    expect(await image.id()).toBe(put.imageId)
    const { raw, value } = await image.config()
    expect(digestOf(raw)).toBe(put.imageId)
    expect(value.config?.Cmd).toEqual(['sh'])
    const layers = await image.layers()
    expect(layers.map(({ diffId }) => diffId)).toEqual([digestOf(tarOf({ a: '1' })), digestOf(tarOf({ b: '2' }))])
    const [base] = layers
    expect(await collect(image.openBlob((base as (typeof layers)[0]).descriptor), 1e6, 'layer')).toEqual(
      tarOf({ a: '1' }),
    )
  })

  test('yields the same digests for the same image', async () => {
    const first = await putFixtureImage(store, { tags: ['a'] })
    expect(await putFixtureImage(store, { tags: ['b'] })).toEqual(first)
    expect(listImageRecords(store)).toHaveLength(1)
  })

  test('survives a garbage collection, and its blobs go with its record', async () => {
    const put = await putFixtureImage(store, { tags: ['a'], compression: 'gzip' })
    expect((await collectGarbage(store)).blobs).toEqual([])
    removeImage(store, 'a')
    const gone = await collectGarbage(store)
    expect(gone.blobs).toHaveLength(3)
    expect(store.blobs.has(put.imageId)).toBe(false)
  })

  test('moves a tag and tells from where', async () => {
    const old = await putFixtureImage(store, { tags: ['a'], layers: [{ x: 'old' }] })
    const put = await putFixtureImage(store, { tags: ['a'], layers: [{ x: 'new' }] })
    expect(put.moved).toEqual([{ name: 'docker.io/library/a:latest', digest: old.target.digest }])
    expect(
      listImages(store)
        .filter(({ isDangling }) => isDangling)
        .map(({ imageId }) => imageId),
    ).toEqual([old.imageId])
  })

  test('fails with BLOB_UNKNOWN for a layer that is not there, and records nothing', async () => {
    const diffId = digestOf('nowhere')
    const layers = [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: diffId, size: 7 }]
    await failsWith('BLOB_UNKNOWN', () => putImage(store, { config: configOf([diffId]), layers }))
    expect(listImageRecords(store)).toEqual([])
  })

  test('fails with BLOB_CORRUPT when a layer is not what the config says', async () => {
    using lease = acquireLease(store)
    const { descriptor } = await putLayer(store, lease, { a: '1' })
    await failsWith('BLOB_CORRUPT', () => putImage(store, { config: configOf([digestOf('x')]), layers: [descriptor] }))
    const longer = { ...descriptor, size: descriptor.size + 1 }
    const config = configOf([descriptor.digest])
    await failsWith('BLOB_CORRUPT', () => putImage(store, { config, layers: [longer] }))
  })

  test('fails with MANIFEST_INVALID when layers and diff IDs differ in number', async () => {
    await failsWith('MANIFEST_INVALID', () => putImage(store, { config: configOf([digestOf('x')]), layers: [] }))
  })

  test('finds out what a layer unpacks to where that is not known', async () => {
    using lease = acquireLease(store)
    const tar = tarOf({ a: '1' })
    const blob = await lease.put(Bun.gzipSync(tar))
    const layers = [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...blob }]
    await failsWith('BLOB_CORRUPT', () => putImage(store, { config: configOf([digestOf('x')]), layers }))
    const { imageId } = await putImage(store, { config: configOf([digestOf(tar)]), layers })
    expect(listImages(store)[0]).toMatchObject({ imageId, platforms: [{ unpackedSize: tar.length }] })
  })
})

describe('an index', () => {
  async function putPlatforms(...architectures: string[]): Promise<Awaited<ReturnType<typeof putIndex>>> {
    using lease = acquireLease(store)
    const manifests = []
    for (const architecture of architectures) {
      const layers = [{ arch: architecture }]
      const put = await putFixtureImage(store, { layers, config: { architecture }, isPart: true }, lease)
      manifests.push(put.target)
    }
    return await putIndex(store, { manifests, tags: [parseReference('multi')], lease })
  }

  test('is one image with several platforms', async () => {
    const put = await putPlatforms('arm64', 'amd64', 's390x')
    expect((await collectGarbage(store)).blobs).toEqual([])
    const [image, ...others] = listImages(store)
    expect(others).toEqual([])
    expect(image?.targets.map(({ digest }) => digest)).toEqual([put.target.digest])
    expect(image?.platforms.map(({ platform }) => platform.architecture).toSorted()).toEqual([
      'amd64',
      'arm64',
      's390x',
    ])
    const { record } = resolveImage(store, 'multi')
    const arm = await platformManifest(store, record, { os: 'linux', architecture: 'arm64' })
    expect(formatPlatform((await storedImage(store, arm.digest).config()).value)).toBe('linux/arm64')
    expect(
      (await storedImage(store, (await platformManifest(store, record, undefined)).digest).id()) === put.imageId,
    ).toBe(true)
  })

  test('fails with IMAGE_PLATFORM for a platform it has not', async () => {
    await putPlatforms('arm64', 's390x')
    const { record } = resolveImage(store, 'multi')
    const wanted = { os: 'linux', architecture: 'riscv64' }
    const error = await failsWith('IMAGE_PLATFORM', () => platformManifest(store, record, wanted, 'multi'))
    expect(error.message).toBe(
      'image with reference multi was found but does not provide the specified platform (linux/riscv64)',
    )
    expect(error).toMatchObject({ hint: 'The store has it for linux/arm64, linux/s390x.' })
  })

  test('counts only platforms that are in the store', async () => {
    await putPlatforms('amd64', 'arm64')
    const { record } = resolveImage(store, 'multi')
    const arm = await platformManifest(store, record, { os: 'linux', architecture: 'arm64' })
    rmSync(store.blobs.path(arm.digest))
    store.database.run('DELETE FROM manifests WHERE digest = ?', arm.digest)
    expect((await platformEntries(store, record)).map(({ platform }) => platform?.architecture)).toEqual(['amd64'])
    expect(listImages(store)[0]?.platforms).toHaveLength(1)
  })

  test('fails with BLOB_UNKNOWN over a manifest that is not there', async () => {
    const manifests = [{ mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: digestOf('x'), size: 1 }]
    await failsWith('BLOB_UNKNOWN', () => putIndex(store, { manifests }))
  })

  test('goes with all its platforms when it is removed', async () => {
    await putPlatforms('amd64', 'arm64')
    removeImage(store, 'multi')
    const { blobs } = await collectGarbage(store)
    expect(blobs).toHaveLength(1 + 2 * 3)
  })
})

describe('resolveImage()', () => {
  test('finds an image by name, tag, digest, ID and any unique beginning of the ID', async () => {
    const { imageId, target } = await putFixtureImage(store, { tags: ['me/app:1', 'nginx'] })
    const hex = imageId.slice('sha256:'.length)
    const words = [
      'nginx',
      'nginx:latest',
      'docker.io/library/nginx',
      'me/app:1',
      imageId,
      hex,
      hex.slice(0, 12),
      hex[0],
    ]
    words.push(`sha256:${hex.slice(0, 5)}`, `nginx@${target.digest}`, `me/app:7@${target.digest}`, target.digest)
    for (const word of words) expect(resolveImage(store, word ?? '').record.imageId).toBe(imageId)
    expect(familiarString(resolveImage(store, 'nginx').reference as never)).toBe('nginx:latest')
    expect(resolveImage(store, hex).reference).toBeUndefined()
  })

  test('takes the beginning of an ID that is unique, though a manifest of another image begins so too', async () => {
    const put: { imageId: string; digest: string }[] = []
    for (let one = 0; put.length < 40; one++) {
      const { imageId, target } = await putFixtureImage(store, { layers: [{ a: String(one) }] })
      put.push({ imageId, digest: target.digest })
    }
    const twice = put.flatMap(({ imageId, digest }) =>
      put.some((other) => other.imageId !== imageId && other.digest.slice(7, 9) === imageId.slice(7, 9)) &&
      !put.some((other) => other.imageId !== imageId && other.imageId.slice(7, 9) === imageId.slice(7, 9))
        ? [{ imageId, digest }]
        : [],
    )
    expect(twice.length).toBeGreaterThan(0)
    for (const { imageId, digest } of twice) {
      expect(resolveImage(store, imageId.slice(7, 9)).record.imageId).toBe(imageId as Digest)
      expect(resolveImage(store, digest.slice(7, 19)).record.imageId).toBe(imageId as Digest)
    }
  })

  test('lets a name win over an ID that begins alike', async () => {
    const first = await putFixtureImage(store, { layers: [{ a: '1' }] })
    const name = first.imageId.slice('sha256:'.length, 'sha256:'.length + 6)
    const second = await putFixtureImage(store, { layers: [{ a: '2' }], tags: [name] })
    expect(resolveImage(store, name).record.imageId).toBe(second.imageId)
  })

  test.each([
    ['nginx', 'No such image: nginx:latest'],
    ['ghcr.io/me/app:1', 'No such image: ghcr.io/me/app:1'],
    ['beef', 'No such image: beef:latest'],
    [digestOf('x') as string, `No such image: ${digestOf('x')}`],
    [digestOf('x').slice(7), `No such image: ${digestOf('x')}`],
  ])('fails with IMAGE_UNKNOWN for %s as docker does', async (word, message) => {
    await putFixtureImage(store)
    const error = await failsWith('IMAGE_UNKNOWN', () => resolveImage(store, word))
    expect(error.message).toBe(message)
    expect(findImage(store, word)).toBeUndefined()
  })

  test('fails with IMAGE_UNKNOWN for a digest in a repository that has it not', async () => {
    const { target } = await putFixtureImage(store, { tags: ['nginx'] })
    await failsWith('IMAGE_UNKNOWN', () => resolveImage(store, `other@${target.digest}`))
  })

  test('fails with IMAGE_AMBIGUOUS when several IDs begin so', async () => {
    const seen = new Map<string, Digest>()
    for (let round = 0; ; round++) {
      const { imageId } = await putFixtureImage(store, { layers: [{ round: String(round) }] })
      const first = imageId.charAt('sha256:'.length)
      const other = seen.get(first)
      seen.set(first, imageId)
      if (other === undefined) continue
      const error = await failsWith('IMAGE_AMBIGUOUS', () => resolveImage(store, first))
      expect(error.message).toContain(imageId.slice(7, 19))
      expect(error.message).toContain(other.slice(7, 19))
      return
    }
  })

  test('fails with REFERENCE_INVALID for what is neither name nor ID', async () => {
    await failsWith('REFERENCE_INVALID', () => resolveImage(store, 'Upper'))
    await failsWith('REFERENCE_INVALID', () => resolveImage(store, ''))
  })
})

describe('tagImage()', () => {
  test('adds names and moves them', async () => {
    const one = await putFixtureImage(store, { tags: ['a'], layers: [{ x: '1' }] })
    await putFixtureImage(store, { tags: ['b'], layers: [{ x: '2' }] })
    expect(tagImage(store, 'a', parseReference('ghcr.io/me/a:1'))).toBeUndefined()
    expect(tagImage(store, 'b', parseReference('a'))).toBe(one.target.digest)
    expect(tagImage(store, 'b', parseReference('a'))).toBeUndefined()
    expect(getTag(store, 'docker.io/library/a:latest')?.digest).not.toBe(one.target.digest)
    expect(tagNames()).toEqual(['a:latest', 'b:latest', 'ghcr.io/me/a:1'])
  })

  test('refuses a digest as a name', async () => {
    await putFixtureImage(store, { tags: ['a'] })
    const target = parseReference(`b@${digestOf('x')}`)
    await failsWith('REFERENCE_INVALID', () => tagImage(store, 'a', target))
  })
})

describe('removeImage()', () => {
  const container = (isRunning: boolean): ImageUse => ({ containerId: 'c0ffee'.repeat(10), isRunning })

  test('takes a name away while there are others', async () => {
    const { imageId } = await putFixtureImage(store, { tags: ['a', 'b'] })
    expect(removeImage(store, 'a')).toEqual([{ untagged: 'a:latest' }])
    expect(resolveImage(store, 'b').record.imageId).toBe(imageId)
    expect(removeImage(store, 'b')).toMatchObject([{ untagged: 'b:latest' }, { deleted: imageId }])
    expect(listImages(store)).toEqual([])
  })

  test('takes an image away by ID when it has one name', async () => {
    const { imageId } = await putFixtureImage(store, { tags: ['a'] })
    expect(removeImage(store, imageId.slice(7, 19))).toMatchObject([{ untagged: 'a:latest' }, { deleted: imageId }])
  })

  test('refuses an ID with several names, unless forced', async () => {
    const { imageId } = await putFixtureImage(store, { tags: ['a', 'b'] })
    const error = await failsWith('IMAGE_IN_USE', () => removeImage(store, imageId))
    expect(error.message).toBe(
      `conflict: unable to delete ${imageId.slice(7, 19)} (must be forced) - image is referenced in multiple repositories`,
    )
    expect(tagNames()).toEqual(['a:latest', 'b:latest'])
    expect(removeImage(store, imageId, { force: true })).toMatchObject([
      { untagged: 'a:latest' },
      { untagged: 'b:latest' },
      { deleted: imageId },
    ])
  })

  test('takes digests of a repository away with its last tag', async () => {
    const { imageId, target } = await putFixtureImage(store, { tags: ['a', 'a:2'] })
    const digested = `docker.io/library/a@${target.digest}`
    store.database.run('INSERT INTO tags VALUES (?, ?, 0)', digested, target.digest)
    expect(removeImage(store, 'a')).toEqual([{ untagged: 'a:latest' }])
    expect(removeImage(store, 'a:2')).toMatchObject([
      { untagged: 'a:2' },
      { untagged: `a@${target.digest}` },
      { deleted: imageId },
    ])
  })

  test('refuses what a running container needs, even forced', async () => {
    const { imageId } = await putFixtureImage(store, { tags: ['a'] })
    const uses = () => [container(true)]
    for (const force of [false, true]) {
      const error = await failsWith('IMAGE_IN_USE', () => removeImage(store, imageId, { uses, force }))
      expect(error.message).toContain('(cannot be forced) - image is being used by running container c0ffeec0ffee')
    }
    const error = await failsWith('IMAGE_IN_USE', () => removeImage(store, 'a', { uses }))
    expect(error.message).toBe(
      `conflict: unable to remove repository reference "a" (must force) - container c0ffeec0ffee is using its referenced image ${imageId.slice(7, 19)}`,
    )
    expect(removeImage(store, 'a', { uses, force: true })).toEqual([{ untagged: 'a:latest' }])
    expect(listImages(store)[0]?.isDangling).toBe(true)
  })

  test('refuses what a stopped container needs, unless forced', async () => {
    const { imageId } = await putFixtureImage(store, { tags: ['a'] })
    const uses = () => [container(false)]
    const error = await failsWith('IMAGE_IN_USE', () => removeImage(store, imageId, { uses }))
    expect(error.message).toContain('(must be forced) - image is being used by stopped container')
    expect(removeImage(store, imageId, { uses, force: true })).toHaveLength(2)
  })

  test('fails with IMAGE_UNKNOWN for what is not there', async () => {
    await failsWith('IMAGE_UNKNOWN', () => removeImage(store, 'nothing'))
  })
})

describe('listImages()', () => {
  test('sorts the names of an image that is here with layers compressed in different ways', async () => {
    await putFixtureImage(store, { tags: ['b', 'example.com/d'] })
    await putFixtureImage(store, { tags: ['c', 'a', 'example.com/b'], compression: 'gzip' })
    const [image, ...others] = listImages(store)
    expect(others).toEqual([])
    expect(image?.targets).toHaveLength(2)
    expect(image?.tags.map(familiarString)).toEqual([
      'a:latest',
      'b:latest',
      'c:latest',
      'example.com/b:latest',
      'example.com/d:latest',
    ])
  })

  test('measures what images share', async () => {
    const shared = { base: 'x'.repeat(5000) }
    await putFixtureImage(store, { tags: ['a'], layers: [shared, { own: '1' }] })
    await putFixtureImage(store, { tags: ['b'], layers: [shared], config: { config: { Labels: { a: 'b' } } } })
    const base = tarOf(shared).length
    const own = tarOf({ own: '1' }).length
    const byName = new Map(listImages(store).map((image) => [image.tags.map(familiarString).join(), image]))
    const a = byName.get('a:latest')
    const b = byName.get('b:latest')
    const sizes = new ImageSizes(store)
    const measure = (image: ImageSummary) => [sizes.unpacked(image), sizes.shared(image), sizes.unique(image)]
    expect(measure(a as ImageSummary)).toEqual([base + own, base, own])
    expect(measure(b as ImageSummary)).toEqual([base, base, 0])
    const blobs = base + (b?.targets[0]?.size ?? 0) + (store.blobs.size(b?.imageId as Digest) ?? 0)
    expect(sizes.content(b as ImageSummary)).toBe(blobs)
    expect(b?.labels).toEqual({ a: 'b' })
    expect(a?.created).toBe('2026-01-02T03:04:05Z')
  })

  test('tells what an earlier version did not record', async () => {
    const { imageId } = await putFixtureImage(store, { tags: ['a'], layers: [{ a: '1' }] })
    const [before] = listImages(store)
    store.database.run('DELETE FROM manifests')
    expect(listImages(store)).toEqual([before as ImageSummary])
    expect(before).toMatchObject({ imageId, platforms: [{ unpackedSize: tarOf({ a: '1' }).length }] })
  })

  test('still lists an image that has lost its manifest before that was recorded', async () => {
    const { target, imageId } = await putFixtureImage(store, { tags: ['a'] })
    store.database.run('DELETE FROM manifests')
    rmSync(store.blobs.path(target.digest))
    expect(listImages(store)).toMatchObject([{ imageId, platforms: [], created: undefined }])
  })
})

describe('imageHistory()', () => {
  test('gives the newest step first, with the sizes of layers', async () => {
    const put = await putFixtureImage(store, {
      layers: [{ a: '1' }, { b: 'x'.repeat(2000) }],
      config: {
        history: [
          {
            created: '2026-01-01T00:00:00Z',
            created_by: 'ADD rootfs.tar / # buildkit',
            comment: 'buildkit.dockerfile.v0',
          },
          { created_by: 'ENV A=b', empty_layer: true },
          { created_by: 'RUN make' },
        ],
      },
    })
    const { value } = await storedImage(store, put.target.digest).config()
    const rows = imageHistory(store, put.imageId, value, 0)
    expect(rows.map(({ createdBy, size }) => [createdBy, size])).toEqual([
      ['RUN make', tarOf({ b: 'x'.repeat(2000) }).length],
      ['ENV A=b', 0],
      ['ADD rootfs.tar / # buildkit', tarOf({ a: '1' }).length],
    ])
    expect(rows.map(({ imageId }) => imageId)).toEqual([put.imageId, undefined, undefined])
  })

  test('has a row for each layer that the history leaves out', async () => {
    const put = await putFixtureImage(store, { layers: [{ a: '1' }, { b: '2' }] })
    const { value } = await storedImage(store, put.target.digest).config()
    expect(imageHistory(store, put.imageId, value, 0).map(({ size }) => size)).toEqual([2048, 2048])
  })
})
