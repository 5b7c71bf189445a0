import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Digest, digestOf } from '../oci/digest.ts'
import { mediaTypes } from '../oci/media-types.ts'
import type { BlobIdentity } from './blobs.ts'
import { deleteCacheRecords, putCacheRecord } from './cache-records.ts'
import { collectFrom, collectGarbage } from './gc.ts'
import { pendingGarbage } from './garbage.ts'
import { blobNode, layerNode, link, snapshotNode, type StoreNode } from './graph.ts'
import { deleteImageRecord, putImageRecord, putTag } from './image-records.ts'
import { putLayerRecord } from './layer-records.ts'
import { acquireLease } from './leases.ts'
import { tryAcquireLock } from './lock.ts'
import { pin, unpin } from './pins.ts'
import { beginSnapshot, finishSnapshot, getSnapshot } from './snapshot-records.ts'
import { openStore, type Store } from './store.ts'

let root: string
let store: Store
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-gc-'))
  store = openStore(root)
})
afterEach(() => {
  store.close()
  rmSync(root, { recursive: true })
})

/** Stores texts as blobs that nothing keeps. */
async function putBlobs(...texts: string[]): Promise<BlobIdentity[]> {
  using lease = acquireLease(store)
  const blobs = []
  for (const text of texts) blobs.push(await lease.put(new TextEncoder().encode(text)))
  return blobs
}

function recordImage({ digest, size }: BlobIdentity): void {
  putImageRecord(store, { digest, size, mediaType: mediaTypes.ociManifest, imageId: digest })
}

/** A finished snapshot with a directory. */
function makeSnapshot(id: string, diffId: Digest): void {
  beginSnapshot(store, id)
  mkdirSync(store.path('snapshots', id, 'fs'), { recursive: true })
  writeFileSync(store.path('snapshots', id, 'fs', 'file'), id)
  finishSnapshot(store, id, { state: 'committed', diffId, size: 10 })
}

