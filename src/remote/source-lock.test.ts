import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { digestOf } from '../oci/digest.ts'
import { type GitReference, parseGitReference } from './git-reference.ts'
import { SourceLock } from './source-lock.ts'

let directory: string
let path: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-lock-'))
  path = `${directory}/cairn.lock`
})
afterEach(() => rmSync(directory, { recursive: true }))

const amd64 = { os: 'linux', architecture: 'amd64' }
const one = digestOf('one')
const two = digestOf('two')
const commit = '1'.repeat(40)
const object = '2'.repeat(40)
const reference = (text: string): GitReference => parseGitReference(text) as GitReference
const open = (update = false): Promise<SourceLock> => SourceLock.open(path, { update })

/** Writes a lock file with one source of each kind, noted in this order. */
async function write(order: readonly ('image' | 'file' | 'git')[]): Promise<string> {
  const lock = await open(true)
  for (const kind of order) {
    if (kind === 'image') {
      lock.sawImage('docker.io/library/b:1', amd64, one)
      lock.sawImage('docker.io/library/a:1', amd64, two)
    }
    if (kind === 'file') lock.sawFile('https://user:secret@h/f?token=secret', one)
    if (kind === 'git') lock.sawRevision(reference('https://h/x.git#v1:dir'), { commit, object, ref: 'refs/tags/v1' })
  }
  const text = lock.changed() ?? ''
  writeFileSync(path, text)
  return text
}

describe('SourceLock', () => {
  test('writes the same bytes for the same sources, sorted and without credentials', async () => {
    const text = await write(['git', 'file', 'image'])
    rmSync(path)
    expect(await write(['image', 'file', 'git'])).toBe(text)
    expect((await open(true)).changed()).toBeUndefined()
    expect(text).toBe(`{
  "version": 1,
  "images": {
    "docker.io/library/a:1 linux/amd64": "${two}",
    "docker.io/library/b:1 linux/amd64": "${one}"
  },
  "files": {
    "https://h/f?token=xxxxx": "${one}"
  },
  "repositories": {
    "https://h/x.git#v1": {
      "commit": "${commit}",
      "object": "${object}",
      "ref": "refs/tags/v1"
    }
  }
}
`)
  })

  test('gives what the file has, and never writes it', async () => {
    await write(['image', 'file', 'git'])
    const lock = await open()
    expect(lock.image('docker.io/library/a:1', amd64)).toBe(two)
    expect(lock.file('https://other:secret@h/f?token=new')).toBe(one)
    expect(lock.revision(reference('https://h/x.git#v1:elsewhere'))).toEqual({ commit, object, ref: 'refs/tags/v1' })
    lock.sawImage('docker.io/library/a:1', amd64, two)
    expect(lock.changed()).toBeUndefined()
  })

  test('refuses what is otherwise or missing, with both digests and the way out', async () => {
    await write(['image', 'file', 'git'])
    const lock = await open()
    const hint = `If that is what you want, build once with --lock ${path} --update-lock.`
    const cases: [() => unknown, string][] = [
      [
        () => lock.sawImage('docker.io/library/a:1', amd64, one),
        `docker.io/library/a:1 linux/amd64 is ${one}, but ${path} has locked it to ${two}`,
      ],
      [
        () => lock.image('a:1', { os: 'linux', architecture: 'arm64' }),
        `${path} has no entry for a:1 linux/arm64 among its images`,
      ],
      [() => lock.sawFile('https://h/none', one), `${path} has no entry for https://h/none among its files`],
      [() => lock.file('https://h/none'), `${path} has no entry for https://h/none among its files`],
      [
        () => lock.sawRevision(reference('https://h/x.git#v1'), { commit: object, object, ref: undefined }),
        `https://h/x.git#v1 is ${object}, but ${path} has locked it to ${commit}`,
      ],
      [
        () => lock.revision(reference('https://h/x.git#v2')),
        `${path} has no entry for https://h/x.git#v2 among its repositories`,
      ],
    ]
    for (const [act, message] of cases)
      expect(act).toThrow(expect.objectContaining({ code: 'LOCKFILE_MISMATCH', message, hint }) as Error)
  })

  test('keeps entries of other builds when it is updated', async () => {
    await write(['image', 'file', 'git'])
    const lock = await open(true)
    expect(lock.image('docker.io/library/a:1', amd64)).toBeUndefined()
    lock.sawImage('docker.io/library/a:1', amd64, one)
    const text = lock.changed() ?? ''
    expect(JSON.parse(text)).toMatchObject({
      images: { 'docker.io/library/a:1 linux/amd64': one, 'docker.io/library/b:1 linux/amd64': one },
      repositories: { 'https://h/x.git#v1': { commit } },
    })
  })

  test.each([
    ['', 'is not JSON'],
    ['[]', 'is not a JSON object'],
    ['{}', 'has the version nothing, not 1'],
    ['{"version":2}', 'has the version 2, not 1'],
    ['{"version":1,"images":[]}', 'the entry "images" is no object'],
    ['{"version":1,"images":{"a":"sha256:1"}}', 'the entry "a" is no digest'],
    ['{"version":1,"files":{"a":1}}', 'the entry "a" is no digest'],
    ['{"version":1,"files":{"a":"x","a":"y"}}', 'has the key "a" twice'],
    ['{"version":1,"repositories":{"a":{"commit":"--upload-pack=x"}}}', 'the entry "a" has no commit'],
    [`{"version":1,"repositories":{"a":{"commit":"${commit}","object":"HEAD"}}}`, 'has the object "HEAD"'],
    [`{"version":1,"repositories":{"a":{"commit":"${commit}","ref":"--x"}}}`, 'has the ref "--x"'],
    [`{"version":1,"repositories":{"a":{"commit":"${commit}","ref":"refs/x:refs/y"}}}`, 'has the ref'],
  ])('refuses the file %j', async (text, message) => {
    writeFileSync(path, text)
    expect(open()).rejects.toMatchObject({
      code: 'LOCKFILE_INVALID',
      message: expect.stringContaining(message) as string,
    })
  })

  test('refuses what is no file', async () => {
    path = directory
    expect(open()).rejects.toMatchObject({ code: 'LOCKFILE_INVALID' })
  })
})
