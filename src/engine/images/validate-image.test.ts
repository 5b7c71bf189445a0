import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { file, layerOf } from '../../../test/fixtures/layers.ts'
import { acquireLease } from '../../content/leases.ts'
import { putFixtureImage, putFixtureTars, type TemporaryStore, temporaryStore } from '../../images/image-fixtures.ts'
import { putIndex } from '../../images/records/put-image.ts'
import { storedImage } from '../../images/image.ts'
import { layoutBlobPath } from '../../oci/layout.ts'
import type { Digest } from '../../oci/digest.ts'
import { parseReference } from '../../oci/reference.ts'
import { copyImage } from './copy-image.ts'
import { validateImages, validateStore } from './validate-image.ts'

let place: TemporaryStore

beforeEach(() => {
  place = temporaryStore()
})
afterEach(() => place[Symbol.dispose]())

const problemsOf = async (location: string): Promise<string[]> => {
  const [validation] = await validateImages(place.store, [location])
  return (validation?.problems ?? []).map(({ platform, part, code }) => `${platform} ${part} ${code}`)
}

/** Writes an image for two platforms into a layout; gives the digests of its layers. */
async function writeLayout(): Promise<readonly Digest[]> {
  using lease = acquireLease(place.store)
  const layers: Digest[] = []
  const manifests = []
  for (const architecture of ['amd64', 'arm64']) {
    const tars = [1, 2].map((number) => new Uint8Array(layerOf(file(`${architecture}-${number}`))))
    const { target } = await putFixtureTars(place.store, lease, tars, { compression: 'gzip', config: { architecture } })
    manifests.push(target)
    for (const { descriptor } of await storedImage(place.store, target.digest).layers()) layers.push(descriptor.digest)
  }
  await putIndex(place.store, { manifests, tags: [parseReference('multi')], lease })
  await copyImage(place.store, 'multi', `oci:${place.directory}/l:1`)
  return layers
}

describe('validateImages()', () => {
  test('reads all of a sound image, wherever it is, and counts what it read', async () => {
    await writeLayout()
    const [stored, layout] = await validateImages(place.store, ['multi', `oci:${place.directory}/l:1`])
    expect(stored).toMatchObject({ platforms: ['linux/amd64', 'linux/arm64'], manifests: 2, layers: 4, problems: [] })
    expect(layout).toMatchObject({ bytes: stored?.bytes ?? 0, problems: [] })
  })

  test('tells all that is wrong at once', async () => {
    const [first, second, third] = await writeLayout()
    const blob = (digest: Digest | undefined): string => `${place.directory}/l/${layoutBlobPath(digest as Digest)}`
    rmSync(blob(first))
    const bytes = readFileSync(blob(second))
    bytes[30] = (bytes[30] ?? 0) ^ 0xff
    writeFileSync(blob(second), bytes)
    writeFileSync(blob(third), 'short')
    expect(await problemsOf(`oci:${place.directory}/l:1`)).toEqual([
      'linux/amd64 layer BLOB_UNKNOWN',
      expect.stringMatching(/^linux\/amd64 layer (?:BLOB_CORRUPT|COMPRESSION_INVALID)$/),
      'linux/arm64 layer BLOB_CORRUPT',
    ])
  })

  test('holds history, platform and media types against what is there', async () => {
    using lease = acquireLease(place.store)
    const { target } = await putFixtureImage(
      place.store,
      { config: { history: [{ created_by: 'a' }, { created_by: 'b' }] } },
      lease,
    )
    const arm = { ...target, platform: { os: 'linux', architecture: 'arm64' } }
    await putIndex(place.store, { manifests: [arm], tags: [parseReference('odd')], lease })
    const [validation] = await validateImages(place.store, ['odd'])
    expect(validation?.problems.map(({ message }) => message)).toEqual([
      'its history does not tell of its 1 layers',
      'it is for linux/amd64, but the index says linux/arm64',
    ])
  })

  test('finds the damaged image among all of the store', async () => {
    await putFixtureImage(place.store, { tags: ['good'] })
    const bad = await putFixtureImage(place.store, { tags: ['bad'], layers: [{ x: 'other' }] })
    const [layer] = await storedImage(place.store, bad.target.digest).layers()
    rmSync(place.store.blobs.path(layer?.descriptor.digest as Digest))
    const found = (await validateStore(place.store)).map(({ name, problems }) => `${name} ${problems.length}`)
    expect(found.sort()).toEqual(['bad:latest 1', 'good:latest 0'])
  })
})
