import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { failsWith } from '../../content/blobs.contract.ts'
import { collectGarbage } from '../../content/gc.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { familiarString } from '../../oci/reference.ts'
import { expectUntouched, gnuTar, inPieces, membersOf, tagsIn, writeTree } from './archive-fixtures.ts'
import { configOf, tarOf, type TemporaryStore, temporaryStore } from '../image-fixtures.ts'
import { listImages } from '../records/list-images.ts'
import { loadImages } from './load-images.ts'

let to: TemporaryStore
beforeEach(() => {
  to = temporaryStore()
})
afterEach(() => to[Symbol.dispose]())

describe('loadImages() of OCI archives', () => {
  const layer = tarOf({ a: '1' })

  interface Layout {
    readonly config?: object
    readonly layers?: readonly Uint8Array[]
    readonly manifest?: (manifest: Record<string, unknown>) => object
    readonly entry?: object
    readonly files?: Readonly<Record<string, string | Uint8Array>>
    /** Replaces a blob after its digest was taken. */
    readonly corrupt?: (blobs: Map<string, Uint8Array>) => void
  }

  /** An archive whose parts are as asked for and fit each other otherwise. */
  function layoutArchive(layout: Layout = {}): string {
    const blobs = new Map<string, Uint8Array>()
    const put = (bytes: Uint8Array | string, mediaType: string) => {
      const raw = typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes
      const digest = digestOf(raw)
      blobs.set(digest.slice(7), raw)
      return { mediaType, digest, size: raw.length }
    }
    const layers = layout.layers ?? [layer]
    const descriptors = layers.map((bytes) => put(Bun.gzipSync(new Uint8Array(bytes)), mediaTypes.ociLayerGzip))
    const config = put(
      JSON.stringify(layout.config ?? configOf(layers.map((bytes) => digestOf(bytes)))),
      mediaTypes.ociConfig,
    )
    const plain = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: descriptors }
    const manifest = put(JSON.stringify(layout.manifest?.(plain) ?? plain), mediaTypes.ociManifest)
    layout.corrupt?.(blobs)
    const files = Object.fromEntries([...blobs].map(([hex, bytes]) => [`blobs/sha256/${hex}`, bytes]))
    const entry = { ...manifest, ...layout.entry }
    return gnuTar(
      to.directory,
      writeTree(to.directory, {
        ...files,
        'index.json': JSON.stringify({ schemaVersion: 2, manifests: [entry] }),
        'oci-layout': '{"imageLayoutVersion":"1.0.0"}',
        ...layout.files,
      }),
    )
  }

  const named = (name: string) => ({ annotations: { 'org.opencontainers.image.ref.name': name } })

  test.each([
    ['a whole reference', 'localhost/app:1', ['localhost/app:1']],
    ['a mere tag, which names nothing', 'latest', []],
  ])('takes as name %s', async (_case, name, tags) => {
    const [loaded] = await loadImages(to.store, layoutArchive({ entry: named(name) }))
    expect(loaded?.references.map(familiarString)).toEqual(tags)
  })

  test('takes names from manifest.json where the layout has none', async () => {
    const config = configOf([digestOf(layer)])
    const path = `blobs/sha256/${digestOf(JSON.stringify(config)).slice(7)}`
    const files = { 'manifest.json': JSON.stringify([{ Config: path, RepoTags: ['from/docker:1'], Layers: [] }]) }
    await loadImages(to.store, layoutArchive({ config, files }))
    expect(tagsIn(to.store)).toEqual(['from/docker:1'])
  })

  test('refuses a manifest.json that speaks of another image', async () => {
    const files = {
      'manifest.json': JSON.stringify([{ Config: 'other.json', RepoTags: ['evil'], Layers: [] }]),
      'other.json': JSON.stringify(configOf([])),
    }
    const error = await failsWith('ARCHIVE_INVALID', () => loadImages(to.store, layoutArchive({ files })))
    expect(error.message).toContain('an image that index.json does not lead to')
    expectUntouched(to.store)
  })

  test('keeps an artifact that is no image', async () => {
    const manifest = (plain: Record<string, unknown>) => ({
      ...plain,
      artifactType: 'application/x',
      config: { ...(plain['config'] as object), mediaType: 'application/vnd.oci.empty.v1+json' },
    })
    const [loaded] = await loadImages(to.store, layoutArchive({ manifest, entry: named('localhost/artifact:1') }))
    expect(loaded?.imageId).toBe(loaded?.target.digest as Digest)
    expect((await collectGarbage(to.store)).blobs).toEqual([])
  })

  test('reads an index within the index', async () => {
    const path = layoutArchive({ entry: named('x/y:z') })
    const members = membersOf(new Uint8Array(readFileSync(path)))
    const inner = members.get('./index.json') ?? members.get('index.json') ?? ''
    const nested = JSON.stringify({
      schemaVersion: 2,
      manifests: [{ mediaType: mediaTypes.ociIndex, digest: digestOf(inner), size: inner.length }],
    })
    const tree = writeTree(to.directory, { [`blobs/sha256/${digestOf(inner).slice(7)}`]: inner, 'index.json': nested })
    const [loaded] = await loadImages(to.store, gnuTar(to.directory, tree))
    expect(loaded?.target).toEqual({ mediaType: mediaTypes.ociIndex, digest: digestOf(inner), size: inner.length })
    expect(listImages(to.store)[0]?.platforms).toHaveLength(1)
  })

  const wrongLayer = (change: object) => (manifest: Record<string, unknown>) => ({
    ...manifest,
    layers: (manifest['layers'] as object[]).map((descriptor) => ({ ...descriptor, ...change })),
  })

  test.each<[string, Parameters<typeof failsWith>[0], string, Layout]>([
    ['a layer size that is wrong', 'BLOB_CORRUPT', 'bytes', { manifest: wrongLayer({ size: 7 }) }],
    ['a negative size', 'MANIFEST_INVALID', 'layers[0].size', { manifest: wrongLayer({ size: -1 }) }],
    [
      'a digest that is a path',
      'MANIFEST_INVALID',
      'layers[0].digest',
      { manifest: wrongLayer({ digest: 'sha256:../../x' }) },
    ],
    ['a diff ID that is wrong', 'BLOB_CORRUPT', 'unpacks to', { config: configOf([digestOf('x')]) }],
    ['layers without diff IDs', 'MANIFEST_INVALID', '1 layers', { config: configOf([]) }],
    [
      'fields of manifest and index',
      'MANIFEST_INVALID',
      'of an image index',
      { manifest: (m) => ({ ...m, manifests: [] }) },
    ],
    [
      'a media type unlike its descriptor',
      'MANIFEST_INVALID',
      'not that of a manifest',
      { manifest: (m) => ({ ...m, mediaType: mediaTypes.ociIndex }) },
    ],
    ['an entry of unknown type', 'MANIFEST_INVALID', 'not the media type', { entry: { mediaType: 'text/plain' } }],
    ['an entry of wrong size', 'BLOB_CORRUPT', 'is in the archive as', { entry: { size: 3 } }],
    ['a manifest that is not there', 'ARCHIVE_INVALID', 'lacks blobs/sha256/', { entry: { digest: digestOf('x') } }],
    [
      'a manifest too big',
      'LIMIT_EXCEEDED',
      'larger than the limit',
      { manifest: (m) => ({ ...m, annotations: { x: 'A'.repeat(5_000_000) } }) },
    ],
    [
      'a layout of the future',
      'ARCHIVE_INVALID',
      'imageLayoutVersion',
      { files: { 'oci-layout': '{"imageLayoutVersion":"9"}' } },
    ],
    ['a name that is none', 'ARCHIVE_INVALID', 'names an image', { entry: named('a//b:') }],
  ])('refuses %s', async (_case, code, message, layout) => {
    const path = layoutArchive(layout)
    for (const source of [path, inPieces(new Uint8Array(readFileSync(path)), 70_000)]) {
      const error = await failsWith(code, () => loadImages(to.store, source))
      expect(error.message).toContain(message)
      expectUntouched(to.store)
    }
  })

  test('refuses an archive in which any one blob has a bit flipped', async () => {
    for (let victim = 0; victim < 3; victim++) {
      using target = temporaryStore()
      const path = layoutArchive({
        corrupt: (blobs) => {
          const [hex, bytes] = [...blobs][victim] as [string, Uint8Array]
          const flipped = bytes.slice()
          flipped[flipped.length >> 1] = (flipped[flipped.length >> 1] as number) ^ 1
          blobs.set(hex, flipped)
        },
      })
      for (const source of [path, inPieces(new Uint8Array(readFileSync(path)))]) {
        await failsWith('BLOB_CORRUPT', () => loadImages(target.store, source))
        expectUntouched(target.store)
      }
    }
  })
})
