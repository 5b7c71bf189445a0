import { Bucket, type BucketOptions } from './bucket.ts'
import { encodeStrictly, sha256Hex, signedHeaders } from './signature.ts'

/** Where a server of tests is, and its keys. */
export interface TestServer {
  readonly endpoint: URL
  readonly accessKey: string
  readonly secretKey: string
}

/** Makes a bucket of a new name. */
export async function createBucket({ endpoint, accessKey, secretKey }: TestServer): Promise<BucketOptions> {
  const bucket = `cairn-${crypto.randomUUID()}`
  const credentials = { accessKey, secretKey, sessionToken: undefined }
  const url = new URL(`/${encodeStrictly(bucket)}`, endpoint)
  const request = { method: 'PUT', url, headers: {}, payloadHash: sha256Hex('') }
  const headers = signedHeaders({ region: 'us-east-1', credentials }, request, new Date())
  const response = await fetch(url, { method: 'PUT', headers })
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  return {
    bucket,
    endpoint,
    publicEndpoint: undefined,
    region: 'us-east-1',
    isPathStyle: true,
    prefix: 'registry/',
    credentials: () => credentials,
  }
}

/** Keys of all objects of a bucket. */
export async function allKeys(options: BucketOptions): Promise<string[]> {
  const found: string[] = []
  for await (const { key } of new Bucket(options).list('')) found.push(key)
  return found
}
