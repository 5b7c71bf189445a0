import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tryLock } from '../src/linux/files.ts'
import { startTestRegistry } from '../src/registry/server/registry-fixtures.ts'
import { BuildBench, type Ended } from './fixtures/build-bench.ts'

setDefaultTimeout(60_000)

let bench: BuildBench
beforeEach(async () => {
  bench = await BuildBench.open()
  bench.file('a', 'one')
  bench.file('Dockerfile', dockerfile)
  bench.closeStore()
})
afterEach(() => bench[Symbol.dispose]())

const dockerfile = `FROM scratch
COPY --chmod=640 a /dir/a
COPY a /b
LABEL l=1
`

async function build(...flags: readonly string[]): Promise<Ended> {
  return await bench.cairn(['build', ...flags, bench.context])
}

async function ok(...flags: readonly string[]): Promise<Ended> {
  const ended = await build(...flags)
  expect(ended).toMatchObject({ status: 0 })
  return ended
}

const at = (path: string): string => `${bench.directory}/${path}`

function tar(...argv: readonly string[]): string {
  const { stdout, stderr, success } = Bun.spawnSync(['tar', ...argv])
  if (!success) throw new Error(stderr.toString())
  return stdout.toString()
}

async function images(): Promise<string> {
  return (await bench.cairn(['images', '-a', '--format', '{{.Repository}}:{{.Tag}}'])).out
}

interface Layout {
  readonly annotations: Record<string, string>
  readonly manifest: {
    readonly mediaType: string
    readonly layers: { mediaType: string; digest: string }[]
    readonly annotations?: object
  }
  readonly config: { config: { Labels: Record<string, string> }; rootfs: { diff_ids: string[] } }
}

/** What the OCI layout in a directory leads to. */
function layoutAt(path: string): Layout {
  const json = (name: string): never => JSON.parse(readFileSync(`${path}/${name}`, 'utf8')) as never
  const blob = (digest: string): never => json(`blobs/${digest.replace(':', '/')}`)
  const { manifests } = json('index.json') as { manifests: [{ digest: string; annotations: Record<string, string> }] }
  const manifest = blob(manifests[0].digest) as Layout['manifest'] & { config: { digest: string } }
  return { annotations: manifests[0].annotations, manifest, config: blob(manifest.config.digest) }
}

