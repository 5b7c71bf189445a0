import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { parseNamedContexts } from '../src/engine/build/named-context-flags.ts'
import { CairnError } from '../src/errors/error.ts'
import { findByName } from '../src/images/records/resolve-image.ts'
import { parseReference } from '../src/oci/reference.ts'
import { type BenchOptions, BuildBench, type Listing } from './fixtures/build-bench.ts'
import { GitServer, hasGit } from './fixtures/git-server.ts'
import { tarArchive } from './fixtures/tar-archive.ts'

let bench: BuildBench
let lib: string
beforeAll(async () => {
  bench = await BuildBench.open()
  await bench.importBase('other', ['ENV OTHER=1', 'CMD ["other"]'])
})
afterAll(() => bench[Symbol.dispose]())
beforeEach(() => {
  rmSync(bench.context, { recursive: true })
  mkdirSync(bench.context, { mode: 0o755 })
  lib = bench.dir('lib')
  bench.file('lib/a', 'a')
  bench.file('lib/sub/b', 'b')
  bench.file('.dockerignore', 'lib')
})

async function files(dockerfile: string, contexts: readonly string[], options: BenchOptions = {}): Promise<Listing> {
  return (await bench.build(dockerfile, { contexts, ...options })).files
}

async function message(dockerfile: string, contexts: readonly string[]): Promise<string> {
  return (await bench.failure(dockerfile, { contexts })).message
}

describe('--build-context with a directory', () => {
  test('is read by COPY --from and by mounts, with its own ignore file', async () => {
    bench.file('lib/.dockerignore', 'sub\n')
    expect(await files('FROM scratch\nCOPY --from=lib / /d/\nCOPY --from=lib a /e\n', [`lib=${lib}`])).toEqual({
      '/d': 'dir 755 0:0',
      '/d/.dockerignore': 'file 644 0:0 "sub\\n"',
      '/d/a': 'file 644 0:0 "a"',
      '/e': 'file 644 0:0 "a"',
    })
    const mounted = 'FROM busybox\nRUN --mount=from=lib,target=/x ls /x > /out\n'
    expect(await files(mounted, [`lib=${lib}`])).toEqual({ '/out': 'file 644 0:0 "a\\n"' })
    const seeded = 'FROM busybox\nRUN --mount=type=cache,id=seeded,from=lib,target=/x cat /x/a > /out\n'
    expect(await files(seeded, [`lib=${lib}`])).toEqual({ '/out': 'file 644 0:0 "a"' })
  })

  test('counts in the cache by its content', async () => {
    const dockerfile = 'FROM scratch\nCOPY --from=lib . /d/\n'
    const step = async () => (await bench.build(dockerfile, { contexts: [`lib=${lib}`] })).shown[0]
    await step()
    utimesSync(`${lib}/a`, 1, 1)
    expect(await step()).toMatchObject({ cached: true })
    bench.file('lib/a', 'changed')
    expect(await step()).toMatchObject({ cached: false, reason: 'a changed' })
  })

  test('becomes the base of a stage', async () => {
    const built = await bench.build('FROM lib AS s\nWORKDIR /w\nFROM s\nCMD ["x"]\n', { contexts: [`lib=${lib}`] })
    expect(built.files).toEqual({
      '/a': 'file 644 0:0 "a"',
      '/sub': 'dir 755 0:0',
      '/sub/b': 'file 644 0:0 "b"',
      '/w': 'dir 755 0:0',
    })
    expect(built.shown.map(({ title }) => title)).toEqual(['[context lib] load from client', '[s 1/2] WORKDIR /w'])
    expect(built.config.history?.length).toBe(3)
    expect(built.config.config).toMatchObject({ WorkingDir: '/w', Cmd: ['x'] })
  })

  test('takes the place of a stage, whose instructions are not run', async () => {
    const dockerfile = 'FROM none AS dep\nRUN false\nFROM busybox\nCOPY --from=dep a /\nCOPY --from=0 sub /sub/\n'
    expect(await files(dockerfile, [`dep=${lib}`])).toEqual({
      '/a': 'file 644 0:0 "a"',
      '/sub': 'dir 755 0:0',
      '/sub/b': 'file 644 0:0 "b"',
    })
    expect(
      Object.keys(await files('FROM none AS dep\nRUN false\nFROM dep\nCOPY Dockerfile /\n', [`dep=${lib}`])),
    ).toEqual(['/Dockerfile', '/a', '/sub', '/sub/b'])
    expect(Object.keys(await files('FROM none AS dep\nRUN false\n', [`dep=${lib}`], { target: 'dep' }))).toEqual([
      '/a',
      '/sub',
      '/sub/b',
    ])
  })

  test('may be an archive', async () => {
    const path = bench.file('lib.tar', tarArchive([{ name: 'a', text: 'tar', uid: 5 }]))
    expect(await files('FROM scratch\nCOPY --from=lib . /\n', [`lib=${path}`])).toEqual({ '/a': 'file 644 5:0 "tar"' })
  })
})

