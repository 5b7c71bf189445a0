import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { listImageRecords, listTags } from '../src/content/image-records.ts'
import { acquireLease } from '../src/content/leases.ts'
import { withLease } from '../src/content/leased-work.ts'
import { analyzeImages } from '../src/engine/images/analyze-image.ts'
import { copyImage } from '../src/engine/images/copy-image.ts'
import { diffImages } from '../src/engine/images/diff-images.ts'
import { editImage } from '../src/engine/images/edit-image.ts'
import { extractFiles } from '../src/engine/images/extract-image.ts'
import { flattenImage } from '../src/engine/images/flatten-image.ts'
import { listImageFiles, openImageFiles, readImageFile } from '../src/engine/images/image-files.ts'
import { importImage } from '../src/engine/images/import-image.ts'
import { inspectManifest } from '../src/engine/images/inspect-manifest.ts'
import { resolveLayoutImage } from '../src/engine/images/layout-image.ts'
import { rebaseImage } from '../src/engine/images/rebase-image.ts'
import { validateImages } from '../src/engine/images/validate-image.ts'
import { putFixtureImage, putFixtureTars, type TemporaryStore, temporaryStore } from '../src/images/image-fixtures.ts'
import { loadImages } from '../src/images/archives/load-images.ts'
import { Cairn } from './fixtures/cli/cairn.ts'
import {
  type HostileLayout,
  hostileLayouts,
  inertLayers,
  writeHostileDockerArchive,
  writeHostileLayout,
} from './fixtures/hostile-layouts.ts'
import { directory, file, layerOf, sourceOf } from './fixtures/layers.ts'

setDefaultTimeout(60_000)

const noEdits = {
  labels: new Map(),
  withoutLabels: [],
  env: new Map(),
  withoutEnv: [],
  expose: [],
  withoutPorts: [],
  volumes: [],
  withoutVolumes: [],
  changes: [],
  annotations: new Map(),
  withoutAnnotations: [],
  dropLayers: [],
  appendLayers: [],
}

let place: TemporaryStore
let known = 0
const hostile = hostileLayouts()
const at = (layout: HostileLayout): string => `${place.directory}/${layout.name.replaceAll(' ', '-')}`

/** Each command that reads images, on the layout in a directory. */
const readers: Readonly<Record<string, (layout: HostileLayout, oci: string) => Promise<unknown>>> = {
  'load of a directory': (layout) => loadImages(place.store, at(layout)),
  'load of an archive': (layout) => loadImages(place.store, archiveOf(layout)),
  'load of a compressed stream': (layout) =>
    loadImages(place.store, sourceOf(Bun.gzipSync(readFileSync(archiveOf(layout))))),
  analyze: (_, oci) => Array.fromAsync(analyzeImages(place.store, oci)),
  'base of a build': (layout) => {
    const source = { kind: 'layout', path: at(layout), tag: 't', digest: undefined, text: 'oci-layout://x:t' } as const
    const platform = { os: 'linux', architecture: 'amd64' }
    return withLease(place.store, (lease) => resolveLayoutImage(place.store, lease, source, 'base', platform))
  },
  'copy to the store': (_, oci) => copyImage(place.store, oci, 'copied'),
  'copy to oci:': (_, oci) => copyImage(place.store, oci, `oci:${place.directory}/out:t`),
  'copy to oci-archive:': (_, oci) => copyImage(place.store, oci, `oci-archive:${place.directory}/out`),
  'copy to docker-archive:': (_, oci) => copyImage(place.store, oci, `docker-archive:${place.directory}/out`),
  'copy to dir:': (_, oci) => copyImage(place.store, oci, `dir:${place.directory}/out`),
  'copy from dir:': (layout) => copyImage(place.store, `dir:${at(layout)}/dir`, 'copied'),
  'copy from oci-archive:': (layout) => copyImage(place.store, `oci-archive:${archiveOf(layout)}:t`, 'copied'),
  'diff as the first': (_, oci) => diffImages(place.store, oci, 'sound', {}),
  'diff as the second': (_, oci) => diffImages(place.store, 'sound', oci, {}),
  files: async (_, oci) => {
    using opened = await openImageFiles(place.store, oci)
    return await listImageFiles(opened.files, '/')
  },
  cat: async (_, oci) => {
    using opened = await openImageFiles(place.store, oci)
    return [...(await readImageFile(opened.files, '/pwned'))]
  },
  extract: async (_, oci) => {
    using opened = await openImageFiles(place.store, oci)
    return await extractFiles(opened.files, '/', `${place.directory}/out`, 'archive')
  },
  edit: (_, oci) => editImage(place.store, oci, ['edited'], noEdits),
  flatten: (_, oci) => flattenImage(place.store, oci, ['flat']),
  'rebase of it': (_, oci) => rebaseImage(place.store, oci, ['rebased'], { from: 'sound', onto: 'sound' }),
  'rebase onto it': (_, oci) => rebaseImage(place.store, 'sound', ['rebased'], { from: 'sound', onto: oci }),
  validate: async (_, oci) => {
    const [validation] = await validateImages(place.store, [oci])
    const [problem] = validation?.problems ?? []
    if (problem !== undefined) throw Object.assign(new Error(problem.message), { code: problem.code })
  },
}

