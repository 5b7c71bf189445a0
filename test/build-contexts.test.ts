import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import type { Server } from 'bun'
import { openStore } from '../src/content/store.ts'
import { defaultLimits } from '../src/content/limits.ts'
import { archiveContext } from '../src/engine/build/archive-context.ts'
import { CairnError } from '../src/errors/error.ts'
import { type BenchOptions, BuildBench, type Listing, once } from './fixtures/build-bench.ts'
import { GitServer, hasGit } from './fixtures/git-server.ts'
import { type ArchiveMember, tarArchive } from './fixtures/tar-archive.ts'

let bench: BuildBench
beforeAll(async () => {
  bench = await BuildBench.open()
})
afterAll(() => bench[Symbol.dispose]())
beforeEach(() => {
  rmSync(bench.context, { recursive: true })
  mkdirSync(bench.context, { mode: 0o755 })
})

const copyAll = 'FROM scratch\nCOPY . /\n'

/** Builds a context that is no directory; gives the files of the image. */
async function files(options: BenchOptions & { file?: string }): Promise<Listing> {
  const { file, ...more } = options
  return (await bench.buildFile(file, more)).files
}

async function failure(options: BenchOptions & { file?: string }): Promise<CairnError> {
  const before = leftovers()
  try {
    await files(options)
  } catch (error) {
    expect(leftovers()).toEqual(before)
    if (error instanceof CairnError) return error
    throw error
  }
  throw new Error('this built')
}

/** Temporary files of the store. */
function leftovers(): string[] {
  return readdirSync(`${bench.root}/tmp`, { recursive: true, encoding: 'utf8' }).filter((path) => path.includes('/'))
}

const stdinTar = (members: readonly ArchiveMember[]): BenchOptions => ({ from: '-', stdin: tarArchive(members) })

