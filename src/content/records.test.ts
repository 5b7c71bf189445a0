import { afterEach, beforeEach, describe, expect, setSystemTime, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Digest, digestOf } from '../oci/digest.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { failsWith } from './blobs.contract.ts'
import {
  deleteCacheRecords,
  getCacheRecord,
  lastStepRecord,
  listCacheRecords,
  putCacheRecord,
  putStepRecord,
  touchCacheRecords,
} from './cache-records.ts'
import { layerNode } from './graph.ts'
import {
  deleteImageRecord,
  deleteTag,
  findImageRecords,
  getImageRecord,
  getTag,
  listImageRecords,
  listRepositoryTags,
  listTags,
  putImageRecord,
  putTag,
} from './image-records.ts'
import { getLayerRecord, getUnpackedSize, listLayerForms, putLayerRecord } from './layer-records.ts'
import { acquireLease } from './leases.ts'
import {
  beginSnapshot,
  deleteSnapshot,
  findSnapshot,
  finishSnapshot,
  getSnapshot,
  listSnapshots,
} from './snapshot-records.ts'
import { openStore, type Store } from './store.ts'

let root: string
let store: Store
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-records-'))
  store = openStore(root)
})
afterEach(() => {
  setSystemTime()
  store.close()
  rmSync(root, { recursive: true })
})

const hour = 60 * 60 * 1000

function putImage(text: string, imageId: Digest = digestOf(`config of ${text}`)): Digest {
  const digest = digestOf(text)
  putImageRecord(store, { digest, imageId, mediaType: mediaTypes.ociManifest, size: text.length })
  return digest
}

describe('image records', () => {
  test('come back as they were put, and again with a new time', () => {
    setSystemTime(1000)
    const digest = putImage('a')
    setSystemTime(2000)
    putImage('a', digestOf('other config'))
    expect(getImageRecord(store, digest)).toEqual({
      digest,
      mediaType: mediaTypes.ociManifest,
      size: 1,
      imageId: digestOf('other config'),
      createdAt: 1000,
      updatedAt: 2000,
    })
    expect(getImageRecord(store, digestOf('b'))).toBeUndefined()
  })

  test('are listed newest first', () => {
    setSystemTime(1000)
    const old = putImage('old')
    setSystemTime(2000)
    const young = putImage('young')
    expect(listImageRecords(store).map(({ digest }) => digest)).toEqual([young, old])
  })

  test('are found by the beginning of the image ID or the digest', () => {
    const digest = putImage('a')
    const imageId = digestOf('config of a')
    for (const whole of [digest, imageId])
      for (const length of [8, 20, whole.length])
        expect(findImageRecords(store, whole.slice(0, length)).map((record) => record.digest)).toEqual([digest])
    expect(findImageRecords(store, 'sha256:')).toHaveLength(1)
    expect(findImageRecords(store, 'sha512:')).toEqual([])
  })

  test('take their names with them', () => {
    const digest = putImage('a')
    putTag(store, 'docker.io/library/a:1', digest)
    deleteImageRecord(store, digest)
    expect(listTags(store)).toEqual([])
    expect(listImageRecords(store)).toEqual([])
  })
})

describe('tags', () => {
  test('lead where they were put last', () => {
    const [a, b] = [putImage('a'), putImage('b')]
    expect(putTag(store, 'n:1', a)).toBeUndefined()
    expect(putTag(store, 'n:1', b)).toBe(a)
    expect(getTag(store, 'n:1')?.digest).toBe(b)
    expect(listTags(store, a)).toEqual([])
    expect(listTags(store, b)).toHaveLength(1)
    expect(deleteTag(store, 'n:1')).toBe(true)
    expect(deleteTag(store, 'n:1')).toBe(false)
  })

  test('are found by repository, not by what only begins alike', () => {
    const digest = putImage('a')
    for (const name of ['r/a:2', 'r/a:1', 'r/ab:1', 'r/a/b:1', 'r/a-b:1', `r/a@${digest}`]) putTag(store, name, digest)
    expect(listRepositoryTags(store, 'r/a').map(({ name }) => name)).toEqual(['r/a:1', 'r/a:2'])
  })
})

