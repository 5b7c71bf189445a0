import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Digest } from '../oci/digest.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { collectFrom } from './gc.ts'
import { blobNode, type StoreNode } from './graph.ts'
import { deleteImageRecord } from './image-records.ts'
import { openStore, type Store } from './store.ts'

const images = 10_000
const layersOfEach = 20
/** Layers that many images have. */
const shared = 15

let root: string
let store: Store
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-sweep-'))
  store = openStore(root)
})
afterEach(() => {
  store.close()
  rmSync(root, { recursive: true })
})

const digestAt = (number: number): Digest => `sha256:${number.toString(16).padStart(64, '0')}` as Digest
const manifestOf = (image: number): Digest => digestAt(image)
const layerOf = (image: number, layer: number): Digest =>
  digestAt(1_000_000 + (layer < shared ? (image % 100) * 100 + layer : 100_000 + image * 100 + layer))

/** Only the records: what a collection does not touch need not be there. */
function recordImages(): void {
  const numbers = (name: string, end: number): string =>
    `${name} (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM ${name} WHERE n < ${end - 1})`
  const digest = (number: string): string => `printf('sha256:%064x', ${number})`
  const layer = `1000000 + CASE WHEN layer.n < ${shared} THEN image.n % 100 * 100 + layer.n ELSE 100000 + image.n * 100 + layer.n END`
  const all = `WITH RECURSIVE ${numbers('image', images)}, ${numbers('layer', layersOfEach)}`
  const { database } = store
  database.transaction(() => {
    database.run(
      `${all} INSERT INTO images SELECT ${digest('n')}, '${mediaTypes.ociManifest}', 1, ${digest('n')}, 0, 0 FROM image`,
    )
    database.run(`${all} INSERT INTO links SELECT ${digest('image.n')}, ${digest(layer)} FROM image, layer`)
    database.run("INSERT INTO layers SELECT DISTINCT child, child, 'none', 1, 1, 0 FROM links")
  })
}

const count = (table: string): number => store.database.one<{ n: number }>(`SELECT count(*) AS n FROM ${table}`)?.n ?? 0

test('removing one image of ten thousand asks about its own layers only, each by an index', async () => {
  recordImages()
  const before = { links: count('links'), layers: count('layers') }
  const asked: { readonly sql: string; readonly values: unknown[] }[] = []
  const { database } = store
  for (const method of ['one', 'all', 'run'] as const) {
    const original = database[method].bind(database) as (sql: string, ...values: (string | number | null)[]) => unknown
    Object.defineProperty(database, method, {
      configurable: true,
      value: (sql: string, ...values: (string | number | null)[]) => {
        asked.push({ sql, values })
        return original(sql, ...values)
      },
    })
  }
  deleteImageRecord(store, manifestOf(4711))
  await collectFrom(store, [blobNode(manifestOf(4711))])
  for (const method of ['one', 'all', 'run'] as const) Reflect.deleteProperty(database, method)

  expect(count('images')).toBe(images - 1)
  expect(before.links - count('links')).toBe(layersOfEach)
  expect(before.layers - count('layers')).toBe(layersOfEach - shared)
  expect(count('garbage')).toBe(0)
  // A handful of statements for each node: the manifest and its layers.
  expect(asked.length).toBeLessThan(15 * (layersOfEach + 1))
  const own = new Set<unknown>([
    manifestOf(4711),
    ...Array.from({ length: layersOfEach }, (_, at) => layerOf(4711, at)),
  ])
  const nodes = asked
    .flatMap(({ values }) => values)
    // Some are asked about all at once.
    .flatMap((value): unknown[] => (String(value).startsWith('[') ? (JSON.parse(String(value)) as unknown[]) : [value]))
    .filter((value): value is StoreNode => String(value).includes('sha256:'))
  expect(nodes.filter((node) => !own.has(node.replace(/^layer\//, '')))).toEqual([])
  for (const sql of new Set(asked.map((one) => one.sql))) {
    if (!/^\s*(SELECT|DELETE|UPDATE)/.test(sql)) continue
    const plan = database.all<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`).map(({ detail }) => detail)
    expect([sql, plan.filter((detail) => /^SCAN (?!CONSTANT|asked VIRTUAL TABLE)/.test(detail))]).toEqual([sql, []])
  }
}, 60_000)
