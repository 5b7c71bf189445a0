import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Digest, digestOf } from '../src/oci/digest.ts'
import { mediaTypes } from '../src/oci/media-types.ts'
import { startTestRegistry, type TestRegistry } from '../src/registry/server/registry-fixtures.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(120_000)

interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
}

let directory: string
let registry: TestRegistry
let host: string

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-interop-'))
  registry = startTestRegistry({ missingContent: 'refuse' })
  host = registry.server.url.host
})
afterAll(async () => {
  await registry[Symbol.asyncDispose]()
  rmSync(directory, { recursive: true, force: true })
})

/** An OCI layout that is written blob by blob. */
class Layout {
  readonly path: string

  constructor(name: string) {
    this.path = join(directory, name)
    mkdirSync(join(this.path, 'blobs', 'sha256'), { recursive: true })
    writeFileSync(join(this.path, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  }

  add(mediaType: string, content: string | Uint8Array): Descriptor {
    const digest = digestOf(content)
    writeFileSync(join(this.path, 'blobs', 'sha256', digest.slice('sha256:'.length)), content)
    return { mediaType, digest, size: Buffer.byteLength(content) }
  }

  image(
    architecture: string,
    layers: readonly { mediaType: string; tar: Uint8Array; packed: Uint8Array }[],
  ): Descriptor {
    const config = this.add(
      mediaTypes.ociConfig,
      JSON.stringify({
        architecture,
        os: 'linux',
        config: {},
        rootfs: { type: 'layers', diff_ids: layers.map(({ tar }) => digestOf(tar)) },
      }),
    )
    return this.document(mediaTypes.ociManifest, {
      config,
      layers: layers.map(({ mediaType, packed }) => this.add(mediaType, packed)),
    })
  }

  document(mediaType: string, fields: Readonly<Record<string, unknown>>): Descriptor {
    return this.add(mediaType, JSON.stringify({ schemaVersion: 2, mediaType, ...fields }))
  }

  /** Names what the layout holds. */
  tag(name: string, descriptor: Descriptor): void {
    const annotations = { 'org.opencontainers.image.ref.name': name }
    const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [{ ...descriptor, annotations }] }
    writeFileSync(join(this.path, 'index.json'), JSON.stringify(index))
  }
}

/** A layer with one file, as an uncompressed tar. */
function tar(name: string): Uint8Array<ArrayBuffer> {
  const source = join(directory, 'files')
  mkdirSync(source, { recursive: true })
  writeFileSync(join(source, name), `${name}\n`.repeat(1000))
  return new Uint8Array(Bun.spawnSync(['tar', '--owner=0', '--group=0', '-C', source, '-cf', '-', name]).stdout)
}

function gzipLayer(name: string) {
  const bytes = tar(name)
  return { mediaType: mediaTypes.ociLayerGzip, tar: bytes, packed: Bun.gzipSync(bytes) }
}

function zstdLayer(name: string) {
  const bytes = tar(name)
  return { mediaType: mediaTypes.ociLayerZstd, tar: bytes, packed: Bun.zstdCompressSync(bytes) }
}

/** Runs a program and gives what it prints; fails with its errors. */
async function ok(...command: string[]): Promise<string> {
  const child = Bun.spawn(command, {
    cwd: directory,
    env: { ...process.env, HOME: directory },
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [out, error, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  if (status !== 0) throw new Error(`${command.join(' ')}: ${error}${out}`)
  return out
}

function indexDigest(layout: string): Digest {
  const index = JSON.parse(readFileSync(join(directory, layout, 'index.json'), 'utf8')) as { manifests: Descriptor[] }
  return index.manifests[0]?.digest as Digest
}

describe('skopeo', () => {
  const copy = (...args: string[]) =>
    ok(
      'skopeo',
      'copy',
      '-q',
      '--all',
      '--preserve-digests',
      '--src-tls-verify=false',
      '--dest-tls-verify=false',
      ...args,
    )

  test('pushes and pulls an index of several platforms, with gzip, zstd and plain layers, digests kept', async () => {
    const layout = new Layout('platforms')
    const plain = tar('plain')
    const manifests = [
      { ...layout.image('amd64', [gzipLayer('a'), zstdLayer('b')]), platform: { os: 'linux', architecture: 'amd64' } },
      {
        ...layout.image('arm64', [{ mediaType: mediaTypes.ociLayerTar, tar: plain, packed: plain }]),
        platform: { os: 'linux', architecture: 'arm64' },
      },
    ]
    const index = layout.document(mediaTypes.ociIndex, { manifests })
    layout.tag('1', index)
    await copy('oci:platforms:1', `docker://${host}/skopeo/index:1`)
    await copy(`docker://${host}/skopeo/index:1`, 'oci:back:1')
    expect(indexDigest('back')).toBe(index.digest)
    await copy(`docker://${host}/skopeo/index:1`, `docker://${host}/skopeo/promoted:2`)
    expect(await ok('skopeo', 'list-tags', '--tls-verify=false', `docker://${host}/skopeo/promoted`)).toContain('"2"')
    const inspected = JSON.parse(
      await ok(
        'skopeo',
        'inspect',
        '--tls-verify=false',
        '--override-arch',
        'arm64',
        `docker://${host}/skopeo/index:1`,
      ),
    ) as { Architecture: string; Digest: string }
    expect(inspected).toMatchObject({ Architecture: 'arm64' })
    expect([index.digest as string, manifests[1]?.digest]).toContain(inspected.Digest)
  })

  test('pushes and pulls a hundred layers', async () => {
    const layout = new Layout('hundred')
    const image = layout.image(
      'amd64',
      Array.from({ length: 100 }, (_, index) => gzipLayer(`file-${index}`)),
    )
    layout.tag('1', image)
    await copy('oci:hundred:1', `docker://${host}/skopeo/hundred:1`)
    await copy(`docker://${host}/skopeo/hundred:1`, 'oci:hundred-back:1')
    expect(indexDigest('hundred-back')).toBe(image.digest)
  })

  test('deletes, and is told so', async () => {
    const layout = new Layout('deleted')
    layout.tag('1', layout.image('amd64', [gzipLayer('d')]))
    await copy('oci:deleted:1', `docker://${host}/skopeo/deleted:1`)
    await ok('skopeo', 'delete', '--tls-verify=false', `docker://${host}/skopeo/deleted:1`)
    await expect(ok('skopeo', 'inspect', '--tls-verify=false', `docker://${host}/skopeo/deleted:1`)).rejects.toThrow(
      'manifest unknown',
    )
  })
})

describe.skipIf(Bun.which('oras') === null)('oras', () => {
  test('attaches, discovers and copies artifacts with their subject and an empty config', async () => {
    writeFileSync(join(directory, 'hello.txt'), 'hello\n')
    const name = `${host}/oras/artifact`
    await ok(
      'oras',
      'push',
      '--plain-http',
      `${name}:1`,
      '--artifact-type',
      'application/x.test',
      'hello.txt:text/plain',
    )
    await ok('oras', 'attach', '--plain-http', `${name}:1`, '--artifact-type', 'application/x.signature', 'hello.txt')
    const copied = `${host}/oras/copy:2`
    await ok('oras', 'cp', '-r', '--from-plain-http', '--to-plain-http', `${name}:1`, copied)
    expect(await ok('oras', 'discover', '--plain-http', copied)).toContain('application/x.signature')
    await ok('oras', 'pull', '--plain-http', copied, '-o', 'pulled')
    expect(readFileSync(join(directory, 'pulled', 'hello.txt'), 'utf8')).toBe('hello\n')
  })
})

describe.skipIf(Bun.which('crane') === null)('crane', () => {
  test('pushes, validates, lists and copies', async () => {
    const layout = new Layout('crane')
    const image = layout.image('amd64', [gzipLayer('crane')])
    layout.tag('1', image)
    await ok('crane', 'push', '--insecure', 'crane', `${host}/crane/a:1`)
    await ok('crane', 'validate', '--insecure', '--remote', `${host}/crane/a:1`)
    await ok('crane', 'copy', '--insecure', `${host}/crane/a:1`, `${host}/crane/b:2`)
    expect((await ok('crane', 'ls', '--insecure', `${host}/crane/b`)).trim()).toBe('2')
    expect((await ok('crane', 'digest', '--insecure', `${host}/crane/b:2`)).trim()).toBe(image.digest)
    expect(await ok('crane', 'catalog', '--insecure', host)).toContain('crane/b')
  })
})

describe.skipIf(Bun.spawnSync(['sh', '-c', 'docker version']).exitCode !== 0)('docker', () => {
  test('pushes and pulls', async () => {
    const name = `${host}/docker/a:1`
    writeFileSync(join(directory, 'layer.tar'), tar('docker'))
    try {
      await ok('docker', 'import', 'layer.tar', name)
      await ok('docker', 'push', name)
      await ok('docker', 'rmi', name)
      expect((await ok('docker', 'pull', '-q', name)).trim()).toBe(name)
    } finally {
      await ok('docker', 'rmi', '-f', name)
    }
  })
})
