import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { failsWith } from './blobs.contract.ts'
import { snapshotNode } from './graph.ts'
import { acquireLease } from './leases.ts'
import { migrations } from './schema.ts'
import { openStore, type Store } from './store.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-store-'))
})
afterEach(() => {
  rmSync(root, { recursive: true })
})

describe('openStore()', () => {
  test('makes a store with its version, and opens it again', () => {
    const path = join(root, 'new/store')
    openStore(path).close()
    expect(readFileSync(join(path, 'version'), 'utf8')).toBe('1\n')
    expect(readFileSync(join(path, 'content/oci-layout'), 'utf8')).toBe('{"imageLayoutVersion":"1.0.0"}')
    expect(readdirSync(join(path, 'tmp'))).toEqual([])
    using store = openStore(`${path}/`)
    expect(store.root).toBe(path)
    expect(store.path('snapshots', 'a', 'fs')).toBe(join(path, 'snapshots/a/fs'))
  })

  test('neither opens the database nor begins a session by itself', () => {
    openStore(root).close()
    rmSync(join(root, 'cairn.db'), { force: true })
    openStore(root).close()
    expect(existsSync(join(root, 'cairn.db'))).toBe(false)
    expect(readdirSync(join(root, 'tmp'))).toEqual([])
  })

  test('fails with STORE_VERSION when a newer Cairn made the store', async () => {
    openStore(root).close()
    writeFileSync(join(root, 'version'), '2\n')
    const error = await failsWith('STORE_VERSION', () => openStore(root))
    expect(error.message).toContain('store format "2"')
  })

  test('fails with STORE_VERSION when a newer Cairn migrated the database', async () => {
    const first = openStore(root)
    first.database.run(`PRAGMA user_version = ${migrations.length + 1}`)
    first.close()
    using store = openStore(root)
    await failsWith('STORE_VERSION', () => store.database)
  })

  test('fails with STORE_UNUSABLE where other files are', async () => {
    writeFileSync(join(root, 'thesis.tex'), '')
    const error = await failsWith('STORE_UNUSABLE', () => openStore(root))
    expect(error.message).toContain('thesis.tex')
    expect(readdirSync(root)).toEqual(['thesis.tex'])
  })

  test('closes a directory that is there to others, and takes it from its owner', () => {
    const given = join(root, 'given')
    mkdirSync(given)
    chmodSync(given, 0o777)
    chownSync(given, 4242, 4242)
    openStore(given).close()
    const { mode, uid } = statSync(given)
    expect([mode & 0o7777, uid]).toEqual([0o700, process.geteuid?.() ?? -1])
    // What its owner does with a store later is left alone.
    chmodSync(given, 0o755)
    openStore(given).close()
    expect(statSync(given).mode & 0o7777).toBe(0o755)
  })

  test('fails with STORE_UNUSABLE in a directory that users share, and in one that another user filled', async () => {
    expect((await failsWith('STORE_UNUSABLE', () => openStore('/tmp/'))).message).toContain('users share')
    mkdirSync(join(root, 'content'))
    chownSync(root, 4242, 4242)
    expect((await failsWith('STORE_UNUSABLE', () => openStore(root))).message).toContain('belongs to another user')
    expect(readdirSync(root)).toEqual(['content'])
  })

  test('fails with STORE_UNUSABLE where a file is', async () => {
    writeFileSync(join(root, 'file'), '')
    const error = await failsWith('STORE_UNUSABLE', () => openStore(join(root, 'file')))
    expect(error.message).toContain('not a directory')
    await failsWith('STORE_UNUSABLE', () => openStore(join(root, 'file/below')))
  })

  test('reads on a read-only file system, and fails with STORE_UNUSABLE where it would write', async () => {
    const mountPoint = join(root, 'mount')
    mkdirSync(mountPoint)
    expect(Bun.spawnSync(['mount', '-t', 'tmpfs', 'tmpfs', mountPoint]).exitCode).toBe(0)
    try {
      const made = openStore(join(mountPoint, 'store'))
      made.database.run('SELECT 1')
      made.close()
      expect(Bun.spawnSync(['mount', '-o', 'remount,ro', mountPoint]).exitCode).toBe(0)
      const error = await failsWith('STORE_UNUSABLE', () => openStore(join(mountPoint, 'other')))
      expect(error.message).toContain('read-only')
      using store = openStore(join(mountPoint, 'store'))
      await failsWith('STORE_UNUSABLE', () => store.session)
      expect(store.isReadOnly).toBe(true)
      expect(store.database.all('SELECT digest FROM images')).toEqual([])
      await failsWith('STORE_UNUSABLE', () => store.database.run('DELETE FROM images'))
    } finally {
      Bun.spawnSync(['umount', mountPoint])
    }
  })

  test('fails with STORE_UNUSABLE for a user who may not write', async () => {
    openStore(root).close()
    chmodSync(root, 0o755)
    const script = `
      const { openStore } = await import(${JSON.stringify(join(import.meta.dir, 'store.ts'))})
      process.setgid(65534); process.setuid(65534)
      const codes = []
      for (const use of [(s) => s.session, (s) => s.database.run("PRAGMA user_version = 7")]) {
        try { use(openStore(${JSON.stringify(root)})) } catch (error) { codes.push(error.code + ' ' + error.message) }
      }
      console.log(codes.join('\\n'))
    `
    const { stdout, stderr } = Bun.spawnSync([process.execPath, '-e', script])
    expect(stderr.toString()).toBe('')
    const lines = stdout.toString().trim().split('\n')
    expect(lines[0]).toContain('STORE_UNUSABLE')
    expect(lines[0]).toContain('permission denied')
    expect(lines[1]).toContain('STORE_UNUSABLE')
  })

  test('tells of a damaged database', async () => {
    const first = openStore(root)
    first.database.run('SELECT 1')
    first.close()
    writeFileSync(join(root, 'cairn.db'), 'this is not a database, whatever its name says'.repeat(100))
    using store = openStore(root)
    const error = await failsWith('STORE_UNUSABLE', () => store.database)
    expect(error.message).toContain('damaged')
  })
})

