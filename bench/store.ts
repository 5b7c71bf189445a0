/**
 * The commands people type all day, on a store with ten thousand images of twenty layers:
 * `bun bench/store.ts [--images N] [--dir DIR]`, with `dist/cairn` or the binary that CAIRN names. No other tool takes
 * part: making such a store takes docker hours. Exits with 1 when a bar is missed.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { BlobIdentity } from '../src/content/blobs.ts'
import { acquireLease, type Lease } from '../src/content/leases.ts'
import { openStore, type Store } from '../src/content/store.ts'
import { tarOf } from '../src/images/image-fixtures.ts'
import { putImage } from '../src/images/records/put-image.ts'
import { mediaTypes } from '../src/oci/media-types.ts'
import { parseReference } from '../src/oci/reference.ts'
import { measurePeak, measureTime } from './measurement.ts'

const layersOfImage = 20
const layersOfBase = 15
const bases = 100
const rounds = 9

interface Workload {
  readonly name: string
  /** A command for each round; those that remove something need another each time. */
  readonly args: (round: number) => readonly string[]
  /** Milliseconds. */
  readonly bar: number
}

const workloads: readonly Workload[] = [
  { name: 'images', args: () => ['images'], bar: 150 },
  { name: 'images -q', args: () => ['images', '-q'], bar: 150 },
  { name: 'rmi', args: (round) => ['rmi', nameOf(round)], bar: 100 },
  { name: 'inspect', args: () => ['inspect', nameOf(100)], bar: 100 },
  { name: 'system df', args: () => ['system', 'df'], bar: 1000 },
]

/** MiB that no command may take. */
const memoryBar = 150

const { values: options } = parseArgs({
  options: { images: { type: 'string', default: '10000' }, dir: { type: 'string', default: tmpdir() } },
})
const root = await mkdtemp(join(options.dir, 'cairn-store-bench-'))
try {
  {
    using store = openStore(root)
    await fill(store, Number(options.images))
  }
  process.exitCode = (await measureAll()) ? 0 : 1
} finally {
  await rm(root, { recursive: true, force: true })
}

async function measureAll(): Promise<boolean> {
  const cairn = process.env['CAIRN'] ?? join(import.meta.dirname, '../dist/cairn')
  let passed = true
  for (const { name, args, bar } of workloads) {
    const command = (round: number) => ({ argv: [cairn, ...args(round)], env: { CAIRN_ROOT: root } })
    const peak = await measurePeak(command(0))
    const times: number[] = []
    for (let round = 1; round <= rounds; round++) times.push(await measureTime(command(round)))
    const median = times.toSorted((a, b) => a - b)[rounds >> 1] ?? 0
    const holds = median <= bar && peak <= memoryBar
    passed &&= holds
    const figures = `${median.toFixed(0).padStart(6)} ms of ${bar}  ${peak.toFixed(0).padStart(4)} MiB of ${memoryBar}`
    console.log(`${name.padEnd(12)} ${figures}  ${holds ? 'holds' : 'MISSED'}`)
  }
  return passed
}

function nameOf(image: number): string {
  return `app-${image}:1`
}

async function fill(store: Store, images: number): Promise<void> {
  using lease = acquireLease(store)
  const shared: BlobIdentity[][] = []
  for (let base = 0; base < bases; base++) shared.push(await putLayers(lease, `base ${base}`, layersOfBase))
  for (let image = 0; image < images; image++) {
    using own = acquireLease(store)
    const layers = [
      ...(shared[image % bases] ?? []),
      ...(await putLayers(own, `image ${image}`, layersOfImage - layersOfBase)),
    ]
    await putImage(store, {
      config: {
        architecture: 'amd64',
        os: 'linux',
        created: new Date(1_700_000_000_000 + image * 1000).toISOString(),
        config: { Cmd: ['sh'], Labels: { image: String(image) } },
        rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
        history: layers.map((_, index) => ({ created_by: `RUN step ${index}` })),
      },
      layers: layers.map(({ digest, size }) => ({ mediaType: mediaTypes.ociLayerTar, digest, size })),
      tags: [parseReference(nameOf(image))],
      lease: own,
    })
  }
}

/** Layers of one small file each, which no other image has. */
async function putLayers(lease: Lease, label: string, count: number): Promise<BlobIdentity[]> {
  const layers: BlobIdentity[] = []
  for (let layer = 0; layer < count; layer++) layers.push(await lease.put(tarOf({ file: `${label} layer ${layer}` })))
  return layers
}
