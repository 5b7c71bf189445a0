import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { storedImage } from '../src/images/image.ts'
import { parseIndex } from '../src/oci/image-index.ts'
import { largestDocument } from '../src/oci/json-document.ts'
import { parsePlatform } from '../src/oci/platform.ts'
import type { Digest } from '../src/oci/digest.ts'
import { arm64Program } from './fixtures/arm64-program.ts'
import { BuildBench, type BenchOptions, type ShownStep } from './fixtures/build-bench.ts'

let bench: BuildBench
beforeEach(async () => {
  bench = await BuildBench.open()
})
afterEach(() => bench[Symbol.dispose]())

const both = ['linux/amd64', 'linux/arm64'].map(parsePlatform)

const dockerfile = `FROM --platform=$BUILDPLATFORM busybox AS build
ARG TARGETARCH
RUN echo for $TARGETARCH > /out
FROM --platform=$BUILDPLATFORM busybox AS common
RUN echo once > /common
FROM scratch
ARG TARGETPLATFORM
LABEL platform=$TARGETPLATFORM
COPY --from=build /out /out
COPY --from=common /common /common
`

async function build(source: string, options: BenchOptions = {}): Promise<{ target: Digest; steps: ShownStep[] }> {
  const steps: ShownStep[] = []
  const { manifest } = await bench.build(source, { platforms: both, tag: 'app', steps, ...options })
  return { target: manifest?.digest as Digest, steps }
}

describe('a build for several platforms', () => {
  test('makes an index with an image for each, and what is native once', async () => {
    const { target, steps } = await build(dockerfile)
    const { value: index } = parseIndex(bench.store.blobs.readAll(target, largestDocument))
    expect(index.manifests.map(({ platform }) => platform)).toEqual([
      { os: 'linux', architecture: 'amd64' },
      { os: 'linux', architecture: 'arm64' },
    ])
    for (const [place, { digest }] of index.manifests.entries()) {
      const { value: config } = await storedImage(bench.store, digest).config()
      const architecture = both[place]?.architecture
      expect(config).toMatchObject({ os: 'linux', architecture })
      expect(config.config?.Labels).toEqual({ platform: `linux/${architecture}` })
      const tree = bench.tree(config.rootfs.diff_ids)
      expect(Buffer.concat([...tree.read('/out')]).toString()).toBe(`for ${architecture}\n`)
    }
    const titles = steps.map(({ title }) => title)
    expect(titles.filter((title) => title.includes('common'))).toEqual([
      '[linux/amd64 common 2/2] RUN echo once > /common',
      '[linux/amd64 stage-2 2/2] COPY --from=common /common /common',
      '[linux/arm64 stage-2 2/2] COPY --from=common /common /common',
    ])
  })

  test('is cached, and explained, platform by platform', async () => {
    const first = await build(dockerfile)
    const second = await build(dockerfile)
    expect(second.target).toBe(first.target)
    expect(second.steps.filter(({ cached, title }) => !cached && !title.includes('FROM'))).toEqual([])
    const third = await build(dockerfile.replace('for $TARGETARCH', 'built for $TARGETARCH'))
    const ran = third.steps.filter(({ reason, title }) => reason !== undefined && title.includes('RUN'))
    expect(ran.map(({ title }) => title)).toEqual([
      '[linux/amd64 build 2/2] RUN echo built for amd64 > /out',
      '[linux/amd64 build 2/2] RUN echo built for arm64 > /out',
    ])
    for (const { reason } of ran) expect(reason).toContain('the instruction changed (was RUN echo for ')
  })

  test('writes directories, one for each, layouts, and no docker archive', async () => {
    bench.file('Dockerfile', dockerfile)
    bench.closeStore()
    const argv = ['build', '--platform', 'linux/amd64,linux/arm64', '--annotation', 'index:k=v', bench.context]
    const ended = await bench.cairn([...argv, '-o', 'out', '-o', 'type=oci,tar=false,dest=layout'])
    expect(ended.err).toContain('exporting manifest list sha256:')
    expect(ended.status).toBe(0)
    expect(readdirSync(`${bench.directory}/out`).sort()).toEqual(['linux_amd64', 'linux_arm64'])
    expect(readFileSync(`${bench.directory}/out/linux_arm64/out`, 'utf8')).toBe('for arm64\n')
    const { out } = await bench.cairn(['manifest', 'inspect', `oci:${bench.directory}/layout`])
    expect(JSON.parse(out)).toMatchObject({ annotations: { k: 'v' }, manifests: [{}, {}] })
    const refused = await bench.cairn([...argv, '-o', 'type=docker,dest=x.tar'])
    expect(refused.err).toContain(
      'docker exporter does not support exporting manifest lists, use the oci exporter instead',
    )
    expect(refused.status).toBe(1)
  })

  test('of one platform is an index where BUILDKIT_MULTI_PLATFORM asks for it', async () => {
    const { target } = await build('FROM scratch\nCOPY Dockerfile /\n', {
      platforms: both.slice(1),
      args: { BUILDKIT_MULTI_PLATFORM: '1' },
    })
    const { value } = parseIndex(bench.store.blobs.readAll(target, largestDocument))
    expect(value.manifests).toHaveLength(1)
  })

  test('take BUILDKIT_MULTI_PLATFORM as BuildKit does, in any spelling of Go', async () => {
    bench.file('Dockerfile', 'FROM scratch\nCOPY Dockerfile /\n')
    bench.closeStore()
    const of = async (value: string, ...flags: string[]): Promise<string> => {
      const argv = ['build', '-q', '--build-arg', `BUILDKIT_MULTI_PLATFORM=${value}`, ...flags, bench.context]
      return (await bench.cairn(argv)).err.split('\n')[0] ?? ''
    }
    const noIndexAsArchive =
      'cairn: docker exporter does not support exporting manifest lists, use the oci exporter instead'
    expect(await of('true', '-o', 'type=docker,dest=x.tar')).toBe(noIndexAsArchive)
    expect(await of('yes')).toBe('cairn: invalid boolean value for multi-platform: yes')
    expect(await of('0', '--platform', 'linux/amd64,linux/arm64')).toBe(
      'cairn: conflicting config: returning multiple target platforms is not allowed',
    )
  })
})

