import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Cairn } from '../../../test/fixtures/cli/cairn.ts'
import { file, layerOf } from '../../../test/fixtures/layers.ts'
import { startTestRegistry } from '../../registry/server/registry-fixtures.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

let cairn: Cairn
beforeEach(() => {
  cairn = new Cairn()
})
afterEach(() => {
  cairn[Symbol.dispose]()
})

/** Imports a layer of its own. */
const make = async (name: string, platform = 'linux/amd64'): Promise<void> =>
  void (await cairn.ok(['import', '--platform', platform, '-', name], { stdin: layerOf(file('a', name)) }))

const blobs = (): string[] => readdirSync(join(cairn.root, 'content/blobs/sha256'))

interface Entry {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly platform: object
}

const entries = async (list: string): Promise<readonly Entry[]> =>
  (JSON.parse(await cairn.ok(['manifest', 'inspect', list])) as { manifests: Entry[] }).manifests

describe('cairn manifest create', () => {
  test('makes an index of images, which can be saved, loaded and run as any image', async () => {
    await make('app:amd64')
    await make('app:arm64', 'linux/arm64')
    expect(await cairn.ok(['manifest', 'create', 'app:1', 'app:amd64', 'app:arm64'])).toBe(
      'Created manifest list docker.io/library/app:1\n',
    )
    expect((await entries('app:1')).map(({ platform }) => platform)).toEqual([
      { architecture: 'amd64', os: 'linux' },
      { architecture: 'arm64', os: 'linux' },
    ])
    await cairn.ok(['save', '-o', 'app.tar', 'app:1'])
    const before = await cairn.ok(['manifest', 'inspect', 'app:1'])
    expect(await cairn.ok(['manifest', 'inspect', 'oci-archive:app.tar'])).toBe(before)
    const env = { CAIRN_ROOT: join(cairn.directory, 'other') }
    expect(await cairn.ok(['load', '-i', 'app.tar'], { env })).toBe('Loaded image: app:1\n')
    expect(await cairn.ok(['manifest', 'inspect', 'app:1'], { env })).toBe(before)
    expect(await cairn.ok(['image', 'validate', 'app:1'], { env })).toContain('linux/arm64')
  })

  test('adds with --amend, each manifest once, and takes all of an index', async () => {
    await make('one')
    await make('two', 'linux/s390x')
    await make('three', 'linux/riscv64')
    await cairn.ok(['manifest', 'create', 'list:1', 'one', 'two'])
    expect(await cairn.run(['manifest', 'create', 'list:1', 'three'])).toEqual({
      status: 1,
      out: '',
      err: 'cairn: refusing to amend an existing manifest list with no --amend flag\n',
    })
    await cairn.ok(['manifest', 'create', '--amend', 'list:1', 'three', 'one'])
    expect(await entries('list:1')).toHaveLength(3)
    await cairn.ok(['manifest', 'create', 'list:2', 'list:1', 'two'])
    expect(await entries('list:2')).toEqual(await entries('list:1'))
  })

  test('refuses the name of an image, and what is not there', async () => {
    await make('box')
    expect((await cairn.run(['manifest', 'create', 'box', 'box'])).err).toContain('is an image and no manifest list')
    const missing = await cairn.run(['manifest', 'create', 'list', '127.0.0.1:1/nosuch'])
    expect(missing).toMatchObject({ status: 1, out: '' })
    expect(missing.err).toStartWith('cairn: 127.0.0.1:1: connection refused\n')
    expect((await cairn.run(['manifest', 'create', 'list'])).err).toContain(
      "'cairn manifest create' requires at least 2 arguments",
    )
    expect((await cairn.run(['manifest', 'create', `list@sha256:${'0'.repeat(64)}`, 'box'])).err).toContain('digest')
  })
})

describe('cairn manifest annotate', () => {
  test('changes what a list says of a platform', async () => {
    await make('one')
    await make('two')
    await cairn.ok(['manifest', 'create', 'list', 'one', 'two'])
    const flags = ['--arch', 'arm', '--variant', 'v7', '--os-version', '1.2', '--os-features', 'a,b']
    expect(await cairn.ok(['manifest', 'annotate', ...flags, 'list', 'two'])).toBe('')
    await cairn.ok(['manifest', 'annotate', '--os-features', 'b,c', 'list', 'two'])
    const [one, two] = await entries('list')
    expect(one?.platform).toEqual({ architecture: 'amd64', os: 'linux' })
    expect(two?.platform).toEqual({
      architecture: 'arm',
      os: 'linux',
      'os.version': '1.2',
      'os.features': ['a', 'b', 'c'],
      variant: 'v7',
    })
    await cairn.ok(['manifest', 'annotate', '--arch', '386', 'list', `two@${two?.digest ?? ''}`])
    expect((await entries('list'))[1]?.platform).toMatchObject({ architecture: '386' })
  })

  test('fails as docker does', async () => {
    await make('one')
    await make('two')
    await cairn.ok(['manifest', 'create', 'list', 'one'])
    const failure = async (...args: string[]): Promise<string> => {
      const { status, err } = await cairn.run(['manifest', 'annotate', ...args])
      expect(status).toBe(1)
      return err.split('\n')[0] ?? ''
    }
    expect(await failure('--arch', 'bogus', 'list', 'one')).toBe(
      'cairn: manifest entry for image has unsupported os/arch combination: /bogus',
    )
    expect(await failure('--os', 'plan9', '--arch', 'arm64', 'list', 'one')).toEndWith(': plan9/arm64')
    expect(await failure('--arch', 'arm', 'list', 'two')).toBe('cairn: manifest for image two does not exist in list')
    expect(await failure('--arch', 'arm', 'other', 'one')).toBe('cairn: manifest for image one does not exist in other')
  })
})

