import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type FileStatus, tryLstat } from '../../linux/file-status.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import { ContextIndex } from './context-index.ts'

let directory: string
beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), 'cairn-index-'))))
afterEach(() => rmSync(directory, { recursive: true }))

const index = (): ContextIndex => ContextIndex.open(`${directory}/index.json`, () => `${directory}/index.tmp`)

function status(path: string): FileStatus {
  const found = tryLstat(path)
  if (found === undefined) throw new Error(`${path} is gone`)
  return found
}

/** Looks a file up as a context does. */
function digestIn(opened: ContextIndex, name: string, found: FileStatus, isPlain: boolean, hash: () => Digest): Digest {
  const known = opened.digest(name, found)
  if (known !== undefined) return known
  const hashedAt = Date.now()
  const digest = hash()
  opened.learn(name, { status: found, isPlain, digest }, hashedAt)
  return digest
}

/** Looks a file up in an index that is opened and saved for it; tells whether it had to be read. */
async function lookUp(path: string): Promise<{ digest: Digest; wasRead: boolean }> {
  const opened = index()
  let wasRead = false
  const digest = digestIn(opened, '/f', status(path), true, () => {
    wasRead = true
    return digestOf('read')
  })
  await opened.save(() => true)
  return { digest, wasRead }
}

/** A file that nobody has written to for longer than the kernel's clock can blur. */
async function settledFile(): Promise<string> {
  const path = `${directory}/f`
  writeFileSync(path, 'content')
  await Bun.sleep(60)
  return path
}

describe('ContextIndex', () => {
  test('gives the digest of an unchanged file without reading it', async () => {
    const path = await settledFile()
    expect(await lookUp(path)).toEqual({ digest: digestOf('read'), wasRead: true })
    expect(await lookUp(path)).toEqual({ digest: digestOf('read'), wasRead: false })
  })

  test('reads a file again after any change, even one that hides', async () => {
    const path = await settledFile()
    await lookUp(path)
    const before = status(path)
    writeFileSync(path, 'CONTENT')
    utimesSync(
      path,
      before.mtimeSeconds + before.mtimeNanoseconds / 1e9,
      before.mtimeSeconds + before.mtimeNanoseconds / 1e9,
    )
    expect((await lookUp(path)).wasRead).toBe(true)
    await Bun.sleep(60)
    await lookUp(path)
    // Another file in its place.
    writeFileSync(`${directory}/g`, 'content')
    renameSync(`${directory}/g`, path)
    expect((await lookUp(path)).wasRead).toBe(true)
  })

  test('does not trust a file that was written just now', async () => {
    const path = `${directory}/f`
    writeFileSync(path, 'content')
    const opened = index()
    digestIn(opened, '/f', status(path), true, () => digestOf('one'))
    await opened.save(() => true)
    expect((await lookUp(path)).wasRead).toBe(true)
  })

  test('knows which files have no attributes to copy', async () => {
    const path = await settledFile()
    const opened = index()
    digestIn(opened, '/plain', status(path), true, () => digestOf('x'))
    digestIn(opened, '/dressed', status(path), false, () => digestOf('x'))
    await opened.save(() => true)
    const again = index()
    expect(['/plain', '/dressed', '/other'].map((name) => again.isPlain(name, status(path)))).toEqual([
      true,
      false,
      false,
    ])
  })

  test('keeps what a build did not look at, unless it is gone', async () => {
    const path = await settledFile()
    const first = index()
    for (const name of ['/kept', '/gone']) digestIn(first, name, status(path), true, () => digestOf('x'))
    await first.save(() => true)
    const second = index()
    digestIn(second, '/new', status(path), true, () => digestOf('x'))
    await second.save((name) => name !== '/gone')
    const third = index()
    const reads: string[] = []
    for (const name of ['/kept', '/gone', '/new'])
      digestIn(third, name, status(path), true, () => {
        reads.push(name)
        return digestOf('x')
      })
    expect(reads).toEqual(['/gone'])
  })

  test('adds a few changes to the index of many files, whoever was stopped while it added some', async () => {
    const path = await settledFile()
    const first = index()
    const names = Array.from({ length: 100 }, (_, number) => `/${number}`)
    for (const name of names) digestIn(first, name, status(path), true, () => digestOf(name))
    await first.save(() => true)
    const whole = readFileSync(`${directory}/index.json`, 'utf8')

    writeFileSync(path, 'changed')
    await Bun.sleep(60)
    for (const name of names.slice(0, 3)) {
      const opened = index()
      expect(digestIn(opened, name, status(path), true, () => digestOf('new'))).toBe(digestOf('new'))
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await opened.save(() => true)
      appendFileSync(`${directory}/index.json`, '\n["/50",7,')
    }
    expect(readFileSync(`${directory}/index.json`, 'utf8')).toStartWith(`${whole}\n["/0",`)
    const reopened = index()
    for (const name of names.slice(0, 3)) expect(reopened.digest(name, status(path))).toBe(digestOf('new'))
    expect(reopened.digest('/50', status(path))).toBeUndefined()

    for (const name of names) digestIn(reopened, name, status(path), true, () => digestOf('new'))
    await reopened.save((name) => name !== '/99')
    expect(readFileSync(`${directory}/index.json`, 'utf8')).not.toContain('\n')
    for (const name of names) expect(index().digest(name, status(path))).toBe(digestOf('new'))
  })

  test('writes nothing where it learnt nothing, and leaves no temporary file', async () => {
    const path = await settledFile()
    await index().save(() => true)
    expect(existsSync(`${directory}/index.json`)).toBe(false)
    await lookUp(path)
    const written = status(`${directory}/index.json`)
    await lookUp(path)
    expect(status(`${directory}/index.json`)).toEqual(written)
    expect(readdirSync(directory).sort()).toEqual(['f', 'index.json'])
  })

  test.each([
    '',
    '{',
    '[]',
    'null',
    '{"version":2}',
    '{"version":1,"files":[["/f"]]}',
    '{"version":2,"files":[1,null]}',
    '{"version":99,"files":[]}',
  ])('takes %j for no index', async (text) => {
    writeFileSync(`${directory}/index.json`, text)
    const path = await settledFile()
    expect((await lookUp(path)).wasRead).toBe(true)
    expect((await lookUp(path)).wasRead).toBe(false)
  })
})