describe('--platform', () => {
  test('comes from DOCKER_DEFAULT_PLATFORM where it is not given, and is each platform once', async () => {
    bench.file('Dockerfile', 'FROM scratch\nCOPY Dockerfile /\n')
    bench.closeStore()
    const built = async (...flags: string[]): Promise<string[]> => {
      const env = { DOCKER_DEFAULT_PLATFORM: 'linux/arm64,arm' }
      expect(await bench.cairn(['build', '-o', 'out', ...flags, bench.context], { env })).toMatchObject({ status: 0 })
      const names = readdirSync(`${bench.directory}/out`).sort()
      rmSync(`${bench.directory}/out`, { recursive: true })
      return names
    }
    expect(await built()).toEqual(['linux_arm64', 'linux_arm_v7'])
    expect(await built('--platform', 'linux/amd64')).toEqual(['Dockerfile'])
    expect(await built('--platform', 'amd64,linux/arm/v6,linux/amd64/v1')).toEqual(['linux_amd64', 'linux_arm_v6'])
  })

  test.each([
    ['all', '"all": unknown operating system or architecture: invalid argument'],
    ['linux/a/b/c', '"linux/a/b/c": cannot parse platform specifier: invalid argument'],
    ['linux/amd64, linux/arm64', '" linux" is an invalid component of " linux/arm64"'],
  ])('%s is refused', async (platform, message) => {
    bench.closeStore()
    const { err, status } = await bench.cairn(['build', '--platform', platform, bench.context])
    expect(err).toContain(message)
    expect(status).toBe(1)
  })
})

describe('RUN for another processor', () => {
  const dockerfile = 'FROM scratch\nCOPY --chmod=755 arm64 /arm64\nRUN ["/arm64"]\n'
  const emulator = Bun.which('qemu-aarch64-static')

  test.skipIf(emulator === null)('is emulated, in the step alone (needs qemu-user-static)', async () => {
    const handlers = '/proc/sys/fs/binfmt_misc'
    const before = existsSync(handlers) ? readdirSync(handlers) : []
    bench.file('arm64', arm64Program())
    const { shown, config } = await bench.build(dockerfile, { platforms: both.slice(1) })
    expect(shown.at(-1)?.log).toBe('arm64\n')
    expect(config.architecture).toBe('arm64')
    expect(existsSync(handlers) ? readdirSync(handlers) : []).toEqual(before)
  })

  test.skipIf(emulator === null)('is emulated beside native steps, also without a network', async () => {
    bench.file('arm64', arm64Program())
    const source = `${dockerfile.replace('FROM', 'FROM --platform=linux/arm64')}RUN --network=none ["/arm64"]\nFROM busybox AS native\nRUN uname -m > /machine\nFROM scratch\nCOPY --from=0 /arm64 /\nCOPY --from=native /machine /\n`
    const { shown } = await bench.build(source)
    expect(shown.map(({ error }) => error)).not.toContainEqual(expect.any(String))
  })

  test('says what to install where there is no emulator', async () => {
    bench.file('arm64', arm64Program())
    bench.file('Dockerfile', dockerfile)
    bench.closeStore()
    const programs = `${bench.directory}/bin`
    mkdirSync(programs)
    for (const name of ['crun', 'runc', 'sh', 'mount']) {
      const path = Bun.which(name)
      if (path !== null) symlinkSync(path, `${programs}/${name}`)
    }
    const argv = ['build', '--platform', 'linux/arm64', bench.context]
    const { err, status } = await bench.cairn(argv, { env: { PATH: programs } })
    expect(err).toContain('programs for arm64 cannot be run on amd64 without an emulator')
    expect(err).toContain('apt-get install qemu-user-static')
    expect(status).toBe(1)
  })
})