describe('layer records', () => {
  test('list the forms that are there, uncompressed first', async () => {
    using lease = acquireLease(store)
    const plain = await lease.put(new TextEncoder().encode('tar'))
    const packed = await lease.put(new TextEncoder().encode('gz'))
    const diffId = plain.digest
    putLayerRecord(store, { diffId, ...packed, compression: 'gzip', unpackedSize: 3 })
    putLayerRecord(store, { diffId, ...plain, compression: 'none', unpackedSize: 3 })
    putLayerRecord(store, { diffId, digest: digestOf('gone'), size: 1, compression: 'zstd', unpackedSize: 3 })
    expect(listLayerForms(store, diffId).map(({ compression }) => compression)).toEqual(['none', 'gzip'])
    expect(getLayerRecord(store, packed.digest)).toEqual({ diffId, ...packed, compression: 'gzip', unpackedSize: 3 })
    expect(getUnpackedSize(store, diffId)).toBe(3)
    expect(getUnpackedSize(store, digestOf('x'))).toBeUndefined()
  })
})

describe('snapshot records', () => {
  test('are found by layer once they are finished', () => {
    const diffId = digestOf('layer')
    beginSnapshot(store, 's')
    expect(getSnapshot(store, 's')).toMatchObject({ state: 'preparing', diffId: null, size: 0 })
    expect(findSnapshot(store, diffId)).toBeUndefined()
    finishSnapshot(store, 's', { state: 'committed', diffId, size: 12 })
    // Only the record is left where a process was killed while it removed the snapshot.
    expect(findSnapshot(store, diffId)).toBeUndefined()
    mkdirSync(store.path('snapshots', 's', 'fs'), { recursive: true })
    expect(findSnapshot(store, diffId)).toMatchObject({ id: 's', state: 'committed', size: 12 })
    beginSnapshot(store, 'c')
    finishSnapshot(store, 'c', { state: 'active' })
    expect(listSnapshots(store).map(({ id, state }) => [id, state])).toEqual([
      ['c', 'active'],
      ['s', 'committed'],
    ])
    expect(deleteSnapshot(store, 's')).toBe(true)
    expect(deleteSnapshot(store, 's')).toBe(false)
  })

  test('finishSnapshot() fails when the snapshot was removed meanwhile', async () => {
    await failsWith('STORE_UNUSABLE', () => finishSnapshot(store, 'gone', { state: 'active' }))
  })
})

describe('cache records', () => {
  test('come back as they were put, and are replaced with what they keep', () => {
    setSystemTime(1000)
    putCacheRecord(store, { key: 'k', result: { layer: [1, null] }, inputs: { a: 'ü' } }, [layerNode(digestOf('1'))])
    expect(getCacheRecord(store, 'k')).toEqual({
      key: 'k',
      result: { layer: [1, null] },
      inputs: { a: 'ü' },
      createdAt: 1000,
      usedAt: 1000,
    })
    putCacheRecord(store, { key: 'k', result: 2, inputs: {} }, [layerNode(digestOf('2'))])
    expect(getCacheRecord(store, 'k')?.result).toBe(2)
    expect(store.database.all('SELECT child FROM links')).toEqual([{ child: `layer/${digestOf('2')}` }])
    expect(getCacheRecord(store, 'other')).toBeUndefined()
  })

  test('note their use at most once an hour', () => {
    setSystemTime(1000)
    putCacheRecord(store, { key: 'a', result: 0, inputs: {} }, [])
    setSystemTime(2000)
    putCacheRecord(store, { key: 'b', result: 0, inputs: {} }, [])
    const record = () => getCacheRecord(store, 'a') as NonNullable<ReturnType<typeof getCacheRecord>>
    setSystemTime(1000 + hour)
    touchCacheRecords(store, [record()])
    expect(record().usedAt).toBe(1000)
    setSystemTime(1001 + hour)
    touchCacheRecords(store, [record()])
    expect(record().usedAt).toBe(1001 + hour)
    expect(listCacheRecords(store).map(({ key }) => key)).toEqual(['b', 'a'])
    expect(deleteCacheRecords(store, ['a', 'b', 'c'])).toBe(2)
  })
})

describe('step records', () => {
  test('give the last build of a step and forget the oldest', () => {
    for (const key of ['1', '2', '2', '3', '4', '5', '6', '7'])
      putStepRecord(store, { stepId: 's', key, inputs: { key } })
    putStepRecord(store, { stepId: 't', key: 'x', inputs: {} })
    expect(lastStepRecord(store, 's')).toMatchObject({ stepId: 's', key: '7', inputs: { key: '7' } })
    expect(lastStepRecord(store, 'u')).toBeUndefined()
    expect(store.database.all("SELECT key FROM build_steps WHERE step_id = 's' ORDER BY rowid")).toEqual(
      ['3', '4', '5', '6', '7'].map((key) => ({ key })),
    )
  })
})