describe('build --output', () => {
  test('a directory gets the files, owned by the caller, and no image is made', async () => {
    await ok('--output', 'out')
    expect(readFileSync(at('out/dir/a'), 'utf8')).toBe('one')
    expect(statSync(at('out/dir/a')).mode & 0o7777).toBe(0o640)
    expect(readdirSync(at('out')).sort()).toEqual(['b', 'dir'])
    expect(await images()).toContain('busybox')
    expect((await images()).trim().split('\n')).toHaveLength(1)
  })

  test('a directory keeps what else it has, unless mode=delete says otherwise', async () => {
    mkdirSync(at('out/dir'), { recursive: true })
    writeFileSync(at('out/dir/other'), 'kept')
    writeFileSync(at('out/own'), 'kept')
    mkdirSync(at('out/b'))
    await ok('-o', 'type=local,dest=out')
    expect(readFileSync(at('out/dir/other'), 'utf8')).toBe('kept')
    expect(readFileSync(at('out/b'), 'utf8')).toBe('one')
    await ok('-o', 'type=local,dest=out,mode=delete')
    expect(readdirSync(at('out')).sort()).toEqual(['b', 'dir'])
    expect(readdirSync(at('out/dir'))).toEqual(['a'])
    mkdirSync(at('elsewhere'))
    const outside = await bench.cairn(['build', '-o', 'type=local,dest=../elsewhere,mode=delete', bench.context], {
      cwd: bench.context,
    })
    expect(outside.err).toContain('requires --allow=buildx.local.delete')
    expect(existsSync(at('elsewhere'))).toBe(true)
    const allowed = ['build', '--allow', 'buildx.local.delete', '-o', 'type=local,dest=../elsewhere,mode=delete']
    expect((await bench.cairn([...allowed, bench.context], { cwd: bench.context })).status).toBe(0)
    expect(readdirSync(at('elsewhere')).sort()).toEqual(['b', 'dir'])
  })

  test('writes a tar to a file and to stdout, the same bytes with an epoch', async () => {
    await ok('-o', 'type=tar,dest=files.tar', '--build-arg', 'SOURCE_DATE_EPOCH=1000')
    expect(tar('tf', at('files.tar')).trim().split('\n').sort()).toEqual(['b', 'dir/', 'dir/a'])
    expect(tar('tvf', at('files.tar'), '--utc')).toContain('1970-01-01 00:16')
    const bytes = readFileSync(at('files.tar'))
    const child = bench.spawn(['build', '-o', '-', '--build-arg', 'SOURCE_DATE_EPOCH=1000', bench.context])
    expect(Buffer.from(await child.stdout.bytes()).equals(bytes)).toBe(true)
    expect(await child.exited).toBe(0)
  })

  test('writes archives that load elsewhere, with the image ID of the store', async () => {
    await ok('-t', 'app:1', '-o', 'type=docker,dest=docker.tar', '-o', 'type=oci,dest=oci.tar', '-o', 'type=image')
    const id = (await bench.cairn(['inspect', '--format', '{{.Id}}', 'app:1'])).out
    for (const archive of ['docker.tar', 'oci.tar']) {
      expect(tar('tf', at(archive))).toContain('index.json')
      expect((await bench.cairn(['rmi', 'app:1'])).status).toBe(0)
      const loaded = await bench.cairn(['load', '-i', at(archive)])
      expect(loaded.out).toBe('Loaded image: app:1\n')
      expect((await bench.cairn(['inspect', '--format', '{{.Id}}', 'app:1'])).out).toBe(id)
    }
  })

  test.each([
    ['oci', '', 'application/vnd.oci.image.layer.v1.tar+gzip'],
    ['oci', ',compression=zstd', 'application/vnd.oci.image.layer.v1.tar+zstd'],
    ['oci', ',compression=zstd,compression-level=9', 'application/vnd.oci.image.layer.v1.tar+zstd'],
    ['oci', ',compression=zstd:chunked', 'application/vnd.oci.image.layer.v1.tar+zstd'],
    ['oci', ',compression=estargz,force-compression=true', 'application/vnd.oci.image.layer.v1.tar+gzip'],
    ['oci', ',compression=uncompressed', 'application/vnd.oci.image.layer.v1.tar'],
    ['docker', ',compression-level=0', 'application/vnd.docker.image.rootfs.diff.tar.gzip'],
    ['docker', ',compression=zstd', 'application/vnd.oci.image.layer.v1.tar+zstd'],
    ['oci', ',compression=zstd,oci-mediatypes=false', 'application/vnd.docker.image.rootfs.diff.tar.zstd'],
    ['docker', ',oci-mediatypes=true', 'application/vnd.oci.image.layer.v1.tar+gzip'],
  ])('writes a layout directory: type=%s%s', async (type, options, mediaType) => {
    await ok('-t', 'app:1', '-o', `type=${type},tar=false,dest=layout${options},annotation.k=v`)
    const { annotations, manifest, config } = layoutAt(at('layout'))
    expect(manifest.layers.map((layer) => layer.mediaType)).toEqual([mediaType, mediaType])
    expect(manifest.annotations).toEqual({ k: 'v' })
    const isChunked = manifest.layers.map((layer) => JSON.stringify(layer).includes('zstd-chunked.manifest-position'))
    expect(isChunked).toEqual([options.includes('chunked'), options.includes('chunked')])
    const isStargz = manifest.layers.map((layer) => JSON.stringify(layer).includes('snapshot/stargz/toc.digest'))
    expect(isStargz).toEqual([options.includes('estargz'), options.includes('estargz')])
    expect(annotations).toEqual({
      'io.containerd.image.name': 'docker.io/library/app:1',
      'org.opencontainers.image.ref.name': '1',
    })
    expect(config.config.Labels).toEqual({ l: '1' })
    const validated = await bench.cairn(['image', 'validate', `oci:${at('layout')}`])
    expect(validated).toMatchObject({ status: 0 })
  })

  test('names an image in a layout directory as often as it has names, beside those that are there', async () => {
    const directory = 'type=oci,tar=false,dest=layout'
    const entries = (): unknown => {
      const { manifests } = JSON.parse(readFileSync(at('layout/index.json'), 'utf8')) as {
        manifests: { annotations?: Record<string, string> }[]
      }
      return manifests.map(({ annotations = {} }) => [annotations['io.containerd.image.name'], annotations['d']])
    }
    await ok('-t', 'app:1', '-t', 'x.example/y:2', '-o', `${directory},annotation-manifest-descriptor.d=1`)
    expect(entries()).toEqual([
      ['docker.io/library/app:1', '1'],
      ['x.example/y:2', '1'],
    ])
    await ok('-t', 'app:1', '--label', 'other=1', '-o', directory)
    expect(entries()).toEqual([
      ['x.example/y:2', '1'],
      ['docker.io/library/app:1', undefined],
    ])
  })

  test('an image without a name takes the place of the last one in a layout directory', async () => {
    const names = (): unknown =>
      (JSON.parse(readFileSync(at('layout/index.json'), 'utf8')) as { manifests: object[] }).manifests.map(
        (entry) => (entry as { annotations?: object }).annotations,
      )
    const directory = 'type=oci,tar=false,dest=layout'
    const unnamed = { 'org.opencontainers.image.ref.name': 'latest' }
    await ok('-o', directory)
    await ok('--label', 'other=1', '-o', directory)
    expect(names()).toEqual([unnamed])
    await ok('-t', 'app:1', '-o', directory)
    expect(names()).toEqual([unnamed, expect.objectContaining({ 'org.opencontainers.image.ref.name': '1' })])
  })

  test('goes on in a layout directory whose writer was killed', async () => {
    mkdirSync(at('layout/blobs/sha256'), { recursive: true })
    mkdirSync(at('layout/.cairn-1-0badcafe'))
    writeFileSync(at('layout/.cairn-1-0badcafe/blob'), 'half')
    await ok('-o', 'type=oci,tar=false,dest=layout')
    expect(readdirSync(at('layout')).sort()).toEqual(['blobs', 'index.json', 'oci-layout'])
    expect(await bench.cairn(['image', 'validate', `oci:${at('layout')}`])).toMatchObject({ status: 0 })
  })

  test('waits for another process that writes to a layout directory, and leaves that alone', async () => {
    mkdirSync(at('layout'))
    const lock = openSync(at('layout'), 'r')
    let waiting: Promise<Ended> | undefined
    try {
      expect(tryLock(lock, 'exclusive')).toBe(true)
      waiting = ok('-t', 'app:1', '-o', 'type=oci,tar=false,dest=layout')
      expect(await Promise.race([waiting.then(() => 'built'), Bun.sleep(2000)])).toBeUndefined()
      expect(readdirSync(at('layout'))).toEqual([])
    } finally {
      closeSync(lock)
      await waiting
    }
    expect(await bench.cairn(['image', 'validate', `oci:${at('layout')}`])).toMatchObject({ status: 0 })
    const both = ['one', 'two'].map(async (name) => ok('-t', name, '-o', 'type=oci,tar=false,dest=other'))
    await Promise.all(both)
    const { manifests } = JSON.parse(readFileSync(at('other/index.json'), 'utf8')) as { manifests: object[] }
    expect(manifests).toHaveLength(2)
  })

  test('gives an image of eStargz layers its own diff IDs and the same files', async () => {
    bench.file('Dockerfile', 'FROM busybox\nCOPY a /\n')
    const write = async (name: string, compression: string): Promise<ReturnType<typeof layoutAt>> => {
      await ok(
        '-t',
        name,
        '-o',
        `type=oci,tar=false,dest=${name},compression=${compression}`,
        '-o',
        `type=image,compression=${compression}`,
      )
      return layoutAt(at(name))
    }
    const [plain, stargz] = [await write('plain', 'gzip'), await write('stargz', 'estargz')]
    // The base is not forced, and the other layers have a table behind their end.
    expect(stargz.config.rootfs.diff_ids[0]).toBe(plain.config.rootfs.diff_ids[0] as string)
    expect(stargz.config.rootfs.diff_ids[1]).not.toBe(plain.config.rootfs.diff_ids[1] as string)
    expect((await bench.cairn(['image', 'diff', 'plain', 'stargz'])).out).toContain('Files: no difference')
    expect((await bench.cairn(['run', '--rm', 'stargz', 'ls', '-a', '/'])).out).not.toContain('landmark')
    const inline = await bench.cairn([
      'build',
      '--cache-to',
      'type=inline',
      '-o',
      'type=image,compression=estargz',
      bench.context,
    ])
    expect(inline.err).toContain('compression=estargz')
    expect(inline.status).toBe(1)
  })

  test('pushes eStargz layers as the build writes them, and leaves nothing of them', async () => {
    await using registry = startTestRegistry({ missingContent: 'refuse' })
    const name = `${registry.server.url.host}/app`
    await ok('-t', `${name}:1`)
    await ok('-t', `${name}:2`, '-o', 'type=oci,tar=false,dest=layout,compression=estargz')
    const pushed = await bench.cairn(['push', '--compression', 'estargz', `${name}:1`])
    expect(pushed).toMatchObject({ status: 0 })
    const { manifests } = JSON.parse(readFileSync(at('layout/index.json'), 'utf8')) as {
      manifests: [{ digest: string }]
    }
    expect(pushed.out).toContain(manifests[0].digest)
    expect(await images()).toBe(`${name}:1\nbusybox:latest\n`)
    const again = await bench.cairn(['push', '--compression', 'estargz', `${name}:1`])
    expect(again.out).toContain('Layer already exists')
    expect(again.out).toContain(manifests[0].digest)
    expect(await bench.cairn(['image', 'validate', `docker://${name}:1`])).toMatchObject({ status: 0 })
  })

  test.each(['', ',compression=zstd'])('tells the digest that a push has at the registry: %j', async (form) => {
    await using registry = startTestRegistry()
    const { origin, host } = registry.server.url
    const pushed = async (...flags: readonly string[]): Promise<string> => {
      await ok(...flags, '--metadata-file', at('meta.json'))
      return (
        (JSON.parse(readFileSync(at('meta.json'), 'utf8')) as Record<string, string>)['containerimage.digest'] ?? ''
      )
    }
    const there = async (place: string): Promise<string | null> => {
      const headers = { Accept: 'application/vnd.oci.image.manifest.v1+json' }
      return (await fetch(`${origin}/v2/${place}`, { method: 'HEAD', headers })).headers.get('docker-content-digest')
    }
    const tagged = await pushed('-t', `${host}/app:1`, '-o', `type=registry${form}`)
    expect(await there('app/manifests/1')).toBe(tagged)
    // As workflows do it that build each platform on a machine of its own.
    const byDigest = await pushed(
      '-o',
      `type=image${form},name=${host}/part,push-by-digest=true,name-canonical=true,push=true`,
    )
    expect(await there(`part/manifests/${byDigest}`)).toBe(byDigest)
    expect(await (await fetch(`${origin}/v2/part/tags/list`)).json()).toEqual({ name: 'part', tags: [] })
    expect(await images()).toContain('part:<none>')
    const refused = await build('-o', `type=image,name=${host}/part:1,push-by-digest=true,push=true`)
    expect(refused.err).toContain(`can't push tagged ref ${host}/part:1 by digest`)
  })

  test('compresses layers of the base only when forced', async () => {
    bench.file('Dockerfile', 'FROM busybox\nCOPY a /\n')
    const kinds = (): string[] =>
      layoutAt(at('layout')).manifest.layers.map(({ mediaType }) => mediaType.replace(/.*v1\./, ''))
    await ok('-o', 'type=oci,tar=false,dest=layout,compression=zstd')
    expect(kinds()).toEqual(['tar', 'tar+zstd'])
    Bun.spawnSync(['rm', '-r', at('layout')])
    await ok('-o', 'type=oci,tar=false,dest=layout,compression=zstd,force-compression=true')
    expect(kinds()).toEqual(['tar+zstd', 'tar+zstd'])
  })

  test('takes layers of the base as the base has them, whatever else the store has of them', async () => {
    await using registry = startTestRegistry()
    const base = `${registry.server.url.host}/base:1`
    for (const argv of [
      ['tag', 'busybox', base],
      ['push', base],
      ['rmi', base],
      ['pull', base],
    ])
      expect(await bench.cairn(argv)).toMatchObject({ status: 0 })
    bench.file('Dockerfile', `FROM ${base}\nCOPY a /\n`)
    const lowest = (json: string): unknown => (JSON.parse(json) as Layout['manifest']).layers[0]
    const inspected = async (name: string): Promise<unknown> =>
      lowest((await bench.cairn(['manifest', 'inspect', name])).out)
    const pulled = await inspected(base)
    // The store has the layer uncompressed, too.
    expect(pulled).not.toEqual(await inspected('busybox'))
    await ok('-o', 'type=oci,dest=layout,tar=false', '-o', 'type=image,name=app')
    expect(layoutAt(at('layout')).manifest.layers[0]).toEqual(pulled as never)
    expect(await inspected('app')).toEqual(pulled)
    bench.file('Dockerfile', 'FROM busybox\nCOPY a /\n')
    await ok('-o', 'type=image,name=app')
    expect(await inspected('app')).toEqual(await inspected('busybox'))
  })

  test('image takes a form and names, and keeps them when nothing changed', async () => {
    const output = 'type=image,"name=one,two:2",compression=gzip,annotation.k=v'
    await ok('-o', output)
    expect(await images()).toBe('one:latest\ntwo:2\nbusybox:latest\n')
    const manifest = (await bench.cairn(['manifest', 'inspect', 'one'])).out
    expect(JSON.parse(manifest)).toMatchObject({ annotations: { k: 'v' } })
    await ok('-o', output)
    expect((await bench.cairn(['manifest', 'inspect', 'two:2'])).out).toBe(manifest)
  })

  test('--annotation, --load and --metadata-file go with it', async () => {
    await ok(
      '--load',
      '-o',
      'out',
      '-t',
      'app',
      '--annotation',
      'a=1',
      '--annotation',
      'manifest-descriptor:b=2',
      '--metadata-file',
      at('meta.json'),
    )
    expect(JSON.parse((await bench.cairn(['manifest', 'inspect', 'app'])).out)).toMatchObject({
      annotations: { a: '1' },
    })
    expect(existsSync(at('out/b'))).toBe(true)
    const metadata = JSON.parse(readFileSync(at('meta.json'), 'utf8')) as {
      'buildx.build.ref': string
      'containerimage.descriptor': { annotations: object }
    }
    expect(metadata['containerimage.descriptor'].annotations).toEqual({ b: '2' })
    const inspected = await bench.cairn(['builds', 'inspect', metadata['buildx.build.ref']])
    expect(inspected).toMatchObject({ status: 0 })
    expect((await build('--annotation', 'index:a=1')).err).toContain(
      'index annotations not supported for single platform export',
    )
    expect((await build('--annotation', 'a')).err).toContain('invalid annotation "a", expected key=value')
  })

  test('--metadata-file tells what buildx tells of the image, of how it was built and of warnings', async () => {
    bench.file('Dockerfile', 'FROM busybox\nARG NPM_TOKEN\nARG A\nCOPY a /\nENTRYPOINT sh\n')
    const path = at('meta.json')
    const metadata = async (env: Record<string, string>, ...flags: string[]): Promise<Record<string, unknown>> => {
      const argv = ['build', '--metadata-file', path, '--build-arg', 'A=1', '--build-arg', 'NPM_TOKEN=x', ...flags]
      expect(await bench.cairn([...argv, bench.context], { env })).toMatchObject({ status: 0 })
      return JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
    }
    const provenance = 'buildx.build.provenance'
    const min = await metadata({}, '-o', 'type=image,"name=one,two:2"', '-o', 'out')
    expect(Object.keys(min)).toEqual([
      provenance,
      'buildx.build.ref',
      'containerimage.config.digest',
      'containerimage.descriptor',
      'containerimage.digest',
      'image.name',
    ])
    expect(min['image.name']).toBe('docker.io/library/one:latest,docker.io/library/two:2')
    expect(min[provenance]).toMatchObject({
      buildType: 'https://mobyproject.org/buildkit@v1',
      materials: [{ uri: 'pkg:docker/busybox@latest?platform=linux%2Famd64' }],
      invocation: { parameters: { args: { 'build-arg:A': '1' } } },
    })
    expect(Object.keys(min[provenance] as object)).toEqual(['builder', 'buildType', 'materials', 'invocation'])
    expect(JSON.stringify(min)).not.toContain('NPM_TOKEN')
    const asked = { BUILDX_METADATA_PROVENANCE: 'max', BUILDX_METADATA_WARNINGS: '1' }
    const max = await metadata(asked, '-o', 'type=image,name=one', '-o', 'type=oci,dest=o.tar,name=last')
    expect(max[provenance]).toMatchObject({ buildConfig: { llbDefinition: [{}, {}] }, metadata: {} })
    // Of several outputs the last counts, as with buildx.
    expect(max['image.name']).toBe('docker.io/library/last:latest')
    expect((max['buildx.build.warnings'] as { short: string }[]).map(({ short }) => atob(short))).toEqual([
      expect.stringContaining('SecretsUsedInArgOrEnv'),
      expect.stringContaining('JSONArgsRecommended'),
    ])
    const index = await metadata({ BUILDX_METADATA_PROVENANCE: 'false' }, '--provenance', '-t', 'app')
    expect(Object.keys(index)).not.toContain(provenance)
    expect(Object.keys(index)).not.toContain('containerimage.config.digest')
    expect(index['containerimage.descriptor']).toMatchObject({ mediaType: 'application/vnd.oci.image.index.v1+json' })
    expect(Object.keys(await metadata({}, '-o', 'out'))).toEqual([provenance, 'buildx.build.ref'])
  })

  test('removes what killed writers of a directory left beside it, and nothing else', async () => {
    const [stale, busy, other] = ['out.1-0badcafe.tmp', 'out.2-0badcafe.tmp', 'out.1-mine.tmp']
    for (const name of [stale, busy, other]) mkdirSync(at(name))
    const lock = openSync(at(busy), 'r')
    try {
      expect(tryLock(lock, 'exclusive')).toBe(true)
      await ok('-o', 'out')
    } finally {
      closeSync(lock)
    }
    const left = readdirSync(bench.directory).filter((name) => name.startsWith('out'))
    expect(left.sort()).toEqual(['out', other, busy])
  })

  test('annotates the index that attestations make, and its descriptor', async () => {
    const carriers = ['annotation', 'annotation-index', 'annotation-manifest-descriptor', 'annotation-index-descriptor']
    const annotations = carriers.map((carrier) => `${carrier}.k=${carrier}`).join(',')
    await ok('--provenance', '-t', 'app', '-o', `type=oci,tar=false,dest=layout,${annotations}`)
    const json = (name: string): unknown => JSON.parse(readFileSync(at(`layout/${name}`), 'utf8'))
    interface Index {
      readonly manifests: readonly { readonly digest: string; readonly annotations?: Record<string, string> }[]
      readonly annotations?: object
    }
    const [top] = (json('index.json') as Index).manifests
    expect(top?.annotations).toMatchObject({ k: 'annotation-index-descriptor' })
    const index = json(`blobs/${top?.digest.replace(':', '/')}`) as Index
    expect(index.annotations).toEqual({ k: 'annotation-index' })
    expect(index.manifests[0]?.annotations).toEqual({ k: 'annotation-manifest-descriptor' })
    const manifest = json(`blobs/${index.manifests[0]?.digest.replace(':', '/')}`) as Index
    expect(manifest.annotations).toEqual({ k: 'annotation' })
    const refused = await build('--provenance', '-o', 'type=docker,dest=x.tar')
    expect(refused.err).toContain('docker exporter does not support exporting manifest lists')
  })

  test('names an image by its digest for want of a name, and beside its names', async () => {
    await ok('-o', 'type=image,dangling-name-prefix=unnamed')
    expect(await images()).toContain('unnamed:<none>\n')
    await ok('--label', 'l=2', '-o', 'type=image,name=canon:1,name-canonical=true', '--metadata-file', at('meta.json'))
    const metadata = JSON.parse(readFileSync(at('meta.json'), 'utf8')) as Record<string, string>
    const digest = metadata['containerimage.digest']
    expect(metadata['image.name']).toBe('docker.io/library/canon:1')
    expect(await bench.cairn(['inspect', `canon@${digest}`])).toMatchObject({ status: 0 })
  })

  test.each([
    ['type=local', 'dest is required for local exporter'],
    ['type=local,dest=-', 'dest cannot be stdout for local exporter'],
    ['type=oci,tar=false', 'dest is required for oci exporter'],
    ['type=oci,dest=.', 'is a directory'],
    ['dest=x,foo', 'invalid value foo'],
    ['dest=x,mode=copy', 'type is required for output'],
    ['type=nothing', 'exporter "nothing" could not be found'],
    ['type=oci,dest=x,compression=lzma', 'unsupported compression type lzma'],
    ['type=oci,dest=x,compression=estargz,oci-mediatypes=false', 'conflicts with "oci-mediatypes=false"'],
    ['type=oci,dest=x,oci-artifact=true,oci-mediatypes=false', 'conflicts with "oci-mediatypes=false"'],
    ['type=oci,dest=x,compression=gzip,compression-level=13', 'gzip has no level 13: 0 to 12'],
    ['type=oci,dest=x,compression-level=x', 'non-integer value x specified for compression-level'],
    ['type=oci,dest=x,force-compression=perhaps', 'non-bool value specified for force-compression'],
    ['type=oci,dest=x,colour=red', 'unknown key "colour"'],
    ['type=registry', 'tag is needed when pushing to registry'],
    ['type=image,source-date-epoch=1', 'outputs have no times of their own'],
    ['type=image,prefer-nondist-layers=perhaps', 'non-bool value specified for prefer-nondist-layers'],
    ['type=oci,dest=absent/x', 'open absent/x: no such file or directory'],
    ['type=docker,context=remote', 'there is no context "remote"'],
  ])('refuses %s and writes nothing', async (output, message) => {
    const { status, err } = await build('-o', output)
    expect(err).toContain(message)
    expect(status).toBe(1)
    expect(
      readdirSync(bench.directory)
        .filter((name) => name !== '.bun')
        .sort(),
    ).toEqual(['context', 'store'])
  })

  test('leaves a directory or file as it was when it cannot be written', async () => {
    mkdirSync(at('full'))
    writeFileSync(at('out.tar'), 'before')
    expect(Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', at('full')]).success).toBe(true)
    try {
      chmodSync(at('full'), 0o755)
      writeFileSync(at('full/out.tar'), 'before')
      bench.file('a', 'x'.repeat(1_000_000))
      for (const output of [
        'type=tar,dest=full/out.tar',
        'type=oci,compression=none,dest=full/out.tar',
        'type=local,dest=full/out',
      ]) {
        const { err, status } = await build('-o', output)
        expect(err).toContain('no space left on device')
        expect(status).toBe(1)
      }
      expect(readdirSync(at('full'))).toEqual(['out.tar'])
      expect(readFileSync(at('full/out.tar'), 'utf8')).toBe('before')
    } finally {
      Bun.spawnSync(['umount', at('full')])
    }
  })
})