/** Commands that read archives, on the docker-archive in a directory. */
const archiveReaders: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
  load: (path) => loadImages(place.store, path),
  copy: (path) => copyImage(place.store, `docker-archive:${path}`, `oci:${place.directory}/out:t`),
  analyze: (path) => Array.fromAsync(analyzeImages(place.store, `docker-archive:${path}`)),
  diff: (path) => diffImages(place.store, 'sound', `docker-archive:${path}`, {}),
  flatten: (path) => flattenImage(place.store, `docker-archive:${path}`, ['flat']),
  extract: async (path) => {
    using opened = await openImageFiles(place.store, `docker-archive:${path}`)
    return await extractFiles(opened.files, '/', `${place.directory}/out`, 'archive')
  },
  validate: async (path) => {
    const [validation] = await validateImages(place.store, [`docker-archive:${path}`])
    const [problem] = validation?.problems ?? []
    if (problem !== undefined) throw Object.assign(new Error(problem.message), { code: problem.code })
  },
}

function archiveOf(layout: HostileLayout): string {
  const path = `${at(layout)}.tar`
  if (!existsSync(path)) Bun.spawnSync(['tar', '-cf', path, '-C', at(layout), 'oci-layout', 'index.json', 'blobs'])
  return path
}

/** All that can be seen of the store: records, names, blobs, unfinished files. */
function stateOf({ store }: TemporaryStore): unknown {
  return [
    listImageRecords(store),
    listTags(store),
    readdirSync(store.path('content'), { recursive: true }).sort(),
    readdirSync(store.session.directory),
  ]
}

beforeAll(async () => {
  place = temporaryStore()
  await putFixtureImage(place.store, { tags: ['sound'] })
  // Layers that are at fault only where they stand are known from images in which they do no harm.
  const stacks = hostile.flatMap(({ says, layers: [lower, upper] }) =>
    lower !== undefined && upper !== undefined && says.startsWith('stands below') ? [[lower, upper] as const] : [],
  )
  expect(stacks).toHaveLength(2)
  using lease = acquireLease(place.store)
  const harmless = new Uint8Array(layerOf(directory('e'), file('f', 'text')))
  for (const [lower, upper] of stacks)
    for (const tars of [[lower], [harmless, upper]])
      for (const compression of ['none', 'gzip'] as const)
        // oxlint-disable-next-line no-await-in-loop -- few, and one after the other
        await putFixtureTars(place.store, lease, tars, { tags: [`known:${++known}`], compression })
  for (const layout of hostile) writeHostileLayout(at(layout), layout)
})
afterAll(() => place[Symbol.dispose]())

describe.each(Object.keys(readers))('%s', (reader) => {
  test.each(hostile.map((layout) => [layout.name, layout] as const))(
    'refuses %s and leaves nothing',
    async (_, layout) => {
      const before = stateOf(place)
      let refusal: unknown
      try {
        await readers[reader]?.(layout, `oci:${at(layout)}:t`)
      } catch (error) {
        refusal = error
      }
      expect(refusal).toMatchObject({ message: expect.stringContaining(layout.says), code: expect.any(String) })
      expect(stateOf(place)).toEqual(before)
      expect(existsSync(`${place.directory}/out`)).toBe(false)
    },
  )
})