describe('--build-context with an image', () => {
  const own = async (dockerfile: string, contexts: readonly string[], options: BenchOptions = {}) => {
    const { config } = await bench.build(dockerfile, { contexts, ...options })
    return config.config?.Env?.includes('OTHER=1') === true
  }

  test('takes the place of an image under any of its names', async () => {
    for (const name of ['busybox', 'busybox:latest', 'docker.io/library/busybox', 'docker.io/library/busybox:latest']) {
      expect(await own('FROM busybox\n', [`${name}=docker-image://other`])).toBe(true)
      expect(await own('FROM docker.io/busybox:latest\n', [`${name}=docker-image://other`])).toBe(true)
      expect(await own('FROM busybox:1\n', [`${name}=docker-image://other`, 'busybox:1=docker-image://busybox'])).toBe(
        false,
      )
    }
    expect(await own('FROM busybox\n', ['busybox=docker-image://busybox', 'busybox=docker-image://other'])).toBe(true)
  })

  test('takes the place of a stage before that, and of an image that a stage is named like after the stage', async () => {
    const stage = 'FROM busybox AS base\nRUN false\nFROM base\n'
    expect(await own(stage, ['base=docker-image://other'])).toBe(true)
    // The stage that is called busybox comes before the context of that name where it is not replaced itself.
    const hidden = 'FROM scratch AS other\nCOPY Dockerfile /\nFROM other\n'
    expect(await own(hidden, ['elsewhere=docker-image://other'])).toBe(false)
  })

  test('is read by COPY --from and by mounts', async () => {
    const dockerfile = 'FROM scratch\nCOPY --from=img /etc/passwd /p\n'
    expect(Object.keys(await files(dockerfile, ['img=docker-image://busybox']))).toEqual(['/p'])
    const { shown } = await bench.build('FROM img\nCOPY Dockerfile /\n', { contexts: ['img=docker-image://busybox'] })
    expect(shown.map(({ title }) => title)).toEqual(['[context img] busybox', '[1/2] COPY Dockerfile /'])
  })

  test('may be the empty one', async () => {
    const dockerfile = 'FROM busybox AS base\nRUN false\nFROM base\nCOPY Dockerfile /\n'
    for (const name of ['base', 'busybox']) {
      const text = name === 'base' ? dockerfile : dockerfile.replace('RUN false', 'LABEL a=b')
      expect(Object.keys(await files(text, [`${name}=docker-image://scratch`]))).toEqual(['/Dockerfile'])
    }
    const copied = await files('FROM scratch\nCOPY --from=none . /d/\n', ['none=docker-image://scratch'])
    expect(copied).toEqual({ '/d': 'dir 755 0:0' })
  })

  test('counts for one platform where it says so', async () => {
    const contexts = ['busybox::linux/arm64=docker-image://none', 'busybox::linux/x86_64=docker-image://other']
    expect(await own('FROM busybox\n', contexts, { platforms: [{ os: 'linux', architecture: 'amd64' }] })).toBe(true)
    const error = await bench.failure('FROM --platform=linux/arm64 busybox\n', { contexts })
    expect(error.message).toContain('none:latest')
  })

  test('does not touch scratch or the main context', async () => {
    const dockerfile = 'FROM scratch\nCOPY Dockerfile /\n'
    const contexts = [`scratch=${lib}`, `context=${lib}`]
    expect(Object.keys(await files(dockerfile, contexts))).toEqual(['/Dockerfile'])
  })
})

describe('--build-context with an OCI layout', () => {
  let layout: string
  let digest: string
  beforeEach(async () => {
    layout = `${bench.context}/layout`
    mkdirSync(layout)
    const saved = await bench.cairn(['save', '-o', `${layout}/save.tar`, 'other'])
    expect(saved.err).toBe('')
    Bun.spawnSync(['tar', '-C', layout, '-xf', `${layout}/save.tar`])
    const record = findByName(bench.store, parseReference('other:latest'))
    digest = record?.digest ?? ''
  })

  test('gives the image of a tag, a digest, or the only one, without recording it', async () => {
    for (const reference of [
      layout,
      `${layout}:latest`,
      `${layout}@${digest}`,
      `${layout}:latest@${digest}`,
      `${layout}:x`,
    ]) {
      const { config } = await bench.build('FROM base\n', { contexts: [`base=oci-layout://${reference}`] })
      expect(config.config?.Env).toContain('OTHER=1')
    }
    const copied = await files('FROM scratch\nCOPY --from=l /etc/passwd /p\n', [`l=oci-layout://${layout}`])
    expect(Object.keys(copied)).toEqual(['/p'])
    const env = { CAIRN_ROOT: `${bench.directory}/own` }
    bench.file('Dockerfile', 'FROM base\nRUN true\n')
    const argv = ['build', '-q', '-t', 'built', '--build-context', `base=oci-layout://${layout}`, '.']
    expect(await bench.cairn(argv, { env, cwd: bench.context })).toMatchObject({ status: 0, err: '' })
    expect((await bench.cairn(['images', '-a', '--format', '{{.Repository}}'], { env })).out).toBe('built\n')
    expect((await bench.cairn(['run', '--rm', 'built', 'sh', '-c', 'echo $OTHER'], { env })).out).toBe('1\n')
  })

  test('is checked: digests, what it has, its platform', async () => {
    const missing = digest.replace(/.$/, (last) => (last === '0' ? '1' : '0'))
    expect(await message('FROM base\n', [`base=oci-layout://${layout}@${missing}`])).toContain('could not be resolved')
    const contexts = [`base=oci-layout://${layout}`]
    expect(await message('FROM --platform=linux/arm64 base\n', contexts)).toContain('linux/arm64')
    const blob = `${layout}/blobs/${digest.replace(':', '/')}`
    const text = await Bun.file(blob).text()
    writeFileSync(blob, text.replace('"schemaVersion":2', '"schemaVersion": '))
    expect(await message('FROM base\n', contexts)).toContain(`blob ${digest}`)
  })
})

