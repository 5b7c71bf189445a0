import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { digestOf } from '../oci/digest.ts'
import { blobStoreContract, failsWith } from './blobs.contract.ts'
import { acquireLease } from './leases.ts'
import { openStore, type Store } from './store.ts'

blobStoreContract('a lease of a store on disk', () => {
  const root = mkdtempSync(join(tmpdir(), 'cairn-blobs-'))
  const store = openStore(root)
  const lease = acquireLease(store)
  return {
    reader: store.blobs,
    writer: lease,
    writeFile: (bytes) => {
      const path = store.session.temporaryPath('test')
      writeFileSync(path, bytes)
      return path
    },
    leftovers: () => readdirSync(store.session.directory),
    close: () => {
      store.close()
      rmSync(root, { recursive: true })
    },
  }
})

describe('blobs on disk', () => {
  let root: string
  let store: Store
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'cairn-blobs-'))
    store = openStore(root)
  })
  afterEach(() => {
    store.close()
    rmSync(root, { recursive: true })
  })

  test('a blob lies where an OCI layout has it', async () => {
    using lease = acquireLease(store)
    const { digest } = await lease.put(new TextEncoder().encode('x'))
    const hex = digest.slice('sha256:'.length)
    expect(store.blobs.path(digest)).toBe(join(root, 'content/blobs/sha256', hex))
    expect(statSync(store.blobs.path(digest)).size).toBe(1)
    expect(readdirSync(join(root, 'content')).toSorted()).toEqual(['blobs', 'oci-layout'])
  })

  test('commit() makes the directory of an algorithm again when it was removed', async () => {
    rmSync(join(root, 'content/blobs'), { recursive: true })
    using lease = acquireLease(store)
    const { digest } = await lease.put(new TextEncoder().encode('x'))
    expect(store.blobs.has(digest)).toBe(true)
  })

  test('commit() replaces a blob that has lost bytes', async () => {
    using lease = acquireLease(store)
    const { digest } = await lease.put(new TextEncoder().encode('whole'))
    writeFileSync(store.blobs.path(digest), 'who')
    await lease.put(new TextEncoder().encode('whole'))
    expect(new TextDecoder().decode(store.blobs.readAll(digest, 9))).toBe('whole')
  })

  test('a symlink in place of a blob is not followed', async () => {
    const digest = digestOf('secret')
    writeFileSync(join(root, 'outside'), 'secret')
    const { symlinkSync } = await import('node:fs')
    symlinkSync(join(root, 'outside'), store.blobs.path(digest))
    expect(() => store.blobs.readAll(digest, 100)).toThrow('too many levels of symbolic links')
  })

  test('write() on a full file system fails with DISK_FULL and leaves nothing behind', async () => {
    store.close()
    const mountPoint = join(root, 'small')
    mkdirSync(mountPoint)
    const mounted = Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', mountPoint])
    expect(mounted.exitCode).toBe(0)
    try {
      using small = openStore(join(mountPoint, 'store'))
      using lease = acquireLease(small)
      await lease.put(new TextEncoder().encode('fits'))
      const ingest = lease.ingest()
      await failsWith('DISK_FULL', () => {
        for (let count = 0; count < 8; count++) ingest.write(new Uint8Array(512 * 1024))
      })
      expect(readdirSync(small.session.directory)).toEqual([])
      expect(small.blobs.has(digestOf('fits'))).toBe(true)
    } finally {
      Bun.spawnSync(['umount', mountPoint])
    }
  })
})
