import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { directory, file, hardlink, layerOf, type Member, symlink } from '../../../test/fixtures/layers.ts'
import { collectGarbage } from '../../content/gc.ts'
import { acquireLease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { putFixtureTars, type TemporaryStore, temporaryStore } from '../../images/image-fixtures.ts'
import { storedImage } from '../../images/image.ts'
import { putIndex } from '../../images/records/put-image.ts'
import { resolveImage } from '../../images/records/resolve-image.ts'
import type { ContainerConfig, ImageConfig } from '../../oci/config.ts'
import { parseImageConfig, serializeConfig } from '../../oci/config.ts'
import { parseIndex } from '../../oci/image-index.ts'
import { parseReference } from '../../oci/reference.ts'
import type { ConfigEdits } from '../../oci/edit-config.ts'
import { copyImage } from './copy-image.ts'
import { diffImages } from './diff-images.ts'
import { editImage, type ImageEdits } from './edit-image.ts'
import { flattenImage } from './flatten-image.ts'
import { listImageFiles, openImageFiles, readImageFile } from './image-files.ts'
import { rebaseImage } from './rebase-image.ts'

let place: TemporaryStore
let store: Store

beforeEach(() => {
  place = temporaryStore()
  store = place.store
})
afterEach(() => place[Symbol.dispose]())

const noConfigEdits: ConfigEdits = {
  labels: new Map(),
  withoutLabels: [],
  env: new Map(),
  withoutEnv: [],
  expose: [],
  withoutPorts: [],
  volumes: [],
  withoutVolumes: [],
}
const noEdits: ImageEdits = {
  ...noConfigEdits,
  changes: [],
  annotations: new Map(),
  withoutAnnotations: [],
  dropLayers: [],
  appendLayers: [],
}
const edit = async (name: string, tag: string, edits: Partial<ImageEdits>) =>
  await editImage(store, name, [tag], { ...noEdits, ...edits })

type Fields = Partial<ImageConfig> & { readonly container?: ContainerConfig }

async function put(tag: string, layers: readonly (readonly Member[])[], { container, ...config }: Fields = {}) {
  using lease = acquireLease(store)
  const tars = layers.map((members) => new Uint8Array(layerOf(...members)))
  const history = layers.map((_, index) => ({ created_by: `layer ${index + 1} of ${tag}` }))
  const all = { history, ...config, ...(container === undefined ? {} : { config: container }) }
  return await putFixtureTars(store, lease, tars, { tags: [tag], config: all })
}

/** An image for two platforms and an attestation of the first. */
async function putPlatforms(tag: string, layers: readonly (readonly Member[])[], container: ContainerConfig = {}) {
  using lease = acquireLease(store)
  const amd = await put(`${tag}-amd`, layers, { container })
  const arm = await put(
    `${tag}-arm`,
    layers.map((members) => [...members, file('arm')]),
    { architecture: 'arm64', container },
  )
  const proof = await put(`${tag}-proof`, [[file('proof')]], { os: 'unknown', architecture: 'unknown' })
  const annotations = {
    'vnd.docker.reference.type': 'attestation-manifest',
    'vnd.docker.reference.digest': amd.target.digest,
  }
  const manifests = [amd.target, arm.target, { ...proof.target, annotations }]
  return await putIndex(store, { manifests, tags: [parseReference(tag)], lease })
}

async function configOf(name: string, platform = 0): Promise<ImageConfig> {
  const { record } = resolveImage(store, name)
  const isIndex = record.mediaType.includes('index')
  const digest = isIndex
    ? parseIndex(store.blobs.readAll(record.digest, 1e6)).value.manifests[platform]?.digest
    : record.digest
  return (await storedImage(store, digest ?? record.digest).config()).value
}

const one = async (name: string, path: string): Promise<string> => {
  using opened = await openImageFiles(store, name)
  return Buffer.concat([...(await readImageFile(opened.files, path))].map((piece) => new Uint8Array(piece))).toString()
}

describe('editImage()', () => {
  test('changes settings and keeps all else, the same way each time', async () => {
    await put('a', [[file('x')]], {
      container: {
        Env: ['PATH=/bin', 'A=1', 'B=2'],
        Labels: { x: '1', y: '2' },
        Cmd: ['sh'],
        ExposedPorts: { '80/tcp': {} },
      },
    })
    const edits: Partial<ImageEdits> = {
      env: new Map([
        ['A', '9'],
        ['C', '3'],
      ]),
      withoutEnv: ['B'],
      labels: new Map([['z', '3']]),
      withoutLabels: ['x'],
      entrypoint: ['/app'],
      cmd: [],
      user: '5',
      workingDir: '/w',
      expose: ['53/udp'],
      withoutPorts: ['80'],
      volumes: ['/data'],
      stopSignal: 'SIGINT',
      changes: ['HEALTHCHECK CMD true'],
      annotations: new Map([['note', 'n']]),
    }
    const { target, platforms } = await edit('a', 'b', edits)
    expect(platforms).toEqual(['linux/amd64'])
    expect((await edit('a', 'c', edits)).target.digest).toBe(target.digest)
    const config = await configOf('b')
    expect(config.config).toMatchObject({
      Env: ['PATH=/bin', 'A=9', 'C=3'],
      Labels: { y: '2', z: '3' },
      Entrypoint: ['/app'],
      User: '5',
      WorkingDir: '/w',
      ExposedPorts: { '53/udp': {} },
      Volumes: { '/data': {} },
      StopSignal: 'SIGINT',
      Healthcheck: { Test: ['CMD-SHELL', 'true'] },
    })
    expect(config.config?.Cmd).toBeUndefined()
    expect([config.created, config.history]).toEqual([(await configOf('a')).created, (await configOf('a')).history])
    const manifest = (await storedImage(store, target.digest).manifest()).value
    expect(manifest.annotations).toEqual({ note: 'n' })
    expect((await configOf('a')).config?.User).toBeUndefined()
    expect((await edit('b', 'd', { created: '2020-01-01T00:00:00Z' })).platforms).toHaveLength(1)
    expect((await configOf('d')).created).toBe('2020-01-01T00:00:00Z')
  })

  test('keeps the bytes of what does not change, fields it does not know among them', async () => {
    using lease = acquireLease(store)
    const { layers } = { layers: await storedImage(store, (await put('a', [[file('x')]])).target.digest).layers() }
    const odd = JSON.stringify(
      { 'x-unknown': [1], ...parseImageConfig(serializeConfig(await configOf('a'))).value },
      null,
      2,
    )
    const { putImage } = await import('../../images/records/put-image.ts')
    const { target } = await putImage(store, {
      config: new TextEncoder().encode(odd),
      layers: layers.map(({ descriptor }) => descriptor),
      tags: [parseReference('odd')],
      lease,
    })
    expect(await edit('odd', 'same', {})).toMatchObject({ target: { digest: target.digest }, platforms: [] })
    await edit('odd', 'labelled', { labels: new Map([['a', 'b']]) })
    expect(await configOf('labelled')).toMatchObject({ 'x-unknown': [1], config: { Labels: { a: 'b' } } })
  })

  test('works on every platform of an index and leaves out what attested the old images', async () => {
    const before = await putPlatforms('multi', [[file('x')]])
    const result = await edit('multi', 'multi', { labels: new Map([['a', 'b']]) })
    expect(result).toMatchObject({ platforms: ['linux/amd64', 'linux/arm64'], droppedAttestations: 1 })
    const { manifests } = parseIndex(store.blobs.readAll(result.target.digest, 1e6)).value
    expect(manifests.map(({ platform }) => platform?.architecture)).toEqual(['amd64', 'arm64'])
    for (const platform of [0, 1]) expect((await configOf('multi', platform)).config?.Labels).toEqual({ a: 'b' })
    expect(resolveImage(store, 'multi').record.digest).not.toBe(before.target.digest)
    collectGarbage(store)
    await copyImage(store, 'multi', `oci:${place.directory}/after-collection:1`)
  })

  test('adds and drops layers with their history', async () => {
    await put('a', [[file('one')], [file('two')], [file('three')]])
    const layer = (...members: Member[]) => ({
      name: 'files.tar.gz',
      source: (async function* () {
        yield Bun.gzipSync(new Uint8Array(layerOf(...members)))
      })(),
    })
    const top = (await configOf('a')).rootfs.diff_ids[1] ?? ''
    await edit('a', 'b', {
      dropLayers: [top.slice(7, 20), '-1'],
      appendLayers: [layer(file('four', '4'), file('.wh.one', ''))],
    })
    expect((await configOf('b')).history?.map(({ created_by: by }) => by)).toEqual([
      'layer 1 of a',
      'cairn image edit --append-layer files.tar.gz',
    ])
    using opened = await openImageFiles(store, 'b')
    expect((await listImageFiles(opened.files, '/')).map(({ path }) => path)).toEqual(['/', '/four'])
    await expect(edit('a', 'c', { dropLayers: ['4'] })).rejects.toThrow('there is no layer 4: the image has 3')
    await expect(edit('a', 'c', { dropLayers: ['abcdef0123'] })).rejects.toThrow('has no layer abcdef0123')
    await expect(edit('a', 'c', { appendLayers: [layer(file('../out'))] })).rejects.toMatchObject({
      code: 'LAYER_UNSAFE',
    })
    await expect(edit('a', 'c', { appendLayers: [layer(hardlink('h', 'none'))] })).rejects.toMatchObject({
      code: 'TAR_INVALID',
    })
    expect(() => resolveImage(store, 'c')).toThrow('No such image')
  })

  test('reads an image from elsewhere and then needs a name', async () => {
    await put('a', [[file('x')]])
    await copyImage(store, 'a', `oci:${place.directory}/l:1`)
    const from = `oci:${place.directory}/l:1`
    await expect(editImage(store, from, [], noEdits)).rejects.toThrow('is no name that the result could have')
    await edit(from, 'new', { user: 'me' })
    expect((await configOf('new')).config?.User).toBe('me')
  })
})

describe('rebaseImage()', () => {
  const oldBase: ContainerConfig = {
    Env: ['PATH=/bin', 'BASE=1', 'GONE=1'],
    Labels: { base: '1' },
    Cmd: ['sh'],
    WorkingDir: '/old',
  }
  const newBase: ContainerConfig = {
    Env: ['PATH=/usr/bin', 'BASE=2', 'NEW=1'],
    Labels: { base: '2' },
    Cmd: ['bash'],
    WorkingDir: '/new',
  }
  const own: ContainerConfig = {
    Env: ['PATH=/bin', 'BASE=1', 'APP=1'],
    Labels: { base: '1', app: 'a' },
    Cmd: ['app'],
    WorkingDir: '/old',
    User: 'me',
  }

  test('puts the layers, history and settings of an image on another base, on every platform', async () => {
    await putPlatforms('base:1', [[file('etc/version', '1')], [file('lib')]], oldBase)
    await putPlatforms('base:2', [[file('etc/version', '2')]], newBase)
    await putPlatforms('app', [[file('etc/version', '1')], [file('lib')], [file('app', 'app')]], own)
    const result = await rebaseImage(store, 'app', ['app:new'], { from: 'base:1', onto: 'base:2' })
    expect(result.platforms).toEqual(['linux/amd64', 'linux/arm64'])
    expect([await one('app:new', '/etc/version'), await one('app:new', '/app')]).toEqual(['2', 'app'])
    const config = await configOf('app:new', 1)
    expect(config.config).toMatchObject({
      Env: ['PATH=/usr/bin', 'BASE=2', 'NEW=1', 'APP=1'],
      Labels: { base: '2', app: 'a' },
      Cmd: ['app'],
      WorkingDir: '/new',
      User: 'me',
    })
    expect(config.history?.map(({ created_by: by }) => by)).toEqual(['layer 1 of base:2-arm', 'layer 3 of app-arm'])
    const again = await rebaseImage(store, 'app', ['app:again'], { from: 'base:1', onto: 'base:2' })
    expect(again.target.digest).toBe(result.target.digest)
  })

  test('refuses an image that is not built on the old base, and a base without its platform', async () => {
    await put('base:1', [[file('1')]])
    await put('base:2', [[file('2')]])
    await put('base:arm', [[file('2')]], { architecture: 'arm64' })
    await put('app', [[file('1')], [file('app')]])
    const rebase = async (from: string, onto: string) => await rebaseImage(store, 'app', ['no'], { from, onto })
    await expect(rebase('base:2', 'base:1')).rejects.toMatchObject({
      code: 'IMAGE_UNRELATED',
      message: expect.stringContaining('not built on base:2'),
    })
    await put('base:merged', [[symlink('app', '/nowhere')]])
    await put('app:below', [[file('1')], [file('app/x')]])
    await expect(
      rebaseImage(store, 'app:below', ['no'], { from: 'base:1', onto: 'base:merged' }),
    ).rejects.toMatchObject({
      code: 'LAYER_UNSAFE',
    })
    await expect(rebase('base:1', 'base:arm')).rejects.toMatchObject({ code: 'IMAGE_PLATFORM' })
    await expect(rebase('app', 'base:2')).resolves.toMatchObject({ platforms: ['linux/amd64'] })
  })
})

describe('flattenImage()', () => {
  test('makes one layer that shows the same files, the same bytes each time', async () => {
    const layers = [
      [
        directory('.', { mode: 0o700 }),
        file('gone'),
        file('old', '1'),
        directory('d', { mode: 0o1777, uid: 3 }),
        file('d/x', 'x', { mode: 0o4755 }),
      ],
      [
        file('.wh.gone', ''),
        file('old', '22'),
        hardlink('again', 'old'),
        symlink('s', 'old'),
        file('d/attr', '', { xattrs: new Map([['user.a', new Uint8Array(2)]]) }),
      ],
    ]
    await putPlatforms('multi', layers, { Cmd: ['sh'] })
    const result = await flattenImage(store, 'multi', ['flat'])
    expect(result.platforms).toEqual(['linux/amd64', 'linux/arm64'])
    expect((await flattenImage(store, 'multi', ['flat2'])).target.digest).toBe(result.target.digest)
    const { config, files, layers: compared } = await diffImages(store, 'multi', 'flat', { times: true })
    expect([config, files]).toEqual([[], []])
    expect([compared.removed.length, compared.added.length]).toEqual([2, 1])
    expect((await configOf('flat')).history).toEqual([
      { created: '2026-01-02T03:04:05Z', created_by: 'cairn image flatten', comment: '2 layers in one' },
    ])
    using opened = await openImageFiles(store, 'flat')
    const [tree] = await opened.files.layerTrees()
    expect(tree?.lookup('/old')?.inode).toBeDefined()
    expect(tree?.lookup('/')?.mode).toBe(0o700)
    expect((await flattenImage(store, 'flat', ['flat3'])).platforms).toEqual([])
  })
})
