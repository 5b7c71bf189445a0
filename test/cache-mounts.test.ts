import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { BuildBench, type Ended } from './fixtures/build-bench.ts'
import { cairnProgram } from './fixtures/suite.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

let bench: BuildBench
beforeAll(async () => {
  bench = await BuildBench.open()
})
afterAll(() => bench[Symbol.dispose]())

/** What the last step of a build of these lines writes. */
async function output(...lines: string[]): Promise<string> {
  const { shown } = await bench.build(`FROM busybox\n${lines.join('\n')}\n`, { noCache: true })
  return shown.at(-1)?.log ?? ''
}

async function cache(...args: string[]): Promise<Ended> {
  bench.closeStore()
  return await bench.cairn(['cache', ...args])
}

/** As {@link cache}; the command must succeed. */
async function cacheOutput(...args: string[]): Promise<string> {
  const { status, out, err } = await cache(...args)
  expect({ args, status, err }).toEqual({ args, status: 0, err: '' })
  return out
}

const pathOf = (name: string): string => `${bench.directory}/${name}`

/** Runs a program of this machine; it must succeed. */
function ran(...command: string[]): string {
  const { success, stdout, stderr } = Bun.spawnSync(command)
  if (!success) throw new Error(stderr.toString())
  return stdout.toString()
}

describe('a cache mount', () => {
  test('is known by its id, its owner and its mode, as with BuildKit', async () => {
    const mount = (options: string): string => `RUN --mount=type=cache,target=/c,id=known${options}`
    const lines = [
      `${mount('')} touch /c/plain`,
      `${mount(',mode=0755')} ls /c`,
      `${mount(',uid=3')} stat -c '%a %u:%g' /c; ls /c; touch /c/three`,
      `${mount(',uid=3,mode=0700')} stat -c '%a %u:%g' /c; ls /c`,
      `RUN --mount=type=cache,target=/known ls /known`,
    ]
    const { shown } = await bench.build(`FROM busybox\n${lines.join('\n')}\n`, { noCache: true })
    expect(shown.slice(-5).map(({ log }) => log)).toEqual(['', 'plain\n', '755 3:0\n', '700 3:0\n', ''])
  })

  test('has an id of its own in a namespace', async () => {
    const line = 'RUN --mount=type=cache,target=/ns ls /ns; touch /ns/f'
    const build = async (namespace: string): Promise<string | undefined> => {
      const args = namespace === '' ? {} : { BUILDKIT_CACHE_MOUNT_NS: namespace }
      return (await bench.build(`FROM busybox\n${line}\n`, { noCache: true, args })).shown.at(-1)?.log
    }
    expect([await build(''), await build('team'), await build('team'), await build('')]).toEqual(['', '', 'f\n', 'f\n'])
    const ids = (await cacheOutput('ls', '--format', '{{.ID}}')).split('\n')
    expect(ids).toContain('/ns')
    expect(ids).toContain('team//ns')
  })

  test('that is mounted twice in a step is one directory, whatever its sharing', async () => {
    const twice = (sharing: string): string =>
      ['/a', '/b'].map((target) => `--mount=type=cache,id=twice,sharing=${sharing},target=${target}`).join(' ')
    for (const sharing of ['shared', 'private', 'locked'])
      expect(await output(`RUN ${twice(sharing)} echo ${sharing} > /a/f; cat /b/f`)).toBe(`${sharing}\n`)
  })

  test('that begins with files of a stage begins anew when these change', async () => {
    const source = (text: string): string => `FROM busybox AS seed
RUN mkdir /d && echo ${text} > /d/f
FROM busybox
RUN --mount=type=cache,id=seeds,from=seed,source=/d,target=/c cat /c/*; echo more > /c/g
`
    const build = async (text: string): Promise<string | undefined> =>
      (await bench.build(source(text), { noCache: true })).shown.at(-1)?.log
    expect([await build('one'), await build('one'), await build('two')]).toEqual(['one\n', 'one\nmore\n', 'two\n'])
  })

  test('with a source but nothing that it is a part of is an error', async () => {
    const error = await bench.failure('FROM busybox\nRUN --mount=type=cache,target=/c,source=/a true\n')
    expect(error.message).toBe('open /a: no such file or directory')
  })

  test('that is read-only cannot be written and sees what others wrote', async () => {
    await output('RUN --mount=type=cache,id=ro,target=/c touch /c/f')
    const text = await output('RUN --mount=type=cache,id=ro,target=/c,ro ls /c; touch /c/g 2>&1 || true')
    expect(text).toMatch(/^f\n.*Read-only file system/)
  })

  test('is not touched by --no-cache and not part of the key', async () => {
    const source = 'FROM busybox\nRUN --mount=type=cache,id=kept,target=/c echo x >> /c/n; wc -l < /c/n\n'
    await bench.build(source)
    expect((await bench.build(source)).shown.at(-1)?.cached).toBe(true)
    expect((await bench.build(source, { noCache: true })).shown.at(-1)?.log).toBe('2\n')
    const moved = source.replace('id=kept', 'id=other')
    expect((await bench.build(moved)).shown.at(-1)?.cached).toBe(true)
  })

  test('is shared by steps at once; a private one is not, and waits for nobody', async () => {
    const waits = 'for i in $(seq 400); do test -e /c/$2 && break; sleep 0.02; done; test -e /c/$2'
    const step = (own: string, other: string, sharing: string): string =>
      `RUN --mount=type=cache,id=at-once-${sharing},sharing=${sharing},target=/c set -- ${own} ${other}; touch /c/$1; ${waits}; touch /$1`
    const build = async (sharing: string): Promise<unknown> =>
      await bench.build(
        `FROM busybox AS a\n${step('one', 'two', sharing)}\nFROM busybox AS b\n${step('two', 'one', sharing)}\n
FROM scratch\nCOPY --from=a /one /\nCOPY --from=b /two /\n`,
      )
    await build('shared')
    await bench.build(`FROM busybox AS a
RUN --mount=type=cache,id=own,sharing=private,target=/c touch /c/a; sleep 0.7; ls /c > /a
FROM busybox AS b
RUN --mount=type=cache,id=own,sharing=private,target=/c sleep 0.3; touch /c/b; sleep 0.4; ls /c > /b
FROM scratch
COPY --from=a /a /
COPY --from=b /b /
`)
    const copies = (await cacheOutput('ls', '--filter', 'id=own', '-q')).trim().split('\n')
    expect(copies).toHaveLength(2)
  })

  test('two of which two steps lock in another order does not make them wait for each other', async () => {
    const mounts = (ids: readonly string[]): string =>
      ids.map((id) => `--mount=type=cache,id=lock-${id},sharing=locked,target=/${id}`).join(' ')
    const stages = Array.from({ length: 4 }, (_, index) => {
      const ids = index % 2 === 0 ? ['x', 'y'] : ['y', 'x']
      return `FROM busybox AS s${index}\nRUN ${mounts(ids)} mkdir /x/busy && sleep 0.05 && rmdir /x/busy && touch /f${index}\n`
    })
    const copies = stages.map((_, index) => `COPY --from=s${index} /f${index} /`)
    const built = await bench.build(`${stages.join('')}FROM scratch\n${copies.join('\n')}\n`)
    expect(Object.keys(built.files)).toEqual(['/f0', '/f1', '/f2', '/f3'])
  })
})

