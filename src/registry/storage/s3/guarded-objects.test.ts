import { afterEach, beforeEach, expect, setDefaultTimeout, test } from 'bun:test'
import { type S3Server, startS3Server } from '../../../../test/fixtures/s3-server.ts'
import { digestOf } from '../../../oci/digest.ts'
import type { GarbagePolicy, RegistryStorage } from '../registry-storage.ts'
import { begin, push, pushImage, readBlob, textBytes } from '../storage-fixtures.ts'
import { Bucket, type BucketOptions } from '../../../object-storage/bucket.ts'
import { GuardedObjects } from './guarded-objects.ts'
import { allKeys, createBucket } from '../../../object-storage/s3-fixtures.ts'
import { openS3Storage } from './s3-storage.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

const hour = 3_600_000
const usual: GarbagePolicy = { isDryRun: false, blobGrace: 24 * hour, uploadGrace: 24 * hour, untaggedGrace: undefined }

let server: S3Server
let options: BucketOptions
let bucket: Bucket
let guarded: GuardedObjects
beforeEach(async () => {
  server = startS3Server()
  options = await createBucket(server)
  bucket = new Bucket(options)
  guarded = new GuardedObjects(bucket)
})
afterEach(() => server.stop())

function openStorage(): Promise<RegistryStorage> {
  return openS3Storage({ ...options, isRedirecting: false })
}

test('check() refuses a server that does not hold to conditions', async () => {
  server.intercept = (request) =>
    request.method === 'PUT' ? new Response(null, { headers: { etag: '"x"' } }) : undefined
  expect(await bucket.check().catch((error: unknown) => error)).toMatchObject({ code: 'NOT_SUPPORTED' })
})

test('check() tells of wrong keys without naming them', async () => {
  const wrong = { accessKey: 'test-key', secretKey: 'guess', sessionToken: undefined }
  const error: unknown = await new Bucket({ ...options, credentials: () => wrong }).check().catch((one: unknown) => one)
  expect(error).toMatchObject({ code: 'STORE_UNUSABLE' })
  expect(String(error)).not.toContain('guess')
})

test('deleteBefore() deletes nothing once its time is over', async () => {
  await bucket.put({ key: 'x', body: 'there' })
  await bucket.deleteBefore('x', new Date(Date.now() - 60_000), 5)
  expect(await bucket.head('x')).toBeDefined()
  await bucket.deleteBefore('x', new Date(), 5)
  expect(await bucket.head('x')).toBeUndefined()
})

test('remove() removes what was seen and nothing newer', async () => {
  const first = await guarded.create('x', 'first')
  expect(await guarded.create('x', 'second')).toBeUndefined()
  const second = await guarded.replace('x', first?.etag ?? '', 'second')
  expect(await guarded.remove('x', first?.etag ?? '')).toBe(false)
  expect(await guarded.remove('x', second?.etag ?? '', async () => false)).toBe(false)
  expect(new TextDecoder().decode((await guarded.get('x'))?.bytes)).toBe('second')
  expect(await guarded.remove('x', second?.etag ?? '', async () => true)).toBe(true)
  expect(await allKeys(options)).toEqual([])
})

test('a removal whose server died in the middle is waited out, then written over', async () => {
  const written = await guarded.create('x', 'old')
  server.intercept = (request) => (request.method === 'DELETE' ? new Response(null, { status: 500 }) : undefined)
  await guarded.remove('x', written?.etag ?? '')
  server.intercept = undefined
  expect(await guarded.head('x')).toBeUndefined()
  expect(await bucket.head('x')).toBeDefined()
  const creating = guarded.create('x', 'new')
  await Bun.sleep(200)
  expect(await guarded.head('x')).toBeUndefined()
  server.ahead = 20_000
  expect(await creating).toBeDefined()
  expect(new TextDecoder().decode((await guarded.get('x'))?.bytes)).toBe('new')
})

test('a PUT that is sent again after its answer was lost has succeeded', async () => {
  let lost = 1
  server.intercept = async (request) => {
    if (request.method !== 'PUT' || lost-- <= 0) return undefined
    server.intercept = undefined
    await fetch(request.url, { method: 'PUT', headers: request.headers, body: await request.arrayBuffer() })
    return new Response(null, { status: 500 })
  }
  expect(await guarded.create('x', 'mine')).toBeDefined()
})

test('blobs that are pushed while others delete them are whole or not there', async () => {
  const [one, other] = [await openStorage(), await openStorage()]
  const digest = digestOf('contested')
  for (let round = 0; round < 15; round++) {
    const confirmed = new Set<string>()
    const pushTo = async (storage: RegistryStorage, name: string) => {
      await push(storage, name, 'contested')
      confirmed.add(name)
    }
    await pushTo(one, 'a')
    confirmed.delete('a')
    await Promise.all([pushTo(other, 'b'), one.deleteBlob('a', digest), other.mountBlob('c', digest, 'a')])
    expect(await readBlob(one, 'b', digest)).toBe('contested')
    for (const name of ['a', 'c']) expect([undefined, 'contested']).toContain(await readBlob(other, name, digest))
    for (const name of ['b', 'c']) await one.deleteBlob(name, digest)
  }
  const left = (await allKeys(options)).filter((key) => key.startsWith('data/') || key.startsWith('records/'))
  expect(left).toEqual([])
})

test('collectGarbage() removes what servers that died have left, and keeps the rest', async () => {
  const storage = await openStorage()
  const image = await pushImage(storage, 'r', 'kept', ['t'])
  await bucket.put({ key: 'data/stray', body: 'bytes without a record' })
  await bucket.put({ key: `tails/${crypto.randomUUID()}/x`, body: 'tail without an upload' })
  await bucket.beginMultipart('data/abandoned')
  const writer = await begin(storage, 'r')
  await writer.write(textBytes('going on'))
  await writer[Symbol.asyncDispose]()
  const link = (await allKeys(options)).find((key) => key.startsWith('links/')) ?? ''
  await bucket.put({ key: 'links/sha256/dead', body: `-${crypto.randomUUID()}` })
  const before = await allKeys(options)
  await storage.collectGarbage(usual)
  expect((await allKeys(options)).toSorted()).toEqual(before.toSorted())
  server.ahead = 23 * hour
  await storage.collectGarbage({ ...usual, uploadGrace: 24 * hour })
  server.ahead = 25 * hour
  const { items } = await storage.collectGarbage(usual)
  expect(items.map(({ kind }) => kind)).toEqual(['upload'])
  const left = await allKeys(options)
  expect(left).toContain(link)
  expect(left.filter((key) => /^(?:tails|uploads|locks)\//.test(key) || key.includes('dead'))).toEqual([])
  expect(left.filter((key) => key.startsWith('data/'))).toHaveLength(image.references.length)
  for await (const { key } of bucket.listMultiparts('data/')) expect(key).toBe('none')
  for (const { digest } of image.references) expect(await readBlob(storage, 'r', digest)).toContain('kept')
})
