import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Children } from '../../test/fixtures/children.ts'
import { digestOf } from '../oci/digest.ts'
import { acquireLock, tryAcquireLock, withLock } from './lock.ts'
import { openStore } from './store.ts'

const children = new Children()
let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-many-'))
})
afterEach(() => {
  children[Symbol.dispose]()
  rmSync(root, { recursive: true })
})

/** Runs `script` in `count` processes at once; `self` is the number of each. Gives what they print. */
async function inProcesses(count: number, script: string): Promise<string[]> {
  const module = (name: string) => JSON.stringify(join(import.meta.dir, name))
  const path = join(root, 'worker.ts')
  writeFileSync(
    path,
    `
    import { openStore } from ${module('store.ts')}
    import { acquireLease } from ${module('leases.ts')}
    import { collectGarbage } from ${module('gc.ts')}
    import { recover } from ${module('recovery.ts')}
    import { withLock } from ${module('lock.ts')}
    import { putImageRecord, putTag } from ${module('image-records.ts')}
    import { putCacheRecord, getCacheRecord } from ${module('cache-records.ts')}
    import { blobNode } from ${module('graph.ts')}
    import { digestOf } from ${module('../oci/digest.ts')}
    const self = Number(process.argv[2])
    const root = ${JSON.stringify(join(root, 'store'))}
    const encode = (text) => new TextEncoder().encode(text)
    ${script}
  `,
  )
  const workers = Array.from({ length: count }, (_, index) =>
    children.add(Bun.spawn([process.execPath, path, String(index)], { stdout: 'pipe', stderr: 'inherit' })),
  )
  const outputs = await Promise.all(workers.map((worker) => new Response(worker.stdout).text()))
  expect(await Promise.all(workers.map((worker) => worker.exited))).toEqual(workers.map(() => 0))
  return outputs
}

describe('many processes', () => {
  test('may make the same store at once', async () => {
    const outputs = await inProcesses(
      8,
      `
      const store = openStore(root)
      recover(store)
      putCacheRecord(store, { key: String(self), result: self, inputs: {} }, [])
      store.close()
      console.log('done')
    `,
    )
    expect(outputs).toEqual(outputs.map(() => 'done\n'))
    using store = openStore(join(root, 'store'))
    expect(store.database.all('SELECT key FROM cache_records')).toHaveLength(8)
    expect(readdirSync(join(root, 'store/tmp'))).toEqual([])
  })

  test('may write the same blobs and records at once', async () => {
    await inProcesses(
      6,
      `
      using store = openStore(root)
      for (let round = 0; round < 20; round++) {
        using lease = acquireLease(store)
        const blob = await lease.put(encode('blob ' + round))
        const own = await lease.put(encode(self + ' ' + round))
        for (const { digest, size } of [blob, own]) {
          putImageRecord(store, { digest, size, mediaType: 'm', imageId: digest })
          putTag(store, 'r/' + digest, digest)
        }
      }
    `,
    )
    using store = openStore(join(root, 'store'))
    expect(store.database.one('PRAGMA integrity_check')).toEqual({ integrity_check: 'ok' })
    expect(store.database.all('SELECT * FROM tags')).toHaveLength(20 + 6 * 20)
    for (let round = 0; round < 20; round++) {
      const digest = digestOf(`blob ${round}`)
      expect(new TextDecoder().decode(store.blobs.readAll(digest, 100))).toBe(`blob ${round}`)
    }
  }, 30_000)

  test('never lose a blob to a garbage collection that runs meanwhile', async () => {
    const outputs = await inProcesses(
      4,
      `
      using store = openStore(root)
      if (self === 0) {
        let collected = 0
        for (let round = 0; round < 40; round++) {
          recover(store)
          collected += (await collectGarbage(store)).blobs.length
          await Bun.sleep(1)
        }
        console.log(collected)
      } else {
        for (let round = 0; round < 60; round++) {
          using lease = acquireLease(store)
          const shared = digestOf('shared ' + (round % 5))
          // Somebody else's blob is relied upon after claiming it, else it is written.
          if (!lease.claim(shared)) await lease.put(encode('shared ' + (round % 5)))
          const own = await lease.put(encode(self + ' ' + round))
          await Bun.sleep(1)
          for (const digest of [shared, own.digest])
            if (!store.blobs.has(digest)) console.log('lost ' + digest)
        }
      }
    `,
    )
    expect(Number(outputs[0])).toBeGreaterThan(0)
    expect(outputs.slice(1)).toEqual(['', '', ''])
  }, 30_000)

  test('hold a lock one after the other', async () => {
    const counter = join(root, 'counter')
    writeFileSync(counter, '0')
    await inProcesses(
      4,
      `
      import { readFileSync, writeFileSync } from 'node:fs'
      const counter = ${JSON.stringify(counter)}
      using store = openStore(root)
      for (let round = 0; round < 25; round++)
        await withLock(store, 'counter', {}, async () => {
          const value = Number(readFileSync(counter, 'utf8'))
          await Bun.sleep(0)
          writeFileSync(counter, String(value + 1))
        })
    `,
    )
    expect(await Bun.file(counter).text()).toBe('100')
    expect(readdirSync(join(root, 'store/locks'))).toEqual([])
  }, 30_000)
})

describe('acquireLock()', () => {
  test('waits within one process too, telling so once', async () => {
    using store = openStore(join(root, 'store'))
    const first = await acquireLock(store, 'a name/with: anything')
    expect(tryAcquireLock(store, 'a name/with: anything')).toBeUndefined()
    expect(tryAcquireLock(store, 'another')?.release()).toBeUndefined()
    let waits = 0
    const second = acquireLock(store, 'a name/with: anything', { onWait: () => void waits++ })
    await Bun.sleep(10)
    expect(waits).toBe(1)
    first.release()
    first.release()
    const lock = await second
    expect(tryAcquireLock(store, 'a name/with: anything')).toBeUndefined()
    lock.release()
  })

  test('is free again when its holder is killed', async () => {
    using store = openStore(join(root, 'store'))
    const script = `
      const { openStore } = await import(${JSON.stringify(join(import.meta.dir, 'store.ts'))})
      const { acquireLock } = await import(${JSON.stringify(join(import.meta.dir, 'lock.ts'))})
      await acquireLock(openStore(${JSON.stringify(store.root)}), 'x')
      console.log('held')
      setInterval(() => {}, 1000)
    `
    const child = children.add(Bun.spawn([process.execPath, '-e', script], { stdout: 'pipe' }))
    await child.stdout.getReader().read()
    expect(tryAcquireLock(store, 'x')).toBeUndefined()
    child.kill('SIGKILL')
    await child.exited
    const lock = await acquireLock(store, 'x')
    lock.release()
  })

  test('is left when the work throws', async () => {
    using store = openStore(join(root, 'store'))
    const work = withLock(store, 'x', {}, () => {
      throw new Error('no')
    })
    expect(await work.catch((error: unknown) => error)).toEqual(new Error('no'))
    tryAcquireLock(store, 'x')?.release()
    expect(readdirSync(join(store.root, 'locks'))).toEqual([])
  })
})
