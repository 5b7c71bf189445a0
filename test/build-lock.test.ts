import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { Server } from 'bun'
import { BuildBench, type Ended } from './fixtures/build-bench.ts'
import { GitServer, hasGit } from './fixtures/git-server.ts'
import { tarArchive } from './fixtures/tar-archive.ts'

let bench: BuildBench
let server: Server<undefined>
/** Path → what the server gives. */
let served: Record<string, string | Uint8Array>
let requests: string[]
beforeAll(async () => {
  bench = await BuildBench.open()
  server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: (request) => {
      const { pathname } = new URL(request.url)
      requests.push(pathname)
      const body = served[pathname]
      return body === undefined ? new Response('no', { status: 404 }) : new Response(body as string)
    },
  })
})
afterAll(async () => {
  bench[Symbol.dispose]()
  await server.stop(true)
})
beforeEach(() => {
  rmSync(bench.context, { recursive: true })
  mkdirSync(bench.context, { mode: 0o755 })
  requests = []
  served = { '/f': 'one' }
})

const lockFile = (): string => `${bench.context}/cairn.lock`
const url = (path: string): string => `http://127.0.0.1:${server.port}${path}`

/** Builds `dockerfile` with the lock file, as a user does. */
async function build(dockerfile: string, ...more: string[]): Promise<Ended> {
  bench.file('Dockerfile', dockerfile)
  return await bench.cairn(['build', '-q', '--lock', 'cairn.lock', ...more, '.'], { cwd: bench.context })
}

async function image(dockerfile: string, ...more: string[]): Promise<string> {
  const { status, err, out } = await build(dockerfile, ...more)
  expect(err).toBe('')
  expect(status).toBe(0)
  return out
}

async function failure(dockerfile: string, ...more: string[]): Promise<string> {
  const before = existsSync(lockFile()) ? readFileSync(lockFile(), 'utf8') : undefined
  const { status, err } = await build(dockerfile, ...more)
  expect(status).not.toBe(0)
  expect(existsSync(lockFile()) ? readFileSync(lockFile(), 'utf8') : undefined).toBe(before)
  return err
}

test('--lock is written by the first build that succeeds, and holds for later ones', async () => {
  const dockerfile = `FROM busybox\nADD ${url('/f')} /f\n`
  await failure(`${dockerfile}RUN false\n`)
  const first = await image(dockerfile)
  const text = readFileSync(lockFile(), 'utf8')
  expect(JSON.parse(text)).toEqual({
    version: 1,
    images: { 'docker.io/library/busybox:latest linux/amd64': expect.stringMatching(/^sha256:/) as string },
    files: { [url('/f')]: `sha256:${Bun.CryptoHasher.hash('sha256', 'one', 'hex')}` },
    repositories: {},
  })
  requests = []
  expect(await image(dockerfile)).toBe(first)
  expect(readFileSync(lockFile(), 'utf8')).toBe(text)
  // What is locked and in the store need not be asked for.
  expect(requests).toEqual([])
})

test('--lock takes the image that was locked though its name leads elsewhere by now', async () => {
  await bench.importBase('moved', ['LABEL v=1'])
  const first = await image('FROM moved\n')
  await bench.importBase('moved', ['LABEL v=2'])
  expect(await image('FROM moved\n')).toBe(first)
  const updated = await image('FROM moved\n', '--update-lock')
  expect(updated).not.toBe(first)
  expect(await image('FROM moved\n')).toBe(updated)
})

test('--lock refuses an image that can only be had otherwise', async () => {
  await bench.importBase('gone', ['LABEL v=1'])
  await image('FROM gone\n')
  const locked = (JSON.parse(readFileSync(lockFile(), 'utf8')) as { images: Record<string, string> }).images
  const absent = `sha256:${'0'.repeat(64)}`
  const [key = '', found = ''] = Object.entries(locked)[0] ?? []
  writeFileSync(lockFile(), readFileSync(lockFile(), 'utf8').replace(found, absent))
  const err = await failure('FROM gone\n')
  expect(err).toContain(`${key} is ${found}, but cairn.lock has locked it to ${absent}`)
  expect(err).toContain('build once with --lock cairn.lock --update-lock')
  expect(err).toContain('>>> FROM gone')
})

