import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type Digest, digestOf } from '../src/oci/digest.ts'
import { localCacheTarget } from '../src/remote-cache/local-place.ts'
import { startTestRegistry, type TestRegistry } from '../src/registry/server/registry-fixtures.ts'
import { BuildBench, type Ended } from './fixtures/build-bench.ts'
import { type Outcome, outcomeOf } from './fixtures/build-outcome.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

const dockerfile = `FROM busybox AS build
WORKDIR /src
COPY a b ./
RUN cat a b > /out
RUN dd if=/dev/urandom of=/big bs=1k count=200
FROM busybox
COPY --from=build /out /app/out
RUN echo final > /final
`
/** Steps of the Dockerfile that can come from a cache. */
const steps = 6

/** Where caches are made, and where they are used: two machines, as it were. */
let here: BuildBench
let there: BuildBench
let cache: string
beforeEach(async () => {
  here = await BuildBench.open()
  there = await BuildBench.open()
  here.file('a', 'a\n')
  here.file('b', 'b\n')
  here.file('Dockerfile', dockerfile)
  cpSync(here.context, there.context, { recursive: true, preserveTimestamps: true })
  here.closeStore()
  there.closeStore()
  cache = `${here.directory}/cache`
})
afterEach(() => {
  here[Symbol.dispose]()
  there[Symbol.dispose]()
})

async function build(bench: BuildBench, ...flags: readonly string[]): Promise<Outcome> {
  const ended = await tried(bench, ...flags)
  expect(ended).toMatchObject({ status: 0 })
  return outcomeOf(ended)
}

async function tried(bench: BuildBench, ...flags: readonly string[]): Promise<Ended> {
  return await bench.cairn(['build', '--progress', 'plain', ...flags, bench.context])
}

const local = (...more: readonly string[]): string => [`type=local`, ...more].join(',')
const exported = (...more: readonly string[]): string => local(`dest=${cache}`, ...more)
const imported = (...more: readonly string[]): string => local(`src=${cache}`, ...more)

interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

interface CacheManifest {
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
}

interface CacheConfig {
  layers: { diffId: string; contentDigest: string; size: number; createdAt: string }[]
  records: { keys: string[]; definition: string; layer: number; parent: string }[]
}

const blobPath = (digest: string): string => `${cache}/blobs/${digest.replace(':', '/')}`

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'))
}

function manifestAt(directory = cache): CacheManifest {
  const { manifests } = readJson(`${directory}/index.json`) as { manifests: Descriptor[] }
  return readJson(blobPath(manifests[0]?.digest ?? '')) as CacheManifest
}

const configType = 'application/vnd.cairn.cache.config.v1+json'

/** The blob that says which steps the layers are of; these come first, and then those of base images, for BuildKit. */
function configOf({ layers }: CacheManifest): Descriptor {
  return layers.find(({ mediaType }) => mediaType === configType) as Descriptor
}

/** The layers of steps. */
function ownLayers(): readonly Descriptor[] {
  const manifest = manifestAt()
  const config = readJson(blobPath(configOf(manifest).digest)) as CacheConfig
  return manifest.layers.slice(0, config.layers.length)
}

function putBlob(content: string): Pick<Descriptor, 'digest' | 'size'> {
  const digest: Digest = digestOf(content)
  writeFileSync(blobPath(digest), content)
  return { digest, size: Buffer.byteLength(content) }
}

/** Has the cache say something else, its digests all being right. */
function forge(change: (config: CacheConfig, manifest: { layers: Descriptor[] }) => void): void {
  const manifest = structuredClone(manifestAt()) as { config: Descriptor; layers: Descriptor[] }
  const config = readJson(blobPath(configOf(manifest).digest)) as CacheConfig
  change(config, manifest)
  Object.assign(configOf(manifest), putBlob(JSON.stringify(config)))
  const index = readJson(`${cache}/index.json`) as { manifests: Descriptor[] }
  const [entry] = index.manifests
  const manifests = [{ ...entry, ...putBlob(JSON.stringify(manifest)) }]
  writeFileSync(`${cache}/index.json`, JSON.stringify({ ...index, manifests }))
}

