import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { acquireLease } from '../content/leases.ts'
import { collectGarbage } from '../content/gc.ts'
import type { Digest } from '../oci/digest.ts'
import { parseIndex } from '../oci/image-index.ts'
import { layoutBlobPath } from '../oci/layout.ts'
import { type Platform, parsePlatform } from '../oci/platform.ts'
import { familiarString, parseReference } from '../oci/reference.ts'
import { readTarFile } from '../tar/reader.ts'
import { listTags } from '../content/image-records.ts'
import { copyImage, type ImageCopy } from './copy-image.ts'
import { putFixtureImage, type TemporaryStore, temporaryStore } from './image-fixtures.ts'
import { formatImageLocation, parseImageLocation, parseLocalLocation } from './image-location.ts'
import { openImageSource } from './image-source.ts'
import { openImageTarget } from './image-target.ts'
import { putIndex } from './records/put-image.ts'
import { resolveImage } from './records/resolve-image.ts'

let from: TemporaryStore
let other: TemporaryStore
let directory: string

beforeEach(() => {
  from = temporaryStore()
  other = temporaryStore()
  directory = from.directory
})
afterEach(() => {
  from[Symbol.dispose]()
  other[Symbol.dispose]()
})

async function copy(source: string, target: string, { store } = from, platform?: Platform): Promise<ImageCopy> {
  using lease = acquireLease(store)
  using reader = await openImageSource(store, parseLocalLocation(source))
  using writer = await openImageTarget(store, lease, parseLocalLocation(target))
  return await copyImage(store, reader, writer, { platform })
}

/** An image for two platforms, one layer of it compressed, with an attestation. */
async function putPlatforms(): Promise<Digest> {
  using lease = acquireLease(from.store)
  const amd = await putFixtureImage(from.store, { isPart: true, compression: 'gzip' }, lease)
  const arm = await putFixtureImage(
    from.store,
    { isPart: true, layers: [{ a: '1' }, { b: '2' }], config: { architecture: 'arm64' } },
    lease,
  )
  const proof = await putFixtureImage(
    from.store,
    { isPart: true, layers: [{ proof: 'x' }], config: { os: 'unknown', architecture: 'unknown' } },
    lease,
  )
  const annotations = {
    'vnd.docker.reference.type': 'attestation-manifest',
    'vnd.docker.reference.digest': amd.target.digest,
  }
  const manifests = [amd.target, arm.target, { ...proof.target, annotations }]
  const { target } = await putIndex(from.store, { manifests, tags: [parseReference('multi:1')], lease })
  return target.digest
}

const places = ['oci:LAYOUT:1', 'oci-archive:FILE', 'oci-archive:FILE:some/name:tag', 'dir:DIR'] as const
const at = (place: string): string => place.replace(':', `:${directory}/`)

