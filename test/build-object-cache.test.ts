import { afterAll, afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Bucket, type BucketOptions } from '../src/object-storage/bucket.ts'
import { allKeys, createBucket } from '../src/object-storage/s3-fixtures.ts'
import { type ActionsCacheServer, startActionsCache } from './fixtures/actions-cache-server.ts'
import { BuildBench, type Ended } from './fixtures/build-bench.ts'
import { type Outcome, outcomeOf } from './fixtures/build-outcome.ts'
import { buildkitCaches, stepCount, tinyRootfs, writeProject } from './fixtures/buildkit-cache/project.ts'
import { startS3Server } from './fixtures/s3-server.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

const double = startS3Server()
afterAll(() => double.stop())

const dockerfile = `FROM busybox AS build
COPY a ./
RUN --mount=type=cache,target=/cache cat a >> /cache/all; cat /cache/all > /out
FROM busybox
COPY --from=build /out /out
RUN echo two > /two
`
const steps = 4

let here: BuildBench
let there: BuildBench
beforeEach(async () => {
  here = await BuildBench.open()
  there = await BuildBench.open()
  here.file('a', 'a\n')
  here.file('Dockerfile', dockerfile)
  cpSync(here.context, there.context, { recursive: true, preserveTimestamps: true })
  here.closeStore()
  there.closeStore()
})
afterEach(() => {
  here[Symbol.dispose]()
  there[Symbol.dispose]()
  double.intercept = undefined
  double.ahead = 0
})

async function tried(bench: BuildBench, flags: readonly string[], env: Environment = {}): Promise<Ended> {
  return await bench.cairn(['build', '--progress', 'plain', ...flags, bench.context], { env })
}

async function build(bench: BuildBench, flags: readonly string[], env: Environment = {}): Promise<Outcome> {
  const ended = await tried(bench, flags, env)
  expect(ended).toMatchObject({ status: 0 })
  return outcomeOf(ended)
}

type Environment = Readonly<Record<string, string>>

interface Document {
  layers: { blob: string; annotations?: unknown }[]
  records: { digest: string; layers?: unknown }[]
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'))
}

