import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { putLayerRecord } from '../content/layer-records.ts'
import { acquireLease, type Lease } from '../content/leases.ts'
import { openStore, type Store } from '../content/store.ts'
import type { ImageConfig } from '../oci/config.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { parseReference } from '../oci/reference.ts'
import { blankEntry } from '../tar/entry.ts'
import { TarWriter } from '../tar/writer.ts'
import { type PutImage, putImage } from './records/put-image.ts'

/** A store of its own in a temporary directory, for tests; gone when disposed of. */
export interface TemporaryStore extends Disposable {
  readonly directory: string
  readonly store: Store
}

export function temporaryStore(): TemporaryStore {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-images-'))
  const store = openStore(join(directory, 'store'))
  return {
    directory,
    store,
    [Symbol.dispose]: () => {
      store.close()
      rmSync(directory, { recursive: true })
    },
  }
}

/** A tar with these files. */
export function tarOf(files: Readonly<Record<string, string>>): Uint8Array<ArrayBuffer> {
  const pieces: Uint8Array[] = []
  const tar = new TarWriter((bytes) => void pieces.push(bytes.slice()))
  for (const [path, text] of Object.entries(files)) {
    const bytes = new TextEncoder().encode(text)
    tar.add({ ...blankEntry, type: 'file', path, mode: 0o644, size: bytes.length })
    tar.write(bytes)
  }
  tar.finish()
  return new Uint8Array(Buffer.concat(pieces))
}

export interface FixtureLayer {
  readonly descriptor: Descriptor
  readonly diffId: Digest
}

/** Puts a layer with these files into the store, compressed where that is asked for. */
export async function putLayer(
  store: Store,
  lease: Lease,
  files: Readonly<Record<string, string>>,
  compression: 'none' | 'gzip' = 'none',
): Promise<FixtureLayer> {
  const tar = tarOf(files)
  const diffId = digestOf(tar)
  const blob = await lease.put(compression === 'none' ? tar : Bun.gzipSync(tar))
  putLayerRecord(store, { diffId, ...blob, compression, unpackedSize: tar.length })
  const mediaType = compression === 'none' ? mediaTypes.ociLayerTar : mediaTypes.ociLayerGzip
  return { diffId, descriptor: { mediaType, ...blob } }
}

export function configOf(diffIds: readonly Digest[], fields: Partial<ImageConfig> = {}): ImageConfig {
  return {
    architecture: 'amd64',
    os: 'linux',
    created: '2026-01-02T03:04:05Z',
    config: { Cmd: ['sh'] },
    rootfs: { type: 'layers', diff_ids: diffIds },
    ...fields,
  }
}

export interface FixtureImage {
  readonly tags?: readonly string[]
  /** One layer for each, base first. */
  readonly layers?: readonly Readonly<Record<string, string>>[]
  readonly compression?: 'none' | 'gzip'
  readonly config?: Partial<ImageConfig>
  readonly isPart?: boolean
}

/** Puts an image into the store. */
export async function putFixtureImage(store: Store, image: FixtureImage = {}, lease?: Lease): Promise<PutImage> {
  using own = acquireLease(store)
  const layers: FixtureLayer[] = []
  for (const files of image.layers ?? [{ 'etc/name': 'fixture' }])
    layers.push(await putLayer(store, lease ?? own, files, image.compression))
  return await putImage(store, {
    config: configOf(
      layers.map(({ diffId }) => diffId),
      image.config,
    ),
    layers: layers.map(({ descriptor }) => descriptor),
    tags: (image.tags ?? []).map(parseReference),
    ...(image.isPart === undefined ? {} : { isPart: image.isPart }),
    ...(lease === undefined ? {} : { lease }),
  })
}

/** Puts an image whose layers are these tars, base first; unlike {@link putFixtureImage} they may hold anything. */
export async function putFixtureTars(
  store: Store,
  lease: Lease,
  tars: readonly Uint8Array<ArrayBuffer>[],
  image: Pick<FixtureImage, 'tags' | 'compression' | 'config'> = {},
): Promise<PutImage> {
  const layers: Descriptor[] = []
  for (const tar of tars) {
    const isPlain = image.compression !== 'gzip'
    const mediaType = isPlain ? mediaTypes.ociLayerTar : mediaTypes.ociLayerGzip
    layers.push({ mediaType, ...(await lease.put(isPlain ? tar : Bun.gzipSync(tar))) })
  }
  const diffIds = tars.map((tar) => digestOf(tar))
  const config = configOf(diffIds, image.config)
  return await putImage(store, { config, layers, tags: (image.tags ?? []).map(parseReference), lease })
}
