import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { GitServer, hasGit } from '../../test/fixtures/git-server.ts'
import { acquireLease, type Lease } from '../content/leases.ts'
import { openStore, type Store } from '../content/store.ts'
import { defaultLimits, type RemoteAccess, type RemoteLimits } from './access.ts'
import { checkoutRepository, type CheckoutOptions, type GitCheckout, resolveRepository } from './git.ts'
import { type GitReference, parseGitReference } from './git-reference.ts'

const committed = Date.UTC(2002, 2, 4, 5, 6, 7) / 1000

let directory: string
let store: Store
let lease: Lease
let server: GitServer
let checkouts: GitCheckout[]

beforeEach(() => {
  directory = mkdtempSync('/tmp/cairn-git-')
  store = openStore(`${directory}/store`)
  lease = acquireLease(store)
  server = new GitServer()
  checkouts = []
})

afterEach(async () => {
  for (const checkout of checkouts) checkout[Symbol.dispose]()
  await server.stop()
  store.close()
  rmSync(directory, { recursive: true })
})

interface Surroundings {
  readonly secrets?: Readonly<Record<string, string>>
  readonly limits?: Partial<RemoteLimits>
  readonly signal?: AbortSignal
  readonly env?: Readonly<Record<string, string>>
  readonly sshAgent?: string
}

function access({ secrets = {}, limits = {}, signal, env = {}, sshAgent }: Surroundings = {}): RemoteAccess {
  return {
    store,
    lease,
    signal: signal ?? new AbortController().signal,
    env: { PATH: process.env['PATH'], ...env },
    secret: (id) => secrets[id],
    sshAgent,
    limits: { ...defaultLimits, ...limits },
  }
}

function reference(text: string): GitReference {
  const parsed = parseGitReference(text)
  if (parsed === undefined) throw new Error(`${text} is no git reference`)
  return parsed
}

const resolve = (text: string, surroundings?: Surroundings) => resolveRepository(reference(text), access(surroundings))

async function checkout(
  text: string,
  options: CheckoutOptions = {},
  surroundings?: Surroundings,
): Promise<GitCheckout> {
  const wanted = reference(text)
  const reach = access(surroundings)
  const made = await checkoutRepository(wanted, await resolveRepository(wanted, reach), reach, options)
  checkouts.push(made)
  return made
}

/** `<mode> <path>` of all below a directory, symlinks not followed. */
function tree(path: string, prefix = ''): string[] {
  return readdirSync(path)
    .flatMap((name) => {
      const status = lstatSync(join(path, name))
      const line = `${(status.mode & 0o7777).toString(8)} ${prefix}${name}`
      return [line, ...(status.isDirectory() ? tree(join(path, name), `${prefix}${name}/`) : [])]
    })
    .sort()
}

/** Command lines of the processes that talk to the server. */
function talking(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      } catch {
        return ''
      }
    })
    .filter((line) => line.includes(server.host))
}

