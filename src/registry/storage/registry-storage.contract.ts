import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { type Digest, digestOf } from '../../oci/digest.ts'
import type { GarbagePolicy, RegistryStorage } from './registry-storage.ts'
import {
  begin,
  push,
  pushImage,
  put,
  readBlob,
  reference,
  reopen,
  testManifest,
  textBytes,
} from './storage-fixtures.ts'

/** One storage, as its contract suite opens it. */
export interface StorageUnderTest {
  readonly storage: RegistryStorage
  /** Another server's view of the same content. */
  readonly other: RegistryStorage
  /** True where the bytes of a blob or manifest take up space anywhere. */
  isKept(digest: Digest): Promise<boolean>
  close(): Promise<void>
}

/** Collects everything that nothing needs, however new. */
const everything: GarbagePolicy = { isDryRun: false, blobGrace: -1, uploadGrace: -1, untaggedGrace: -1 }

/** What every storage of a registry must do. */
export function registryStorageContract(name: string, open: () => Promise<StorageUnderTest>): void {
  describe(`${name} as a storage of registries`, () => {
    let under: StorageUnderTest
    let storage: RegistryStorage
    let other: RegistryStorage
    beforeEach(async () => {
      under = await open()
      storage = under.storage
      other = under.other
    })
    afterEach(() => under.close())

    describe('uploads', () => {
      for (const algorithm of ['sha256', 'sha512'] as const)
        test(`commit() makes a ${algorithm} blob of one repository, seen by all servers`, async () => {
          const bytes = textBytes('hello')
          const digest = digestOf(bytes, algorithm)
          const writer = await begin(storage, 'a/b', algorithm)
          await writer.write(bytes)
          expect(await writer.commit(digest)).toBe(true)
          for (const one of [storage, other]) {
            expect(await readBlob(one, 'a/b', digest)).toBe('hello')
            expect((await one.findBlob('a/b', digest))?.size).toBe(5)
            expect(await one.findBlob('a/c', digest)).toBeUndefined()
            expect(await one.findBlob('a', digest)).toBeUndefined()
            expect(await one.hasRepository('a/b')).toBe(true)
            expect(await one.hasRepository('a')).toBe(false)
          }
        })

      test('commit() takes a digest of another algorithm than was expected', async () => {
        const writer = await begin(storage, 'r', 'sha256')
        await writer.write(textBytes('hello'))
        expect(await writer.commit(digestOf('hello', 'sha512'))).toBe(true)
        expect(await readBlob(storage, 'r', digestOf('hello', 'sha512'))).toBe('hello')
        expect(await storage.findBlob('r', digestOf('hello'))).toBeUndefined()
      })

      test('commit() of nothing makes the empty blob', async () => {
        const writer = await begin(storage, 'r')
        expect(await writer.commit(digestOf(''))).toBe(true)
        expect(await readBlob(storage, 'r', digestOf(''))).toBe('')
      })

      test('commit() of other bytes ends the upload and makes nothing', async () => {
        const { id } = await storage.beginUpload('r', { algorithm: 'sha256', owner: undefined })
        const writer = await reopen(storage, 'r', id)
        await writer.write(textBytes('hullo'))
        expect(await writer.commit(digestOf('hello'))).toBe(false)
        expect(await storage.findUpload('r', id)).toBeUndefined()
        expect(await storage.findBlob('r', digestOf('hello'))).toBeUndefined()
        expect(await storage.hasRepository('r')).toBe(false)
        expect(await under.isKept(digestOf('hullo'))).toBe(false)
      })

      test('an upload goes on in other writers and other servers, at the byte where it was', async () => {
        const { id } = await storage.beginUpload('r', { algorithm: 'sha256', owner: 'ann' })
        const parts = ['one ', 'two ', 'three ', 'four']
        for (const [index, part] of parts.entries()) {
          const server = index % 2 === 0 ? storage : other
          await using writer = await reopen(server, 'r', id)
          expect(writer.owner).toBe('ann')
          expect(writer.size).toBe(parts.slice(0, index).join('').length)
          await writer.write(textBytes(part))
        }
        expect(await storage.findUpload('r', id)).toEqual({ id, owner: 'ann', size: parts.join('').length })
        const last = await reopen(storage, 'r', id)
        expect(await last.commit(digestOf(parts.join('')))).toBe(true)
        expect(await readBlob(other, 'r', digestOf(parts.join('')))).toBe(parts.join(''))
        expect(await other.findUpload('r', id)).toBeUndefined()
        expect(await other.openUpload('r', id)).toBeUndefined()
      })

      test('rollback() takes back what this writer wrote and no more', async () => {
        const { id } = await storage.beginUpload('r', { algorithm: 'sha256', owner: undefined })
        {
          await using first = await reopen(storage, 'r', id)
          await first.write(textBytes('kept '))
        }
        {
          await using second = await reopen(storage, 'r', id)
          await second.write(textBytes('wrong'))
          await second.rollback()
          expect(second.size).toBe(5)
          await second.write(textBytes('right'))
        }
        const last = await reopen(storage, 'r', id)
        expect(last.size).toBe(10)
        expect(await last.commit(digestOf('kept right'))).toBe(true)
      })

      test('an upload belongs to its repository, and ends with cancel()', async () => {
        const { id } = await storage.beginUpload('r', { algorithm: 'sha256', owner: undefined })
        expect(await storage.findUpload('s', id)).toBeUndefined()
        expect(await storage.openUpload('s', id)).toBeUndefined()
        const writer = await reopen(storage, 'r', id)
        await writer.write(textBytes('x'))
        await writer.cancel()
        expect(await other.findUpload('r', id)).toBeUndefined()
        expect(await storage.findUpload('r', '../../etc/passwd')).toBeUndefined()
      })

      test('openUpload() lets one writer at a time in', async () => {
        const { id } = await storage.beginUpload('r', { algorithm: 'sha256', owner: undefined })
        const first = await reopen(storage, 'r', id)
        const second = reopen(other, 'r', id)
        await first.write(textBytes('1'))
        await Bun.sleep(30)
        await first.write(textBytes('2'))
        await first[Symbol.asyncDispose]()
        await using writer = await second
        expect(writer.size).toBe(2)
      })

      test('twenty uploads of one blob at once all succeed', async () => {
        const bytes = new Uint8Array(300_000).fill(7)
        const digest = digestOf(bytes)
        const results = await Promise.all(
          Array.from({ length: 20 }, async (_, index) => {
            const writer = await begin(index % 2 === 0 ? storage : other, `r${index % 3}`)
            for (let start = 0; start < bytes.length; start += 64 * 1024) {
              await writer.write(bytes.subarray(start, start + 64 * 1024))
              await Bun.sleep(0)
            }
            return await writer.commit(digest)
          }),
        )
        expect(results.every(Boolean)).toBe(true)
        expect((await storage.findBlob('r2', digest))?.size).toBe(bytes.length)
      })
    })

    describe('blobs', () => {
      test('read() gives ranges', async () => {
        const digest = await push(storage, 'r', '0123456789')
        const blob = await storage.findBlob('r', digest)
        for (const [start, end] of [
          [0, 1],
          [3, 7],
          [9, 10],
        ] as const) {
          const content = await blob?.read({ start, end })
          expect(content?.kind === 'body' ? await new Response(content.body).text() : '').toBe(
            '0123456789'.slice(start, end),
          )
        }
      })

      test('mountBlob() shares a blob, which stays when the other repository drops it', async () => {
        const digest = await push(storage, 'from', 'shared')
        expect(await other.mountBlob('to', digest, 'nowhere')).toBe(false)
        expect(await other.mountBlob('to', digestOf('other'), 'from')).toBe(false)
        expect(await storage.hasRepository('to')).toBe(false)
        expect(await other.mountBlob('to', digest, 'from')).toBe(true)
        expect(await storage.repositoriesWith(digest, { limit: 10 })).toEqual(['from', 'to'])
        expect(await storage.deleteBlob('from', digest)).toBe(true)
        expect(await storage.deleteBlob('from', digest)).toBe(false)
        expect(await readBlob(storage, 'to', digest)).toBe('shared')
        expect(await storage.findBlob('from', digest)).toBeUndefined()
        expect(await other.deleteBlob('to', digest)).toBe(true)
        expect(await under.isKept(digest)).toBe(false)
      })
    })

    describe('manifests and tags', () => {
      test('putManifest() makes it found by digest and tags, byte for byte', async () => {
        const manifest = await pushImage(storage, 'r', 'one', ['latest', 'v1'])
        for (const reference of [manifest.digest, 'latest', 'v1']) {
          const { digest, mediaType, size } = manifest
          expect(await other.resolveManifest('r', reference)).toEqual({ digest, mediaType, size })
        }
        expect(await other.readManifest('r', manifest.digest)).toEqual(manifest.bytes)
        expect(await storage.resolveManifest('s', manifest.digest)).toBeUndefined()
        expect(await storage.resolveManifest('r', 'v2')).toBeUndefined()
        expect(await storage.listRepositories({ limit: 10 })).toEqual(['r'])
      })

      test('putManifest() refuses missing content and wrong sizes where it should, and changes nothing', async () => {
        const config = await push(storage, 'r', '{}')
        const missing = reference('blob', digestOf('not there'), 9)
        const sparse = testManifest('sparse', [reference('blob', config, 2), missing])
        expect(await put(storage, 'r', sparse, { tags: ['t'], missing: 'refuse' })).toEqual({
          outcome: 'missing',
          references: [missing],
        })
        const wrong = testManifest('wrong', [reference('blob', config, 3)])
        expect(await put(storage, 'r', wrong, { tags: ['t'] })).toMatchObject({ outcome: 'size-differs', size: 2 })
        expect(await storage.resolveManifest('r', 't')).toBeUndefined()
        expect(await under.isKept(sparse.digest)).toBe(false)
        expect(await put(storage, 'r', sparse, { tags: ['t'] })).toEqual({ outcome: 'stored' })
        const optional = testManifest('optional', [{ ...missing, isOptional: true }])
        expect(await put(storage, 'r', optional, { missing: 'refuse' })).toEqual({ outcome: 'stored' })
      })

      test('what another repository has counts as missing', async () => {
        const config = await push(storage, 'other', '{}')
        const manifest = testManifest('m', [reference('blob', config, 2)])
        expect(await put(storage, 'r', manifest, { missing: 'refuse' })).toMatchObject({ outcome: 'missing' })
      })

      test('putManifest() holds to its condition', async () => {
        const one = await pushImage(storage, 'r', 'one', ['t'])
        const two = testManifest('two')
        const denied = { outcome: 'condition-failed' } as const
        expect(await put(storage, 'r', two, { tags: ['t'], condition: 'absent' })).toEqual(denied)
        expect(await put(storage, 'r', two, { tags: ['t'], condition: two.digest })).toEqual(denied)
        expect(await put(storage, 'r', two, { tags: ['t'], condition: one.digest })).toEqual({ outcome: 'stored' })
        expect(await put(storage, 'r', one, { tags: ['new'], condition: 'absent' })).toEqual({ outcome: 'stored' })
        expect((await storage.resolveManifest('r', 't'))?.digest).toBe(two.digest)
      })

      test('putManifest() keeps existing tags where it should, and changes nothing', async () => {
        const one = await pushImage(storage, 'r', 'one', ['t'])
        const keep = { existingTags: 'keep' } as const
        expect(await put(storage, 'r', one, { tags: ['t', 'u'], ...keep })).toEqual({ outcome: 'stored' })
        const two = testManifest('two')
        const refused = { outcome: 'tag-exists', tag: 'u' } as const
        expect(await put(storage, 'r', two, { tags: ['new', 'u'], ...keep })).toEqual(refused)
        expect(await storage.listTags('r', { limit: 10 })).toEqual(['t', 'u'])
        expect(await under.isKept(two.digest)).toBe(false)
        const results = await Promise.all(
          Array.from({ length: 20 }, (_, index) =>
            put(index % 2 === 0 ? storage : other, 'r', testManifest(`m${index}`), { tags: ['race'], ...keep }),
          ),
        )
        expect(results.filter(({ outcome }) => outcome === 'stored')).toHaveLength(1)
      })

      test('of twenty conditional pushes at once one wins', async () => {
        const results = await Promise.all(
          Array.from({ length: 20 }, (_, index) =>
            put(index % 2 === 0 ? storage : other, 'r', testManifest(`m${index}`), {
              tags: ['t'],
              condition: 'absent',
            }),
          ),
        )
        expect(results.filter(({ outcome }) => outcome === 'stored')).toHaveLength(1)
      })

      test('of twenty pushes of one tag at once any wins, whole', async () => {
        const manifests = Array.from({ length: 20 }, (_, index) => testManifest(`m${index}`))
        await Promise.all(
          manifests.map((one, index) => put(index % 2 === 0 ? storage : other, 'r', one, { tags: ['t'] })),
        )
        const winner = await storage.resolveManifest('r', 't')
        expect(manifests.map(({ digest }) => digest)).toContain(winner?.digest as Digest)
        const bytes = await other.readManifest('r', winner?.digest as Digest)
        expect(digestOf(bytes ?? '')).toBe(winner?.digest as Digest)
        expect(await storage.listTags('r', { limit: 10 })).toEqual(['t'])
      })

      test('deleteManifest() takes its tags along, deleteTag() leaves the manifest', async () => {
        const manifest = await pushImage(storage, 'r', 'one', ['a', 'b', 'c'])
        expect(await other.deleteTag('r', 'a')).toBe(true)
        expect(await other.deleteTag('r', 'a')).toBe(false)
        expect(await storage.listTags('r', { limit: 10 })).toEqual(['b', 'c'])
        expect(await storage.resolveManifest('r', manifest.digest)).toBeDefined()
        expect(await storage.deleteManifest('r', manifest.digest)).toBe(true)
        expect(await storage.deleteManifest('r', manifest.digest)).toBe(false)
        expect(await storage.listTags('r', { limit: 10 })).toEqual([])
        expect(await other.resolveManifest('r', manifest.digest)).toBeUndefined()
        expect(await under.isKept(manifest.digest)).toBe(false)
      })

      test('a manifest of two repositories is deleted from one', async () => {
        const manifest = testManifest('shared')
        await put(storage, 'r', manifest, { tags: ['t'] })
        await put(storage, 's', manifest, { tags: ['t'] })
        await storage.deleteManifest('r', manifest.digest)
        expect(await storage.readManifest('s', manifest.digest)).toEqual(manifest.bytes)
      })

      test('lists are in the order of bytes, after what is named, up to their limit', async () => {
        const tags = ['Z', '_', 'a', 'a-b', 'a.b', 'a1', 'b']
        await put(storage, 'r', testManifest('m'), { tags: tags.toReversed() })
        expect(await storage.listTags('r', { limit: 100 })).toEqual(tags.toSorted())
        expect(await storage.listTags('r', { after: 'a', limit: 2 })).toEqual(['a-b', 'a.b'])
        expect(await storage.listTags('r', { after: 'aa', limit: 100 })).toEqual(['b'])
        expect(await storage.listTags('s', { limit: 100 })).toEqual([])
        for (const name of ['b', 'a/b', 'a-b']) await put(storage, name, testManifest('m'))
        expect(await storage.listRepositories({ limit: 100 })).toEqual(['a-b', 'a/b', 'b', 'r'])
        expect(await storage.listRepositories({ after: 'a-b', limit: 1 })).toEqual(['a/b'])
      })
    })

    describe('referrers', () => {
      test('listReferrers() gives what has the subject, by type, in pages', async () => {
        const subject = digestOf('subject')
        const referrers = Array.from({ length: 30 }, (_, index) =>
          testManifest(`r${index}`, [], { subject, artifactType: index % 3 === 0 ? 'x/sig' : 'x/sbom' }),
        )
        for (const one of referrers) await put(storage, 'r', one)
        await put(storage, 'other', testManifest('elsewhere', [], { subject, artifactType: 'x/sig' }))
        const all = await other.listReferrers('r', subject, { bytes: 1_000_000 })
        expect(all.hasMore).toBe(false)
        expect(all.descriptors.map(({ digest }) => digest)).toEqual(referrers.map(({ digest }) => digest).toSorted())
        const signatures = await other.listReferrers('r', subject, { bytes: 1_000_000, artifactType: 'x/sig' })
        expect(signatures.descriptors).toHaveLength(10)
        const seen: string[] = []
        for (let after: string | undefined; ;) {
          const page = await storage.listReferrers('r', subject, { bytes: 1_000, after })
          expect(page.descriptors.length).toBeGreaterThan(0)
          seen.push(...page.descriptors.map(({ digest }) => digest))
          after = page.descriptors.at(-1)?.digest
          if (!page.hasMore) break
        }
        expect(seen).toEqual(all.descriptors.map(({ digest }) => digest))
        await storage.deleteManifest('r', referrers[0]?.digest as Digest)
        expect((await other.listReferrers('r', subject, { bytes: 1_000_000 })).descriptors).toHaveLength(29)
        expect((await other.listReferrers('r', digestOf('nothing'), { bytes: 1 })).descriptors).toEqual([])
      })
    })

    describe('garbage collection', () => {
      test('keeps what tags lead to, over indexes and subjects, and removes the rest', async () => {
        const image = await pushImage(storage, 'r', 'kept')
        const index = testManifest('index', [reference('manifest', image.digest, image.size)])
        await put(storage, 'r', index, { tags: ['t'] })
        const signature = testManifest('signature', [], { subject: image.digest, artifactType: 'x' })
        await put(storage, 'r', signature)
        const old = await pushImage(storage, 'r', 'old')
        const loose = await push(storage, 'r', 'loose')
        const { items, freed } = await other.collectGarbage(everything)
        expect(items.map(({ name }) => name).toSorted()).toEqual(
          [old.digest, ...old.references.map(({ digest }) => digest), loose].toSorted(),
        )
        expect(freed).toBeGreaterThan(0)
        for (const one of [image, index, signature])
          expect(await storage.readManifest('r', one.digest)).toEqual(one.bytes)
        for (const { digest } of image.references) expect(await storage.findBlob('r', digest)).toBeDefined()
        expect(await storage.findBlob('r', loose)).toBeUndefined()
        expect(await under.isKept(loose)).toBe(false)
        expect(await under.isKept(old.digest)).toBe(false)
        expect((await other.collectGarbage(everything)).items).toEqual([])
      })

      test('a dry run tells the same and removes nothing', async () => {
        await pushImage(storage, 'r', 'old')
        const loose = await push(storage, 'r', 'loose')
        await storage.beginUpload('r', { algorithm: 'sha256', owner: undefined })
        const told = await storage.collectGarbage({ ...everything, isDryRun: true })
        expect(await storage.findBlob('r', loose)).toBeDefined()
        const done = await storage.collectGarbage(everything)
        expect(done).toEqual(told)
        expect(done.items.map(({ kind }) => kind).toSorted()).toEqual(['blob', 'blob', 'blob', 'manifest', 'upload'])
      })

      test('keeps what is newer than the grace times', async () => {
        const grace = 60_000
        const digest = await push(storage, 'r', 'new')
        const manifest = testManifest('new')
        await put(storage, 'r', manifest)
        const { id } = await storage.beginUpload('r', { algorithm: 'sha256', owner: undefined })
        const policy = { ...everything, blobGrace: grace, uploadGrace: grace, untaggedGrace: grace }
        expect((await storage.collectGarbage(policy)).items).toEqual([])
        expect(await storage.findBlob('r', digest)).toBeDefined()
        expect(await storage.findUpload('r', id)).toBeDefined()
        expect(await storage.resolveManifest('r', manifest.digest)).toBeDefined()
      })

      test('keeps untagged manifests where no time is set for them', async () => {
        const old = await pushImage(storage, 'r', 'old')
        expect((await storage.collectGarbage({ ...everything, untaggedGrace: undefined })).items).toEqual([])
        expect(await storage.readManifest('r', old.digest)).toEqual(old.bytes)
      })

      test('leaves an upload alone that is being written', async () => {
        const { id } = await storage.beginUpload('r', { algorithm: 'sha256', owner: undefined })
        const writer = await reopen(storage, 'r', id)
        await writer.write(textBytes('going on'))
        expect((await other.collectGarbage(everything)).items).toEqual([])
        expect(await writer.commit(digestOf('going on'))).toBe(true)
      })

      test('takes nothing from pushes beside it', async () => {
        const young = { ...everything, blobGrace: 10_000, uploadGrace: 10_000, untaggedGrace: 10_000 }
        const done = new AbortController()
        const sweeps = (async () => {
          for (; !done.signal.aborted; await Bun.sleep(1)) await other.collectGarbage(young)
        })()
        const pushed = await Promise.all(
          Array.from({ length: 30 }, (_, index) =>
            pushImage(storage, `r${index % 4}`, `image ${index % 10}`, [`t${index}`]),
          ),
        )
        done.abort()
        await sweeps
        for (const [index, manifest] of pushed.entries()) {
          expect((await storage.resolveManifest(`r${index % 4}`, `t${index}`))?.digest).toBe(manifest.digest)
          expect(await storage.readManifest(`r${index % 4}`, manifest.digest)).toEqual(manifest.bytes)
          for (const { digest } of manifest.references)
            expect(await readBlob(storage, `r${index % 4}`, digest)).toContain(`image ${index % 10}`)
        }
      })

      test('forgets repositories that are empty', async () => {
        const digest = await push(storage, 'r', 'x')
        await storage.deleteBlob('r', digest)
        expect(await storage.hasRepository('r')).toBe(true)
        await storage.collectGarbage(everything)
        expect(await other.hasRepository('r')).toBe(false)
      })
    })
  })
}