describe('manifest inspect', () => {
  // What is in layers is none of its business.
  const documents = hostile.filter(({ manifest, bytes }) => manifest !== undefined || bytes !== undefined)
  const atFault = documents.filter(({ name }) => name !== 'more diff IDs than layers')
  test.each(atFault.map((layout) => [layout.name, layout] as const))('refuses %s', async (_, layout) => {
    await expect(inspectManifest(place.store, `oci:${at(layout)}:t`)).rejects.toMatchObject({
      message: expect.stringContaining(layout.says),
      code: expect.any(String),
    })
  })
})

/** The same faults in the form that has no manifests, which readers have code of its own for. */
describe.each(Object.keys(archiveReaders))('%s of a docker-archive', (reader) => {
  const inLayers = hostile.filter(({ tar, diffId, layers }) => tar ?? diffId ?? (layers.length > 1 ? true : undefined))
  test.each(inLayers.map((layout) => [layout.name, layout] as const))(
    'refuses %s and leaves nothing',
    async (_, layout) => {
      const before = stateOf(place)
      const path = `${at(layout)}-docker`
      if (!existsSync(path)) writeHostileDockerArchive(path, layout)
      let refusal: unknown
      try {
        await archiveReaders[reader]?.(path)
      } catch (error) {
        refusal = error
      }
      // A layer that is not compressed is known by its diff ID.
      const says = layout.diffId === undefined ? layout.says : 'arrived as'
      expect(refusal).toMatchObject({ message: expect.stringContaining(says), code: expect.any(String) })
      expect(stateOf(place)).toEqual(before)
      expect(existsSync(`${place.directory}/out`)).toBe(false)
    },
  )
})

describe('import', () => {
  const tars = hostile.flatMap(({ name, tar, says }) => (tar === undefined ? [] : [[name, tar, says] as const]))
  test.each(tars)('refuses %s and leaves nothing', async (name, tar, says) => {
    const before = stateOf(place)
    const source = name === 'a bomb' ? Bun.gzipSync(tar) : tar
    const options = {
      name: 'rootfs.tar',
      message: '',
      platform: { os: 'linux', architecture: 'amd64' },
      created: '2026-01-01T00:00:00Z',
    }
    await expect(importImage(place.store, sourceOf(source), options)).rejects.toMatchObject({
      message: expect.stringContaining(says),
    })
    expect(stateOf(place)).toEqual(before)
  })
})

describe('tricks with whiteouts and attributes of overlayfs', () => {
  test('do nothing, whatever reads the image', async () => {
    using lease = acquireLease(place.store)
    await putFixtureTars(place.store, lease, inertLayers(), { tags: ['tricks'] })
    await flattenImage(place.store, 'tricks', ['tricks:flat'])
    for (const name of ['tricks', 'tricks:flat']) {
      using opened = await openImageFiles(place.store, name)
      const listed = await listImageFiles(opened.files, '/')
      expect(listed.map(({ path }) => path)).toEqual(['/', '/d', '/etc', '/etc/kept', '/etc/victim', '/x'])
      expect(listed.flatMap(({ entry }) => [...entry.xattrs.keys()])).toEqual([])
    }
  })
})

describe('the command line', () => {
  const cairn = new Cairn()
  afterAll(() => cairn[Symbol.dispose]())

  test('says in one line what it refuses, with status 1, and obeys CAIRN_LIMITS', async () => {
    const layout = hostile.find(({ name }) => name === 'an absolute path')
    if (layout === undefined) throw new Error('the case is gone')
    const oci = `oci:${at(layout)}:t`
    for (const args of [
      ['image', 'copy', oci, 'x'],
      ['load', '-i', at(layout)],
      ['image', 'files', oci],
    ]) {
      const { status, out, err } = await cairn.run(args)
      expect({ status, out }).toEqual({ status: 1, out: '' })
      expect(err).toContain('"/tmp/pwned": its path is absolute')
    }
    const env = { CAIRN_LIMITS: 'absolute-paths=allow' }
    expect(await cairn.ok(['image', 'files', oci], { env })).toBe('/\n/tmp\n/tmp/pwned\n')
    const { err, status } = await cairn.run(['images'], { env: { CAIRN_LIMITS: 'what=1' } })
    expect([status, err]).toEqual([1, expect.stringContaining('CAIRN_LIMITS has the setting "what=1"')])
    const { err: tight } = await cairn.run(['image', 'files', oci], {
      env: { CAIRN_LIMITS: 'absolute-paths=allow,layer-bytes=1k' },
    })
    expect(tight).toContain('larger than the limit of 1024 bytes')
  })
})