describe('an archive as build context', () => {
  const members: readonly ArchiveMember[] = [
    { name: 'Dockerfile', text: copyAll },
    { name: '.dockerignore', text: '*' },
    { name: 'a', text: 'a', uid: 5, gid: 6, mode: '640' },
    { name: 'dir/', type: '5', uid: 7, gid: 8, mode: '700' },
    { name: 'dir/b', text: 'b' },
    { name: 'hard', type: '1', link: 'dir/b' },
    { name: 'link', type: '2', link: 'dir' },
    { name: 'pipe', type: '6' },
  ]
  const unpacked: Listing = {
    '/.dockerignore': 'file 644 0:0 "*"',
    '/Dockerfile': 'file 644 0:0 "FROM scratch\\nCOPY . /\\n"',
    '/a': 'file 640 5:6 "a"',
    '/dir': 'dir 700 7:8',
    '/dir/b': 'file 644 0:0 "b"',
    '/hard': 'file 644 0:0 "b" =/dir/b',
    '/link': 'symlink -> dir',
    '/pipe': 'fifo 644 0:0',
  }

  test.each([
    ['plain', (tar: Uint8Array) => tar],
    ['gzip', (tar: Uint8Array) => Bun.gzipSync(new Uint8Array(tar))],
    ['zstd', (tar: Uint8Array) => Bun.zstdCompressSync(tar)],
    ['bzip2', (tar: Uint8Array) => Bun.spawnSync(['bzip2', '-c'], { stdin: tar }).stdout],
    ['xz', (tar: Uint8Array) => Bun.spawnSync(['xz', '-c'], { stdin: tar }).stdout],
  ])(
    'is read from stdin and from a file, %s, with its owners and without regard to its ignore file',
    async (_, pack) => {
      const packed = pack(tarArchive(members))
      expect(await files({ from: '-', stdin: packed })).toEqual(unpacked)
      const path = bench.file('context.tar', packed)
      expect(await files({ from: path })).toEqual(unpacked)
    },
  )

  test('has its Dockerfile inside: by default, in lower case, or where -f says', async () => {
    const members = [
      { name: 'sub/other', text: 'FROM scratch\nCOPY sub/other /\n' },
      { name: 'dockerfile', text: 'FROM scratch\nCOPY dockerfile /\n' },
    ]
    expect(Object.keys(await files(stdinTar(members)))).toEqual(['/dockerfile'])
    for (const file of ['sub/other', './sub/other', '/sub/other'])
      expect(Object.keys(await files({ ...stdinTar(members), file }))).toEqual(['/other'])
    expect((await failure({ ...stdinTar(members), file: 'none' })).message).toBe(
      'failed to read dockerfile: open none: no such file or directory',
    )
    expect((await failure({ ...stdinTar(members), file: 'sub' })).message).toContain('sub is not a regular file')
  })

  test('takes the step from the cache for the same files, and says what changed', async () => {
    const build = (text: string) =>
      bench.buildFile(
        undefined,
        stdinTar([
          { name: 'Dockerfile', text: copyAll },
          { name: 'a', text, mtime: Date.now() },
        ]),
      )
    await build('one')
    expect((await build('one')).shown[0]).toMatchObject({ cached: true })
    expect((await build('two')).shown[0]).toMatchObject({ cached: false, reason: 'a changed' })
  })

  test('gives bind mounts its files with their owners', async () => {
    const text = 'FROM busybox\nRUN --mount=target=/c stat -c %u:%g:%a /c/a > /out\n'
    const member = { name: 'a', uid: 5, gid: 6, mode: '640' }
    expect(await files(stdinTar([{ name: 'Dockerfile', text }, member]))).toEqual({
      '/out': 'file 644 0:0 "5:6:640\\n"',
    })
  })

  test('lets a later member take the place of an earlier one, and absolute names count from its root', async () => {
    const members = [
      { name: 'Dockerfile', text: 'FROM scratch\nCOPY x y /\n' },
      { name: 'x', text: 'old' },
      { name: '/x', text: 'new' },
      { name: '/y', text: 'y' },
    ]
    expect(await files(stdinTar(members))).toEqual({ '/x': 'file 644 0:0 "new"', '/y': 'file 644 0:0 "y"' })
  })

  test('leads nowhere else with its symlinks', async () => {
    const outside = bench.file('secret', 'secret')
    const members = (link: string) => [
      { name: 'Dockerfile', text: 'FROM scratch\nCOPY link /\n' },
      { name: 'link', type: '2', link },
    ]
    expect((await failure(stdinTar(members(outside)))).message).toContain('not found')
    expect((await failure(stdinTar(members('../../../..' + outside)))).message).toContain('not found')
    expect((await failure(stdinTar(members('link')))).message).toContain('too many levels of symbolic links')
    const dockerfile = { name: 'Dockerfile', type: '2', link: outside }
    expect((await failure(stdinTar([dockerfile]))).code).toBe('DOCKERFILE_UNKNOWN')
  })

  test.each<[string, ArchiveMember[], string]>([
    ['a path that leads out', [{ name: '../x' }], 'leads out'],
    ['a path that leads out in the middle', [{ name: 'a/../../x' }], 'leads out'],
    ['a hard link that leads out', [{ name: 'x', type: '1', link: '../../etc/passwd' }], 'hard link'],
    ['a hard link to nothing', [{ name: 'x', type: '1', link: 'none' }], 'hard link'],
    ['a member below a file', [{ name: 'x' }, { name: 'x/y' }], 'no directory'],
    ['a loop of symlinks on the way', [{ name: 'x', type: '2', link: 'x' }, { name: 'x/y' }], 'loop'],
    ['a name that removes files in layers', [{ name: '.wh.x' }], 'would remove a file'],
    ['a whiteout of overlayfs', [{ name: 'x', type: '3', device: [0, 0] }], 'would remove a file'],
  ])('is refused with %s', async (_, wrong, message) => {
    const error = await failure(stdinTar([{ name: 'Dockerfile', text: copyAll }, ...wrong]))
    expect(error.message).toContain(message)
    expect(error.message).toStartWith('stdin')
  })

  test('is refused where it is cut off, damaged or too large', async () => {
    const tar = tarArchive([{ name: 'Dockerfile', text: copyAll.padEnd(4000, '\n') }])
    expect(await failure({ from: '-', stdin: tar.subarray(0, 2000) })).toMatchObject({ code: 'CONTEXT_INVALID' })
    const gzip = Bun.gzipSync(new Uint8Array(tar))
    expect(await failure({ from: '-', stdin: gzip.subarray(0, 40) })).toMatchObject({ code: 'CONTEXT_INVALID' })
    expect(await failure({ from: '-', stdin: Bun.gzipSync('no tar') })).toMatchObject({ code: 'CONTEXT_INVALID' })

    using store = openStore(bench.root, {
      limits: { ...defaultLimits, layerBytes: 4096, ratio: 10, tar: { entries: 2 } },
    })
    const open = (bytes: Uint8Array) => archiveContext(store, 'x', once(bytes), 'stdin')
    expect(open(Bun.gzipSync(new Uint8Array(100_000)))).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' })
    const many = tarArchive([{ name: 'a' }, { name: 'b' }, { name: 'c' }])
    expect(open(many)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' })
  })

  test('is not what a file without an archive is', async () => {
    const path = bench.file('text', 'FROM scratch\n')
    expect((await failure({ from: path })).message).toBe(
      `unable to prepare context: ${JSON.stringify(path)} is neither a directory nor a tar archive`,
    )
    Bun.spawnSync(['mkfifo', `${bench.context}/fifo`])
    expect((await failure({ from: `${bench.context}/fifo` })).message).toContain('is a fifo')
    expect((await failure({ from: 'no/where' })).message).toBe('unable to prepare context: path "no/where" not found')
  })
})

describe('stdin', () => {
  test('is the Dockerfile of a build without context where it is no archive', async () => {
    const stdin = Buffer.from('FROM busybox\nRUN --mount=target=/c ls -A /c > /out\n')
    expect(await files({ from: '-', stdin })).toEqual({ '/out': 'file 644 0:0 ""' })
  })

  test('is not both context and Dockerfile, nor a second Dockerfile', async () => {
    const both = await failure({ ...stdinTar([{ name: 'Dockerfile' }]), file: '-' })
    expect(both.message).toBe("invalid argument: can't use stdin for both build context and dockerfile")
    const two = await failure({ from: '-', stdin: Buffer.from('FROM busybox\n'), file: 'x' })
    expect(two.message).toBe('ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles')
  })

  test('is the Dockerfile of a directory with -f -', async () => {
    bench.file('a', 'a')
    expect(Object.keys(await files({ file: '-', stdin: Buffer.from(copyAll) }))).toEqual(['/a'])
  })
})

describe('a directory as build context', () => {
  test('has its Dockerfile in lower case where only that is there, also below it and with its ignore file', async () => {
    bench.file('sub/dockerfile', copyAll)
    bench.file('sub/dockerfile.dockerignore', 'no\nsub')
    bench.file('no', '')
    bench.file('yes', '')
    expect(Object.keys(await files({ file: `${bench.context}/sub/Dockerfile` }))).toEqual(['/yes'])
  })

  test('may ignore its Dockerfile, which is read all the same', async () => {
    bench.file('Dockerfile', copyAll)
    bench.file('.dockerignore', 'Dockerfile\n.dockerignore')
    bench.file('a', 'a')
    expect(Object.keys(await files({}))).toEqual(['/a'])
    bench.file('Dockerfile', 'FROM scratch\nCOPY Dockerfile /\n')
    expect((await failure({})).message).toContain('"/Dockerfile": not found')
  })

  test('takes names of any bytes, sockets as empty files, and never waits for a FIFO', async () => {
    writeFileSync(Buffer.concat([Buffer.from(`${bench.context}/n`), Buffer.from([0xff, 0xfe])]), 'bytes')
    using _server = Bun.listen({ unix: `${bench.context}/socket`, socket: { data: () => undefined } })
    Bun.spawnSync(['mkfifo', '-m', '644', `${bench.context}/fifo`])
    symlinkSync('loop', `${bench.context}/loop`)
    const built = await files({ file: '-', stdin: Buffer.from(copyAll) })
    expect(
      Object.values(built)
        .map((text) => text.replace(/\d+ 0:0/, ''))
        .sort(),
    ).toEqual(['fifo ', 'file  ""', 'file  "bytes"', 'symlink -> loop'])

    Bun.spawnSync(['mkfifo', `${bench.context}/Dockerfile`, `${bench.context}/.dockerignore`])
    expect((await failure({})).message).toContain('Dockerfile is not a regular file')
    expect((await failure({ file: '-', stdin: Buffer.from(copyAll) })).code).toBe('IGNORE_INVALID')
    const loop = await failure({ file: `${bench.context}/loop` })
    expect(loop.message).toContain('failed to read dockerfile')
  })

  test.skipIf(process.getuid?.() !== 0)('names a file that may not be read', async () => {
    bench.file('Dockerfile', 'FROM scratch\nCOPY closed /\n')
    bench.file('closed', 'x', 0o000)
    Bun.spawnSync(['chown', '-R', '65534', bench.directory])
    // Without root a user is root of what is their own, and of nothing else.
    Bun.spawnSync(['chown', '0:0', `${bench.context}/closed`])
    const env = { CAIRN_ROOT: `${bench.directory}/own` }
    const ended = await bench.cairn(['build', '.'], { cwd: bench.context, env, prefix: ['setpriv', '--reuid=65534'] })
    expect(ended.status).not.toBe(0)
    expect(ended.err).toContain(`${bench.context}/closed`)
    expect(ended.err).toContain('permission denied')
  })
})

describe('a URL as build context', () => {
  let server: Server<undefined>
  let requests: string[]
  const tar = tarArchive([
    { name: 'Dockerfile', text: copyAll },
    { name: 'a', text: 'a', uid: 5, mtime: 1_100_000_000 },
  ])
  const served: Readonly<Record<string, Uint8Array>> = {
    '/context.tar': tar,
    '/context.tgz': Bun.gzipSync(new Uint8Array(tar)),
    '/Dockerfile': Buffer.from(copyAll),
  }
  beforeAll(() => {
    server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: (request) => {
        const { pathname } = new URL(request.url)
        const body = served[pathname]
        const etag = `"${pathname}"`
        const isSame = request.headers.get('if-none-match') === etag
        requests.push(isSame ? `${pathname} 304` : pathname)
        if (isSame) return new Response(null, { status: 304 })
        return body === undefined
          ? new Response('no', { status: 404 })
          : new Response(new Uint8Array(body), { headers: { ETag: etag } })
      },
    })
  })
  beforeEach(() => void (requests = []))
  afterAll(async () => {
    await server.stop(true)
  })
  const url = (path: string): string => `http://127.0.0.1:${server.port}${path}`

  test('is an archive, which is fetched once', async () => {
    for (const path of ['/context.tar', '/context.tgz'])
      expect(await files({ from: url(path) })).toMatchObject({ '/a': 'file 644 5:0 "a"' })
    expect(requests).toEqual(['/context.tar', '/context.tgz'])
    expect((await bench.buildFile(undefined, { from: url('/context.tgz') })).shown[0]).toMatchObject({ cached: true })
    expect(requests.at(-1)).toBe('/context.tgz 304')
  })

  test('is a Dockerfile and all there is where it is no archive', async () => {
    const context = 'file 600 0:0 "FROM scratch\\nCOPY . /\\n"'
    expect(await files({ from: url('/Dockerfile') })).toEqual({ '/context': context })
  })

  test('gives the Dockerfile to another context with -f', async () => {
    bench.file('a', 'a')
    expect(Object.keys(await files({ file: url('/Dockerfile') }))).toEqual(['/a'])
    bench.file('local', 'FROM scratch\nCOPY a /from-url\n')
    expect(Object.keys(await files({ from: url('/context.tar'), file: `${bench.context}/local` }))).toEqual([
      '/from-url',
    ])
    const stdin = Buffer.from('FROM scratch\nCOPY a /from-stdin\n')
    expect(Object.keys(await files({ from: url('/context.tar'), file: '-', stdin }))).toEqual(['/from-stdin'])
  })

  test('dates the image with SOURCE_DATE_EPOCH=context', async () => {
    const { config } = await bench.buildFile(undefined, {
      from: url('/context.tar'),
      args: { SOURCE_DATE_EPOCH: 'context' },
    })
    expect(config.created).toBe('2004-11-09T11:33:20Z')
  })

  test('fails with what the server says', async () => {
    expect((await failure({ from: url('/none') })).message).toContain('invalid response status 404')
    expect((await failure({ file: url('/none') })).message).toContain('invalid response status 404')
    expect((await failure({ from: url('/context.tar'), file: 'none' })).code).toBe('DOCKERFILE_UNKNOWN')
  })
})