describe('copyImage()', () => {
  test.each(places)('keeps all platforms, attestations and digests on the way through %s', async (place) => {
    const digest = await putPlatforms()
    expect((await copy('multi:1', at(place))).target.digest).toBe(digest)
    const back = await copy(at(place), 'back:1', other)
    expect(back.target.digest).toBe(digest)
    expect(back.written.blobs).toBe(11)
    expect(resolveImage(other.store, 'back:1').record).toMatchObject({
      digest,
      imageId: resolveImage(from.store, 'multi:1').record.imageId,
    })
    // Everything hangs together: garbage collection finds nothing to take.
    expect(collectGarbage(other.store)).toMatchObject({})
    expect((await copy('back:1', `dir:${directory}/again`, other)).written.blobs).toBe(11)
  })

  test('picks one platform, whose manifest keeps its digest', async () => {
    await putPlatforms()
    const { target } = await copy('multi:1', at('oci:LAYOUT:arm'), from, parsePlatform('linux/arm64'))
    const { target: again } = await copy(at('oci:LAYOUT:arm'), 'arm:1', other)
    expect(again.digest).toBe(target.digest)
    expect(again.mediaType).toContain('manifest')
    await expect(copy('multi:1', at('dir:X'), from, parsePlatform('linux/s390x'))).rejects.toThrow(
      'does not provide the platform linux/s390x',
    )
  })

  test('unpacks layers for a docker-archive and keeps image ID and names', async () => {
    await putPlatforms()
    const path = `${directory}/docker.tar`
    await copy('multi:1', `docker-archive:${path}`)
    expect([...readTarFile(path)].map(({ entry }) => entry.path.replace(/[0-9a-f]{64}/, 'HEX'))).toEqual([
      'HEX.tar',
      'HEX.json',
      'manifest.json',
    ])
    const { imageId } = resolveImage(from.store, 'multi:1').record
    await copy(`docker-archive:${path}:multi:1`, 'back', other)
    expect(resolveImage(other.store, 'back').record.imageId).toBe(imageId)
  })

  test('replaces only the entry of its name in a layout, and brings no blob twice', async () => {
    await putFixtureImage(from.store, { tags: ['a'] })
    await putFixtureImage(from.store, { tags: ['b'], config: { author: 'b' } })
    await copy('a', at('oci:L:one'))
    await copy('b', at('oci:L:two'))
    const kept = {
      mediaType: 'text/x',
      digest: `sha256:${'1'.repeat(64)}` as Digest,
      size: 1,
      artifactType: 'text/signature',
    }
    const index = JSON.parse(readFileSync(`${directory}/L/index.json`, 'utf8')) as { manifests: object[] }
    writeFileSync(`${directory}/L/index.json`, JSON.stringify({ ...index, manifests: [kept, ...index.manifests] }))
    expect((await copy('b', at('oci:L:one'))).written.blobs).toBe(0)
    const { manifests } = parseIndex(readFileSync(`${directory}/L/index.json`)).value
    expect(
      manifests.map(
        ({ annotations, artifactType }) => artifactType ?? annotations?.['org.opencontainers.image.ref.name'],
      ),
    ).toEqual(['text/signature', 'two', 'one'])
    expect(manifests[1]?.digest).toBe(manifests[2]?.digest as Digest)
  })

  test('mends a damaged blob of the layout it writes to', async () => {
    const { target } = await putFixtureImage(from.store, { tags: ['a'] })
    await copy('a', at('oci:L:a'))
    const blob = `${directory}/L/${layoutBlobPath(target.digest)}`
    const bytes = readFileSync(blob)
    writeFileSync(blob, Buffer.from(bytes).fill(0x20, 3, 5))
    expect((await copy('a', at('oci:L:a'))).written.blobs).toBe(1)
    expect(readFileSync(blob)).toEqual(bytes)
  })

  test.each(['oci:T:new', 'oci-archive:T', 'docker-archive:T', 'dir:T'])(
    'leaves nothing of a copy to %s that failed',
    async (place) => {
      const { target } = await putFixtureImage(from.store, { tags: ['a'], layers: [{ x: 'y'.repeat(5000) }] })
      await copy('a', at('oci:L:a'))
      const [layer] = JSON.parse(readFileSync(`${directory}/L/${layoutBlobPath(target.digest)}`, 'utf8')).layers as [
        { digest: Digest },
      ]
      const blob = `${directory}/L/${layoutBlobPath(layer.digest)}`
      const before = readdirSync(directory)
      // Verified at first and changed before it is copied.
      using source = await openImageSource(other.store, parseLocalLocation(at('oci:L:a')))
      using lease = acquireLease(other.store)
      {
        using writer = await openImageTarget(other.store, lease, parseLocalLocation(at(place)))
        const put = writer.put.bind(writer)
        writer.put = async (one, bytes) => {
          if (one.role === 'layer') writeFileSync(blob, 'changed')
          await put(one, bytes)
        }
        await expect(copyImage(other.store, source, writer)).rejects.toMatchObject({ code: 'BLOB_CORRUPT' })
        await copyImage(other.store, source, writer).catch(() => {})
      }
      expect(readdirSync(directory)).toEqual(before)
    },
  )

  test('leaves what stood at its destination when the source is refused', async () => {
    await putFixtureImage(from.store, { tags: ['a'] })
    for (const place of ['oci:L:a', 'dir:D', 'oci-archive:F', 'docker-archive:G']) await copy('a', at(place))
    const before = readdirSync(directory, { recursive: true }).sort()
    mkdirSync(`${directory}/empty`)
    for (const place of ['oci:L:a', 'dir:D', 'oci-archive:F', 'docker-archive:G'])
      await expect(copy('nothing', at(place))).rejects.toMatchObject({ code: 'IMAGE_UNKNOWN' })
    await expect(copy('a', at('dir:store'))).rejects.toThrow('neither empty nor')
    await expect(copy('a', at('oci:store'))).rejects.toThrow('neither empty nor')
    await copy('a', at('oci:empty'))
    expect(
      readdirSync(directory, { recursive: true })
        .sort()
        .filter((path) => !String(path).startsWith('empty')),
    ).toEqual(before)
    expect(existsSync(`${directory}/empty/index.json`)).toBe(true)
  })

  test('refuses an index of which a platform is missing, saying which', async () => {
    const digest = await putPlatforms()
    await copy('multi:1', at('oci:L:1'))
    const entries = parseIndex(readFileSync(`${directory}/L/${layoutBlobPath(digest)}`)).value.manifests
    const arm = entries[1]?.digest as Digest
    const { rmSync } = await import('node:fs')
    rmSync(`${directory}/L/${layoutBlobPath(arm)}`)
    await expect(copy(at('oci:L:1'), 'back:1', other)).rejects.toThrow(`lacks the blob ${arm} (linux/arm64)`)
    expect(listTags(other.store)).toEqual([])
    await copy(at('oci:L:1'), 'back:1', other, parsePlatform('linux/amd64'))
    expect(listTags(other.store).map(({ name }) => familiarString(parseReference(name)))).toEqual(['back:1'])
  })
})

