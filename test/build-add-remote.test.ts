import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import type { Server } from 'bun'
import type { SecretSource } from '../src/build/build-secrets.ts'
import { pruneBuildCache } from '../src/engine/store/prune-build-cache.ts'
import { digestOf } from '../src/oci/digest.ts'
import { socketAgent } from '../src/ssh/agent.ts'
import { type BenchOptions, BuildBench, type Built } from './fixtures/build-bench.ts'
import { GitServer, hasGit } from './fixtures/git-server.ts'
import { tarArchive } from './fixtures/tar-archive.ts'

const changed = 'Sun, 06 Nov 1994 08:49:37 GMT'
const changedSeconds = 784111777
const committedSeconds = Date.UTC(2002, 2, 4, 5, 6, 7) / 1000

let bench: BuildBench
/** Answers of the HTTP server by path; others are 404. */
let answers: Map<string, (request: Request) => Response | Promise<Response>>
/** `<method> <path> <status>` of each request that was answered. */
let requests: string[]
let server: Server<undefined>
let url: string

beforeAll(async () => {
  bench = await BuildBench.open()
  server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: async (request) => {
      const { pathname } = new URL(request.url)
      const response = (await answers.get(pathname)?.(request)) ?? new Response('no', { status: 404 })
      requests.push(`${pathname} ${response.status}`)
      return response
    },
  })
  url = `http://127.0.0.1:${server.port}`
})

afterAll(async () => {
  await server.stop(true)
  bench[Symbol.dispose]()
})

beforeEach(() => {
  rmSync(bench.context, { recursive: true })
  mkdirSync(bench.context, { mode: 0o755 })
  answers = new Map()
  requests = []
})

afterEach(async () => {
  await pruneBuildCache(bench.store, { all: true })
})

/** Serves `content` at `path` with an ETag of its own, answering conditions. */
function serve(path: string, content: string | Uint8Array, headers: Record<string, string> = {}): void {
  const etag = `"${digestOf(content)}"`
  answers.set(path, (request) =>
    request.headers.get('if-none-match') === etag
      ? new Response(null, { status: 304, headers: { ETag: etag } })
      : new Response(content as string, { headers: { ETag: etag, ...headers } }),
  )
}

const build = (lines: string, options: BenchOptions = {}): Promise<Built> =>
  bench.build(`FROM busybox\n${lines}\n`, options)

const secrets = (values: Record<string, string>): BenchOptions => ({
  run: {
    secrets: new Map(Object.entries(values).map(([id, value]): [string, SecretSource] => [id, { from: 'env', value }])),
    shmSize: undefined,
    packLayer: undefined,
  },
})