describe.skipIf(!hasGit)('a git repository as build context', () => {
  let server: GitServer
  beforeAll(() => {
    server = new GitServer()
    server.create('repo', {
      Dockerfile: copyAll,
      '.dockerignore': '*',
      'run*': 'run',
      link: '-> /etc/passwd',
      'sub/Dockerfile': 'FROM scratch\nCOPY . /sub/\n',
      'sub/other': 'FROM scratch\nCOPY other /\n',
    })
    server.git('repo', 'tag', 'v1')
    server.commit('repo', { 'sub/other': null, run: 'newer' })
  })
  afterAll(() => server.stop())

  test('gives the files of the commit, owned by root, without regard to its ignore file', async () => {
    expect(await files({ from: server.url('repo') })).toEqual({
      '/.dockerignore': 'file 644 0:0 "*"',
      '/Dockerfile': 'file 644 0:0 "FROM scratch\\nCOPY . /\\n"',
      '/link': 'symlink -> /etc/passwd',
      '/run': 'file 755 0:0 "newer"',
      '/sub': 'dir 755 0:0',
      '/sub/Dockerfile': 'file 644 0:0 "FROM scratch\\nCOPY . /sub/\\n"',
    })
  })

  test('is taken at a ref and below a directory, in both forms', async () => {
    const names = ['/sub', '/sub/Dockerfile', '/sub/other']
    expect(Object.keys(await files({ from: `${server.url('repo')}#v1:sub` }))).toEqual(names)
    expect(Object.keys(await files({ from: `${server.url('repo')}?tag=v1&subdir=sub` }))).toEqual(names)
    expect(Object.keys(await files({ from: `${server.url('repo')}#v1:sub`, file: 'other' }))).toEqual(['/other'])
    expect((await failure({ from: `${server.url('repo')}#:none` })).message).toContain('invalid subdir none')
    expect((await failure({ from: `${server.url('repo')}#none` })).message).toContain('does not contain ref none')
  })

  test('leaves .git out unless it is asked for', async () => {
    const git = async (options: BenchOptions) => '/.git/HEAD' in (await files(options))
    expect(await git({ from: server.url('repo') })).toBe(false)
    expect(await git({ from: server.url('repo'), args: { BUILDKIT_CONTEXT_KEEP_GIT_DIR: '1' } })).toBe(true)
    expect(await git({ from: `${server.url('repo')}?keep-git-dir=true` })).toBe(true)
  })

  test('takes steps from the cache and dates the image by its commit', async () => {
    const options = { from: server.url('repo'), args: { SOURCE_DATE_EPOCH: 'context' } }
    const { imageId, config } = await bench.buildFile(undefined, options)
    expect(config.created).toBe('2002-03-04T05:06:07Z')
    const again = await bench.buildFile(undefined, options)
    expect(again.imageId).toBe(imageId)
    expect(again.shown[0]).toMatchObject({ cached: true })
  })
})