describe.skipIf(!hasGit)('resolveRepository()', () => {
  test('finds the default branch, branches, tags and full names, branches before tags', async () => {
    const first = server.create('repo', { a: '1' })
    server.git('repo', 'tag', 'light')
    server.git('repo', 'tag', '--annotate', '--message', 'm', 'annotated')
    const tagObject = server.git('repo', 'rev-parse', 'annotated')
    server.git('repo', 'branch', 'feature/one')
    server.git('repo', 'tag', 'both')
    const second = server.commit('repo', { a: '2' })
    server.git('repo', 'branch', 'both')
    server.git('repo', 'update-ref', 'refs/pull/7/head', first)
    const url = server.url('repo')
    const commits: Record<string, string> = {
      '': second,
      '#main': second,
      '#refs/heads/main': second,
      '#feature/one': first,
      '#light': first,
      '#both': second,
      '?tag=both': first,
      '#refs/pull/7/head': first,
      '#pull/7/head': first,
      [`#${first}`]: first,
    }
    for (const [suffix, commit] of Object.entries(commits))
      expect([suffix, (await resolve(url + suffix)).commit]).toEqual([suffix, commit])
    expect(await resolve(`${url}#annotated`)).toEqual({ commit: first, object: tagObject, ref: 'refs/tags/annotated' })
    expect((await resolve(url)).ref).toBe('refs/heads/main')
  })

  test('asks nobody for a full hash or a pinned commit', async () => {
    const commit = server.create('repo', { a: '1' })
    await resolve(`${server.url('repo')}#${commit}`)
    expect(await resolve(`${server.url('repo')}?fetch-by-commit&checksum=${commit}#main`)).toMatchObject({
      commit,
      ref: 'refs/heads/main',
    })
    expect(server.requests).toEqual([])
  })

  test('takes a checksum that begins the hash of the commit or the tag, and no other', async () => {
    const commit = server.create('repo', { a: '1' })
    server.git('repo', 'tag', '--annotate', '--message', 'm', 'v1')
    const tag = server.git('repo', 'rev-parse', 'v1')
    const url = server.url('repo')
    for (const checksum of [commit, commit.slice(0, 7).toUpperCase(), tag])
      expect((await resolve(`${url}?checksum=${checksum}#v1`)).commit).toBe(commit)
    await expect(resolve(`${url}?checksum=0123456#v1`)).rejects.toThrow(
      `expected checksum to match 0123456, got ${tag} or ${commit}`,
    )
    await expect(resolve(`${url}?checksum=0123456#${commit}`)).rejects.toThrow(`got ${commit}`)
    await expect(resolve(`${url}?checksum=main`)).rejects.toThrow('invalid checksum main for Git URL, expected hex')
    await expect(resolve(`${url}?fetch-by-commit`)).rejects.toThrow('fetch-by-commit requires a checksum')
  })

  test('says what is not there', async () => {
    server.create('repo', { a: '1' })
    mkdirSync(server.path('empty'))
    server.git('empty', 'init', '--quiet')
    await expect(resolve(`${server.url('repo')}#nope`)).rejects.toMatchObject({
      code: 'REVISION_UNKNOWN',
      message: `repository does not contain ref nope: ${server.url('repo')}#nope`,
    })
    await expect(resolve(server.url('empty'))).rejects.toMatchObject({ code: 'REVISION_UNKNOWN' })
    await expect(resolve(server.url('none'))).rejects.toMatchObject({
      code: 'NETWORK',
      message: expect.stringContaining(`repository '${server.url('none')}/' not found`),
    })
  })

  test.each(['--upload-pack=touch /tmp/x', '-h', 'a b', 'a..b', 'refs/heads/*', '^x', 'a~1'])(
    'does not let git see the ref %j',
    async (ref) => {
      await expect(resolve(`${server.url('repo')}?ref=${encodeURIComponent(ref)}`)).rejects.toMatchObject({
        code: 'REFERENCE_INVALID',
        message: `invalid git ref ${JSON.stringify(ref)}`,
      })
      expect(server.requests).toEqual([])
    },
  )

  test.each(['git@host:-x', 'git@-oProxyCommand.id:x', 'ssh://-oProxyCommand/x', 'git@host:--upload-pack=id'])(
    'does not let ssh or git take %s for an option',
    async (text) => {
      await expect(resolve(text)).rejects.toMatchObject({ code: 'REFERENCE_INVALID' })
    },
  )

  test('says how to get git and ssh where they are missing', async () => {
    const bin = `${directory}/bin`
    mkdirSync(bin)
    // The usual places are looked at too, so only a name that is nowhere shows the message.
    const { findProgram } = await import('./git-process.ts')
    expect(() => findProgram('git-of-nowhere', 'git', { PATH: bin })).toThrow('git-of-nowhere is not installed')
  })
})

