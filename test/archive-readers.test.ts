import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { acquireLease } from '../src/content/leases.ts'
import { openStore } from '../src/content/store.ts'
import { linkManifest, putIndex } from '../src/images/records/put-image.ts'
import { resolveImage } from '../src/images/records/resolve-image.ts'
import { serializeConfig } from '../src/oci/config.ts'
import type { Descriptor } from '../src/oci/descriptor.ts'
import { type Manifest, serializeManifest } from '../src/oci/manifest.ts'
import { mediaTypes } from '../src/oci/media-types.ts'
import { parseReference } from '../src/oci/reference.ts'
import { busyboxArchive } from './fixtures/build-bench.ts'
import { Cairn } from './fixtures/cli/cairn.ts'
import { file, layerOf } from './fixtures/layers.ts'

setDefaultTimeout(60_000)

/** Tools that this machine lacks: their tests are skipped, saying so. */
const lacks = (tool: string): boolean => Bun.which(tool) === null
for (const tool of ['skopeo', 'umoci', 'crane'].filter(lacks))
  console.warn(`${tool} is not installed: what it reads and writes is not tested (apt-get install ${tool})`)

/** Runs skopeo (Debian package `skopeo`), which reads and writes archives with code of its own. */
function skopeo(...args: string[]): string {
  const ended = Bun.spawnSync(['skopeo', ...args], { stdout: 'pipe', stderr: 'pipe' })
  if (ended.exitCode !== 0) throw new Error(`skopeo ${args.join(' ')}: ${ended.stderr.toString()}`)
  return ended.stdout.toString()
}

interface Inspected {
  readonly config: { readonly Cmd: readonly string[] }
  readonly rootfs: { readonly diff_ids: readonly string[] }
}

describe('archives of built images', () => {
  const cairn = new Cairn()
  const saved = `${cairn.directory}/saved.tar`
  let id = ''

  beforeAll(async () => {
    await cairn.ok(['import', '-', 'base'], { stdin: busyboxArchive() })
    const dockerfile =
      'FROM base\nRUN echo made > /made\nCOPY <<EOF /inline\ntext\nEOF\nCMD ["cat", "/made", "/inline"]\n'
    await cairn.ok(['build', '-q', '-t', 'app:1', '-'], { stdin: dockerfile })
    id = (await cairn.ok(['images', '-q', '--no-trunc', 'app:1'])).trim()
    await cairn.ok(['save', '-o', saved, 'app:1'])
  })
  afterAll(() => cairn[Symbol.dispose]())

  test.skipIf(lacks('skopeo'))('skopeo reads as docker-archive and as oci-archive, with one config', () => {
    const [docker, oci] = [`docker-archive:${saved}`, `oci-archive:${saved}`].map(
      (source) => JSON.parse(skopeo('inspect', '--config', source)) as Inspected,
    )
    expect(docker?.config.Cmd).toEqual(['cat', '/made', '/inline'])
    expect(docker?.rootfs.diff_ids).toHaveLength(3)
    expect(oci).toEqual(docker as Inspected)
  })

  test.skipIf(lacks('skopeo')).each(['docker-archive', 'oci-archive'])(
    'come back from skopeo as %s with their ID, and run',
    async (form) => {
      const copy = `${cairn.directory}/${form}.tar`
      skopeo('copy', '--insecure-policy', `oci-archive:${saved}`, `${form}:${copy}:docker.io/library/back:1`)
      await cairn.ok(['load', '-q', '-i', copy])
      expect(await cairn.ok(['run', '--rm', id])).toBe('made\ntext\n')
    },
  )
})