describe('a cache in a directory', () => {
  test('of all steps spares an empty store all steps, and gives the same image', async () => {
    const first = await build(here, '--cache-to', exported('mode=max'))
    expect(first.cached).toBe(0)
    expect(first.text).toContain('exporting cache to client directory')
    const second = await build(there, '--cache-from', imported())
    expect(second).toMatchObject({ cached: steps, rebuilt: {}, image: first.image })
    expect((await there.cairn(['explain'])).out).toContain(
      `cached  [stage-1 3/3] RUN echo final > /final\n        from ${cache}`,
    )
    // What was used is kept: the next build needs the cache no more.
    rmSync(cache, { recursive: true })
    expect(await build(there)).toMatchObject({ cached: steps, image: first.image })
  })

  test('is read no further than its layers are needed', async () => {
    await build(here, '--cache-to', exported('mode=max'))
    const big = ownLayers().toSorted((a, b) => b.size - a.size)[0] as Descriptor
    rmSync(blobPath(big.digest))
    expect(await build(there, '--cache-from', imported())).toMatchObject({ cached: steps, rebuilt: {} })
    rmSync(`${cache}/blobs/sha256`, { recursive: true })
    const none = await build(there, '--cache-from', imported(), '--no-cache')
    expect(none.text).toContain('is not used: ')
  })

  test('explains what was rebuilt as if the build had been here', async () => {
    await build(here, '--cache-to', exported('mode=max'))
    there.file('b', 'other\n')
    const { rebuilt, cached } = await build(there, '--cache-from', imported())
    expect(rebuilt).toEqual({
      '[build 3/5] COPY a b ./': 'b changed',
      '[build 4/5] RUN cat a b > /out': 'b changed (COPY a b ./, line 3)',
      '[build 5/5] RUN dd if=/dev/urandom of=/big bs=1k count=200': 'b changed (COPY a b ./, line 3)',
      '[stage-1 2/3] COPY --from=build /out /app/out': 'out changed',
      '[stage-1 3/3] RUN echo final > /final': 'out changed (COPY --from=build /out /app/out, line 7)',
    })
    expect(cached).toBe(1)
  })

  test('compares with the build that came closest, here or elsewhere', async () => {
    await build(there)
    here.file('a', 'elsewhere\n')
    there.file('a', 'elsewhere\n')
    await build(here, '--cache-to', exported('mode=max'))
    there.file('b', 'now\n')
    const { rebuilt } = await build(there, '--cache-from', imported())
    expect(rebuilt['[build 3/5] COPY a b ./']).toMatch(/^(?:a changed, )?b changed$/)
    there.file('Dockerfile', dockerfile.replace('echo final', 'echo last'))
    there.file('b', 'b\n')
    const next = await build(there, '--cache-from', imported())
    expect(next.rebuilt).toEqual({
      '[stage-1 3/3] RUN echo last > /final': 'the instruction changed (was RUN echo final > /final)',
    })
  })

  test('ends a rebuild early where a step came out the same', async () => {
    await build(here, '--cache-to', exported('mode=max'))
    there.file('Dockerfile', dockerfile.replace('cat a b > /out', 'cat a b  > /out'))
    const { rebuilt } = await build(there, '--cache-from', imported())
    expect(Object.keys(rebuilt)).not.toContain('[stage-1 2/3] COPY --from=build /out /app/out')
    expect(Object.keys(rebuilt)).not.toContain('[stage-1 3/3] RUN echo final > /final')
  })

  test('has only the steps of the result with mode=min', async () => {
    await build(here, '--cache-to', exported())
    expect(ownLayers()).toHaveLength(2)
    expect(await build(there, '--cache-from', imported())).toMatchObject({ cached: steps, rebuilt: {} })
    there.file('Dockerfile', dockerfile.replace('echo final', 'echo last'))
    const { rebuilt } = await build(there, '--cache-from', imported())
    expect(Object.keys(rebuilt)).toEqual(['[stage-1 3/3] RUN echo last > /final'])
  })

  test('is written also by builds that may not use one', async () => {
    await build(here)
    const { rebuilt } = await build(here, '--no-cache', '--cache-to', exported('mode=max'))
    expect(Object.keys(rebuilt)).toHaveLength(steps)
    expect(await build(there, '--cache-from', imported())).toMatchObject({ cached: steps })
  })

  test('of an imported cache need not be brought to be written again', async () => {
    await build(here, '--cache-to', exported('mode=max'))
    const before = readdirSync(`${cache}/blobs/sha256`).length
    const both = ['--cache-from', imported(), '--cache-to', exported('mode=max')]
    expect(await build(there, ...both)).toMatchObject({ cached: steps })
    expect(ownLayers()).toHaveLength(steps)
    expect(readdirSync(`${cache}/blobs/sha256`).length - before).toBeLessThanOrEqual(3)
  })

  test('keeps what other tags lead to, and nothing else with reset=true', async () => {
    await build(here, '--cache-to', exported('mode=max', 'tag=one'))
    here.file('b', 'two\n')
    await build(here, '--cache-to', exported('mode=max', 'tag=two'))
    expect(await build(there, '--cache-from', imported('tag=one'))).toMatchObject({ cached: steps })
    const count = readdirSync(`${cache}/blobs/sha256`).length
    here.file('b', 'three\n')
    await build(here, '--cache-to', exported('mode=max', 'tag=two', 'reset=true'))
    expect(readdirSync(`${cache}/blobs/sha256`).length).toBeLessThanOrEqual(count)
    rmSync(there.root, { recursive: true })
    await there.importBase()
    there.closeStore()
    expect(await build(there, '--cache-from', imported('tag=one'))).toMatchObject({ cached: steps })
  })

  test('that has a pipe for its index keeps nobody waiting', async () => {
    mkdirSync(cache)
    expect(Bun.spawnSync(['mkfifo', `${cache}/index.json`]).exitCode).toBe(0)
    const built = await build(here, '--cache-from', `type=local,src=${cache}`)
    expect(built.text).toContain('index.json is a fifo, not a file')
  })

  test('loses what writers that were killed left in it, as soon as nobody else writes', async () => {
    const left = `${cache}/.cairn-4242-0a1b2c3d`
    const leave = (): void => {
      mkdirSync(left, { recursive: true })
      writeFileSync(`${left}/half-of-a-layer`, 'x')
    }
    leave()
    {
      using _writer = localCacheTarget(
        { type: 'local', path: cache, tag: 'other', digest: undefined },
        { reset: false },
      )
      expect(existsSync(left)).toBe(false)
      leave()
      await build(here, '--cache-to', exported('mode=max'))
      expect(existsSync(left)).toBe(true)
    }
    await build(here, '--cache-to', exported('mode=max'))
    expect(readdirSync(cache).toSorted()).toEqual(['.lock', 'blobs', 'index.json', 'oci-layout'])
  })

  test.each(['zstd', 'uncompressed'])('can be compressed with %s', async (compression) => {
    await build(here, '--cache-to', exported('mode=max', `compression=${compression}`))
    const types = manifestAt().layers.flatMap(({ mediaType }) => /image\.layer\.v1\.(.*)$/.exec(mediaType)?.[1] ?? [])
    expect(new Set(types)).toEqual(new Set([compression === 'zstd' ? 'tar+zstd' : 'tar']))
    expect(await build(there, '--cache-from', imported())).toMatchObject({ cached: steps })
  })

  test('that is not there is only told of', async () => {
    const { text, rebuilt } = await build(there, '--cache-from', imported())
    expect(text).toContain(`there is no cache at ${cache} yet`)
    expect(text).not.toContain('WARN')
    expect(Object.keys(rebuilt)).toHaveLength(steps)
  })
})