describe('close()', () => {
  test('ends the session with all temporary files and leases', async () => {
    const store = openStore(root)
    const lease = acquireLease(store)
    const ingest = lease.ingest()
    ingest.write(new Uint8Array(10))
    await lease.put(new Uint8Array(1))
    store.close()
    store.close()
    expect(readdirSync(join(root, 'tmp'))).toEqual([])
    using again = openStore(root)
    expect(again.database.all('SELECT * FROM leases')).toEqual([])
    expect(again.database.all('SELECT * FROM lease_nodes')).toEqual([])
  })

  test('makes later use a bug that is told', () => {
    const store = openStore(root)
    store.close()
    expect(() => store.database).toThrow('was closed')
  })
})

describe('transaction()', () => {
  test('rolls back when the work throws', () => {
    using store = openStore(root)
    expect(() =>
      store.database.transaction(() => {
        store.database.run("INSERT INTO pins VALUES ('me', 'x')")
        store.database.transaction(() => store.database.run("INSERT INTO pins VALUES ('me', 'y')"))
        throw new Error('no')
      }),
    ).toThrow('no')
    expect(store.database.all('SELECT * FROM pins')).toEqual([])
  })
})

describe('Store.leaveUnchanged()', () => {
  const log = (): string => join(root, 'cairn.db-wal')
  const lease = (times: number): boolean => {
    const store = openStore(root)
    for (let time = 0; time < times; time++) {
      using held = acquireLease(store)
      held.protect(snapshotNode(`s${time}`))
    }
    const isLeft = store.leaveUnchanged()
    // So that what is left is not open in this process for ever.
    if (isLeft) left.push(store)
    return isLeft
  }
  const left: Store[] = []
  afterEach(() => {
    for (const store of left.splice(0)) store.close()
  })

  test('leaves the log where nothing but leases came and went; the next one goes on with it', () => {
    {
      using store = openStore(root)
      store.database.run("INSERT INTO pins VALUES ('test', 'sha256:ab')")
    }
    expect(lease(1)).toBe(true)
    expect(existsSync(log())).toBe(true)
    using store = openStore(root)
    expect(store.database.one('SELECT count(*) AS n FROM pins')).toEqual({ n: 1 })
    expect(store.database.one('SELECT count(*) AS n FROM leases')).toEqual({ n: 0 })
  })

  test('closes the database where something was recorded, and where the log has grown', () => {
    const store = openStore(root)
    store.database.run('DELETE FROM pins')
    expect(store.leaveUnchanged()).toBe(false)
    expect(existsSync(log())).toBe(false)
    expect(lease(100)).toBe(false)
  })

  test('closes a store whose database was never asked for', () => {
    expect(openStore(root).leaveUnchanged()).toBe(false)
  })
})