test('--lock refuses files that changed and sources that it lacks, until it is updated', async () => {
  const dockerfile = `FROM busybox\nARG NAME=f\nADD ${url('/$NAME')} /f\n`
  await image(dockerfile)
  served = { '/f': 'two', '/g': 'three' }
  // Something else has to have been fetched, or what is in the store would do.
  bench.file('other', '')
  await bench.cairn(['build', '-q', '-f', '-', '.'], {
    cwd: bench.context,
    stdin: `FROM busybox\nADD ${url('/f')} /f\n`,
  })
  const digest = (text: string): string => `sha256:${Bun.CryptoHasher.hash('sha256', text, 'hex')}`
  expect(await failure(dockerfile)).toContain(
    `${url('/f')} is ${digest('two')}, but cairn.lock has locked it to ${digest('one')}`,
  )
  expect(await failure(dockerfile, '--build-arg', 'NAME=g')).toContain(
    `cairn.lock has no entry for ${url('/g')} among its files`,
  )
  expect(await failure('FROM scratch\nCOPY --from=busybox:other /bin /bin\n')).toContain(
    'cairn.lock has no entry for docker.io/library/busybox:other linux/amd64 among its images',
  )
  await image(dockerfile, '--update-lock')
  await image(dockerfile, '--update-lock', '--build-arg', 'NAME=g')
  const { files } = JSON.parse(readFileSync(lockFile(), 'utf8')) as { files: Record<string, string> }
  expect(files).toEqual({ [url('/f')]: digest('two'), [url('/g')]: digest('three') })
  await image(dockerfile)
  await image(dockerfile, '--build-arg', 'NAME=g')
})

test('--lock holds for checksums, contexts, named contexts and Dockerfiles that are fetched', async () => {
  const archive = tarArchive([{ name: 'Dockerfile', text: 'FROM scratch\nCOPY Dockerfile /\n' }])
  served = { '/c.tar': archive, '/n.tar': archive, '/df': 'FROM scratch\nCOPY --from=n / /\n', '/f': 'one' }
  const checksum = `sha256:${Bun.CryptoHasher.hash('sha256', 'one', 'hex')}`
  await image(`FROM scratch\nADD --checksum=${checksum} ${url('/f')} /\n`)
  const argv = ['build', '-q', '--lock', lockFile(), '--update-lock', '--build-context', `n=${url('/n.tar')}`]
  expect((await bench.cairn([...argv, '-f', url('/df'), url('/c.tar')])).err).toBe('')
  const { files } = JSON.parse(readFileSync(lockFile(), 'utf8')) as { files: Record<string, string> }
  expect(Object.keys(files)).toEqual([url('/c.tar'), url('/df'), url('/f'), url('/n.tar')])
  expect(files[url('/f')]).toBe(checksum)
})

test.skipIf(!hasGit)(
  '--lock takes the locked commit of a branch that moved, and tells where that is gone',
  async () => {
    const git = new GitServer()
    try {
      const epoch = ['--build-arg', 'SOURCE_DATE_EPOCH=0']
      const first = git.create('repo', { f: 'one' })
      const dockerfile = `FROM scratch\nADD ${git.url('repo')} /\n`
      const built = await image(dockerfile, ...epoch)
      const key = git.url('repo')
      expect(JSON.parse(readFileSync(lockFile(), 'utf8'))).toMatchObject({
        repositories: { [key]: { commit: first, ref: 'refs/heads/main' } },
      })
      git.commit('repo', { f: 'two' })
      expect(await image(dockerfile, '--no-cache', ...epoch)).toBe(built)

      // The branch is made anew, and nothing leads to the locked commit any more.
      git.git('repo', 'checkout', '--quiet', '--orphan', 'fresh')
      const fresh = git.commit('repo', { f: 'three' })
      git.git('repo', 'branch', '--force', 'main', 'fresh')
      git.git('repo', 'checkout', '--quiet', 'main')
      git.git('repo', 'branch', '--delete', '--force', 'fresh')
      git.git('repo', '-c', 'gc.reflogExpire=now', 'reflog', 'expire', '--expire=now', '--all')
      git.git('repo', 'gc', '--quiet', '--prune=now')
      // As on another machine: nothing was fetched before.
      const own = { CAIRN_ROOT: `${bench.directory}/own` }
      const ended = await bench.cairn(['build', '-q', '--lock', lockFile(), '.'], { cwd: bench.context, env: own })
      expect(ended.err).toContain(`${key} is ${fresh} and no longer has ${first}, which ${lockFile()} has locked it to`)
    } finally {
      await git.stop()
    }
  },
)

test('--update-lock needs a lock file, which has to be one', async () => {
  bench.file('Dockerfile', 'FROM scratch\n')
  const without = await bench.cairn(['build', '--update-lock', '.'], { cwd: bench.context })
  expect(without.err).toContain('--update-lock needs a lock file')
  bench.file('cairn.lock', '{"version":3}')
  expect(await failure('FROM scratch\n')).toContain('cairn.lock has the version 3, not 1')
})
