import { afterEach, beforeEach, expect, spyOn, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStore, type Store } from '../content/store.ts'
import type { Container } from './container.ts'
import { getContainer, insertContainer, recordEnd } from './container-records.ts'
import { recoverContainers } from './recovery.ts'

let root: string
let store: Store

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-recovery-'))
  store = openStore(root)
})

afterEach(() => {
  store[Symbol.dispose]()
  rmSync(root, { recursive: true, force: true })
})

const id = 'c'.repeat(64)

function claimedByTheDead(): void {
  const settings = { manifest: `sha256:${'a'.repeat(64)}`, networks: [], mounts: [], config: {} }
  insertContainer(store, {
    id,
    name: 'claimed',
    imageId: `sha256:${'b'.repeat(64)}`,
    snapshot: 'snapshot',
    state: 'restarting',
    session: 'dead',
    autoRemove: false,
    settings,
    createdAt: 1,
    startedAt: 1,
    finishedAt: 2,
    exitCode: 1,
    error: null,
  } as unknown as Container)
}

test('recoverContainers() leaves to its policy a container whose process died while it started it again', () => {
  claimedByTheDead()
  recoverContainers(store)
  expect(getContainer(store, id)).toMatchObject({ session: null, state: 'restarting', error: null })
})

test('recoverContainers() does not touch what another process has set right since it looked', () => {
  claimedByTheDead()
  const { database } = store
  const all = database.all.bind(database)
  let isFirst = true
  using _all = spyOn(database, 'all').mockImplementation((sql: string, ...values) => {
    const rows = all(sql, ...values)
    if (isFirst && sql.includes('session IS NOT NULL')) {
      isFirst = false
      // The other one has started it again, and it has ended.
      recordEnd(store, id, { state: 'exited', exitCode: 3 })
    }
    return rows as never[]
  })
  recoverContainers(store)
  expect(isFirst).toBe(false)
  expect(getContainer(store, id)).toMatchObject({ state: 'exited', exitCode: 3, error: null })
})