describe('ADD from HTTP', () => {
  test('gives a file of mode 600 the time that the server says, else 1970, and its name in a directory', async () => {
    serve('/dir/the%20file.txt', 'dated', { 'Last-Modified': changed })
    serve('/plain', 'undated')
    serve('/', 'root')
    const { files, tree, config } = await build(
      [
        `ADD ${url}/dir/the%20file.txt /into/`,
        `ADD ${url}/plain /named`,
        `ADD ${url}/plain /etc`,
        `ADD ${url} /none/`,
      ].join('\n'),
    )
    expect(files).toEqual({
      '/into': 'dir 755 0:0',
      '/into/the file.txt': 'file 600 0:0 "dated"',
      '/named': 'file 600 0:0 "undated"',
      '/etc/plain': 'file 600 0:0 "undated"',
      '/none': 'dir 755 0:0',
      '/none/__unnamed__': 'file 600 0:0 "root"',
    })
    expect(tree.lookup('/into/the file.txt')?.mtimeSeconds).toBe(changedSeconds)
    expect(tree.lookup('/named')?.mtimeSeconds).toBe(0)
    expect(config.history?.slice(-4).map(({ created_by: text }) => text)).toEqual([
      `ADD ${url}/dir/the%20file.txt /into/ # buildkit`,
      `ADD ${url}/plain /named # buildkit`,
      `ADD ${url}/plain /etc # buildkit`,
      `ADD ${url} /none/ # buildkit`,
    ])
  })

  test('mixes URLs, files and heredocs, with owners and modes', async () => {
    serve('/a*[b', 'remote')
    bench.file('local', 'local')
    const { files } = await build(`ADD --chown=3:4 --chmod=644 ${url}/a*[b local <<inline /d/\ntext\ninline`)
    expect(files).toMatchObject({
      '/d': 'dir 644 3:4',
      '/d/a*[b': 'file 644 3:4 "remote"',
      '/d/local': 'file 644 3:4 "local"',
      '/d/inline': 'file 644 3:4 "text\\n"',
    })
  })

  test('leaves out what --exclude names, and takes --link', async () => {
    serve('/keep.txt', 'k')
    serve('/drop.md', 'd')
    const { files } = await build(`ADD --link --exclude=*.md ${url}/keep.txt ${url}/drop.md /d/`)
    expect(Object.keys(files)).toEqual(['/d', '/d/keep.txt'])
  })

  test('unpacks archives with --unpack and not without', async () => {
    const archive = Bun.gzipSync(new Uint8Array(tarArchive([{ name: 'dir/file', text: 'packed' }])))
    serve('/x.tar.gz', archive)
    serve('/text', 'no archive')
    const { files } = await build(
      [
        `ADD ${url}/x.tar.gz /a/`,
        `ADD --unpack ${url}/x.tar.gz /b`,
        `ADD --unpack=true ${url}/text /c/`,
        `ADD --unpack=false ${url}/x.tar.gz /d/`,
      ].join('\n'),
    )
    expect(files['/b/dir/file']).toContain('"packed"')
    expect(files['/c/text']).toContain('"no archive"')
    expect([files['/a/dir/file'], files['/d/dir/file']]).toEqual([undefined, undefined])
    expect(Object.keys(files)).toEqual(expect.arrayContaining(['/a/x.tar.gz', '/d/x.tar.gz']))
  })

  test('downloads nothing again while the server says that nothing changed, and names the URL that did', async () => {
    serve('/data', 'one')
    const dockerfile = `ADD ${url}/data /data\nRUN cat /data > /copy`
    await build(dockerfile)
    expect(requests).toEqual(['/data 200'])
    const again = await build(dockerfile)
    expect(requests).toEqual(['/data 200', '/data 304'])
    expect(again.cached).toBe(again.steps - 1)
    serve('/data', 'two')
    const { shown, files } = await build(dockerfile)
    expect(files['/copy']).toContain('"two"')
    expect(shown.map(({ reason }) => reason).filter((reason) => reason !== undefined)).toEqual([
      `${url}/data changed`,
      expect.stringContaining(`${url}/data changed (ADD ${url}/data /data, line 2)`),
    ])
  })

  test('makes a new layer when only the time changed', async () => {
    serve('/data', 'same')
    const first = await build(`ADD ${url}/data /data`)
    answers.set('/data', () => new Response('same', { headers: { 'Last-Modified': changed } }))
    const second = await build(`ADD ${url}/data /data`)
    expect(first.tree.lookup('/data')?.mtimeSeconds).toBe(0)
    expect(second.tree.lookup('/data')?.mtimeSeconds).toBe(changedSeconds)
  })

  test('asks nobody for what --checksum pins when it is there, and refuses other bytes', async () => {
    serve('/pinned', 'right', { 'Last-Modified': changed })
    const dockerfile = `ARG SUM=${digestOf('right')}\nADD --checksum=$SUM ${url}/pinned /p`
    const { tree } = await build(dockerfile)
    expect(tree.lookup('/p')?.mtimeSeconds).toBe(changedSeconds)
    await build(dockerfile)
    await build(`${dockerfile}\nADD --checksum=${digestOf('right')} ${url}/pinned /elsewhere`)
    expect(requests).toEqual(['/pinned 200'])
    const failure = await bench.failure(`FROM busybox\nADD --checksum=${digestOf('wrong')} ${url}/pinned /p\n`)
    expect(failure).toMatchObject({
      message: `digest mismatch for ${url}/pinned: ${digestOf('right')} (expected: ${digestOf('wrong')})`,
      range: { start: 2, end: 2 },
    })
  })

  test('fails at the line of the instruction, before anything is run', async () => {
    const steps: BenchOptions['steps'] = []
    const failure = await bench.failure(`FROM busybox\nRUN true\n\nADD ${url}/missing /m\n`, { steps })
    expect(failure).toMatchObject({
      code: 'NETWORK',
      message: `failed to fetch ${url}/missing: invalid response status 404`,
      range: { start: 4, end: 4 },
    })
    expect(steps.filter(({ title, log }) => title.includes('RUN') && log !== '')).toEqual([])
    expect(steps.filter(({ error }) => error !== undefined).map(({ title }) => title)).toEqual([
      `[3/3] ADD ${url}/missing /m`,
    ])
  })

  test('fetches all sources at once', async () => {
    let waiting = 0
    let most = 0
    for (const name of ['/1', '/2', '/3', '/4'])
      answers.set(name, async () => {
        most = Math.max(most, (waiting += 1))
        await Bun.sleep(100)
        waiting -= 1
        return new Response(name)
      })
    await build(['1', '2', '3', '4'].map((name) => `ADD ${url}/${name} /${name}`).join('\n'))
    expect(most).toBe(4)
  })

  test('authenticates with secrets, and shows and keeps no credential', async () => {
    answers.set('/private', (request) =>
      request.headers.get('authorization') === 'Bearer s3cr3t'
        ? new Response('for you')
        : new Response('no', { status: 401 }),
    )
    expect((await bench.failure(`FROM busybox\nADD ${url}/private /p\n`)).message).toContain('status 401')
    const token = secrets({ 'HTTP_AUTH_TOKEN_127.0.0.1': 's3cr3t' })
    const address = `${url.replace('//', '//me:hunter2@')}/private?token=hunter3`
    const { files, shown, config } = await build(`ADD ${address} /p`, { ...token, tag: 'private' })
    expect(files['/p']).toContain('"for you"')
    const recorded = bench.store.database
      .all('SELECT * FROM build_steps')
      .concat(
        bench.store.database.all('SELECT * FROM fetched_files'),
        bench.store.database.all('SELECT * FROM cache_records'),
      )
    expect(JSON.stringify([shown, config, recorded])).not.toMatch(/hunter|s3cr3t/)
    expect(config.history?.at(-1)?.created_by).toBe(`ADD ${url}/private?token=xxxxx /p # buildkit`)
  })

  test('ends at once when the build is canceled', async () => {
    answers.set('/slow', () => new Response(new ReadableStream({ start: (body) => body.enqueue('begin') })))
    const abort = new AbortController()
    setTimeout(() => abort.abort(new Error('canceled by the test')), 200)
    const started = Date.now()
    await expect(bench.build(`FROM busybox\nADD ${url}/slow /s\n`, { signal: abort.signal })).rejects.toThrow(
      'canceled by the test',
    )
    expect(Date.now() - started).toBeLessThan(3000)
  })

  test('is held to CAIRN_FETCH_LIMIT', async () => {
    serve('/large', 'x'.repeat(2000))
    const failure = await bench.failure(`FROM busybox\nADD ${url}/large /l\n`, { env: { CAIRN_FETCH_LIMIT: '1000' } })
    expect(failure).toMatchObject({ code: 'LIMIT_EXCEEDED', hint: expect.stringContaining('CAIRN_FETCH_LIMIT') })
    const wrong = await bench.failure(`FROM busybox\nADD ${url}/large /l\n`, { env: { CAIRN_FETCH_LIMIT: '1G' } })
    expect(wrong.message).toBe('invalid CAIRN_FETCH_LIMIT: "1G" is no number of bytes')
  })

  test('with a checksum more is told of as that, not as other content', async () => {
    serve('/f', 'same')
    await build(`ADD ${url}/f /f`)
    const checksum = `sha256:${Bun.CryptoHasher.hash('sha256', 'same', 'hex')}`
    const { shown } = await build(`ADD --checksum=${checksum} ${url}/f /f`)
    expect(shown.at(-1)?.reason).toBe(`the instruction changed (was ADD ${url}/f /f)`)
  })
})