describe('openImageSource()', () => {
  test('finds an image of several by tag, whole name and digest, and says which there are', async () => {
    const a = await putFixtureImage(from.store, { tags: ['a'] })
    await putFixtureImage(from.store, { tags: ['b'], config: { author: 'b' } })
    await copy('a', at('oci:L:docker.io/library/a:1'))
    await copy('b', at('oci:L:two'))
    const digestOf = async (place: string): Promise<Digest> => {
      using source = await openImageSource(from.store, parseLocalLocation(at(place)))
      return source.target.digest
    }
    expect(await digestOf('oci:L:a:1')).toBe(a.target.digest)
    expect(await digestOf(`oci:L@${a.target.digest}`)).toBe(a.target.digest)
    expect(await digestOf('oci:L:two')).not.toBe(a.target.digest)
    await expect(digestOf('oci:L')).rejects.toMatchObject({
      code: 'IMAGE_AMBIGUOUS',
      hint: expect.stringContaining('two'),
    })
    await expect(digestOf('oci:L:three')).rejects.toMatchObject({
      code: 'IMAGE_UNKNOWN',
      hint: expect.stringContaining('two'),
    })
    await expect(digestOf('oci:nowhere')).rejects.toThrow('nowhere has no oci-layout')
  })
})

describe('parseImageLocation()', () => {
  test.each([
    'oci:dir',
    'oci:a/b:1',
    `oci:d:x@sha256:${'0'.repeat(64)}`,
    'docker-archive:f.tar:reg:5000/x:1',
    'dir:a:b',
    'docker:27-cli',
    'name:tag',
  ])('reads %s as it is written', (text) => {
    expect(formatImageLocation(parseImageLocation(text))).toBe(text)
  })

  test('refuses places it cannot reach and those without a path', () => {
    expect(() => parseImageLocation('docker-daemon:x')).toThrow('images cannot be read or written there')
    expect(() => parseImageLocation('docker://X')).toThrow('must be lowercase')
    expect(() => parseLocalLocation('docker://x')).toThrow('images are changed in the store')
    expect(() => parseImageLocation('oci:')).toThrow('it has no path')
    expect(() => parseImageLocation('oci:d:')).toThrow('the name after the path is empty')
  })
})