describe('archives of images of every kind', () => {
  const cairn = new Cairn()
  const at = (name: string): string => `${cairn.directory}/${name}`

  beforeAll(async () => {
    await cairn.ok(['import', '-', 'base'], { stdin: busyboxArchive() })
    const copies = Array.from({ length: 99 }, (_, index) => `COPY <<E /f${index}\n${index}\nE\n`)
    await cairn.ok(['build', '-q', '-t', 'layers:1', '-'], { stdin: `FROM base\n${copies.join('')}` })
    await cairn.ok(['build', '-q', '-t', 'nothing:1', '-'], { stdin: 'FROM scratch\nENV a=b\n' })
    await cairn.ok(['import', '--platform', 'linux/arm64', '-', 'arm:1'], { stdin: layerOf(file('arm')) })
    await cairn.ok(['manifest', 'create', 'platforms:1', 'base', 'arm:1'])
    await attest(cairn, 'layers:1', 'attested:1')
    for (const name of ['layers', 'nothing', 'platforms', 'attested'])
      await cairn.ok(['save', '-o', at(`${name}.tar`), `${name}:1`])
  })
  afterAll(() => cairn[Symbol.dispose]())

  test.skipIf(lacks('skopeo')).each(['layers', 'nothing', 'platforms', 'attested'])(
    'are read by skopeo whole, and come back with their digests (%s)',
    async (name) => {
      const flags = ['-q', '--insecure-policy', '--all', '--preserve-digests', '--dest-oci-accept-uncompressed-layers']
      skopeo('copy', ...flags, `oci-archive:${at(`${name}.tar`)}`, `oci:${at(name)}:1`)
      skopeo('copy', ...flags, `oci:${at(name)}:1`, `dir:${at(`${name}.dir`)}`)
      const digest = await cairn.ok(['image', 'inspect', '-f', '{{.Descriptor.digest}}', `${name}:1`])
      for (const place of [`oci:${at(name)}:1`, `dir:${at(`${name}.dir`)}`])
        expect(await cairn.ok(['image', 'copy', place, `oci:${at('back')}:${name}`])).toBe(digest)
    },
  )

  test.skipIf(lacks('crane')).each(['layers', 'nothing'])('are what crane finds valid (%s)', (name) => {
    const ended = Bun.spawnSync(['crane', 'validate', '--tarball', at(`${name}.tar`)], {
      stdout: 'pipe',
      stderr: 'pipe',
    })
    expect(`${ended.stdout.toString()}${ended.stderr.toString()}`).toContain('PASS')
  })

  test.skipIf(lacks('umoci'))('are unpacked by umoci, a hundred layers deep', async () => {
    await cairn.ok(['image', 'copy', 'layers:1', `oci:${at('deep')}:1`])
    umoci('unpack', '--image', `${at('deep')}:1`, at('bundle'))
    expect(await Bun.file(at('bundle/rootfs/f98')).text()).toBe('98\n')
  })
})

/** Names `name` an index of the image `of` and an attestation of it, as buildx writes them. */
async function attest(cairn: Cairn, of: string, name: string): Promise<void> {
  using store = openStore(cairn.root)
  using lease = acquireLease(store)
  const { digest, size } = resolveImage(store, of).record
  const statement = await lease.put(new TextEncoder().encode('{"_type":"https://in-toto.io/Statement/v0.1"}'))
  const rootfs = { type: 'layers', diff_ids: [statement.digest] } as const
  const config = await lease.put(serializeConfig({ architecture: 'unknown', os: 'unknown', rootfs }))
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, ...config },
    layers: [{ mediaType: 'application/vnd.in-toto+json', ...statement }],
  }
  const bytes = await lease.put(serializeManifest(manifest))
  linkManifest(store, bytes.digest, manifest)
  const annotations = {
    'vnd.docker.reference.type': 'attestation-manifest',
    'vnd.docker.reference.digest': digest,
  }
  const manifests: Descriptor[] = [
    { mediaType: mediaTypes.ociManifest, digest, size, platform: { os: 'linux', architecture: 'amd64' } },
    { mediaType: mediaTypes.ociManifest, ...bytes, platform: { os: 'unknown', architecture: 'unknown' }, annotations },
  ]
  await putIndex(store, { manifests, tags: [parseReference(name)], lease })
}

/** Runs umoci (Debian package `umoci`), which knows OCI layouts only. */
function umoci(...args: string[]): string {
  const ended = Bun.spawnSync(['umoci', ...args], { stdout: 'pipe', stderr: 'pipe' })
  if (ended.exitCode !== 0) throw new Error(`umoci ${args.join(' ')}: ${ended.stderr.toString()}`)
  return ended.stdout.toString()
}