describe('cairn cache', () => {
  test('ls shows ids, sizes, sharing and the build that used them last', async () => {
    await output(
      'RUN --mount=type=cache,id=shown,sharing=locked,uid=7,mode=0750,target=/c head -c 5000 /dev/zero > /c/f; ln /c/f /c/g',
    )
    // Blocks of the file, which counts once, of the directories and of the record.
    const format = '{{.ID}} {{.Size}} {{.Sharing}} {{.Owner}} {{.Mode}} {{.InUse}} {{.UsedBy}}'
    const shown = await cacheOutput('ls', '--no-trunc', '--filter', 'id=shown', '--format', format)
    expect(shown).toEndWith(`kB locked 7:0 0750 false Dockerfile in ${bench.context}\n`)
    expect(Number(/^shown ([\d.]+)kB/.exec(shown)?.[1])).toBeWithin(8, 25)
    expect(await cacheOutput('ls', '--filter', 'id=shown')).toMatch(
      /^NAME +ID +SIZE +SHARING +LAST USED +USED BY\n[0-9a-f]{12} +shown +[\d.]+kB +locked +\S/,
    )
    expect(await cacheOutput('ls', '--filter', 'until=1h', '-q')).toBe('')
    expect((await cache('ls', '--filter', 'color=red')).err).toContain("invalid filter 'color'")
  })

  test('rm and prune leave what a build uses, and say so', async () => {
    await output('RUN --mount=type=cache,id=idle,target=/c touch /c/f')
    bench.file('Dockerfile', 'FROM busybox\nRUN --mount=type=cache,id=busy,target=/c echo started; sleep 1000\n')
    bench.closeStore()
    const build = bench.spawn(['build', '--progress=plain', bench.context])
    try {
      for await (const bytes of build.stderr) if (new TextDecoder().decode(bytes).includes('started\n')) break
      expect(await cacheOutput('ls', '--filter', 'id=busy', '--format', '{{.InUse}}')).toBe('true\n')
      const removal = await cache('rm', 'busy', 'idle', 'nothing')
      expect(removal).toMatchObject({ status: 1, out: 'idle\n' })
      expect(removal.err).toMatch(/the cache mount busy \([0-9a-f]{12}\) is in use\n.*\n.*no such cache mount: nothing/)
      await output('RUN --mount=type=cache,id=idle,target=/c true')
      expect(await cacheOutput('prune', '-f', '--filter', 'id=busy', '--filter', 'id=idle')).toMatch(
        /^Deleted cache mounts:\n[0-9a-f]{32} idle\n\nTotal reclaimed space: \d[\d.]*k?B\n$/,
      )
      expect(await cacheOutput('ls', '--format', '{{.ID}}')).toContain('busy\n')
    } finally {
      build.kill('SIGINT')
      await build.exited
    }
    expect(await cacheOutput('rm', 'busy')).toBe('busy\n')
  })

  test('prune asks first; cache mounts are records of the build cache, as docker has them', async () => {
    await output('RUN --mount=type=cache,id=asked,target=/c touch /c/f')
    bench.closeStore()
    const refused = await bench.cairn(['cache', 'prune'], { stdin: 'n\n' })
    expect(refused.out).toContain('WARNING! This will remove all cache mounts that no build is using.')
    const list = async (): Promise<string> =>
      (await bench.cairn(['builder', 'du', '--filter', 'type=exec.cachemount', '--format', '{{.Description}}'])).out
    expect(await list()).toContain('cached mount with id "asked"')
    const others = ['builder', 'prune', '-af', '--filter', 'type=regular', '--filter', 'type=source.local']
    expect((await bench.cairn(others)).status).toBe(0)
    expect(await list()).toContain('cached mount with id "asked"')
    const pruned = await bench.cairn(['builder', 'prune', '-f', '--filter', 'type=exec.cachemount'])
    expect(pruned.out).toMatch(/^ID\t.*\n(?:\w{25}\* .*\n)+Total:\t[1-9]/)
    expect(await cacheOutput('ls', '-q')).toBe('')
    await output('RUN --mount=type=cache,id=asked,target=/c touch /c/g')
    bench.closeStore()
    expect((await bench.cairn(['builder', 'prune', '-f'])).status).toBe(0)
    expect(await list()).toBe('')
  })

  test('rm wants a name where an id or the start of a name is not enough for one, export too', async () => {
    await output('RUN --mount=type=cache,id=many,target=/a --mount=type=cache,id=many,uid=1,target=/b touch /a/a /b/b')
    const names = (await cacheOutput('ls', '-q', '--no-trunc', '--filter', 'id=many')).trim().split('\n')
    const ambiguous = await cache('export', 'many', '-o', pathOf('many.tar'))
    expect(ambiguous.status).toBe(1)
    for (const name of names) expect(ambiguous.err).toContain(name)
    await cacheOutput('export', names[0]?.slice(0, 12) ?? '', '-o', pathOf('many.tar'))
    expect(await cacheOutput('rm', names[0]?.slice(0, 8) ?? '')).toBe(`${names[0]?.slice(0, 8)}\n`)
    expect(await cacheOutput('rm', 'many')).toBe('many\n')
    expect((await cache('rm', 'many')).status).toBe(1)
  })
})

