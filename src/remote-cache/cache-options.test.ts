import { describe, expect, test } from 'bun:test'
import { isCairnError } from '../errors/error.ts'
import { formatReference } from '../oci/reference.ts'
import { parseCacheExports, parseCacheImports } from './cache-options.ts'

function failure(parse: () => unknown): string {
  try {
    parse()
  } catch (error) {
    if (isCairnError(error)) return `${error.code}: ${error.message}`
    throw error
  }
  return 'nothing'
}

describe('parseCacheImports()', () => {
  test('takes bare names for caches of registries, several in one value, each once', () => {
    const imports = parseCacheImports(['user/app:cache,user/app', 'user/app', ''], { cwd: '/work', env: {} })
    expect(
      imports.map(({ name, place }) => [name, place.type === 'registry' ? formatReference(place.reference) : '']),
    ).toEqual([
      ['user/app:cache', 'docker.io/user/app:cache'],
      ['user/app', 'docker.io/user/app:latest'],
    ])
  })

  test('takes directories below the working directory, with a tag or a digest', () => {
    const digest = `sha256:${'0'.repeat(64)}`
    expect(
      parseCacheImports(['type=local,src=cache', `TYPE=local,src=/c,digest=${digest}`], { cwd: '/work', env: {} }),
    ).toMatchObject([
      { name: 'cache', place: { type: 'local', path: '/work/cache', tag: 'latest' } },
      { name: '/c', place: { type: 'local', path: '/c', digest } },
    ])
  })

  test.each([
    ['type=local', 'USAGE: local cache importer requires src'],
    ['type=registry', 'USAGE: registry cache importer requires ref'],
    ['ref=app', 'USAGE: type required for "ref=app"'],
    ['type=local,src', 'USAGE: invalid value src'],
    ['type=local,src=a,srv=b', 'USAGE: unknown key "srv" in --cache-from type=local,src=a,srv=b'],
    ['type=nowhere', 'USAGE: unknown cache importer: "nowhere"'],
    ['type=azblob', 'NOT_SUPPORTED: azblob cache importer: not supported'],
    ['type=inline', 'USAGE: inline caches are read from the image they are in'],
    [
      'type=local,src=a,tag=',
      'USAGE: local cache importer requires either explicit digest, "latest" tag or custom tag on index.json',
    ],
  ])('refuses %s', (value, message) => {
    expect(failure(() => parseCacheImports([value], { cwd: '/work', env: {} }))).toBe(message)
  })
})

describe('parseCacheExports()', () => {
  test("has BuildKit's defaults", () => {
    expect(
      parseCacheExports(['type=local,dest=out', 'type=inline', 'app:cache'], { cwd: '/work', env: {} }),
    ).toMatchObject([
      { mode: 'min', compression: { format: 'gzip' }, force: false, ignoreError: false, place: { path: '/work/out' } },
      { mode: 'min', place: undefined },
      { mode: 'min', place: { type: 'registry' } },
    ])
  })

  test('takes what there is to choose', () => {
    const value =
      'type=registry,ref=app,mode=max,compression=zstd,compression-level=9,force-compression=true,ignore-error=1,oci-mediatypes=true,image-manifest=true'
    expect(parseCacheExports([value], { cwd: '/', env: {} })).toMatchObject([
      { mode: 'max', compression: { format: 'zstd', level: 9 }, force: true, ignoreError: true },
    ])
  })

  test.each([
    ['type=local', 'USAGE: local cache exporter requires dest'],
    ['type=registry', 'USAGE: registry cache exporter requires ref'],
    ['type=registry,ref=app,mode=all', 'USAGE: invalid cache mode "all"'],
    ['type=registry,ref=app,compression=lzma', 'USAGE: unsupported compression type lzma'],
    [
      'type=registry,ref=app,image-manifest=false',
      'NOT_SUPPORTED: cache type=registry,ref=app,image-manifest=false: caches are written as image manifests only',
    ],
    [
      'type=registry,ref=app,oci-mediatypes=false',
      'USAGE: invalid configuration for remote cache, OCI mediatypes are required for image-manifest cache format',
    ],
    ['type=local,dest=a,reset=maybe', 'USAGE: non-bool value specified for reset: "maybe"'],
  ])('refuses %s', (value, message) => {
    expect(failure(() => parseCacheExports([value], { cwd: '/work', env: {} }))).toBe(message)
  })
})