describe.skipIf(!hasGit)('checkoutRepository()', () => {
  test('gives files, links and modes whatever the umask, all at the time of the commit', async () => {
    server.create('repo', { a: 'text\n', 'run*': '#!/bin/sh\n', 'd/b': 'b', link: '-> ../../etc/passwd' })
    const before = process.umask(0o077)
    try {
      const { directory: made, commitTime } = await checkout(server.url('repo'))
      expect(tree(made)).toEqual(['644 a', '644 d/b', '755 d', '755 run', '777 link'])
      expect(commitTime).toBe(committed)
      for (const name of ['', 'a', 'd', 'd/b', 'link'])
        expect(lstatSync(join(made, name)).mtimeMs / 1000).toBe(committed)
      expect(lstatSync(made).mode & 0o777).toBe(0o755)
    } finally {
      process.umask(before)
    }
  })

  test('leaves the times of the checkout where that is asked for', async () => {
    server.create('repo', { a: '1' })
    const { directory: made } = await checkout(server.url('repo'), { mtime: 'checkout' })
    expect(Date.now() - lstatSync(join(made, 'a')).mtimeMs).toBeLessThan(60_000)
  })

  test('fetches a commit once, and of a new one only what is missing', async () => {
    server.create('repo', { big: Bun.SHA256.hash('seed', 'hex').repeat(1000) })
    await checkout(server.url('repo'))
    const fetches = () => server.requests.filter((line) => line.startsWith('/repo.git/git-upload-pack')).length
    const once = fetches()
    await checkout(server.url('repo'))
    // ls-remote alone: one request of protocol version 2.
    expect(fetches() - once).toBe(1)
    const commit = server.commit('repo', { small: 'x' })
    expect((await checkout(server.url('repo'))).commit).toBe(commit)
  })

  test('finds an old commit by its hash, from a branch, a tag, or a server that only gives refs', async () => {
    const first = server.create('repo', { a: '1' })
    server.git('repo', 'tag', '--annotate', '--message', 'm', 'v1')
    server.commit('repo', { a: '2' })
    const old = await checkout(`${server.url('repo')}#${first}`)
    expect(readFileSync(join(old.directory, 'a'), 'utf8')).toBe('1')
    const tagged = await checkout(`${server.url('repo')}#v1`)
    expect(tagged.commit).toBe(first)
    expect(readFileSync(join(tagged.directory, 'a'), 'utf8')).toBe('1')
  })

  test('fetches from a server of plain files, which knows no depth', async () => {
    const first = server.create('plain', { a: '1' })
    server.commit('plain', { a: '2' })
    server.git('plain', 'update-server-info')
    server.intercept = (request) => {
      const file = Bun.file(join(server.path('plain'), new URL(request.url).pathname.replace('/plain.git', '.git')))
      return new Response(file)
    }
    expect(readFileSync(join((await checkout(server.url('plain'))).directory, 'a'), 'utf8')).toBe('2')
    expect(readFileSync(join((await checkout(`${server.url('plain')}#${first}`)).directory, 'a'), 'utf8')).toBe('1')
  })

  test('works over git://', async () => {
    server.create('repo', { a: 'daemon' })
    const port = 20_000 + Math.floor(Math.random() * 10_000)
    const options = [
      '--export-all',
      '--reuseaddr',
      '--listen=127.0.0.1',
      `--port=${port}`,
      `--base-path=${server.root}`,
    ]
    const daemon = Bun.spawn(['git', 'daemon', ...options], { stderr: 'ignore' })
    try {
      for (let tries = 0; tries < 100; tries++) {
        const isUp = await fetch(`http://127.0.0.1:${port}`, { proxy: false }).then(
          () => true,
          (error: { code?: string }) => error.code !== 'ECONNREFUSED',
        )
        if (isUp) break
        await Bun.sleep(20)
      }
      const { directory: made } = await checkout(`git://127.0.0.1:${port}/repo.git`)
      expect(readFileSync(join(made, 'a'), 'utf8')).toBe('daemon')
    } finally {
      daemon.kill()
      await daemon.exited
    }
  })

  test('works over ssh, with the agent that was given and no other key', async () => {
    server.create('repo', { a: 'ssh' })
    const bin = join(directory, 'bin')
    mkdirSync(bin)
    // What ssh does at the other end of the connection, on this one.
    const script = `#!/bin/sh\nprintf '%s\\n' "$SSH_AUTH_SOCK" "$@" >> ${directory}/asked\nfor last; do :; done\nexec sh -c "$last"\n`
    writeFileSync(join(bin, 'ssh'), script, { mode: 0o755 })
    const env = { PATH: `${bin}:${process.env['PATH']}`, SSH_AUTH_SOCK: '/agent/of/the/user' }
    for (const text of [
      `git@host.example:${server.path('repo')}`,
      `ssh://git:pw@host.example:2222${server.path('repo')}`,
    ]) {
      const { directory: made } = await checkout(text, {}, { env, sshAgent: '/given/agent' })
      expect(readFileSync(join(made, 'a'), 'utf8')).toBe('ssh')
    }
    const asked = readFileSync(`${directory}/asked`, 'utf8').split('\n')
    expect(asked).toContain('/given/agent')
    expect(asked).toContain('BatchMode=yes')
    expect(asked).toContain('git@host.example')
    expect(asked.join()).not.toMatch(/of\/the\/user|pw/)
    await resolve(`git@host.example:${server.path('repo')}`, { env })
    expect(readFileSync(`${directory}/asked`, 'utf8')).toContain('IdentityAgent=none')
  })

  test('works with hashes of SHA-256 and with an empty commit', async () => {
    const commit = server.create('new', { a: '1' }, '--object-format=sha256')
    expect(commit).toHaveLength(64)
    expect(tree((await checkout(server.url('new'))).directory)).toEqual(['644 a'])
    server.create('nothing', {})
    expect(tree((await checkout(server.url('nothing'))).directory)).toEqual([])
  })

  test('gives a subdirectory, and none that a symlink makes', async () => {
    server.create('repo', { 'd/e/f': 'x', g: 'x', out: '-> /etc', in: '-> d', 'd/up': '-> ..' })
    const url = server.url('repo')
    expect(tree((await checkout(`${url}#main:d/e`)).directory)).toEqual(['644 f'])
    expect(tree((await checkout(`${url}?subdir=/d/`)).directory)).toEqual(['644 e/f', '755 e', '777 up'])
    for (const [subdir, message] of [
      ['out', 'contains non-directory "out"'],
      ['in', 'contains non-directory "in"'],
      ['d/up/d', 'contains non-directory "d/up"'],
      ['g', 'contains non-directory "g"'],
      ['none', 'the repository has no "none"'],
      ['d/../../..', 'the repository has no "d/.."'],
    ] as const)
      await expect(checkout(`${url}?subdir=${subdir}`)).rejects.toThrow(message)
  })

  test('keeps a repository that stands on its own, the same each time, with nothing of this machine', async () => {
    server.create('repo', { a: '1', 'd/b': '2' })
    server.git('repo', 'tag', '--annotate', '--message', 'm', 'v1')
    const commit = server.commit('repo', { a: '3' })
    for (const suffix of ['', '#main', '#v1', `#${commit}`]) {
      const { directory: made } = await checkout(server.url('repo') + suffix, { keepGitDir: true })
      const git = (...args: string[]): string => {
        const run = Bun.spawnSync(['git', ...args], {
          cwd: made,
          env: { PATH: process.env['PATH'], HOME: '/nonexistent' },
        })
        return run.stdout.toString().trim()
      }
      expect(git('status', '--porcelain')).toBe('')
      expect(git('rev-parse', 'HEAD')).toBe(suffix === '#v1' ? server.git('repo', 'rev-parse', 'v1^{}') : commit)
      expect(git('config', 'remote.origin.url')).toBe(server.url('repo'))
      expect(git('fsck')).toBe('')
      if (suffix === '#v1') expect(git('describe', '--tags')).toBe('v1')
      const texts = tree(join(made, '.git'))
        .map((line) => line.replace(/^\d+ /, ''))
        .filter((name) => lstatSync(join(made, '.git', name)).isFile())
      for (const name of texts) expect(readFileSync(join(made, '.git', name), 'latin1')).not.toContain(directory)
    }
    const index = async (): Promise<Buffer> => {
      const { directory: made } = await checkout(server.url('repo'), { keepGitDir: true })
      return readFileSync(join(made, '.git/index'))
    }
    expect(await index()).toEqual(await index())
    expect(existsSync(join(checkouts.at(-1)?.directory ?? '', '.git/hooks'))).toBe(false)
  })

  test('leaves .git out with a subdirectory', async () => {
    server.create('repo', { 'd/a': '1' })
    const { directory: made } = await checkout(`${server.url('repo')}#:d`, { keepGitDir: true })
    expect(tree(made)).toEqual(['644 a'])
  })

  test('checks out submodules and theirs, without their .git, and leaves them out when told to', async () => {
    const inner = server.create('inner', { deep: '1' })
    server.create('middle', { mid: '1' })
    const middle = server.submodule('middle', 'inner', server.url('inner'), inner)
    server.commit('inner', { deep: '2' })
    server.create('outer', { top: '1' })
    server.submodule('outer', 'sub/middle', '../middle.git', middle)
    const url = server.url('outer')
    expect(tree((await checkout(url)).directory)).toEqual([
      '644 .gitmodules',
      '644 sub/middle/.gitmodules',
      '644 sub/middle/inner/deep',
      '644 sub/middle/mid',
      '644 top',
      '755 sub',
      '755 sub/middle',
      '755 sub/middle/inner',
    ])
    expect(tree((await checkout(url, { submodules: false })).directory)).toEqual([
      '644 .gitmodules',
      '644 top',
      '755 sub',
      '755 sub/middle',
    ])
    const { directory: made } = await checkout(url)
    expect(readFileSync(join(made, 'sub/middle/inner/deep'), 'utf8')).toBe('1')
    const kept = await checkout(url, { keepGitDir: true })
    expect(existsSync(join(kept.directory, '.git/modules/sub/middle/HEAD'))).toBe(true)
    expect(readFileSync(join(kept.directory, 'sub/middle/.git'), 'utf8')).toBe(
      'gitdir: ../../.git/modules/sub/middle\n',
    )
  })

  test.each([
    ['a path of this machine', 'PATH'],
    ['a file URL', 'file://PATH'],
    ['a command', 'ext::sh -c touch% PATH/owned'],
  ])('does not fetch a submodule from %s', async (_, form) => {
    const target = server.create('secret', { key: 'private' })
    server.create('repo', { top: '1' })
    server.submodule('repo', 's', form.replace('PATH', server.path('secret')), target)
    await expect(checkout(server.url('repo'))).rejects.toMatchObject({
      code: 'NETWORK',
      message: expect.stringMatching(/transport '(file|ext)' not allowed/),
    })
    expect(existsSync(join(server.path('secret'), 'owned'))).toBe(false)
  })

  test('runs nothing that a repository brings', async () => {
    const marker = join(directory, 'ran')
    server.create('repo', {
      '.gitattributes': '* filter=evil diff=evil\n',
      'hooks/post-checkout*': `#!/bin/sh\ntouch ${marker}\n`,
      '.gitconfig': `[filter "evil"]\n\tsmudge = touch ${marker}\n[core]\n\tfsmonitor = touch ${marker}\n`,
    })
    await checkout(server.url('repo'), { keepGitDir: true })
    await checkout(server.url('repo'))
    expect(existsSync(marker)).toBe(false)
  })

  test('refuses a tree that unfolds without end, before anything is written', async () => {
    server.create('bomb', { a: 'x' })
    let object = server.git('bomb', 'hash-object', '-w', 'a')
    let mode = '100644 blob'
    for (let level = 0; level < 9; level++) {
      const lines = Array.from({ length: 10 }, (_, index) => `${mode} ${object}\tf${index}`).join('\n')
      const made = Bun.spawnSync(['git', 'mktree'], { cwd: server.path('bomb'), stdin: Buffer.from(`${lines}\n`) })
      object = made.stdout.toString().trim()
      mode = '040000 tree'
    }
    const commit = server.git('bomb', 'commit-tree', '-m', 'bomb', object)
    server.git('bomb', 'update-ref', 'refs/heads/main', commit)
    await expect(checkout(server.url('bomb'), {}, { limits: { size: 100_000 } })).rejects.toThrow(
      `commit ${commit} is larger than the limit of 100000 bytes`,
    )
    await expect(checkout(server.url('bomb'), {}, { limits: { files: 1000 } })).rejects.toThrow(
      `commit ${commit} has more than 1000 files`,
    )
  })

  test('sends credentials to the remote they are for, and shows and keeps them nowhere', async () => {
    server.create('repo', { a: '1' })
    const basic = (text: string): string => `basic ${Buffer.from(text).toString('base64')}`
    const tried: [string, Record<string, string>, string | undefined][] = [
      ['', { GIT_AUTH_TOKEN: 'general' }, basic('x-access-token:general')],
      ['', { GIT_AUTH_TOKEN: 'general', [`GIT_AUTH_TOKEN.${server.host}`]: 'own\n' }, basic('x-access-token:own')],
      ['', { [`GIT_AUTH_HEADER.${server.host}`]: 'Bearer abc' }, 'Bearer abc'],
      ['me:p%40ss@', {}, basic('me:p@ss').replace('basic', 'Basic')],
      ['', { 'GIT_AUTH_TOKEN.example.com': 'other' }, undefined],
    ]
    for (const [userInfo, secrets, expected] of tried) {
      server.requests.length = 0
      const url = server.url('repo').replace('//', `//${userInfo}`)
      server.authorization = expected
      await checkout(url, { keepGitDir: true }, { secrets })
      expect(new Set(server.requests.map((line) => line.replace(/^\S+ /, '')))).toEqual(new Set([expected ?? '-']))
      for (const made of [checkouts.at(-1)?.directory ?? '', store.path('cache', 'git')])
        for (const name of readdirSync(made, { recursive: true, encoding: 'utf8' }))
          if (lstatSync(join(made, name)).isFile())
            expect(readFileSync(join(made, name), 'latin1')).not.toMatch(/x-access-token|Bearer|p@ss|general/)
    }
    server.authorization = 'Bearer right'
    const failure = await resolve(server.url('repo').replace('//', '//me:hunter2@')).catch((error: Error) => error)
    expect(failure).toMatchObject({ code: 'NETWORK', hint: expect.stringContaining('GIT_AUTH_TOKEN') })
    expect(JSON.stringify([failure, (failure as Error).message])).not.toContain('hunter2')
  })

  test('follows a redirection without credentials, and not with them', async () => {
    const other = new GitServer()
    try {
      other.create('repo', { a: 'elsewhere' })
      server.intercept = (request) => {
        const { pathname, search } = new URL(request.url)
        return Response.redirect(`http://${other.host}${pathname}${search}`, 301)
      }
      const { directory: made } = await checkout(server.url('repo'))
      expect(readFileSync(join(made, 'a'), 'utf8')).toBe('elsewhere')
      other.requests.length = 0
      await expect(resolve(server.url('repo'), { secrets: { GIT_AUTH_TOKEN: 'secret' } })).rejects.toMatchObject({
        hint: expect.stringContaining('use the new URL'),
      })
      expect(other.requests).toEqual([])
    } finally {
      await other.stop()
    }
  })

  test('ends at once when it is canceled, with all that it started', async () => {
    server.create('repo', { a: '1' })
    server.intercept = (request) =>
      request.url.includes('upload-pack') && request.method === 'POST' ? new Promise(() => undefined) : undefined
    const abort = new AbortController()
    const reason = new Error('enough')
    const running = checkout(server.url('repo'), {}, { signal: abort.signal }).catch((error: unknown) => error)
    await Bun.sleep(300)
    expect(talking().length).toBeGreaterThan(0)
    const started = Date.now()
    abort.abort(reason)
    expect(await running).toBe(reason)
    expect(Date.now() - started).toBeLessThan(2000)
    for (let tries = 0; tries < 50 && talking().length > 0; tries++) await Bun.sleep(20)
    expect(talking()).toEqual([])
  })

  test('gives up on a server that falls silent', async () => {
    server.create('repo', { a: '1' })
    server.intercept = () => new Promise(() => undefined)
    await expect(resolve(server.url('repo'), { limits: { stall: 1000 } })).rejects.toMatchObject({ code: 'NETWORK' })
  }, 20_000)

  test('is the same for several at once, and leaves no directory behind', async () => {
    server.create('repo', { a: '1' })
    const all = await Promise.all([1, 2, 3].map(() => checkout(server.url('repo'))))
    expect(new Set(all.map(({ directory: made }) => made)).size).toBe(3)
    for (const made of checkouts.splice(0)) made[Symbol.dispose]()
    expect(readdirSync(store.session.directory)).toEqual([])
  })

  test('goes on with a mirror that a killed process left in the middle', async () => {
    server.create('repo', { a: '1' })
    await checkout(server.url('repo'))
    const [mirror = ''] = readdirSync(store.path('cache', 'git'))
    const gitDir = store.path('cache', 'git', mirror)
    for (const name of ['shallow.lock', 'config.lock', 'packed-refs.lock']) writeFileSync(join(gitDir, name), '')
    writeFileSync(join(gitDir, 'objects/pack/tmp_pack_x'), 'half')
    const commit = server.commit('repo', { a: '2' })
    expect((await checkout(server.url('repo'))).commit).toBe(commit)
    expect(existsSync(join(gitDir, 'objects/pack/tmp_pack_x'))).toBe(false)
  })
})
