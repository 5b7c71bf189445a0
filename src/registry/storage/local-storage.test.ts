import { afterEach, expect, setSystemTime, test } from 'bun:test'
import { mkdtempSync, readdirSync, rmSync, statSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { collectGarbage } from '../../content/gc.ts'
import { openStore, type Store } from '../../content/store.ts'
import { isCairnError } from '../../errors/error.ts'
import { Digester, digestOf } from '../../oci/digest.ts'
import { forgetBlob } from './local-blobs.ts'
import { forgetManifest } from './local-manifests.ts'
import { localStorage } from './local-storage.ts'
import { registryStorageContract } from './registry-storage.contract.ts'
import { push, put, reopen, testManifest } from './storage-fixtures.ts'

const cleanups: (() => void)[] = []

function temporaryStore(root = mkdtempSync(join(tmpdir(), 'cairn-registry-'))): Store {
  const store = openStore(root)
  cleanups.push(() => {
    store.close()
    rmSync(root, { recursive: true, force: true })
  })
  return store
}

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

registryStorageContract('localStorage()', async () => {
  const store = temporaryStore()
  const second = openStore(store.root)
  return {
    storage: localStorage(store),
    other: localStorage(second),
    isKept: async (digest) => store.blobs.has(digest),
    close: async () => second.close(),
  }
})

test('of uploads that end at the same moment at several servers only those fit that the quota has room for', async () => {
  const store = temporaryStore()
  const second = openStore(store.root)
  cleanups.push(() => second.close())
  const contents = Array.from({ length: 6 }, (_, index) => `${index}`.padEnd(60, 'x'))
  const outcomes = await Promise.all(
    contents.map(async (content, index) => {
      const storage = localStorage(index % 2 === 0 ? store : second)
      const { id } = await storage.beginUpload('r', { algorithm: 'sha256', owner: undefined })
      const writer = await storage.openUpload('r', id)
      await writer?.write(new TextEncoder().encode(content))
      return await writer?.commit(digestOf(content), 100).catch((error: unknown) => isCairnError(error, 'DENIED'))
    }),
  )
  expect(outcomes).toEqual([true, true, true, true, true, true])
  expect(await localStorage(store).blobBytes('r')).toBe(60)
  expect(contents.filter((content) => store.blobs.has(digestOf(content)))).toHaveLength(1)
  expect(readdirSync(store.path('registry', 'uploads'))).toEqual([])
})

test('collectGarbage() of the store keeps what repositories hold', async () => {
  const store = temporaryStore()
  const storage = localStorage(store)
  const { id } = await storage.beginUpload('r', { algorithm: 'sha256', owner: undefined })
  const writer = await storage.openUpload('r', id)
  await writer?.write(new TextEncoder().encode('hello'))
  await writer?.commit(digestOf('hello'))
  await collectGarbage(store)
  expect(store.blobs.has(digestOf('hello'))).toBe(true)
  await storage.deleteBlob('r', digestOf('hello'))
  expect(store.blobs.has(digestOf('hello'))).toBe(false)
})

test('deleteBlob() keeps the bytes of a blob that an image of the store needs', async () => {
  const store = temporaryStore()
  const storage = localStorage(store)
  const { id } = await storage.beginUpload('r', { algorithm: 'sha256', owner: undefined })
  const writer = await storage.openUpload('r', id)
  await writer?.write(new TextEncoder().encode('hello'))
  await writer?.commit(digestOf('hello'))
  store.database.run('INSERT INTO pins VALUES (?, ?)', 'test', digestOf('hello'))
  expect(await storage.deleteBlob('r', digestOf('hello'))).toBe(true)
  expect(store.blobs.has(digestOf('hello'))).toBe(true)
})

test('collectGarbage() removes files of uploads that a server left behind when it died', async () => {
  const store = temporaryStore()
  const storage = localStorage(store)
  const { id } = await storage.beginUpload('r', { algorithm: 'sha256', owner: undefined })
  store.database.run('DELETE FROM registry_uploads WHERE id = ?', id)
  expect(readdirSync(store.path('registry', 'uploads'))).toEqual([id])
  truncateSync(store.path('registry', 'uploads', id), 4096)
  const policy = { isDryRun: false, blobGrace: 0, uploadGrace: -1000, untaggedGrace: undefined }
  expect((await storage.collectGarbage(policy)).freed).toBe(4096)
  expect(readdirSync(store.path('registry', 'uploads'))).toEqual([])
})

test('collectGarbage() keeps a blob for the whole grace time after a client asked for it', async () => {
  const storage = localStorage(temporaryStore())
  const digest = await push(storage, 'r', 'asked for')
  const start = Date.now()
  try {
    setSystemTime(start + 50_000)
    expect(await storage.findBlob('r', digest)).toBeDefined()
    setSystemTime(start + 65_000)
    const policy = { isDryRun: false, blobGrace: 20_000, uploadGrace: 20_000, untaggedGrace: undefined }
    expect((await storage.collectGarbage(policy)).items).toEqual([])
    setSystemTime(start + 200_000)
    expect((await storage.collectGarbage(policy)).items).toHaveLength(1)
  } finally {
    setSystemTime()
  }
})

test('collectGarbage() takes no longer for a manifest where a repository has many tags and referrers', async () => {
  const store = temporaryStore()
  const storage = localStorage(store)
  /** Milliseconds of this process: a machine that is busy otherwise does not count. */
  const time = async () => {
    for (let index = 0; index < 100; index++) await put(storage, 'r', testManifest(`untagged ${index}`))
    const start = process.cpuUsage()
    const policy = { isDryRun: false, blobGrace: -1, uploadGrace: -1, untaggedGrace: -1 }
    expect((await storage.collectGarbage(policy)).items).toHaveLength(100)
    return process.cpuUsage(start).user / 1000
  }
  const kept = testManifest('kept')
  await put(storage, 'r', kept, { tags: ['t'] })
  const alone = await time()
  const numbers = 'WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 40000)'
  for (const rows of [
    `registry_tags ${numbers} SELECT 'r', 't' || n, ?, 0 FROM numbers`,
    `registry_referrers ${numbers} SELECT 'r', ?, 'd' || n, NULL, '{}' FROM numbers`,
  ])
    store.database.run(`INSERT INTO ${rows}`, kept.digest)
  expect(await time()).toBeLessThan(alone * 4 + 150)
}, 60_000)

test('collectGarbage() frees what a server had deleted that died before it freed the bytes', async () => {
  const store = temporaryStore()
  const storage = localStorage(store)
  const blob = await push(storage, 'r', 'blob')
  const manifest = testManifest('manifest')
  await put(storage, 'r', manifest)
  store.database.transaction(() => forgetBlob(store, 'r', blob) && forgetManifest(store, 'r', manifest.digest))
  expect([blob, manifest.digest].map((digest) => store.blobs.has(digest))).toEqual([true, true])
  const policy = { isDryRun: false, blobGrace: 60_000, uploadGrace: 60_000, untaggedGrace: undefined }
  await storage.collectGarbage(policy)
  expect([blob, manifest.digest].map((digest) => store.blobs.has(digest))).toEqual([false, false])
})

test('an upload takes no more of the disk than its bytes, when it pauses and when it is a blob', async () => {
  const store = temporaryStore()
  const storage = localStorage(store)
  const piece = new Uint8Array(1_000_000).fill(1)
  const hash = new Digester('sha256')
  const { id } = await storage.beginUpload('r', { algorithm: 'sha256', owner: undefined })
  const writeMore = async () => {
    const writer = await reopen(storage, 'r', id)
    for (let count = 0; count < 20; count++) {
      await writer.write(piece)
      hash.update(piece)
    }
    return writer
  }
  const blocks = (path: string) => statSync(path).blocks * 512
  await (await writeMore())[Symbol.asyncDispose]()
  expect(blocks(store.path('registry', 'uploads', id))).toBeWithin(20_000_000, 20_100_000)
  const writer = await writeMore()
  const digest = hash.digest()
  expect(await writer.commit(digest)).toBe(true)
  expect(blocks(store.blobs.path(digest))).toBeWithin(40_000_000, 40_200_000)
}, 30_000)

test('findUpload() does not know an upload whose file is gone', async () => {
  const store = temporaryStore()
  const storage = localStorage(store)
  const { id } = await storage.beginUpload('r', { algorithm: 'sha256', owner: undefined })
  rmSync(store.path('registry', 'uploads', id))
  expect(await storage.findUpload('r', id)).toBeUndefined()
  expect(await storage.openUpload('r', id)).toBeUndefined()
})

test('a blob whose file is gone or cut counts as not there, until it is pushed again', async () => {
  const store = temporaryStore()
  const storage = localStorage(store)
  const digest = digestOf('hello')
  const push = async () => {
    const { id } = await storage.beginUpload('r', { algorithm: 'sha256', owner: undefined })
    const writer = await storage.openUpload('r', id)
    await writer?.write(new TextEncoder().encode('hello'))
    expect(await writer?.commit(digest)).toBe(true)
  }
  await push()
  for (const damage of [() => rmSync(store.blobs.path(digest)), () => truncateSync(store.blobs.path(digest), 2)]) {
    damage()
    expect(await storage.findBlob('r', digest)).toBeUndefined()
    expect(await storage.mountBlob('s', digest, 'r')).toBe(false)
    await push()
    expect((await storage.findBlob('r', digest))?.size).toBe(5)
  }
})