describe('places of objects', () => {
  const env = {
    AWS_BUCKET: 'ci',
    AWS_REGION: 'eu-west-1',
    AWS_ACCESS_KEY_ID: 'key',
    AWS_SECRET_ACCESS_KEY: 'secret',
    ACTIONS_RUNTIME_TOKEN: 'token',
    ACTIONS_RESULTS_URL: 'https://results.example/',
    ACTIONS_CACHE_URL: 'https://cache.example/x/',
  }
  const placeOf = (value: string, more: Readonly<Record<string, string>> = {}) =>
    parseCacheImports([value], { cwd: '/', env: { ...env, ...more } })[0]

  test("have BuildKit's defaults, and the rest from the environment", () => {
    expect(placeOf('type=s3')).toMatchObject({
      name: 's3://ci/manifests/buildkit',
      place: {
        endpoint: new URL('https://s3.eu-west-1.amazonaws.com'),
        isPathStyle: false,
        blobsPrefix: 'blobs/',
        manifestsPrefix: 'manifests/',
        names: ['buildkit'],
        touchAfter: 86_400_000,
        parallelism: 4,
      },
    })
    expect(placeOf('type=gha')).toMatchObject({
      name: 'gha:buildkit',
      place: { service: { url: new URL('https://cache.example/x/'), version: 1, token: 'token' }, timeout: 600_000 },
    })
    const newer = { service: { url: new URL('https://results.example/'), version: 2 } }
    expect(placeOf('type=gha', { ACTIONS_CACHE_SERVICE_V2: 'true' })).toMatchObject({ place: newer })
    expect(placeOf('type=gha', { ACTIONS_RUNTIME_TOKEN: '' })).toMatchObject({ place: { service: undefined } })
  })

  test('take what they are given', () => {
    const value =
      'type=s3,bucket=my.bucket,region=x,prefix=p/,blobs_prefix=b/,name=one;two,touch_refresh=90m,upload_parallelism=9,retry_max_attempts=2,endpoint_url=http://127.0.0.1:9000,access_key_id=a,secret_access_key=b,session_token=c,mounts=true'
    expect(placeOf(value)).toMatchObject({
      name: 's3://my.bucket/p/manifests/one',
      mounts: true,
      place: {
        isPathStyle: true,
        blobsPrefix: 'p/b/',
        names: ['one', 'two'],
        touchAfter: 5_400_000,
        parallelism: 9,
        attempts: 2,
        keys: { accessKey: 'a', secretKey: 'b', sessionToken: 'c' },
      },
    })
    expect(
      placeOf('type=gha,scope=s,version=2,url_v2=http://127.0.0.1:1/,token=t,ghtoken=g,repository=r'),
    ).toMatchObject({
      place: { scope: 's', service: { version: 2, token: 't' } },
    })
  })

  test.each([
    ['type=s3,bucket=a/b', 'USAGE: a/b is no name of a bucket'],
    ['type=s3,access_key_id=a', 'USAGE: s3 cache has only one of access_key_id and secret_access_key'],
    ['type=s3,endpoint_url=http://me:pass@host', 'USAGE: endpoint_url of s3 cache is not a URL'],
    ['type=s3,upload_parallelism=0', 'USAGE: upload_parallelism must be a positive integer'],
    ['type=s3,retry_mode=never', 'USAGE: retry_mode must be "standard" or "adaptive"'],
    ['type=s3,secret_access_key=b,tag=x', 'USAGE: s3 cache has only one of access_key_id and secret_access_key'],
    ['type=gha,token=secret,tag=x', 'USAGE: unknown key "tag" in --cache-from type=gha,token=***,tag=x'],
    ['type=gha,version=3', 'USAGE: failed to parse api version "3", expected positive integer'],
    ['type=gha,timeout=x', 'USAGE: failed to parse timeout for github actions cache: time: invalid duration "x"'],
  ])('refuse %s', (value, message) => {
    expect(failure(() => placeOf(value))).toBe(message)
  })

  test('ask for bucket and region where nobody names them', () => {
    expect(failure(() => placeOf('type=s3', { AWS_BUCKET: '' }))).toBe(
      'USAGE: bucket ($AWS_BUCKET) not set for s3 cache',
    )
    expect(failure(() => placeOf('type=s3', { AWS_REGION: '' }))).toBe(
      'USAGE: region ($AWS_REGION) not set for s3 cache',
    )
  })
})
