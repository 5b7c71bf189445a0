import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Children } from '../../test/fixtures/children.ts'
import { acquireLock } from './lock.ts'
import { recover } from './recovery.ts'
import { openStore } from './store.ts'

const children = new Children()
let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-waiting-'))
})
afterEach(() => {
  children[Symbol.dispose]()
  rmSync(root, { recursive: true })
})

/** A process that runs `script`, in which `store` is the store of `cairn build`, and says `ready` on its own. */
async function holding(script: string): Promise<Bun.Subprocess> {
  const module = (name: string): string => JSON.stringify(join(import.meta.dir, name))
  const source = `
    const { openStore } = await import(${module('store.ts')})
    const { acquireLock } = await import(${module('lock.ts')})
    const store = openStore(${JSON.stringify(root)}, { command: 'cairn build' })
    ${script}
    console.log('ready')
    setInterval(() => {}, 1000)
  `
  const child = children.add(Bun.spawn([process.execPath, '-e', source], { stdout: 'pipe', stderr: 'inherit' }))
  const { value } = await child.stdout.getReader().read()
  expect(new TextDecoder().decode(value)).toBe('ready\n')
  return child
}

async function kill(child: Bun.Subprocess): Promise<number> {
  const killed = performance.now()
  child.kill('SIGKILL')
  await child.exited
  return killed
}

test('`acquireLock()` tells whom it waits for after a second, and goes on at once when that is killed', async () => {
  const child = await holding("await acquireLock(store, 'x')")
  const told: string[] = []
  using store = openStore(root, { tell: (message) => void told.push(message) })
  const waiting = acquireLock(store, 'x', { purpose: 'to try it out' })
  await Bun.sleep(700)
  expect(told).toEqual([])
  await Bun.sleep(500)
  expect(told).toEqual([`waiting for cairn build (process ${child.pid}) to try it out`])
  const killed = await kill(child)
  using _lock = await waiting
  expect(performance.now() - killed).toBeLessThan(500)
  expect(told).toHaveLength(1)
})

test('a writer waits for the transaction of another process without failing, and tells so once', async () => {
  const child = await holding(`
    store.database.run('BEGIN IMMEDIATE')
    store.database.run("DELETE FROM tags WHERE name = 'x'")
    setTimeout(() => store.database.run('COMMIT'), 2500)`)
  const told: string[] = []
  using store = openStore(root, { tell: (message) => void told.push(message) })
  store.database.transaction(() => store.database.run("DELETE FROM tags WHERE name = 'x'"))
  expect(told).toEqual([`waiting for another cairn process (${child.pid}) to release the database ${root}/cairn.db`])
  await kill(child)
})

test('a writer goes on at once when the process that it waits for is killed', async () => {
  const child = await holding("store.database.run('BEGIN IMMEDIATE')")
  using store = openStore(root)
  // The wait blocks this thread, so somebody else has to kill.
  const killer = children.add(Bun.spawn(['sh', '-c', `sleep 0.3; kill -9 ${child.pid}`]))
  const began = performance.now()
  store.database.run("DELETE FROM tags WHERE name = 'x'")
  expect(performance.now() - began).toBeLessThan(1000)
  await killer.exited
})

test('`recover()` removes the lock files of processes that were killed, and no other', async () => {
  const dead = await holding("await acquireLock(store, 'dead')")
  const living = await holding("await acquireLock(store, 'living')")
  await kill(dead)
  using store = openStore(root)
  expect(readdirSync(`${root}/locks`)).toHaveLength(2)
  recover(store)
  expect(readdirSync(`${root}/locks`)).toHaveLength(1)
  await kill(living)
})