describe('--build-context with what has to be fetched', () => {
  test('fetches an archive or a file only when it is needed', async () => {
    let requests = 0
    using server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: (request) => {
        requests++
        return new URL(request.url).pathname === '/tar'
          ? new Response(new Uint8Array(tarArchive([{ name: 'a', text: 'a' }])))
          : new Response('text')
      },
    })
    const url = (path: string) => `lib=http://127.0.0.1:${server.port}${path}`
    await files('FROM scratch AS no\nCOPY --from=lib a /\nFROM scratch\nCOPY Dockerfile /\n', [url('/tar')])
    expect(requests).toBe(0)
    const dockerfile = 'FROM scratch\nCOPY --from=lib . /\n'
    expect(await files(dockerfile, [url('/tar')])).toEqual({ '/a': 'file 644 0:0 "a"' })
    expect(await files(dockerfile, [url('/text')])).toEqual({ '/context': 'file 600 0:0 "text"' })
  })

  test.skipIf(!hasGit)('checks a repository out', async () => {
    const server = new GitServer()
    try {
      server.create('repo', { 'sub/a': 'a' })
      const contexts = [`lib=${server.url('repo')}#main:sub`]
      expect(await files('FROM scratch\nCOPY --from=lib . /\n', contexts)).toEqual({ '/a': 'file 644 0:0 "a"' })
    } finally {
      await server.stop()
    }
  })

  test('tells in the Dockerfile where fetching failed', async () => {
    const error = await bench.failure('FROM scratch\n\nCOPY --from=lib . /\n', {
      contexts: ['lib=http://127.0.0.1:1/x'],
    })
    expect(error).toMatchObject({ code: 'NETWORK', message: expect.stringContaining('connection refused') as string })
  })
})

describe('parseNamedContexts()', () => {
  test.each([
    ['n', 'invalid context value: n, expected key=value'],
    ['=x', 'invalid context name : invalid reference format'],
    ['N N=/', 'invalid context name N N: invalid reference format: repository name (library/N N) must be lowercase'],
    [
      'n::x%y=/',
      'invalid context name n::x%y: "x%y" is an invalid component of "x%y": platform specifier component must match "^[A-Za-z0-9_.-]+$": invalid argument',
    ],
    ['n=', 'failed to get build context n: stat : no such file or directory'],
    ['n=./nope', 'failed to get build context n: stat ./nope: no such file or directory'],
    ['n=Dockerfile', 'failed to get build context path Dockerfile: not a directory'],
    ['n=target:x', 'failed to find target x for context n'],
    [
      'n=oci-layout://.:tag',
      'oci-layout reference "oci-layout://.:tag" could not be resolved: could not read ./index.json: no such file',
    ],
    ['n=https://h/x.git?what=1', 'unexpected query "what"'],
  ])('refuses %j', (text, expected) => {
    bench.file('Dockerfile', 'FROM scratch\n')
    expect(() => parseNamedContexts([text], bench.context)).toThrow(new CairnError('USAGE', expected))
  })

  test('takes the last of a name and passes over empty values', () => {
    const parsed = parseNamedContexts(['', 'n=docker-image://a', 'docker.io/library/n:latest=docker-image://b'], '/')
    expect([...parsed]).toEqual([['n', { kind: 'image', reference: 'b' }]])
  })
})

test('--build-context is a flag of build', async () => {
  bench.file('Dockerfile', 'FROM scratch\nCOPY --from=lib a /\n')
  const ended = await bench.cairn(['build', '-q', '--build-context', 'lib=lib', '.'], { cwd: bench.context })
  expect(ended).toMatchObject({ status: 0, err: '' })
  const wrong = await bench.cairn(['build', '--build-context', 'lib', '.'], { cwd: bench.context })
  expect(wrong.err).toContain('invalid context value: lib, expected key=value')
})