describe('cairn cache export and import', () => {
  test('carry a cache to another store: same files, same bytes', async () => {
    const options = 'id=carried,uid=1000,gid=100,mode=0770'
    const make =
      'mkdir -p /c/d/e && echo text > /c/d/f && ln /c/d/f /c/hard && ln -s d/f /c/soft && chmod 4711 /c/d/f && mkfifo /c/fifo && chown 5:6 /c/d && touch -d @978307200 /c/d/f'
    await output(`RUN --mount=type=cache,${options},target=/c ${make}`)
    const file = pathOf('carried.tar')
    await cacheOutput('export', '-o', file, 'carried')
    using other = await BuildBench.open()
    other.closeStore()
    ran('gzip', '-k', file)
    const imported = await other.cairn(['cache', 'import', 'carried', `${file}.gz`])
    expect(imported).toMatchObject({ status: 0, err: '' })
    const again = await other.cairn(['cache', 'export', 'carried', '-o', pathOf('again.tar')])
    expect(again.status).toBe(0)
    expect(readFileSync(pathOf('again.tar')).equals(readFileSync(file))).toBe(true)
    const list = "find /c | sort | xargs stat -c '%n %F %a %u:%g %h %Y' | grep -v '^/c dir'; stat -c '%a %u:%g' /c"
    const seen = `RUN --mount=type=cache,${options},target=/c ${list}`
    const { shown } = await other.build(`FROM busybox\n${seen}\n`)
    expect(shown.at(-1)?.log).toBe(await output(seen))
    expect(shown.at(-1)?.log).toContain('/c/d/f regular file 4711 0:0 2 978307200\n')
  })

  test('import takes the place of what was there, from standard input, for the owner it is told', async () => {
    const source = pathOf('deps')
    mkdirSync(source, { recursive: true })
    writeFileSync(`${source}/new`, 'new')
    const line = 'RUN --mount=type=cache,id=deps,uid=42,mode=0711,target=/c'
    await output(`${line} touch /c/old`)
    ran('tar', '-C', source, '-cf', pathOf('deps.tar'), 'new')
    bench.closeStore()
    const argv = ['cache', 'import', '--uid', '42', '--gid=0', '--mode', '0711', 'deps']
    const child = Bun.spawn(['sh', '-c', 'exec "$@" < deps.tar', 'sh', ...cairnProgram, ...argv], {
      cwd: bench.directory,
      env: { PATH: process.env['PATH'], HOME: bench.directory, CAIRN_ROOT: bench.root },
      stdout: 'ignore',
    })
    expect(await child.exited).toBe(0)
    expect(await output(`${line} ls /c; stat -c '%a %u:%g' /c`)).toBe('new\n711 42:0\n')
  })

  test.each([
    ['a name that leads out', (dir: string) => ran('tar', '-C', dir, '-cPf', `${dir}/x.tar`, '../outside')],
    ['an absolute name', (dir: string) => ran('tar', '-C', dir, '-cPf', `${dir}/x.tar`, pathOf('outside'))],
    [
      'a file through a symlink',
      (dir: string) => {
        symlinkSync(bench.directory, `${dir}/link`)
        ran('tar', '-C', dir, '-cf', `${dir}/x.tar`, 'link')
        ran('tar', '-C', dir, '-rf', `${dir}/x.tar`, '--transform=s,^,link/,', 'planted')
      },
    ],
    ['no archive', (dir: string) => writeFileSync(`${dir}/x.tar`, 'this is no archive at all')],
    ['nothing', (dir: string) => writeFileSync(`${dir}/x.tar`, '')],
    [
      'half an archive',
      (dir: string) => {
        ran('tar', '-C', dir, '-cf', `${dir}/whole.tar`, 'planted')
        writeFileSync(`${dir}/x.tar`, readFileSync(`${dir}/whole.tar`).subarray(0, 1024))
      },
    ],
  ])('import of %s stays inside and leaves the cache as it was, or makes it whole', async (name, make) => {
    const dir = pathOf(`hostile-${name.replaceAll(' ', '-')}`)
    mkdirSync(dir)
    writeFileSync(`${dir}/planted`, 'planted')
    writeFileSync(pathOf('outside'), 'outside')
    await output('RUN --mount=type=cache,id=safe,target=/c rm -rf /c/*; touch /c/before')
    make(dir)
    const { status, err } = await cache('import', 'safe', `${dir}/x.tar`)
    expect(readFileSync(pathOf('outside'), 'utf8')).toBe('outside')
    expect(existsSync(pathOf('planted'))).toBe(false)
    if (status !== 0) {
      expect(err).not.toContain('internal error')
      expect(await output('RUN --mount=type=cache,id=safe,target=/c ls /c')).toBe('before\n')
    }
    bench.closeStore()
    expect(readdirSync(`${bench.root}/tmp`)).toEqual([])
    // What was taken in is inside.
    if (status === 0) expect(['a file through a symlink', 'an absolute name', 'a name that leads out']).toContain(name)
  })

  test('export does not write to a terminal, and leaves no file of a cache that is not there', async () => {
    const { status, err } = await cache('export', 'nobody', '-o', pathOf('nobody.tar'))
    expect(status).toBe(1)
    expect(err).toContain('no such cache mount: nobody')
    expect(existsSync(pathOf('nobody.tar'))).toBe(false)
  })
})
