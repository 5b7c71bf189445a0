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
    const imports = parseCacheImports(['user/app:cache,user/app', 'user/app', ''], '/work')
    expect(
      imports.map(({ name, place }) => [name, place.type === 'registry' ? formatReference(place.reference) : '']),
    ).toEqual([
      ['user/app:cache', 'docker.io/user/app:cache'],
      ['user/app', 'docker.io/user/app:latest'],
    ])
  })

  test('takes directories below the working directory, with a tag or a digest', () => {
    const digest = `sha256:${'0'.repeat(64)}`
    expect(parseCacheImports(['type=local,src=cache', `TYPE=local,src=/c,digest=${digest}`], '/work')).toMatchObject([
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
    ['type=s3,bucket=b', 'NOT_SUPPORTED: s3 cache importer: not supported yet'],
    ['type=gha', 'NOT_SUPPORTED: gha cache importer: not supported yet'],
    ['type=inline', 'USAGE: inline caches are read from the image they are in'],
    [
      'type=local,src=a,tag=',
      'USAGE: local cache importer requires either explicit digest, "latest" tag or custom tag on index.json',
    ],
  ])('refuses %s', (value, message) => {
    expect(failure(() => parseCacheImports([value], '/work'))).toBe(message)
  })
})

describe('parseCacheExports()', () => {
  test("has BuildKit's defaults", () => {
    expect(parseCacheExports(['type=local,dest=out', 'type=inline', 'app:cache'], '/work')).toMatchObject([
      { mode: 'min', compression: { format: 'gzip' }, force: false, ignoreError: false, place: { path: '/work/out' } },
      { mode: 'min', place: undefined },
      { mode: 'min', place: { type: 'registry' } },
    ])
  })

  test('takes what there is to choose', () => {
    const value =
      'type=registry,ref=app,mode=max,compression=zstd,compression-level=9,force-compression=true,ignore-error=1,oci-mediatypes=true,image-manifest=true'
    expect(parseCacheExports([value], '/')).toMatchObject([
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
    ['type=local,dest=a,reset=maybe', 'USAGE: failed to parse reset: "maybe" is no bool'],
    ['type=gha', 'NOT_SUPPORTED: gha cache exporter: not supported yet'],
  ])('refuses %s', (value, message) => {
    expect(failure(() => parseCacheExports([value], '/work'))).toBe(message)
  })
})
