import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { closeSync, mkdirSync, openSync, readdirSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { tarOf } from '../src/images/image-fixtures.ts'
import { ScriptedRegistry } from '../src/registry/client/scripted-registry.ts'
import { BuildBench, type Ended } from './fixtures/build-bench.ts'
import { eventually, processesWith } from './fixtures/container-bench.ts'

/** The store is on a file system of its own, which a file beside it fills. */
let bench: BuildBench
let disk: string
let environment: { readonly CAIRN_ROOT: string }

beforeEach(async () => {
  bench = await BuildBench.open()
  disk = `${bench.directory}/disk`
  environment = { CAIRN_ROOT: `${disk}/store` }
  mkdirSync(disk)
  expect(Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', disk]).exitCode).toBe(0)
  bench.file('file', 'x'.repeat(600_000))
  bench.file('Dockerfile', 'FROM busybox\nCOPY file /file\nRUN dd if=/dev/zero of=/z bs=1024 count=700 2>/dev/null\n')
  expect((await bench.cairn(['save', '-o', `${bench.directory}/base.tar`, 'busybox'])).status).toBe(0)
  await ok('load', '-q', '-i', `${bench.directory}/base.tar`)
})
afterEach(() => {
  Bun.spawnSync(['umount', '-l', disk])
  bench[Symbol.dispose]()
})

const cairn = (...argv: string[]): Promise<Ended> => bench.cairn(argv, { env: environment })

async function ok(...argv: string[]): Promise<string> {
  const { status, out, err } = await cairn(...argv)
  expect([argv, status, status === 0 ? '' : out + err]).toEqual([argv, 0, ''])
  return out
}

/** Fills the disk but for so many bytes. */
function fill(rest: number): void {
  const { bavail, bsize } = statfsSync(disk)
  const fd = openSync(`${disk}/filler`, 'w')
  try {
    for (let left = bavail * bsize - rest; left > 0; left -= 65536) writeSync(fd, new Uint8Array(Math.min(left, 65536)))
  } finally {
    closeSync(fd)
  }
}

const emptied = (): void => rmSync(`${disk}/filler`)

/** One error that says what was full. */
async function failsFull(...argv: string[]): Promise<void> {
  const { status, err } = await cairn(...argv)
  expect([argv, status === 0, err]).toEqual([argv, false, expect.stringMatching(/no space left on device/)])
  expect(err).not.toMatch(/internal error|SQLITE|Suppressed/)
  expect(err).toContain(disk)
}

async function isWhole(): Promise<void> {
  await ok('ps')
  expect(await ok('system', 'check')).toMatch(/: ok;/)
  for (const area of ['tmp', 'locks']) expect(readdirSync(`${environment.CAIRN_ROOT}/${area}`)).toEqual([])
}

describe('a disk without a byte left', () => {
  test('lets look at everything, changes nothing, and lets remove things', async () => {
    await ok('build', '-q', '-t', 'app', bench.context)
    await ok('run', '--name', 'box', 'app', 'true')
    // What the container's monitor calls at the end takes and gives back space of the disk.
    expect(await eventually(() => processesWith(disk).length === 0, 20_000)).toBe(true)
    fill(0)
    for (const argv of [['images'], ['ps', '-a'], ['system', 'df'], ['image', 'inspect', 'app'], ['history', 'app']])
      await ok(...argv)
    await failsFull('build', '-q', '--no-cache', '-t', 'other', bench.context)
    await failsFull('import', `${bench.directory}/base.tar`, 'other')
    await failsFull('commit', 'box', 'other')
    await failsFull('run', '--rm', 'app', 'true')
    expect(await ok('images', '--format', '{{.Repository}}')).toBe('app\nbusybox\n')
    expect(await ok('rm', 'box')).toBe('box\n')
    expect(await ok('rmi', 'app')).toMatch(/Untagged: app:latest\nDeleted: sha256:/)
    fill(0)
    expect(await ok('builder', 'prune', '-af')).toMatch(/Total:\t[1-9]/)
    fill(0)
    expect(await ok('image', 'prune', '-af')).toMatch(/Total reclaimed space: [1-9]/)
    emptied()
    await isWhole()
    await ok('load', '-q', '-i', `${bench.directory}/base.tar`)
    await ok('run', '--rm', 'busybox', 'true')
  }, 60_000)

  test('keeps its reserve for the next time', async () => {
    await ok('tag', 'busybox', 'second')
    for (const name of ['second', 'busybox']) {
      fill(0)
      await ok('rmi', name)
      emptied()
    }
    await isWhole()
  }, 30_000)
})

describe('a disk that gets full meanwhile', () => {
  test('fails whatever needs the space, leaves nothing of it, and the next command works', async () => {
    const commands = [
      ['build', '-q', '--no-cache', '-t', 'app', bench.context],
      ['import', `${bench.directory}/base.tar`, 'imported'],
      ['load', '-q', '-i', `${bench.directory}/base.tar`],
      ['run', '--name', 'box', 'busybox', 'true'],
    ]
    for (const rest of [40_000, 400_000, 1_000_000, 2_400_000]) {
      fill(rest)
      for (const argv of commands) {
        const { status, err } = await cairn(...argv)
        if (status === 0) continue
        expect([rest, argv, err]).toEqual([rest, argv, expect.stringMatching(/no space left on device|No space left/)])
        expect(err).not.toMatch(/internal error|SQLITE|Suppressed/)
      }
      emptied()
      await isWhole()
      await cairn('rm', '-f', 'box')
      await cairn('rmi', '-f', 'app', 'imported')
      await cairn('builder', 'prune', '-af')
    }
  }, 120_000)

  test('is left to the build by its record, which has no more of the output then', async () => {
    bench.file(
      'Dockerfile',
      'FROM busybox\nRUN head -c 40000000 /dev/zero | tr "\\0" x; echo; echo end >&2\nRUN true\n',
    )
    const { err, status } = await cairn('build', '-q', '-t', 'app', bench.context)
    expect({ err, status }).toEqual({
      err: expect.stringMatching(/^WARNING: .* the disk has less than 64MB left/),
      status: 0,
    })
    expect(await ok('builds', 'ls', '--format', '{{.Status}} {{.TotalSteps}}')).toBe('Completed 3\n')
    const logs = await ok('builds', 'logs')
    expect(logs).toMatch(/ x+\n#\d+ [\d.]+ \[the disk has less than 64MB left/)
    expect(logs.length).toBeLessThan(8_000_000)
    await isWhole()
  }, 60_000)

  test('takes back what a pull had brought when the space was not enough', async () => {
    using registry = new ScriptedRegistry()
    const layers = [1, 2].map((id) => {
      const text = Buffer.from(crypto.getRandomValues(new Uint8Array(60_000))).toString('base64')
      return tarOf({ [`file-${id}`]: text.repeat(30) })
    })
    const packed = layers.map((blob) => ({ blob: Bun.gzipSync(blob, { level: 0 }), format: 'gzip' as const }))
    registry.putImage('app', '1', layers, { packed })
    for (const rest of [2_000_000, 4_500_000, 7_000_000]) {
      fill(rest)
      const before = statfsSync(disk).bavail
      expect((await cairn('pull', `${registry.host}/app:1`)).err).toMatch(/^cairn: .*no space left on device/)
      expect(statfsSync(disk).bavail * 4096).toBeGreaterThan(before * 4096 - 300_000)
      emptied()
      await isWhole()
    }
    await ok('pull', '-q', `${registry.host}/app:1`)
  }, 120_000)
})
