import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { Database } from 'bun:sqlite'
import {
  chmodSync,
  openSync,
  closeSync,
  readFileSync,
  readSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { BuildBench } from './fixtures/build-bench.ts'
import { eventually, processesWith } from './fixtures/container-bench.ts'
import { GitServer, hasGit } from './fixtures/git-server.ts'

setDefaultTimeout(60_000)

/**
 * One file of the store is damaged, and nothing else. What is tried then is what a user would: each line is a command, and
 * what it must say.
 */
let bench: BuildBench
/** A store with an image `app` on `busybox`, a container `box` and a cache mount. */
let whole: string
let blobs: { readonly manifest: string; readonly config: string; readonly layer: string }

beforeAll(async () => {
  bench = await BuildBench.open()
  bench.file('file', 'content')
  bench.file('Dockerfile', 'FROM busybox\nCOPY file /file\nRUN --mount=type=cache,target=/c echo made > /made\n')
  await ok('save', '-o', `${bench.directory}/base.tar`, 'busybox')
  await ok('build', '-q', '-t', 'app', bench.context)
  await ok('run', '--name', 'box', 'app', 'sh', '-c', 'echo mine > /mine')
  const { manifest, config, layers } = await imageParts()
  blobs = { manifest, config, layer: layers[1] ?? '' }
  bench.closeStore()
  // What a container's monitor calls at its end works in the store for a while yet.
  expect(await eventually(() => processesWith(bench.root).length === 0, 30_000)).toBe(true)
  whole = `${bench.directory}/whole`
  copy(bench.root, whole)
}, 60_000)
afterAll(() => bench[Symbol.dispose]())

function copy(from: string, to: string): void {
  const { success, stderr } = Bun.spawnSync(['cp', '-a', from, to])
  if (!success) throw new Error(stderr.toString())
}

async function ok(...argv: string[]): Promise<string> {
  const { status, out, err } = await bench.cairn(argv)
  expect([argv, status, status === 0 ? '' : err]).toEqual([argv, 0, ''])
  return out
}

async function imageParts(): Promise<{ manifest: string; config: string; layers: string[] }> {
  const row = bench.store.database.one<{ digest: string }>("SELECT digest FROM tags WHERE name LIKE '%/app:latest'")
  const manifest = row?.digest ?? ''
  const links = bench.store.database.all<{ child: string; diffId: string | null }>(
    'SELECT child, diff_id AS diffId FROM links LEFT JOIN layers ON digest = child WHERE parent = ?',
    manifest,
  )
  const config = links.find(({ diffId }) => diffId === null)?.child ?? ''
  // The one that COPY made comes with the file.
  const sizes = links.flatMap(({ child, diffId }) =>
    diffId === null ? [] : [{ child, size: statSync(blob(child)).size }],
  )
  return { manifest, config, layers: sizes.toSorted((a, b) => b.size - a.size).map(({ child }) => child) }
}

const blob = (digest: string): string => `${bench.root}/content/blobs/${digest.replace(':', '/')}`

function firstIn(directory: string, name = ''): string {
  const path = `${bench.root}/${directory}`
  const found = readdirSync(path, { recursive: true, encoding: 'utf8' }).find((one) => one.endsWith(name))
  if (found === undefined) throw new Error(`there is no ${name} in ${path}`)
  return `${path}/${found}`
}

/** Bytes before the second line. */
const firstLine = (path: string): number => readFileSync(path).indexOf(10) + 1

/** Changes one bit, in the middle of the file where no place is given. */
function flip(path: string, at = Math.floor(statSync(path).size / 2)): void {
  const fd = openSync(path, 'r+')
  try {
    const byte = new Uint8Array(1)
    readSync(fd, byte, 0, 1, at)
    writeSync(fd, new Uint8Array([(byte[0] ?? 0) ^ 0x20]), 0, 1, at)
  } finally {
    closeSync(fd)
  }
}

/** With a whole store in which `damage` was done, each command with what it says; `status` is that of success or not. */
async function after(
  damage: () => void,
  ...tries: readonly [argv: readonly string[], says: RegExp, status?: 'fails'][]
): Promise<void> {
  rmSync(bench.root, { recursive: true })
  copy(whole, bench.root)
  damage()
  for (const [argv, says, outcome] of tries) {
    const { status, out, err } = await bench.cairn(argv)
    expect([argv, status === 0 ? 'ok' : 'fails', out + err]).toEqual([
      argv,
      outcome ?? 'ok',
      expect.stringMatching(says),
    ])
    expect(err).not.toMatch(/internal error|SQLITE/)
  }
}

const run = ['run', '--rm', 'app', 'cat', '/file', '/made']
const check = ['system', 'check']
const repair = [...check, '--repair']

describe('a flipped byte', () => {
  test('in a manifest is told by whatever reads it, and healed by building', async () => {
    await after(
      () => flip(blob(blobs.manifest)),
      [run, /blob sha256:\w+ is damaged on disk/, 'fails'],
      [['save', '-o', `${bench.directory}/x.tar`, 'app'], /damaged/, 'fails'],
      [['images'], /app/],
      [check, /this manifest of app:latest, container box is damaged/, 'fails'],
      [['build', '-q', '-t', 'app', bench.context], /sha256/],
      [run, /contentmade/],
      [check, /: ok;/],
    )
  })

  test('in a config likewise', async () => {
    await after(
      () => flip(blob(blobs.config)),
      [run, /damaged/, 'fails'],
      [['history', 'app'], /arrived as/, 'fails'],
      [[...check, '--quick'], /this config of app:latest, container box is damaged/, 'fails'],
      [['build', '-q', '-t', 'app', bench.context], /sha256/],
      [check, /: ok;/],
    )
  })

  test('in a layer is never handed on; repaired, the build cache makes it again', async () => {
    await after(
      () => flip(blob(blobs.layer)),
      [['save', '-o', `${bench.directory}/x.tar`, 'app'], /blob sha256:\w+ .* arrived as/, 'fails'],
      [['image', 'copy', 'app', `oci:${bench.directory}/layout`], /arrived as/, 'fails'],
      [['image', 'validate', 'app'], /BLOB_CORRUPT|TAR_INVALID/, 'fails'],
      [check, /this layer of app:latest, container box is damaged/, 'fails'],
      [repair, /build cache: sha256:\w+: this blob is damaged.* Repaired/, 'fails'],
      [['build', '-q', '-t', 'app', bench.context], /sha256/],
      [run, /contentmade/],
      // The container's image is the old one.
      [['rm', 'box'], /box/],
      [['image', 'prune', '-f'], /reclaimed/],
      [check, /: ok;/],
    )
  })

  test('in a file of an unpacked layer is found, and the layer unpacked again', async () => {
    await after(
      () => flip(firstIn('snapshots', 'fs/bin/busybox')),
      [[...check, '--quick'], /: ok;/],
      [check, /layers: sha256:\w+: \/bin\/\S+ of its directory .* is not what the layer says \(content\)/, 'fails'],
      [repair, /: repaired;/],
      [run, /contentmade/],
      [check, /: ok;/],
    )
  })

  test('in an unpacked layer of before the machine started is never seen', async () => {
    await after(
      () => {
        truncateSync(firstIn('snapshots', 'fs/made'), 0)
        using database = new Database(`${bench.root}/cairn.db`)
        expect(database.run("UPDATE unsynced_snapshots SET boot = 'an earlier one'").changes).toBeGreaterThan(1)
      },
      [run, /contentmade/],
      [check, /: ok;/],
      [run, /contentmade/],
    )
  })

  test('in a page of the database is told, and what can be read of it saved', async () => {
    await after(
      () => {
        for (let page = 2; page < 8; page++) flip(`${bench.root}/cairn.db`, page * 4096)
      },
      [['images'], /cairn\.db is damaged\n\n`cairn system check` tells/, 'fails'],
      [check, /database: cairn\.db: .*damaged/, 'fails'],
      [repair, /database: cairn\.db: .* records were saved .* Repaired\./s, 'fails'],
      [repair, /./s],
      [check, /: ok;/],
      [['images', '-a'], /busybox|<none>/],
    )
    const ids = (await ok('images', '-aq')).trim().split('\n')
    for (const id of new Set(ids)) await ok('run', '--rm', id, 'true')
  })

  test('in the header of the database leaves the images, without names', async () => {
    await after(
      () => flip(`${bench.root}/cairn.db`, 3),
      [['images'], /damaged/, 'fails'],
      [repair, /0 records were saved and 2 images found again without a name/, 'fails'],
      [['images', '-a'], /<none>(?:.*\n)*.*<none>/],
    )
    const [id = ''] = (await ok('images', '-aq')).split('\n')
    await ok('run', '--rm', id, 'true')
    // What the container wrote is nobody's now, but for the user to look at before it goes.
    const kept = readdirSync(`${bench.root}/snapshots`, { recursive: true, encoding: 'utf8' })
    expect(kept.filter((path) => path.endsWith('fs/mine'))).toHaveLength(1)
  })

  test('in the format of the store keeps every command from it', async () => {
    await after(
      () => flip(`${bench.root}/version`, 0),
      [['images'], /has store format .*Upgrade it/s, 'fails'],
      [check, /has store format/, 'fails'],
    )
  })

  test('in the record of a cache mount takes the cache mount', async () => {
    await after(
      () => flip(firstIn('cache/mounts', 'record.json'), 2),
      [check, /build cache: cache\/mounts\/\w+: its record cannot be read/, 'fails'],
      [repair, /Repaired/],
      [['build', '-q', '--no-cache', bench.context], /sha256/],
      [check, /: ok;/],
    )
  })

  test('in the record of a build is found, and the record removed', async () => {
    const damage = (): void => {
      const path = firstIn('builds/records')
      flip(path, 0)
    }
    const told = /build records: builds\/records\/\S+: .*what the build did cannot be told/
    await after(
      damage,
      [[...check, '--quick'], told, 'fails'],
      [check, told, 'fails'],
      [repair, /Repaired/],
      [check, /: ok;/],
      [['builds', 'ls'], /NAME/],
    )
    // In the middle of the log.
    await after(() => flip(firstIn('builds/records'), 4 + firstLine(firstIn('builds/records'))), [check, told, 'fails'])
  })

  test.skipIf(!hasGit)('in the copy of a git repository is found, and it is fetched again', async () => {
    await using opened = new AsyncDisposableStack()
    const server = opened.adopt(new GitServer(), (one) => one.stop())
    server.create('app', { Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n', text: 'x'.repeat(5000) })
    rmSync(bench.root, { recursive: true })
    copy(whole, bench.root)
    await ok('build', '-q', server.url('app'))
    expect(await ok('system', 'check')).toContain(': ok;')
    const pack = firstIn('cache/git', '.pack')
    chmodSync(pack, 0o600)
    flip(pack)
    const told = await bench.cairn(check)
    expect([told.status, told.out]).toEqual([1, expect.stringContaining('this copy of a git repository is damaged')])
    await ok(...repair)
    await ok('build', '-q', '--no-cache', server.url('app'))
    expect(await ok('system', 'check')).toContain(': ok;')
  })

  test('in what is known of a build context costs no more than reading it again', async () => {
    const build = ['build', '-q', '-t', 'again', bench.context]
    await after(() => flip(firstIn('builds/contexts', '.json'), 0), [build, /sha256/], [check, /: ok;/])
    await after(() => flip(firstIn('builds/contexts', '.json')), [build, /sha256/], [check, /: ok;/])
  })
})

describe('a layer', () => {
  test('that is cut short is never used, and healed by loading', async () => {
    const base = bench.store.database.all<{ digest: string; size: number }>('SELECT digest, size FROM layers')
    bench.closeStore()
    const largest = base.toSorted((a, b) => b.size - a.size)[0]?.digest ?? ''
    await after(
      () => truncateSync(blob(largest), 1000),
      [['save', '-o', `${bench.directory}/x.tar`, 'app'], /1000 bytes/, 'fails'],
      [['image', 'cat', 'app', '/bin/busybox'], /the archive is cut off/, 'fails'],
      [[...check, '--quick'], /this layer of .* has 1000 bytes, not \d+/, 'fails'],
      [['load', '-q', '-i', `${bench.directory}/base.tar`], /Loaded/],
      [check, /: ok;/],
    )
  })

  test('that is gone is told with the images that need it, and healed by loading', async () => {
    const base = bench.store.database.all<{ digest: string; size: number }>('SELECT digest, size FROM layers')
    bench.closeStore()
    const largest = base.toSorted((a, b) => b.size - a.size)[0]?.digest ?? ''
    await after(
      () => rmSync(blob(largest)),
      [['save', '-o', `${bench.directory}/x.tar`, 'app'], /is not in the store/, 'fails'],
      [check, /this layer of .*app:latest.* is missing/, 'fails'],
      [['load', '-q', '-i', `${bench.directory}/base.tar`], /Loaded/],
      [check, /: ok;/],
      [run, /contentmade/],
    )
  })
})
