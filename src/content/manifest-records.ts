import type { Digest } from '../oci/digest.ts'
import { mediaTypes } from '../oci/media-types.ts'
import type { Platform } from '../oci/platform.ts'
import type { Store } from './store.ts'

/**
 * What lists need to know of an image manifest, so that none of them reads the manifest or the config: ten thousand
 * images are told in a tenth of a second.
 */
export interface ManifestRecord {
  /** Of the manifest. */
  readonly digest: Digest
  /** Digest of the image config; of a manifest that is no image, its own. */
  readonly imageId: Digest
  /** Undefined for a manifest that is no image, such as an artifact. */
  readonly platform: Platform | undefined
  /** RFC 3339, from the config. */
  readonly created: string | undefined
  readonly labels: Readonly<Record<string, string>>
  /** Bytes of manifest, config and layer blobs, each blob once. */
  readonly contentSize: number
  /** Bytes of the layers' uncompressed tars, each layer once. */
  readonly unpackedSize: number
}

interface Row {
  readonly digest: Digest
  readonly imageId: Digest
  readonly platform: string | null
  readonly created: string | null
  readonly labels: string
  readonly contentSize: number
  readonly unpackedSize: number
}

const columns =
  'digest, image_id AS imageId, platform, created, labels, content_size AS contentSize, unpacked_size AS unpackedSize'

/** As a list in SQL: a manifest leads to no other manifest, so only links of these are followed. */
const indexTypes = `'${mediaTypes.ociIndex}', '${mediaTypes.dockerManifestList}'`

/** Records a manifest of the store. The record goes with the manifest's blob. */
export function putManifestRecord(store: Store, manifest: ManifestRecord, diffIds: readonly Digest[]): void {
  store.database.run(
    'INSERT OR IGNORE INTO manifests VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    manifest.digest,
    manifest.imageId,
    manifest.platform === undefined ? null : JSON.stringify(manifest.platform),
    manifest.created ?? null,
    JSON.stringify(manifest.labels),
    manifest.contentSize,
    manifest.unpackedSize,
    JSON.stringify(diffIds),
  )
}

/** What is recorded of one manifest. */
export function getManifestRecord(store: Store, digest: Digest): ManifestRecord | undefined {
  const row = store.database.one<Row>(`SELECT ${columns} FROM manifests WHERE digest = ?`, digest)
  return row === undefined ? undefined : recordOf(row)
}

/** Labels of an image, recorded as a manifest or as an index that has it; none where nothing is recorded of it. */
export function getImageLabels(store: Store, target: Digest, imageId: Digest): Readonly<Record<string, string>> {
  const row = store.database.one<{ labels: string }>(
    `SELECT labels FROM manifests WHERE digest = ?1
     UNION ALL
     SELECT labels FROM links CROSS JOIN manifests ON manifests.digest = links.child
     WHERE links.parent = ?1 AND manifests.image_id = ?2 LIMIT 1`,
    target,
    imageId,
  )
  return row === undefined ? {} : (JSON.parse(row.labels) as Record<string, string>)
}

/** All manifests that are recorded, by digest. */
export function listManifestRecords(store: Store): ReadonlyMap<Digest, ManifestRecord> {
  const rows = store.database.all<Row>(`SELECT ${columns} FROM manifests`)
  const read = once((text) => JSON.parse(text) as unknown)
  return new Map(rows.map((row) => [row.digest, recordOf(row, read)]))
}

/** The recorded manifests that each index leads to. */
export function listIndexedManifests(store: Store): ReadonlyMap<Digest, readonly Digest[]> {
  const rows = store.database.all<{ parent: Digest; child: Digest }>(
    `SELECT links.parent, links.child FROM images CROSS JOIN links ON links.parent = images.digest
     CROSS JOIN manifests ON manifests.digest = links.child WHERE images.media_type IN (${indexTypes})`,
  )
  const grouped = Map.groupBy(rows, ({ parent }) => parent)
  return new Map([...grouped].map(([parent, own]) => [parent, own.map(({ child }) => child)]))
}

/** The layers of each image ID, of all platforms that are held, by diff ID. */
export function listImageLayers(store: Store): ReadonlyMap<Digest, ReadonlySet<Digest>> {
  const layers = new Map<Digest, Set<Digest>>()
  // Images share most of their layers, so each diff ID is kept in memory once.
  const known = new Map<Digest, Digest>()
  for (const { imageId, diffIds } of layerLists(store)) {
    const own = layers.getOrInsertComputed(imageId, () => new Set())
    for (const diffId of diffIds) own.add(known.getOrInsert(diffId, diffId))
  }
  return layers
}

/** The layers of all images together, of all platforms that are held; of `imageIds` alone where they are given. */
export function layersOfImages(store: Store, imageIds?: ReadonlySet<Digest>): ReadonlySet<Digest> {
  const all = new Set<Digest>()
  for (const { imageId, diffIds } of layerLists(store))
    if (imageIds === undefined || imageIds.has(imageId)) for (const diffId of diffIds) all.add(diffId)
  return all
}

/** The layers of every manifest of every image. */
function* layerLists(store: Store): Generator<{ readonly imageId: Digest; readonly diffIds: readonly Digest[] }> {
  const rows = store.database.all<{ imageId: Digest; diffIds: string }>(
    `SELECT images.image_id AS imageId, diff_ids AS diffIds FROM images JOIN manifests USING (digest)
     UNION ALL
     SELECT images.image_id, diff_ids FROM images CROSS JOIN links ON links.parent = images.digest
     CROSS JOIN manifests ON manifests.digest = links.child WHERE images.media_type IN (${indexTypes})`,
  )
  for (const { imageId, diffIds } of rows) yield { imageId, diffIds: JSON.parse(diffIds) as Digest[] }
}

/** Whether the lowest layers of a manifest that is recorded are just these; `layers` are the blobs, base first, at least one. */
export function isRecordedStack(
  store: Store,
  layers: readonly { readonly digest: Digest; readonly diffId: Digest }[],
): boolean {
  const top = layers.at(-1)?.digest ?? ''
  // The text of a list without its end: that of each longer list begins so, too.
  const beginning = JSON.stringify(layers.map(({ diffId }) => diffId)).slice(0, -1)
  const row = store.database.one(
    `SELECT 1 FROM links CROSS JOIN manifests ON manifests.digest = links.parent
     WHERE links.child = ?1 AND substr(diff_ids, 1, length(?2)) = ?2 LIMIT 1`,
    top,
    beginning,
  )
  return row !== undefined
}

/** Diff IDs of a manifest's layers, base first; empty where it is not recorded. */
export function getDiffIds(store: Store, manifest: Digest): readonly Digest[] {
  const row = store.database.one<{ diffIds: string }>(
    'SELECT diff_ids AS diffIds FROM manifests WHERE digest = ?',
    manifest,
  )
  return row === undefined ? [] : (JSON.parse(row.diffIds) as Digest[])
}

function recordOf(row: Row, read: (json: string) => unknown = JSON.parse): ManifestRecord {
  return {
    digest: row.digest,
    imageId: row.imageId,
    platform: row.platform === null ? undefined : (read(row.platform) as Platform),
    created: row.created ?? undefined,
    // Nobody asks for most of them.
    get labels() {
      return read(row.labels) as Record<string, string>
    },
    contentSize: row.contentSize,
    unpackedSize: row.unpackedSize,
  }
}

/** A function that reads each text once: most images are for one platform and many have the same labels. */
function once<T>(read: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>()
  return (text) => {
    const value = known.get(text) ?? read(text)
    known.set(text, value)
    return value
  }
}
