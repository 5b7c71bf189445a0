import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Children } from '../../test/fixtures/children.ts'
import { CairnError } from '../errors/error.ts'
import { digestOf } from '../oci/digest.ts'
import { collectGarbage } from './gc.ts'
import { putLayerRecord } from './layer-records.ts'
import { acquireLease } from './leases.ts'
import { recover, recoverThoroughly } from './recovery.ts'
import { beginSnapshot, findSnapshot, finishSnapshot, getSnapshot } from './snapshot-records.ts'
import { openStore, type Store } from './store.ts'

const children = new Children()
let root: string
let store: Store
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-recovery-'))
  store = openStore(root)
})
afterEach(() => {
  children[Symbol.dispose]()
  store.close()
  rmSync(root, { recursive: true })
})

/** A process that works in the store as `script` says, prints `ready` and then does nothing until it is killed. */
async function startWorker(script: string): Promise<Bun.Subprocess> {
  const source = `
    import { openStore } from ${JSON.stringify(join(import.meta.dir, 'store.ts'))}
    import { acquireLease } from ${JSON.stringify(join(import.meta.dir, 'leases.ts'))}
    import { beginSnapshot } from ${JSON.stringify(join(import.meta.dir, 'snapshot-records.ts'))}
    import { mkdirSync, writeFileSync } from 'node:fs'
    const store = openStore(${JSON.stringify(root)})
    const lease = acquireLease(store)
    ${script}
    console.log('ready')
    setInterval(() => {}, 1000)
  `
  const path = join(root, 'tmp.worker.ts')
  writeFileSync(path, source)
  const child = children.add(Bun.spawn([process.execPath, path], { stdout: 'pipe', stderr: 'inherit' }))
  const reader = child.stdout.getReader()
  const { value } = await reader.read()
  rmSync(path)
  expect(new TextDecoder().decode(value)).toBe('ready\n')
  return child
}

async function kill(child: Bun.Subprocess): Promise<void> {
  child.kill('SIGKILL')
  await child.exited
}

const halfDone = `
  const ingest = lease.ingest()
  ingest.write(new Uint8Array(1_000_000))
  const finished = await lease.put(new TextEncoder().encode('finished'))
  beginSnapshot(store, 'half')
  mkdirSync(store.path('snapshots', 'half', 'fs'), { recursive: true })
  writeFileSync(store.path('snapshots', 'half', 'fs', 'file'), 'x')
`

describe('recover()', () => {
  test('removes what a killed process left: temporary files, leases and unfinished snapshots', async () => {
    const child = await startWorker(halfDone)
    expect(readdirSync(join(root, 'tmp'))).toHaveLength(2)
    await kill(child)
    const recovery = recover(store)
    expect(recovery.sessions).toHaveLength(1)
    expect(recovery.snapshots).toEqual(['half'])
    expect(recovery.failures).toEqual([])
    expect(readdirSync(join(root, 'tmp'))).toEqual([])
    expect(readdirSync(join(root, 'snapshots'))).toEqual([])
    expect(store.database.all('SELECT * FROM leases')).toEqual([])
    expect(store.database.all('SELECT * FROM lease_nodes')).toEqual([])
    expect(readdirSync(join(root, 'content/blobs/sha256'))).toEqual([])
    expect((await collectGarbage(store)).reclaimed).toBe(0)
    expect(recover(store).sessions).toEqual([])
  })

  test('goes on with a collection whose process was killed', async () => {
    const child = await startWorker(`
      const { blobNode, link } = await import(${JSON.stringify(join(import.meta.dir, 'graph.ts'))})
      const { deleteImageRecord, putImageRecord } = await import(${JSON.stringify(join(import.meta.dir, 'image-records.ts'))})
      const [manifest, layer] = [await lease.put(new Uint8Array(1)), await lease.put(new Uint8Array(2))]
      link(store, blobNode(manifest.digest), [blobNode(layer.digest)])
      putImageRecord(store, { ...manifest, mediaType: 'm', imageId: manifest.digest })
      lease.release()
      deleteImageRecord(store, manifest.digest)`)
    await kill(child)
    expect(readdirSync(join(root, 'content/blobs/sha256'))).toHaveLength(2)
    recover(store)
    expect(readdirSync(join(root, 'content/blobs/sha256'))).toEqual([])
    for (const table of ['links', 'garbage']) expect(store.database.all(`SELECT * FROM ${table}`)).toEqual([])
  })

  test('leaves a living process alone', async () => {
    const child = await startWorker(halfDone)
    try {
      expect(recover(store)).toEqual({ sessions: [], snapshots: [], failures: [] })
      expect(await collectGarbage(store)).toEqual({ blobs: [], snapshots: [], reclaimed: 0 })
      expect(readdirSync(join(root, 'tmp')).length).toBeGreaterThanOrEqual(2)
      expect(getSnapshot(store, 'half')).toBeDefined()
    } finally {
      await kill(child)
    }
  })

  test('leaves its own session alone', () => {
    const { directory } = store.session
    expect(recover(store).sessions).toEqual([])
    expect(existsSync(directory)).toBe(true)
  })

  test('removes stray entries below tmp', () => {
    mkdirSync(join(root, 'tmp/stray/deep'), { recursive: true })
    writeFileSync(join(root, 'tmp/file'), '')
    expect(recover(store).sessions.toSorted()).toEqual(['file', 'stray'])
    expect(readdirSync(join(root, 'tmp'))).toEqual([])
  })

  test('tells of what it cannot remove and tries again the next time', () => {
    mkdirSync(join(root, 'tmp/stray'))
    const recovery = recover(store, () => {
      throw new CairnError('PERMISSION_DENIED', 'not yours')
    })
    expect(recovery.failures.map(({ message }) => message)).toEqual(['not yours'])
    expect(recover(store).sessions).toEqual(['stray'])
  })

  test('costs next to nothing when there is nothing to do', () => {
    recover(store)
    const rounds = 200
    const start = Bun.nanoseconds()
    for (let round = 0; round < rounds; round++) recover(store)
    expect((Bun.nanoseconds() - start) / rounds).toBeLessThan(1e6)
  })
})