describe('collectGarbage()', () => {
  test('removes blobs that nothing leads to and tells how much that freed', async () => {
    const [kept, gone] = (await putBlobs('kept', 'garbage')) as [BlobIdentity, BlobIdentity]
    recordImage(kept)
    const report = await collectGarbage(store)
    expect(report).toEqual({ blobs: [gone], snapshots: [], reclaimed: 4096 })
    expect(store.blobs.has(kept.digest)).toBe(true)
    expect(store.blobs.has(gone.digest)).toBe(false)
    expect((await collectGarbage(store)).reclaimed).toBe(0)
  })

  test('keeps what an image leads to over any number of links, until the image is deleted', async () => {
    const [index, manifest, config, layer] = (await putBlobs('index', 'manifest', 'config', 'layer')) as [
      BlobIdentity,
      BlobIdentity,
      BlobIdentity,
      BlobIdentity,
    ]
    recordImage(index)
    putTag(store, 'docker.io/library/x:latest', index.digest)
    link(store, blobNode(index.digest), [blobNode(manifest.digest)])
    link(store, blobNode(manifest.digest), [blobNode(config.digest), blobNode(layer.digest)])
    expect((await collectGarbage(store)).blobs).toEqual([])
    deleteImageRecord(store, index.digest)
    expect((await collectGarbage(store)).blobs).toHaveLength(4)
    expect(store.database.all('SELECT * FROM links')).toEqual([])
  })

  test('keeps a layer in all its forms, with its snapshot, while a cache record needs it', async () => {
    const [plain, compressed] = (await putBlobs('tar', 'tar.gz')) as [BlobIdentity, BlobIdentity]
    const diffId = plain.digest
    putLayerRecord(store, { diffId, ...plain, compression: 'none', unpackedSize: 3 })
    putLayerRecord(store, { diffId, ...compressed, compression: 'gzip', unpackedSize: 3 })
    makeSnapshot('snap', diffId)
    putCacheRecord(store, { key: 'k', result: {}, inputs: {} }, [layerNode(diffId)])
    expect(await collectGarbage(store)).toEqual({ blobs: [], snapshots: [], reclaimed: 0 })
    deleteCacheRecords(store, ['k'])
    const report = await collectGarbage(store)
    expect(report.blobs).toHaveLength(2)
    expect(report.snapshots).toEqual([{ id: 'snap', size: 10 }])
    expect(report.reclaimed).toBe(2 * 4096 + 10)
    expect(readdirSync(join(root, 'snapshots'))).toEqual([])
    expect(readdirSync(store.session.directory)).toEqual([])
    expect(store.database.all('SELECT * FROM layers')).toEqual([])
  })

  test('keeps the snapshot of a layer that an image has as a compressed blob', async () => {
    const [compressed] = (await putBlobs('tar.gz')) as [BlobIdentity]
    const diffId = digestOf('tar')
    putLayerRecord(store, { diffId, ...compressed, compression: 'gzip', unpackedSize: 3 })
    makeSnapshot('snap', diffId)
    recordImage(compressed)
    expect((await collectGarbage(store)).snapshots).toEqual([])
    expect(existsSync(join(root, 'snapshots/snap/fs/file'))).toBe(true)
  })

  test('keeps what is pinned until it is unpinned', async () => {
    const [blob] = (await putBlobs('x')) as [BlobIdentity]
    makeSnapshot('snap', digestOf('tar'))
    pin(store, 'container/1', [blobNode(blob.digest), snapshotNode('snap')])
    expect((await collectGarbage(store)).reclaimed).toBe(0)
    pin(store, 'container/1', [snapshotNode('snap')])
    expect((await collectGarbage(store)).blobs).toEqual([blob])
    unpin(store, 'container/1')
    expect((await collectGarbage(store)).snapshots).toEqual([{ id: 'snap', size: 10 }])
  })

  test('keeps what a lease protects, also what comes after it began', async () => {
    using lease = acquireLease(store)
    const blob = await lease.put(new TextEncoder().encode('new'))
    beginSnapshot(store, 'half')
    expect((await collectGarbage(store)).reclaimed).toBe(0)
    expect(getSnapshot(store, 'half')?.state).toBe('preparing')
    lease.release()
    expect((await collectGarbage(store)).blobs).toEqual([blob])
  })

  test('removes what had to go while a lease protected it once the lease ends', async () => {
    const [manifest, layer, kept] = (await putBlobs('manifest', 'layer', 'kept')) as [
      BlobIdentity,
      BlobIdentity,
      BlobIdentity,
    ]
    recordImage(manifest)
    recordImage(kept)
    const diffId = digestOf('diff')
    putLayerRecord(store, { digest: layer.digest, diffId, compression: 'gzip', size: layer.size, unpackedSize: 9 })
    makeSnapshot('unpacked', diffId)
    link(store, blobNode(manifest.digest), [blobNode(layer.digest)])
    {
      using lease = acquireLease(store)
      using other = acquireLease(store)
      lease.protect(blobNode(manifest.digest), blobNode(kept.digest))
      other.protect(layerNode(diffId))
      deleteImageRecord(store, manifest.digest)
      await collectFrom(store, [blobNode(manifest.digest)])
      expect(pendingGarbage(store)).toEqual({ layers: new Set([diffId]), nodes: new Set([blobNode(manifest.digest)]) })
      other[Symbol.dispose]()
      expect(store.blobs.has(layer.digest)).toBe(true)
    }
    expect([manifest, layer, kept].map(({ digest }) => store.blobs.has(digest))).toEqual([false, false, true])
    expect(existsSync(store.path('snapshots', 'unpacked'))).toBe(false)
    expect(store.database.all('SELECT * FROM garbage')).toEqual([])
  })

  test('removes a layer that one lease and then another one protected', async () => {
    const [layer] = (await putBlobs('layer')) as [BlobIdentity]
    const diffId = digestOf('diff')
    putLayerRecord(store, { digest: layer.digest, diffId, compression: 'gzip', size: layer.size, unpackedSize: 9 })
    const first = acquireLease(store)
    const second = acquireLease(store)
    first.protect(layerNode(diffId))
    second.protect(blobNode(layer.digest))
    await collectGarbage(store)
    first[Symbol.dispose]()
    expect(store.blobs.has(layer.digest)).toBe(true)
    second[Symbol.dispose]()
    expect(store.blobs.has(layer.digest)).toBe(false)
  })

  test('keeps blobs that another task protects between finding and removing them', async () => {
    const texts = Array.from({ length: 200 }, (_, index) => `blob ${index}`)
    const blobs = await putBlobs(...texts)
    using lease = acquireLease(store)
    const collection = collectGarbage(store)
    const left = () => blobs.filter(({ digest }) => store.blobs.has(digest))
    while (left().length === blobs.length) await Bun.sleep(0)
    const claimed = left().filter(({ digest }) => lease.claim(digest))
    await collection
    expect(claimed.length).toBeGreaterThan(0)
    expect(left()).toEqual(claimed)
  })

  test('removes a directory below snapshots that no record tells of', async () => {
    mkdirSync(join(root, 'snapshots/orphan/fs'), { recursive: true })
    expect((await collectGarbage(store)).snapshots).toEqual([{ id: 'orphan', size: 0 }])
    expect(readdirSync(join(root, 'snapshots'))).toEqual([])
  })

  test('leaves files alone whose names are no digests', async () => {
    writeFileSync(join(root, 'content/blobs/sha256/README'), 'x')
    await collectGarbage(store)
    expect(existsSync(join(root, 'content/blobs/sha256/README'))).toBe(true)
  })

  test('waits for a collection that is running, and can be canceled', async () => {
    const lock = tryAcquireLock(store, 'garbage-collection')
    expect(lock).toBeDefined()
    let waits = 0
    const abort = new AbortController()
    const collection = collectGarbage(store, { onWait: () => void waits++, signal: abort.signal })
    await Bun.sleep(20)
    expect(waits).toBe(1)
    abort.abort()
    expect(collection).rejects.toThrow('canceled')
    await collection.catch(() => {})
    lock?.release()
    await collectGarbage(store)
  })
})

describe('pendingGarbage()', () => {
  test('tells what only removed images lead to, not what others have', async () => {
    const texts = ['first', 'second', 'config', 'own', 'shared', 'again']
    const blobs = await putBlobs(...texts)
    const nodes = blobs.map(({ digest }) => blobNode(digest))
    const [first, second, config, own, shared, again] = nodes as [
      StoreNode,
      StoreNode,
      StoreNode,
      StoreNode,
      StoreNode,
      StoreNode,
    ]
    for (const image of [0, 1, 5]) recordImage(blobs[image] as BlobIdentity)
    link(store, first, [config, own, shared])
    link(store, second, [config, shared])
    link(store, again, [own])
    expect(pendingGarbage(store).nodes).toEqual(new Set())
    deleteImageRecord(store, blobs[0]?.digest as Digest)
    expect(pendingGarbage(store).nodes).toEqual(new Set([first]))
    deleteImageRecord(store, blobs[5]?.digest as Digest)
    expect(pendingGarbage(store).nodes).toEqual(new Set([first, again, own]))
    deleteImageRecord(store, blobs[1]?.digest as Digest)
    expect(pendingGarbage(store).nodes).toEqual(new Set([first, second, config, own, shared, again]))
    // It came back before anybody removed it.
    recordImage(blobs[1] as BlobIdentity)
    expect(pendingGarbage(store).nodes).toEqual(new Set([first, again, own]))
  })
})