describe.skipIf(!hasGit)('ADD from git', () => {
  let git: GitServer

  beforeEach(() => {
    git = new GitServer()
  })

  afterEach(() => git.stop())

  test('puts the files of the repository into the destination, all dated by the commit', async () => {
    git.create('repo', { a: 'A', 'run*': '#!/bin/sh', 'd/b': 'B', link: '-> d/b' })
    const { files, tree, config } = await build(`ADD ${git.url('repo')} /src`)
    expect(files).toEqual({
      '/src': 'dir 755 0:0',
      '/src/a': 'file 644 0:0 "A"',
      '/src/d': 'dir 755 0:0',
      '/src/d/b': 'file 644 0:0 "B"',
      '/src/link': 'symlink -> d/b',
      '/src/run': 'file 755 0:0 "#!/bin/sh"',
    })
    for (const path of Object.keys(files)) expect(tree.lookup(path)?.mtimeSeconds).toBe(committedSeconds)
    expect(config.history?.at(-1)?.created_by).toBe(`ADD ${git.url('repo')} /src # buildkit`)
  })

  test('with --keep-git-dir more is told of as that, not as another commit', async () => {
    git.create('repo', { a: 'A' })
    await build(`ADD ${git.url('repo')} /src`)
    const { shown } = await build(`ADD --keep-git-dir=true ${git.url('repo')} /src`)
    expect(shown.at(-1)?.reason).toBe(`the instruction changed (was ADD ${git.url('repo')} /src)`)
  })

  test('takes a ref, a directory, owners, modes and --exclude', async () => {
    git.create('repo', { 'd/a': '1', 'd/skip': 's', top: 't' })
    git.git('repo', 'tag', 'v1')
    git.commit('repo', { 'd/a': '2' })
    const { files } = await build(
      [
        `ADD --chown=3:4 --chmod=700 --exclude=skip ${git.url('repo')}#v1:d /one/`,
        `ADD ${git.url('repo')}?branch=main&subdir=d /two`,
      ].join('\n'),
    )
    expect(files).toEqual({
      '/one': 'dir 700 3:4',
      '/one/a': 'file 700 3:4 "1"',
      '/two': 'dir 755 0:0',
      '/two/a': 'file 644 0:0 "2"',
      '/two/skip': 'file 644 0:0 "s"',
    })
  })

  test('runs again when the ref moved, and not when the repository only grew', async () => {
    git.create('repo', { a: '1' })
    git.git('repo', 'branch', 'stable')
    const dockerfile = `ADD ${git.url('repo')}#stable /src`
    await build(dockerfile)
    git.commit('repo', { a: '2' })
    git.requests.length = 0
    const same = await build(dockerfile)
    expect(same.cached).toBe(same.steps - 1)
    expect(git.requests.filter((line) => line.includes('upload-pack'))).toHaveLength(1)
    git.git('repo', 'update-ref', 'refs/heads/stable', 'main')
    const { files, shown } = await build(dockerfile)
    expect(files['/src/a']).toBe('file 644 0:0 "2"')
    expect(shown.at(-1)?.reason).toBe(`${git.url('repo')}#stable changed`)
  })

  test('keeps .git when told to, by flag or query', async () => {
    const commit = git.create('repo', { a: '1' })
    const { files } = await build(
      `ADD --keep-git-dir=true ${git.url('repo')} /a\nADD ${git.url('repo')}?keep-git-dir=1 /b\nADD ${git.url('repo')} /c`,
    )
    expect(files['/a/.git/HEAD']).toBe(`file 644 0:0 "${commit}\\n"`)
    expect(files['/b/.git/HEAD']).toBeDefined()
    expect(files['/c/.git']).toBeUndefined()
  })

  test('pins a commit by --checksum, which may be the beginning of its hash', async () => {
    const commit = git.create('repo', { a: '1' })
    await build(`ADD --checksum=${commit.slice(0, 8)} ${git.url('repo')} /src`)
    const failure = await bench.failure(`FROM busybox\nADD --checksum=0123456 ${git.url('repo')} /src\n`)
    expect(failure).toMatchObject({
      message: `expected checksum to match 0123456, got ${commit}`,
      range: { start: 2, end: 2 },
    })
  })

  test('gives the same layer for a commit wherever and whenever it is built', async () => {
    git.create('repo', { a: '1', 'd/b*': '2' })
    const layerOf = async (): Promise<string | undefined> =>
      (await build(`ADD --keep-git-dir=false ${git.url('repo')} /src`)).config.rootfs.diff_ids.at(-1)
    const first = await layerOf()
    await pruneBuildCache(bench.store, { all: true })
    expect(readdirSync(bench.store.path('cache', 'git'))).toEqual([])
    expect(await layerOf()).toBe(first as string)
  })

  test('authenticates with a secret, which no record has', async () => {
    git.create('repo', { a: '1' })
    git.authorization = `basic ${Buffer.from('x-access-token:s3cr3t').toString('base64')}`
    const failure = await bench.failure(`FROM busybox\nADD ${git.url('repo')} /src\n`)
    expect(failure).toMatchObject({ code: 'NETWORK', hint: expect.stringContaining('--secret id=GIT_AUTH_TOKEN') })
    const { files, shown, config } = await build(`ADD ${git.url('repo')} /src`, secrets({ GIT_AUTH_TOKEN: 's3cr3t' }))
    expect(files['/src/a']).toBeDefined()
    expect(JSON.stringify([shown, config])).not.toMatch(/s3cr3t|x-access/)
  })

  test('fetches over ssh with the agent of --ssh default, and with none where that was not given', async () => {
    git.create('repo', { a: '1' })
    const bin = `${bench.directory}/bin`
    mkdirSync(bin, { recursive: true })
    const script = `#!/bin/sh\n[ -S "$SSH_AUTH_SOCK" ] || { echo 'Permission denied (publickey).' >&2; exit 255; }\nfor last; do :; done\nexec sh -c "$last"\n`
    writeFileSync(`${bin}/ssh`, script, { mode: 0o755 })
    const env = { PATH: `${bin}:${process.env['PATH']}`, SSH_AUTH_SOCK: '/nowhere' }
    const line = `ADD git@host.example:${git.path('repo')} /src`
    const failure = await bench.failure(`FROM busybox\n${line}\n`, { env })
    expect(failure).toMatchObject({ code: 'NETWORK', hint: expect.stringContaining('--ssh default') })
    const { run } = secrets({})
    if (run === undefined) throw new Error('there are no settings')
    const agents = new Map([['default', socketAgent('/nowhere')]])
    const { files } = await build(line, { env, run: { ...run, agents } })
    expect(files['/src/a']).toBe('file 644 0:0 "1"')
  })

  test('does not take a symlink of the repository for a directory', async () => {
    git.create('repo', { link: '-> /etc', 'd/a': 'x' })
    const failure = await bench.failure(`FROM busybox\nADD ${git.url('repo')}#:link /src\n`)
    expect(failure.message).toContain('contains non-directory "link"')
    const { files } = await build(`ADD ${git.url('repo')} /src`)
    expect(files['/src/link']).toBe('symlink -> /etc')
  })
})