describe('a cache in a bucket', () => {
  let options: BucketOptions
  let bucket: Bucket
  let place: string
  let env: Environment
  beforeEach(async () => {
    options = { ...(await createBucket(double)), prefix: '' }
    bucket = new Bucket(options)
    place = `type=s3,bucket=${options.bucket},region=us-east-1,endpoint_url=${double.endpoint.origin},use_path_style=true`
    env = { AWS_ACCESS_KEY_ID: double.accessKey, AWS_SECRET_ACCESS_KEY: double.secretKey }
  })

  test('spares an empty store all steps, and gives the same image', async () => {
    const first = await build(here, ['--cache-to', `${place},mode=max`], env)
    expect(first.text).toContain('exporting cache to Amazon S3')
    const second = await build(there, ['--cache-from', place], env)
    expect(second).toMatchObject({ cached: steps, rebuilt: {}, image: first.image })
  })

  test('explains what another machine built', async () => {
    await build(here, ['--cache-to', `${place},mode=max`], env)
    there.file('a', 'other\n')
    const { rebuilt } = await build(there, ['--cache-from', place], env)
    expect(rebuilt['[build 2/3] COPY a ./']).toContain('a changed')
  })

  test('carries cache mounts', async () => {
    await build(here, ['--cache-to', `${place},mode=max,mounts=true`], env)
    there.file('a', 'other\n')
    await build(there, ['--cache-from', `${place},mounts=true`, '-t', 'app'], env)
    const { out } = await there.cairn(['run', '--rm', 'app', 'cat', '/out'])
    expect(out).toBe('a\nother\n')
  })

  test('has the names that it is told, and writes no blob twice', async () => {
    const flags = ['--cache-to', `${place},prefix=p/,blobs_prefix=b/,manifests_prefix=m/,name=one;two`]
    await build(here, flags, env)
    const keys = await allKeys(options)
    expect(keys.filter((key) => !key.startsWith('p/b/sha256:'))).toEqual(['p/m/one', 'p/m/two'])
    let written: string[] = []
    double.intercept = ({ method }, { pathname }) => {
      if (method !== 'GET' && method !== 'HEAD') written.push(pathname)
      return undefined
    }
    await build(here, flags, env)
    expect(written.map((path) => path.split('/').at(-1))).toEqual(['one', 'two'])
    // A day later rules of the bucket might remove what nobody touches.
    written = []
    double.ahead = 25 * 60 * 60 * 1000
    await build(here, flags, env)
    expect(written).toHaveLength(keys.length)
    expect(await allKeys(options)).toEqual(keys)
  })

  test('has a large layer in parts, and is read on where the connection breaks off', async () => {
    const large = dockerfile.replace('echo two > /two', 'dd if=/dev/urandom of=/big bs=1M count=17')
    for (const bench of [here, there]) bench.file('Dockerfile', large)
    let multiparts = 0
    double.intercept = ({ method }, { searchParams }) => {
      if (method === 'POST' && searchParams.has('uploads')) multiparts++
      return undefined
    }
    await build(here, ['--cache-to', `${place},mode=max`], env)
    expect(multiparts).toBe(1)
    const sizes = new Map<string, number>()
    for await (const { key, size } of bucket.list('blobs/')) sizes.set(key, size)
    const [big = ''] = [...sizes].toSorted(([, a], [, b]) => b - a)[0] ?? []
    const ranges: (string | null)[] = []
    double.intercept = async ({ method, headers }, url) => {
      if (method !== 'GET' || !decodeURIComponent(url.pathname).endsWith(big)) return undefined
      ranges.push(headers.get('range'))
      if (ranges.length > 1) return undefined
      double.intercept = undefined
      const whole = (await bucket.get(big))?.bytes ?? new Uint8Array()
      double.intercept = ({ headers: later }) => {
        if (later.get('range') !== null) ranges.push(later.get('range'))
        return undefined
      }
      return new Response(
        new ReadableStream({
          start(controller) {
            controller.enqueue(whole.slice(0, 5_000_000))
            setTimeout(() => controller.error(new Error('gone')), 50)
          },
        }),
      )
    }
    const outcome = await build(there, ['--cache-from', place, '-t', 'app', '--output', 'type=image'], env)
    expect(outcome).toMatchObject({ cached: steps, rebuilt: {} })
    expect(ranges.some((range) => range !== null)).toBe(true)
  })

  test('whose keys are wrong is warned of, and fails the export', async () => {
    const wrong = { ...env, AWS_SECRET_ACCESS_KEY: 'wrong-secret-key' }
    const imported = await tried(here, ['--cache-from', place], wrong)
    expect(imported.status).toBe(0)
    expect(imported.err).toContain('is not used: object storage: GET manifests/buildkit is answered with 403')
    const exported = await tried(here, ['--cache-to', place], wrong)
    expect(exported.status).not.toBe(0)
    expect(exported.err).toContain('is answered with 403')
    const tolerated = await tried(here, ['--cache-to', `${place},ignore-error=true`], wrong)
    expect(tolerated.status).toBe(0)
    const keyless = await tried(here, ['--cache-to', place], { HOME: here.directory })
    expect(keyless.err).toContain('there are no keys for the object storage')
    expect(imported.err + exported.err + tolerated.err).not.toContain('wrong-secret-key')
  })

  test('leaves keys of flags out of errors, progress and records', async () => {
    const keys = `access_key_id=${double.accessKey},secret_access_key=very-secret`
    const refused = await tried(here, ['--cache-to', `${place},${keys},wrong=1`])
    expect(refused.err).toContain('unknown key "wrong"')
    const failed = await tried(here, ['--cache-to', `${place},${keys}`])
    expect(failed.status).not.toBe(0)
    expect(refused.err + failed.err).not.toContain('very-secret')
    for (const name of readdirSync(here.root, { recursive: true, withFileTypes: true }))
      if (name.isFile()) expect(readFileSync(`${name.parentPath}/${name.name}`).includes('very-secret')).toBe(false)
  })
})