describe('cairn manifest inspect', () => {
  test("shows bytes as docker indents them, and what is below with -v under docker's names", async () => {
    await make('one')
    await cairn.ok(['manifest', 'create', 'list', 'one'])
    const [entry] = await entries('list')
    expect(await cairn.ok(['manifest', 'inspect', 'one'])).toStartWith('{\n\t"schemaVersion": 2,\n\t"mediaType"')
    expect(await cairn.ok(['manifest', 'inspect', 'list'])).toStartWith('{\n   "schemaVersion": 2,\n   "mediaType"')
    expect(await cairn.ok(['manifest', 'inspect', 'list', 'one'])).toBe(await cairn.ok(['manifest', 'inspect', 'one']))
    const one = JSON.parse(await cairn.ok(['manifest', 'inspect', '-v', 'one'])) as Record<string, unknown>
    expect(Object.keys(one)).toEqual(['Ref', 'Descriptor', 'Raw', 'OCIManifest'])
    expect(one).toMatchObject({ Ref: 'docker.io/library/one:latest', Descriptor: entry })
    const raw = Buffer.from(String(one['Raw']), 'base64')
    expect(`sha256:${new Bun.CryptoHasher('sha256').update(raw).digest('hex')}`).toBe(entry?.digest ?? '')
    expect(JSON.parse(await cairn.ok(['manifest', 'inspect', '-v', 'list']))).toMatchObject([
      { Ref: `docker.io/library/list:latest@${entry?.digest ?? ''}`, OCIManifest: one['OCIManifest'] },
    ])
    expect((await cairn.run(['manifest', 'inspect', 'list', 'nosuch'])).err).toContain('does not exist in list')
    expect((await cairn.run(['manifest', 'inspect', 'nosuch', 'one'])).err).toBe(
      'cairn: No such manifest: docker.io/library/nosuch:latest\n',
    )
  })
})

describe('cairn manifest rm', () => {
  test('takes the list away and leaves its images, and nothing else', async () => {
    await make('one')
    await make('two', 'linux/arm64')
    const before = blobs()
    await cairn.ok(['manifest', 'create', 'list', 'one', 'two'])
    await cairn.ok(['manifest', 'annotate', '--variant', 'v9', 'list', 'two'])
    expect(blobs()).toHaveLength(before.length + 1)
    expect(await cairn.run(['manifest', 'rm', 'one', 'list', 'nosuch'])).toEqual({
      status: 1,
      out: '',
      err: 'No such manifest: docker.io/library/one:latest\nNo such manifest: docker.io/library/nosuch:latest\n',
    })
    expect(blobs().toSorted()).toEqual(before.toSorted())
    expect(await cairn.ok(['images', '-q'])).not.toBe('')
  })

  test('takes the digest of a list that was pushed away with it, and leaves that of its images', async () => {
    await using registry = startTestRegistry()
    const repository = `${new URL(registry.server.url).host}/app`
    const digests = async (): Promise<string> =>
      cairn.ok(['inspect', '-f', '{{join .RepoDigests " "}}', `${repository}:one`])
    await make(`${repository}:one`)
    await make('two', 'linux/arm64')
    await cairn.ok(['push', '-q', `${repository}:one`])
    const before = { digests: await digests(), blobs: blobs().toSorted() }
    await cairn.ok(['manifest', 'create', `${repository}:list`, `${repository}:one`])
    await cairn.ok(['manifest', 'push', `${repository}:list`])
    await cairn.ok(['manifest', 'create', '--amend', `${repository}:list`, 'two'])
    await cairn.ok(['manifest', 'push', '--purge', `${repository}:list`])
    expect({ digests: await digests(), blobs: blobs().toSorted() }).toEqual(before)
  })

  test('is what `cairn rmi` does too, where the image of this machine has a name of its own', async () => {
    await make('one')
    await make('two', 'linux/arm64')
    const own = blobs().length
    await cairn.ok(['manifest', 'create', 'list', 'one', 'two'])
    await cairn.ok(['rmi', 'two'])
    // The layer of what only the list kept goes with it.
    expect(await cairn.ok(['rmi', 'list'])).toMatch(/^Untagged: list:latest\nDeleted: sha256:\w+\n$/)
    expect(blobs()).toHaveLength(own / 2)
    await make('two', 'linux/arm64')
    await cairn.ok(['manifest', 'create', 'list', 'one', 'two'])
    await cairn.ok(['tag', 'two', 'list'])
    expect(blobs()).toHaveLength(own + 1)
    await cairn.ok(['image', 'prune', '-f'])
    expect(blobs()).toHaveLength(own)
  })
})