describe('recoverThoroughly()', () => {
  test('ends sessions that only the database remembers', () => {
    store.database.run("INSERT INTO leases VALUES ('l', 'lost-session', 0)")
    store.database.run("INSERT INTO snapshots VALUES ('s', NULL, 'preparing', 0, 'lost-session', 0, 0)")
    expect(recover(store).sessions).toEqual([])
    expect(recoverThoroughly(store)).toEqual({ sessions: ['lost-session'], snapshots: ['s'], failures: [] })
    expect(store.database.all('SELECT * FROM leases')).toEqual([])
  })
})

describe('close()', () => {
  test('leaves snapshots that were not finished to recovery', () => {
    const other = openStore(root)
    beginSnapshot(other, 'half')
    mkdirSync(join(root, 'snapshots/half'))
    other.close()
    expect(recover(store).snapshots).toEqual(['half'])
    expect(readdirSync(join(root, 'snapshots'))).toEqual([])
    expect(readdirSync(join(root, 'tmp'))).toEqual([])
  })
})

describe('recover() of unpacked layers that are not known to be on the disk', () => {
  const diffId = digestOf('layer')
  const madeSnapshot = (): void => {
    beginSnapshot(store, 's')
    mkdirSync(store.path('snapshots', 's', 'fs'), { recursive: true })
    finishSnapshot(store, 's', { state: 'committed', diffId, size: 0 })
  }
  const pending = (): number => store.database.all('SELECT id FROM unsynced_snapshots').length

  test('brings them to the disk once they are a minute old', () => {
    madeSnapshot()
    recover(store)
    expect(pending()).toBe(1)
    store.database.run('UPDATE snapshots SET created_at = created_at - 61000')
    recover(store)
    expect(pending()).toBe(0)
    expect(findSnapshot(store, diffId)?.id).toBe('s')
  })

  test('removes those of an earlier run of the machine, where the layer is in the store', async () => {
    madeSnapshot()
    store.database.run("UPDATE unsynced_snapshots SET boot = 'earlier'")
    expect(findSnapshot(store, diffId)).toBeUndefined()
    expect(recover(store).snapshots).toEqual([])
    expect(existsSync(store.path('snapshots', 's'))).toBe(true)
    using lease = acquireLease(store)
    const { digest, size } = await lease.put(new TextEncoder().encode('layer'))
    putLayerRecord(store, { digest, diffId, compression: 'none', size, unpackedSize: size })
    expect(recover(store).snapshots).toEqual(['s'])
    expect(existsSync(store.path('snapshots', 's'))).toBe(false)
    expect([pending(), getSnapshot(store, 's')]).toEqual([0, undefined])
  })
})