// The keys have the processor in them.
describe.if(process.arch === 'x64')('a cache in a bucket that is shared with BuildKit', () => {
  let options: BucketOptions
  let bucket: Bucket
  let place: string
  beforeEach(async () => {
    options = { ...(await createBucket(double)), prefix: '' }
    bucket = new Bucket(options)
    const keys = `access_key_id=${double.accessKey},secret_access_key=${double.secretKey}`
    place = `type=s3,bucket=${options.bucket},region=us-east-1,endpoint_url=${double.endpoint.origin},${keys}`
    for (const bench of [here, there]) {
      await bench.importBase('tiny', [], tinyRootfs())
      bench.closeStore()
      rmSync(`${bench.context}/a`)
      writeProject(bench.context)
    }
  })

  const documentKey = 'manifests/buildkit'
  async function document(): Promise<Document> {
    return JSON.parse(new TextDecoder().decode((await bucket.get(documentKey))?.bytes)) as Document
  }

  test('spares all steps where BuildKit wrote it', async () => {
    const layout = `${buildkitCaches}/manifest`
    const file = (digest: string): string => `${layout}/blobs/${digest.replace(':', '/')}`
    const { manifests } = readJson(`${layout}/index.json`) as { manifests: [{ digest: string }] }
    const manifest = readJson(file(manifests[0].digest)) as {
      config: { digest: string }
      layers: { digest: string; size: number; mediaType: string; annotations: Record<string, string> }[]
    }
    const config = readJson(file(manifest.config.digest)) as Document
    for (const { digest } of manifest.layers)
      await bucket.put({ key: `blobs/${digest}`, body: new Uint8Array(readFileSync(file(digest))) })
    // As cache/remotecache/s3 has it: what a manifest says of layers stands with them.
    const layers = config.layers.map((layer) => {
      const found = manifest.layers.find(({ digest }) => digest === layer.blob)
      const diffID = found?.annotations['containerd.io/uncompressed']
      const createdAt = found?.annotations['buildkit/createdat']
      return { ...layer, annotations: { mediaType: found?.mediaType, size: found?.size, diffID, createdAt } }
    })
    await bucket.put({ key: documentKey, body: JSON.stringify({ ...config, layers }) })
    expect(await build(there, ['--cache-from', place])).toMatchObject({ cached: stepCount, rebuilt: {} })
  })

  test("has BuildKit's records of all steps, with every layer that they name", async () => {
    await build(here, ['--cache-to', `${place},mode=max`])
    const { layers, records } = await document()
    const keys = new Set(await allKeys(options))
    expect(layers.filter(({ blob }) => !keys.has(`blobs/${blob}`))).toEqual([])
    expect(records.filter((record) => record.layers !== undefined)).toHaveLength(stepCount)
    // The same document as BuildKit would read it.
    await bucket.put({ key: documentKey, body: JSON.stringify({ layers, records }) })
    expect(await build(there, ['--cache-from', place])).toMatchObject({ cached: stepCount, rebuilt: {} })
  })

  test('is passed over where its document is none', async () => {
    const wrong = {
      nonsense: 'cache is not JSON',
      '{"layers":[{"blob":"sha256:1"}]}': 'cache: layers[0] has no annotations',
      '{"cairn.cache.v1":{}}': '',
    }
    for (const [body, message] of Object.entries(wrong)) {
      await bucket.put({ key: documentKey, body })
      const { text } = await build(there, ['--cache-from', place, '--target', 'build'])
      expect(text).toContain(`is not used: ${message}`)
    }
  })
})

