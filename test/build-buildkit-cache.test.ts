import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { chmodSync, cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { digestOf } from '../src/oci/digest.ts'
import { BuildBench } from './fixtures/build-bench.ts'
import { type Outcome, outcomeOf } from './fixtures/build-outcome.ts'
import { buildkitCaches, dockerfile, stepCount, tinyRootfs, writeProject } from './fixtures/buildkit-cache/project.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

let bench: BuildBench
beforeEach(async () => {
  bench = await BuildBench.open()
  await bench.importBase('tiny', [], tinyRootfs())
  bench.closeStore()
  writeProject(bench.context)
})
afterEach(() => bench[Symbol.dispose]())

async function build(cache: string, ...flags: readonly string[]): Promise<Outcome> {
  const from = ['--cache-from', `type=local,src=${cache}`]
  const ended = await bench.cairn(['build', '--progress', 'plain', ...from, ...flags, bench.context])
  expect(ended).toMatchObject({ status: 0 })
  return outcomeOf(ended)
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'))
}

interface Descriptor {
  readonly digest: string
  readonly size: number
  readonly mediaType: string
}

/** The document that a layout's only entry leads to. */
function manifestOf(layout: string): { readonly config: Descriptor; readonly layers: readonly Descriptor[] } {
  const { manifests } = readJson(`${layout}/index.json`) as { manifests: [Descriptor] }
  return readJson(blob(layout, manifests[0].digest)) as ReturnType<typeof manifestOf>
}

function blob(layout: string, digest: string): string {
  return `${layout}/blobs/${digest.replace(':', '/')}`
}

/** The layers of the image that docker made. */
function dockersLayers(): readonly string[] {
  const layout = `${buildkitCaches}/inline`
  const config = readJson(blob(layout, manifestOf(layout).config.digest)) as { rootfs: { diff_ids: string[] } }
  return config.rootfs.diff_ids
}

// The keys have the processor in them.
describe.if(process.arch === 'x64')('a cache that docker buildx wrote', () => {
  test.each(['manifest', 'index', 'inline'])('as %s spares all steps and gives the very layers', async (form) => {
    const { cached, rebuilt } = await build(`${buildkitCaches}/${form}`, '-t', 'app')
    expect({ cached, rebuilt }).toEqual({ cached: stepCount, rebuilt: {} })
    const { out } = await bench.cairn(['inspect', '-f', '{{json .RootFS.Layers}}', 'app'])
    expect(JSON.parse(out)).toEqual(dockersLayers())
  })

  test('has the steps of other stages, with mode=max', async () => {
    const { cached, rebuilt } = await build(`${buildkitCaches}/manifest`, '--target', 'deps')
    expect({ cached, rebuilt }).toEqual({ cached: 10, rebuilt: {} })
  })

  test('is not needed twice', async () => {
    await build(`${buildkitCaches}/manifest`)
    expect(await build(`${bench.directory}/none`)).toMatchObject({ cached: stepCount, rebuilt: {} })
  })

  test.each<[string, () => void, string]>([
    ['a file has other bytes', () => writeFileSync(`${bench.context}/main.js`, 'else\n'), 'COPY --chown'],
    ['a file has another mode', () => chmodSync(`${bench.context}/main.js`, 0o700), 'COPY --chown'],
    ['a file is new below a directory', () => writeFileSync(`${bench.context}/sub/deep/z`, ''), 'COPY sub'],
    ['a directory has another mode', () => chmodSync(`${bench.context}/sub/deep`, 0o755), 'COPY sub'],
    ['a file more matches', () => writeFileSync(`${bench.context}/package2.json`, ''), 'COPY package'],
    ['a variable is another', () => replace('VERSION=1.0', 'VERSION=1.1'), 'RUN install'],
    ['a command is another', () => replace('RUN ["sh", "it"]', 'RUN ["sh", "this"]'), 'RUN ["sh"'],
    ['an owner is another', () => replace('1000:1000', '1000:1001'), 'COPY --chown'],
    ['a mount is another', () => replace('target=/cache ', 'target=/cached '), 'RUN --mount'],
  ])('gives nothing from the step on where %s', async (_, change, step) => {
    change()
    const { rebuilt } = await build(`${buildkitCaches}/manifest`, '--target', 'deps')
    const [first = ''] = Object.keys(rebuilt)
    expect(first.replace(/^\[.*?\] /, '')).toStartWith(step)
  })

  test('gives nothing to another base image', async () => {
    await bench.importBase('tiny', [], tinyRootfs('another'))
    bench.closeStore()
    expect(await build(`${buildkitCaches}/manifest`, '--target', 'build')).toMatchObject({ cached: 0 })
  })

  test('is dropped where a layer is damaged', async () => {
    const cache = `${bench.directory}/cache`
    cpSync(`${buildkitCaches}/manifest`, cache, { recursive: true })
    for (const { digest, size } of manifestOf(cache).layers) writeFileSync(blob(cache, digest), 'x'.repeat(size))
    const { text, rebuilt } = await build(cache, '--target', 'build')
    expect(text).toContain('is not used: ')
    expect(Object.keys(rebuilt)).toHaveLength(3)
  })

  test('whose layers go in a circle gives nothing', async () => {
    const cache = `${bench.directory}/cache`
    cpSync(`${buildkitCaches}/manifest`, cache, { recursive: true })
    const manifest = structuredClone(manifestOf(cache)) as { config: Descriptor }
    const config = readJson(blob(cache, manifest.config.digest)) as { layers: { parent?: number }[] }
    for (const layer of config.layers) layer.parent = 0
    const put = (value: unknown): Pick<Descriptor, 'digest' | 'size'> => {
      const text = JSON.stringify(value)
      const digest = digestOf(text)
      writeFileSync(blob(cache, digest), text)
      return { digest, size: text.length }
    }
    manifest.config = { ...manifest.config, ...put(config) }
    const index = readJson(`${cache}/index.json`) as { manifests: [Descriptor] }
    index.manifests[0] = { ...index.manifests[0], ...put(manifest) }
    writeFileSync(`${cache}/index.json`, JSON.stringify(index))
    expect(await build(cache, '--target', 'build')).toMatchObject({ cached: 0 })
  })

  test('is left as it is', async () => {
    const before = readdirSync(`${buildkitCaches}/manifest`, { recursive: true })
    await build(`${buildkitCaches}/manifest`, '--target', 'build')
    expect(readdirSync(`${buildkitCaches}/manifest`, { recursive: true })).toEqual(before)
  })
})

function replace(before: string, after: string): void {
  writeFileSync(`${bench.context}/Dockerfile`, dockerfile.replace(before, after))
}

// What it is read by here are BuildKit's records alone; that BuildKit computes the same keys the tests above show.
describe.if(process.arch === 'x64')('a cache that Cairn wrote, to BuildKit', () => {
  let there: BuildBench
  let cache: string
  beforeEach(async () => {
    there = await BuildBench.open()
    await there.importBase('tiny', [], tinyRootfs())
    there.closeStore()
    writeProject(there.context)
    cache = `${there.directory}/cache`
    bench.file('Dockerfile', dockerfile)
  })
  afterEach(() => there[Symbol.dispose]())

  async function write(...flags: readonly string[]): Promise<void> {
    expect(await there.cairn(['build', '-q', ...flags, there.context])).toMatchObject({ status: 0 })
  }

  function put(text: string): Pick<Descriptor, 'digest' | 'size'> {
    const digest = digestOf(text)
    writeFileSync(blob(cache, digest), text)
    return { digest, size: Buffer.byteLength(text) }
  }

  function replaceManifest(manifest: object): void {
    const index = readJson(`${cache}/index.json`) as { manifests: [Descriptor] }
    index.manifests[0] = { ...index.manifests[0], ...put(JSON.stringify(manifest)) }
    writeFileSync(`${cache}/index.json`, JSON.stringify(index))
  }

  /** Leaves what BuildKit looks at. */
  function withoutOwn(): void {
    const manifest = manifestOf(cache)
    expect(manifest.config.mediaType).toBe('application/vnd.buildkit.cacheconfig.v0')
    replaceManifest({ ...manifest, layers: manifest.layers.filter(({ mediaType }) => !mediaType.includes('cairn')) })
  }

  test.each(['gzip', 'zstd', 'uncompressed'])('has all steps, compressed with %s', async (compression) => {
    await write('--cache-to', `type=local,dest=${cache},mode=max,compression=${compression}`)
    withoutOwn()
    const { text, ...outcome } = await build(cache)
    expect(outcome).toMatchObject({ cached: stepCount, rebuilt: {} })
    expect(text).toContain('records of BuildKit')
  })

  test('has with mode=min the steps of the result, which spare the others', async () => {
    await write('--cache-to', `type=local,dest=${cache}`)
    withoutOwn()
    expect(await build(cache)).toMatchObject({ cached: stepCount, rebuilt: {} })
  })

  test('has them in the config of an image with type=inline', async () => {
    await write('--cache-to', 'type=inline', '-t', 'app', '-o', `type=oci,tar=false,dest=${cache}`)
    const manifest = manifestOf(cache)
    const config = readJson(blob(cache, manifest.config.digest)) as Record<string, unknown>
    delete config['cairn.cache.v1']
    replaceManifest({ ...manifest, config: { ...manifest.config, ...put(JSON.stringify(config)) } })
    const { cached, rebuilt } = await build(cache)
    expect({ cached, rebuilt }).toEqual({ cached: stepCount, rebuilt: {} })
  })

  test('has nothing with buildkit=false, and no layer of a base image', async () => {
    const place = `type=local,dest=${cache},mode=max`
    await write('--cache-to', `${place},buildkit=false`)
    const bare = manifestOf(cache)
    expect(await build(cache)).toMatchObject({ cached: stepCount })
    await write('--cache-to', place)
    expect(manifestOf(cache).layers).toHaveLength(bare.layers.length + 1)
    await write('--cache-to', `${place},buildkit=false`)
    expect(manifestOf(cache)).toEqual(bare)
    withoutOwn()
    expect((await build(cache)).text).toContain('#4 0 records of BuildKit ')
  })

  test('is written again without a look at the files where nothing changed', async () => {
    const place = `type=local,dest=${cache},mode=max`
    await write('--cache-to', place)
    const before = readdirSync(`${cache}/blobs/sha256`)
    const { config } = manifestOf(cache)
    // The document is told by the rest: it is neither made nor looked for.
    rmSync(blob(cache, config.digest))
    await write('--cache-to', place)
    expect(manifestOf(cache).config).toEqual(config)
    expect(readdirSync(`${cache}/blobs/sha256`)).toHaveLength(before.length - 1)
  })
})