describe('cache mounts', () => {
  const counting = `FROM busybox
RUN --mount=type=cache,target=/count echo x >> /count/n && cat /count/n && echo VERSION
`
  beforeEach(() => {
    for (const bench of [here, there]) bench.file('Dockerfile', counting)
  })

  const change = (bench: BuildBench, version: string): string =>
    bench.file('Dockerfile', counting.replace('VERSION', version))

  test('travel with mounts=true, and do not replace one that is there', async () => {
    await build(here, '--cache-to', exported('mode=max', 'mounts=true'))
    change(there, 'two')
    const { text } = await build(there, '--cache-from', imported('mounts=true'))
    expect(text).toMatch(/x\n#\d+ [\d.]+ x\n#\d+ [\d.]+ two/)
    change(there, 'three')
    const next = await build(there, '--cache-from', imported('mounts=true'))
    expect(next.text.match(/ x\n/g)).toHaveLength(3)
  })

  test('stay where they are unless both sides ask for them', async () => {
    await build(here, '--cache-to', exported('mode=max', 'mounts=true'))
    change(there, 'two')
    expect((await build(there, '--cache-from', imported())).text.match(/ x\n/g)).toHaveLength(1)
    await build(here, '--cache-to', exported('mode=max', 'tag=without'))
    change(there, 'three')
    const next = await build(there, '--cache-from', imported('tag=without', 'mounts=true'))
    expect(next.text.match(/ x\n/g)).toHaveLength(2)
  })

  test('that are damaged are warned of and begin empty', async () => {
    await build(here, '--cache-to', exported('mode=max', 'mounts=true'))
    const mount = manifestAt().layers.find(({ mediaType }) => mediaType.includes('mount')) as Descriptor
    writeFileSync(blobPath(mount.digest), 'x'.repeat(mount.size))
    change(there, 'two')
    const { text } = await build(there, '--cache-from', imported('mounts=true'))
    expect(text).toContain('cache mount /count of')
    expect(text.match(/ x\n/g)).toHaveLength(1)
  })
})

describe('a cache that is not to be trusted', () => {
  beforeEach(async () => {
    await build(here, '--cache-to', exported('mode=max'))
  })

  async function expectUnused(reason: string): Promise<void> {
    const { text, rebuilt } = await build(there, '--cache-from', imported())
    expect(text).toContain(reason)
    // Once while the build runs, once in the list below it.
    expect(new Set(text.match(/cache .* is not used: .*/g))).toHaveProperty('size', 1)
    expect(Object.keys(rebuilt).length).toBeGreaterThan(0)
  }

  test('is dropped where a layer is damaged, and the steps are run', async () => {
    for (const { digest, size, mediaType } of manifestAt().layers)
      if (mediaType.includes('image.layer')) writeFileSync(blobPath(digest), 'x'.repeat(size))
    await expectUnused('arrived as')
    expect(await build(there)).toMatchObject({ cached: steps })
    expect(await there.cairn(['system', 'check'])).toMatchObject({ status: 0 })
  })

  test('loses only the steps whose layers are missing', async () => {
    const config = readJson(blobPath(configOf(manifestAt()).digest)) as CacheConfig
    const last = manifestAt().layers[config.records.at(-1)?.layer ?? 0] as Descriptor
    rmSync(blobPath(last.digest))
    const { text, rebuilt } = await build(there, '--cache-from', imported())
    expect(new Set(text.match(/cache .* is not complete: .*/g))).toHaveProperty('size', 1)
    expect(rebuilt).toEqual({ '[stage-1 3/3] RUN echo final > /final': 'no cache has its result' })
    for (const { digest, mediaType } of manifestAt().layers)
      if (mediaType.includes('image.layer')) rmSync(blobPath(digest), { force: true })
    rmSync(there.root, { recursive: true })
    await there.importBase()
    there.closeStore()
    expect(Object.keys((await build(there, '--cache-from', imported())).rebuilt)).toHaveLength(steps)
  })

  test('is dropped where a layer unpacks to another than it says', async () => {
    forge(({ layers }) => {
      for (const layer of layers) layer.diffId = digestOf(layer.diffId)
    })
    await expectUnused('unpacks to')
  })

  test('is dropped where a layer has other content than it says, which would lead to results made on that', async () => {
    forge(({ layers }) => {
      for (const layer of layers) layer.contentDigest = digestOf(layer.contentDigest)
    })
    await expectUnused('has not the content')
  })

  test('is dropped where a layer is no tar', async () => {
    forge((config, manifest) => {
      const blob = putBlob('this is no tar')
      for (const [index] of config.layers.entries()) {
        const layer = config.layers[index]
        if (layer !== undefined) layer.diffId = blob.digest
        manifest.layers[index] = { mediaType: 'application/vnd.oci.image.layer.v1.tar', ...blob }
      }
      config.layers = config.layers.slice(0, 1)
      for (const record of config.records) record.layer = 0
    })
    await expectUnused('layer sha256:')
  })

  test.each<[string, (config: CacheConfig) => unknown]>([
    ['records', ({ records }) => (records[0] === undefined ? undefined : (records[0].layer = 99))],
    ['records', ({ records }) => (records[0] === undefined ? undefined : (records[0].keys = ['../../etc']))],
    ['layers', ({ layers }) => (layers[0] === undefined ? undefined : (layers[0].size = -1))],
  ])('is not used at all where its %s make no sense', async (field, change) => {
    forge((config) => void change(config))
    await expectUnused(`cache config: ${field}`)
  })

  test('gives nothing under keys that no step has', async () => {
    forge(({ records }) => {
      for (const record of records) record.keys = [digestOf(record.keys.join()).slice(7)]
    })
    const { cached, rebuilt } = await build(there, '--cache-from', imported())
    expect({ cached, count: Object.keys(rebuilt).length }).toEqual({ cached: 0, count: steps })
  })

  test('cannot make a terminal obey it', async () => {
    const manifest = manifestAt()
    const history = manifest.layers.find(({ mediaType }) => mediaType.includes('history')) as Descriptor
    const text = new TextDecoder().decode(Bun.zstdDecompressSync(readFileSync(blobPath(history.digest))))
    const forged = Bun.zstdCompressSync(text.replaceAll('RUN echo final', 'RUN \\u001b[31mecho'))
    forge((_, { layers }) => {
      const digest = digestOf(new Uint8Array(forged))
      writeFileSync(blobPath(digest), forged)
      const index = layers.findIndex(({ mediaType }) => mediaType.includes('history'))
      layers[index] = { ...history, digest, size: forged.length }
    })
    there.file('Dockerfile', dockerfile.replace('echo final', 'echo last'))
    const { text: shown } = await build(there, '--cache-from', imported())
    expect(shown).toContain('[31mecho')
    expect(shown).not.toContain('\u001b')
  })
})

describe('a cache at a registry', () => {
  let registry: TestRegistry
  let host: string
  beforeEach(() => {
    registry = startTestRegistry()
    host = registry.server.url.host
  })
  afterEach(async () => {
    await registry[Symbol.asyncDispose]()
  })

  test('spares an empty store all steps, by its bare name too', async () => {
    const first = await build(here, '--cache-to', `type=registry,ref=${host}/app:cache,mode=max`)
    expect(first.text).toContain('exporting cache to registry')
    expect(await build(there, '--cache-from', `${host}/app:cache`)).toMatchObject({ cached: steps, image: first.image })
    there.file('b', 'other\n')
    const { rebuilt } = await build(there, '--cache-from', `type=registry,ref=${host}/app:cache`)
    expect(rebuilt['[build 3/5] COPY a b ./']).toBe('b changed')
  })

  test('that is not there is only told of; where nobody answers there is a warning', async () => {
    const missing = await build(there, '--cache-from', `${host}/app:none`)
    expect(missing.text).toContain(`there is no cache at ${host}/app:none yet`)
    const dead = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data: () => {} } })
    const { port } = dead
    dead.stop(true)
    const { text, cached } = await build(there, '--cache-from', `127.0.0.1:${port}/app:cache`)
    expect(cached).toBe(steps)
    expect(text).toContain(`cache 127.0.0.1:${port}/app:cache is not used: `)
  })

  test('that cannot be written fails the build, unless its errors are ignored', async () => {
    const dead = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data: () => {} } })
    const { port } = dead
    dead.stop(true)
    const to = `type=registry,ref=127.0.0.1:${port}/app:cache,mode=max`
    const failed = await tried(here, '--cache-to', to)
    expect(failed.status).not.toBe(0)
    expect(failed.err).toContain(`was not exported`)
    const { text } = await build(here, '--cache-to', `${to},ignore-error=true`)
    expect(text).toContain('was not exported')
  })

  test('is in the image that is pushed with type=inline, its reasons too', async () => {
    const name = `${host}/app:latest`
    await build(here, '--push', '-t', name, '--cache-to', 'type=inline')
    const { cached, rebuilt } = await build(there, '--cache-from', name)
    expect({ cached, rebuilt }).toEqual({ cached: steps, rebuilt: {} })
    there.file('b', 'other\n')
    expect((await build(there, '--cache-from', name)).rebuilt['[build 3/5] COPY a b ./']).toBe('b changed')
  })

  test('that is no cache is said to have none', async () => {
    const name = `${host}/app:latest`
    await build(here, '--push', '-t', name)
    const { text, cached } = await build(there, '--cache-from', name)
    expect(text).toContain(`${name} has no cache in it`)
    expect(cached).toBe(0)
  })
})

describe('an inline cache', () => {
  test('makes an image no other one in another store at another time', async () => {
    const flags = ['-t', 'app', '--cache-to', 'type=inline']
    const first = await build(here, ...flags)
    const second = await build(there, ...flags)
    expect(second).toMatchObject({ cached: 0, image: first.image })
  })

  test('can be read from an image that was exported to a directory', async () => {
    mkdirSync(cache)
    await build(here, '-t', 'app:latest', '--cache-to', 'type=inline', '-o', `type=oci,tar=false,dest=${cache}`)
    const names = readJson(`${cache}/index.json`) as { manifests: { annotations: Record<string, string> }[] }
    const tag = names.manifests[0]?.annotations['org.opencontainers.image.ref.name'] ?? ''
    expect(existsSync(`${cache}/oci-layout`)).toBe(true)
    expect(await build(there, '--cache-from', imported(`tag=${tag}`))).toMatchObject({ cached: steps, rebuilt: {} })
  })
})