describe('image copy', () => {
  const cairn = new Cairn()
  const at = (place: string): string => place.replace(':', `:${cairn.directory}/`)
  const places = ['oci:layout:1', 'oci-archive:app.oci.tar', 'docker-archive:app.docker.tar', 'dir:flat'] as const
  const dockerfile = 'FROM base\nRUN echo made > /made && ln /made /again\nRUN rm /made\nCMD ["cat", "/again"]\n'

  beforeAll(async () => {
    await cairn.ok(['import', '-', 'base'], { stdin: busyboxArchive() })
    await cairn.ok(['build', '-q', '-t', 'app:1', '-'], { stdin: dockerfile })
    for (const place of places) await cairn.ok(['image', 'copy', 'app:1', at(place)])
  })
  afterAll(() => cairn[Symbol.dispose]())

  test.skipIf(lacks('skopeo')).each(places)('writes %s as skopeo reads it', (place) => {
    const { config, rootfs } = JSON.parse(skopeo('inspect', '--config', at(place))) as Inspected
    expect(config.Cmd).toEqual(['cat', '/again'])
    expect(rootfs.diff_ids).toHaveLength(3)
    skopeo('copy', '-q', '--insecure-policy', at(place), `dir:${cairn.directory}/checked-${places.indexOf(place)}`)
  })

  test.skipIf(lacks('skopeo')).each([
    ['oci:from:gzip', []],
    ['oci:from:zstd', ['--dest-compress-format', 'zstd']],
    ['oci-archive:from.oci.tar:x', []],
    ['docker-archive:from.docker.tar:x:1', []],
    ['dir:from-flat', ['--dest-compress']],
    ['dir:from-v2', ['--format', 'v2s2', '--dest-compress']],
  ] as const)('reads %s as skopeo writes it', async (place, options) => {
    skopeo('copy', '-q', '--insecure-policy', ...options, at('oci:layout:1'), at(place))
    await cairn.ok(['image', 'validate', at(place)])
    await cairn.ok(['image', 'copy', at(place), 'back:1'])
    expect(await cairn.ok(['image', 'diff', '--exit-code', '--times', 'app:1', at(place)])).toContain(
      'Files: no difference',
    )
    expect(await cairn.ok(['run', '--rm', 'back:1'])).toBe('made\n')
    if (place.startsWith('docker-archive:')) return
    const digest = skopeo('inspect', '--format', '{{.Digest}}', at(place)).trim()
    expect(await cairn.ok(['image', 'copy', at(place), at(`oci:kept:${place.replaceAll(/[^a-z0-9]/g, '')}`)])).toBe(
      `${digest}\n`,
    )
  })

  test.skipIf(lacks('umoci'))('writes layouts that umoci reads, and reads what it makes of them', async () => {
    const layout = `${cairn.directory}/umoci`
    await cairn.ok(['image', 'copy', 'app:1', `oci:${layout}:1`])
    umoci('unpack', '--image', `${layout}:1`, `${cairn.directory}/bundle`)
    expect(await Bun.file(`${cairn.directory}/bundle/rootfs/again`).text()).toBe('made\n')
    expect(await Bun.file(`${cairn.directory}/bundle/rootfs/made`).exists()).toBe(false)
    await Bun.write(`${cairn.directory}/bundle/rootfs/new`, 'umoci')
    umoci('repack', '--image', `${layout}:2`, `${cairn.directory}/bundle`)
    umoci('config', '--image', `${layout}:2`, '--tag', '3', '--config.user', '7')
    await cairn.ok(['image', 'validate', `oci:${layout}:3`])
    expect(await cairn.ok(['image', 'cat', `oci:${layout}:3`, '/new'])).toBe('umoci')
    // Beside umoci's images a further one of ours.
    await cairn.ok(['image', 'edit', '-t', 'app:2', '--user', '8', 'app:1'])
    await cairn.ok(['image', 'copy', 'app:2', `oci:${layout}:4`])
    expect(umoci('ls', '--layout', layout).split('\n').filter(Boolean).sort()).toEqual(['1', '2', '3', '4'])
    umoci('gc', '--layout', layout)
    for (const tag of ['1', '3', '4']) await cairn.ok(['image', 'validate', `oci:${layout}:${tag}`])
  })
})
