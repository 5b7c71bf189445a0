import { afterAll, expect, setDefaultTimeout, test } from 'bun:test'
import { startS3Server } from '../../../../test/fixtures/s3-server.ts'
import { type Digest, digestHex, digestOf } from '../../../oci/digest.ts'
import { registryStorageContract } from '../registry-storage.contract.ts'
import { Bucket, type BucketOptions } from '../../../object-storage/bucket.ts'
import { allKeys, createBucket, type TestServer } from '../../../object-storage/s3-fixtures.ts'
import { push, readBlob } from '../storage-fixtures.ts'
import { openS3Storage } from './s3-storage.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

const double = startS3Server()
afterAll(() => double.stop())

/** What scripts/ceph.sh has started. */
const ceph: TestServer = {
  endpoint: new URL(process.env['CAIRN_TEST_S3_ENDPOINT'] ?? 'http://127.0.0.1:7480'),
  accessKey: 'test-key',
  secretKey: 'test-secret',
}
const isCephAsked = process.env['CAIRN_TEST_S3'] === '1'

contractOn('openS3Storage() on a double', double)

if (isCephAsked) contractOn('openS3Storage() on Ceph', ceph)
else test.skip('openS3Storage() on Ceph: runs with CAIRN_TEST_S3=1, after scripts/ceph.sh start', () => {})

test('clients are sent to the bucket for large blobs, and get small ones at once', async () => {
  const storage = await openS3Storage({ ...(await createBucket(double)), isRedirecting: true })
  for (const [text, kind] of [
    ['config', 'body'],
    ['layer'.repeat(20_000), 'elsewhere'],
  ] as const) {
    const digest = await push(storage, 'r', text)
    expect((await (await storage.findBlob('r', digest))?.read())?.kind).toBe(kind)
    expect(await readBlob(storage, 'r', digest)).toBe(text)
  }
})

test('collectGarbage() keeps a blob for the whole grace time after a client asked for it', async () => {
  const storage = await openS3Storage({ ...(await createBucket(double)), isRedirecting: false })
  const digest = await push(storage, 'r', 'asked for')
  try {
    double.ahead = 500_000
    expect(await storage.findBlob('r', digest)).toBeDefined()
    double.ahead = 510_000
    const policy = { isDryRun: false, blobGrace: 60_000, uploadGrace: 60_000, untaggedGrace: undefined }
    expect((await storage.collectGarbage(policy)).items).toEqual([])
    double.ahead = 2_000_000
    expect((await storage.collectGarbage(policy)).items).toHaveLength(1)
  } finally {
    double.ahead = 0
  }
})

function contractOn(name: string, server: TestServer): void {
  registryStorageContract(name, async () => {
    const options = { ...(await createBucket(server)), isRedirecting: false }
    return {
      storage: await openS3Storage(options),
      other: await openS3Storage(options),
      isKept: (digest) => isKept(options, digest),
      close: async () => {},
    }
  })
}

/** Whether an object is of this digest, by its key or its bytes. */
async function isKept(options: BucketOptions, digest: Digest): Promise<boolean> {
  const bucket = new Bucket(options)
  for (const key of await allKeys(options)) {
    if (key.includes(digestHex(digest))) return true
    const found = key.startsWith('data/') ? await bucket.get(key) : undefined
    if (found !== undefined && digestOf(found.bytes) === digest) return true
  }
  return false
}