describe('a cache at the service of GitHub Actions', () => {
  let service: ActionsCacheServer
  const environment = ({ url, token }: ActionsCacheServer): Environment => ({
    ACTIONS_RUNTIME_TOKEN: token,
    ACTIONS_CACHE_SERVICE_V2: 'True',
    ACTIONS_RESULTS_URL: url,
  })
  let env: Environment
  beforeEach(() => {
    service = startActionsCache()
    env = environment(service)
  })
  afterEach(() => service.stop())

  test.each([2, 1])('spares an empty store all steps, by version %d of its API', async (version) => {
    const { token, url } = service
    const older = { ACTIONS_RUNTIME_TOKEN: token, ACTIONS_CACHE_URL: url }
    const own = version === 1 ? older : env
    const first = await build(here, ['--cache-to', 'type=gha,mode=max'], own)
    expect(first.text).toContain('exporting to GitHub Actions Cache')
    const second = await build(there, ['--cache-from', 'type=gha'], own)
    const isOlder = service.requests.some(({ name }) => name.includes('/_apis/'))
    expect(isOlder).toBe(version === 1)
    expect(second).toMatchObject({ cached: steps, rebuilt: {}, image: first.image })
    expect([...service.entries.keys()].filter((key) => !key.includes('buildkit-blob-1-sha256:'))).toEqual([
      'refs/heads/main index-buildkit-1-f921bd05#1',
    ])
  })

  test('keeps one document after the other, no blob twice, and its token from the storage', async () => {
    await build(here, ['--cache-to', 'type=gha,scope=app'], env)
    const before = service.entries.size
    await build(here, ['--cache-to', 'type=gha,scope=app'], env)
    const names = [...service.entries.keys()].filter((key) => key.includes('index-app-1-'))
    expect(names.map((name) => name.split('#').at(-1))).toEqual(['1', '2'])
    expect(service.entries.size).toBe(before + 1)
    const withToken = service.requests.filter(({ hasToken }) => hasToken).map(({ name }) => name)
    expect(withToken.filter((name) => name.includes('/blob/'))).toEqual([])
    expect(withToken.length).toBeGreaterThan(0)
  })

  test('is asked again where it has too much to do, or an address has run out', async () => {
    await build(here, ['--cache-to', 'type=gha,mode=max'], env)
    let refused = 0
    service.intercept = (_, { pathname }) => {
      if (pathname.startsWith('/blob/')) {
        // Once, after the document was read.
        if (++refused === 2) service.expireAddresses()
        return undefined
      }
      return refused++ === 0 ? Response.json({ message: 'slow down' }, { status: 429 }) : undefined
    }
    const outcome = await build(there, ['--cache-from', 'type=gha', '-t', 'app'], env)
    expect(outcome).toMatchObject({ cached: steps, rebuilt: {} })
  })

  test('of another branch is read, and not written', async () => {
    const key = (server: ActionsCacheServer): string[] => [...server.entries.keys()]
    const reader = startActionsCache({ scopes: [{ Scope: 'refs/pull/1/merge', Permission: 1 }] })
    try {
      const ended = await tried(here, ['--cache-to', 'type=gha'], environment(reader))
      expect(ended.status).not.toBe(0)
      expect(key(reader)).toEqual([])
      const tolerated = await tried(here, ['--cache-to', 'type=gha,ignore-error=true'], environment(reader))
      expect(tolerated.status).toBe(0)
    } finally {
      reader.stop()
    }
  })

  test('whose token has run out is warned of without it', async () => {
    const old = startActionsCache({ lifetime: -5 })
    try {
      const { err, status } = await tried(here, ['--cache-from', 'type=gha'], environment(old))
      expect(status).toBe(0)
      expect(err).toContain('token of the gha cache: it has run out at ')
      expect(err).not.toContain(old.token)
    } finally {
      old.stop()
    }
  })
})

test('type=gha outside of GitHub Actions does a build no harm', async () => {
  const { status, err } = await tried(here, ['--cache-to', 'type=gha', '--cache-from', 'type=gha'])
  expect(status).toBe(0)
  expect(err).toContain('there is no cache service of GitHub Actions here')
})

test('keys for a bucket are read of a file, too', async () => {
  const options = await createBucket(double)
  const file = `${here.directory}/credentials`
  writeFileSync(file, `[ci]\naws_access_key_id=${double.accessKey}\naws_secret_access_key=${double.secretKey}\n`)
  const env = {
    AWS_SHARED_CREDENTIALS_FILE: file,
    AWS_PROFILE: 'ci',
    AWS_REGION: 'us-east-1',
    AWS_BUCKET: options.bucket,
  }
  const place = `type=s3,endpoint_url=${double.endpoint.origin}`
  await build(here, ['--cache-to', place], env)
  expect(await build(there, ['--cache-from', place], env)).toMatchObject({ cached: steps })
})
