import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { SecretSource } from '../src/build/build-secrets.ts'
import { isCairnError } from '../src/errors/error.ts'
import { BuildBench, contentOf, type ShownStep } from './fixtures/build-bench.ts'

let bench: BuildBench
beforeAll(async () => {
  bench = await BuildBench.open()
})
afterAll(() => bench[Symbol.dispose]())

/** Paths of the topmost layer's own archive, `.wh.` files as `-path`. */
function topLayer(diffIds: readonly string[]): string[] {
  const layer = bench.layer(diffIds.at(-1) as never)
  const paths: string[] = []
  const visit = (directory: string): void => {
    for (const name of layer.whiteouts(directory === '' ? '/' : directory)) paths.push(`-${directory}/${name}`)
    for (const name of layer.list(directory === '' ? '/' : directory)) {
      const path = `${directory}/${name}`
      const entry = layer.lookup(path)
      if (entry === undefined) continue
      paths.push(path)
      if (entry.type === 'directory') visit(path)
    }
  }
  visit('')
  return paths.sort()
}

async function layerOf(...lines: string[]): Promise<string[]> {
  return topLayer((await bench.build(`FROM busybox\n${lines.join('\n')}\n`)).config.rootfs.diff_ids)
}

/** What is in the directories that a build must leave as they were. */
function leftovers(): string[] {
  bench.closeStore()
  return ['tmp', 'locks', 'builds/run'].flatMap((area) => {
    try {
      return readdirSync(`${bench.root}/${area}`, { recursive: true, encoding: 'utf8' })
        .map((name) => `${area}/${name}`)
        .filter((path) => !/^builds\/run\/(seccomp|crun-version|\d+)(\/|$)/.test(path))
    } catch {
      return []
    }
  })
}

const mountsBelow = (path: string): string[] =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(path))

describe('RUN and its layer', () => {
  test('holds only what the command changed', async () => {
    expect(await layerOf('RUN true')).toEqual([])
    expect(await layerOf('RUN touch /new && mkdir /dir && echo x > /dir/x')).toEqual(['/dir', '/dir/x', '/new'])
    expect(await layerOf('RUN chmod 600 /etc/passwd')).toEqual(['/etc', '/etc/passwd'])
    expect(await layerOf('RUN touch /tmp/a && rm /tmp/a && cat /etc/passwd > /dev/null')).toEqual(['/tmp'])
  })

  test('holds nothing of mount points, of /etc/resolv.conf and hosts, of /proc, /sys and /dev', async () => {
    bench.file('f', 'f')
    const secrets = new Map<string, SecretSource>([['s', { from: 'env', value: 'hush' }]])
    const mounts = [
      '--mount=type=bind,source=f,target=/new/bind/f',
      '--mount=type=cache,target=/new/cache',
      '--mount=type=tmpfs,target=/new/tmpfs',
      '--mount=type=secret,id=s',
      '--mount=type=secret,id=s,target=/opt/app/secret',
    ].join(' ')
    const command =
      'cat /new/bind/f /etc/resolv.conf /etc/hosts /run/secrets/s /opt/app/secret >/dev/null && touch /new/cache/x /new/tmpfs/x /dev/shm/x'
    const source = `FROM busybox\nRUN ${mounts} ${command}\n`
    const run = { secrets, shmSize: undefined, packLayer: undefined }
    const built = await bench.build(source, { run })
    expect(topLayer(built.config.rootfs.diff_ids)).toEqual([])
    expect(built.files).toEqual({})
  })

  test('holds what was written beside mount points that it lacked', async () => {
    expect(await layerOf('RUN --mount=type=tmpfs,target=/new/tmpfs touch /new/beside')).toEqual(['/new', '/new/beside'])
  })

  test('marks what was removed, and directories that were made again as opaque', async () => {
    const before = 'RUN mkdir -p /d/s && touch /d/a /d/s/b /f'
    expect(await layerOf(before, 'RUN rm /d/a')).toEqual(['-/d/a', '/d'])
    expect(await layerOf(before, 'RUN rm -r /d')).toEqual(['-/d'])
    const again = await bench.build(`FROM busybox\n${before}\nRUN rm -r /d && mkdir /d && touch /d/new\n`)
    expect(again.files).toEqual({ '/d': 'dir 755 0:0', '/d/new': 'file 644 0:0 ""', '/f': 'file 644 0:0 ""' })
    expect(bench.layer(again.config.rootfs.diff_ids.at(-1) as never).hides('/d/a')).toBe(true)
    expect(await layerOf(before, 'RUN rm /f && mkdir /f && touch /f/x')).toEqual(['/f', '/f/x'])
  })

  test('shows the steps that follow what it removed, made by COPY or by RUN', async () => {
    bench.file('tree/a', 'a')
    bench.file('tree/b', 'b')
    const { files } = await bench.build(`FROM busybox
COPY tree /t
RUN rm /t/a && rm -r /var && mkdir /t/sub
COPY tree/a /var
RUN test ! -e /t/a && test -f /var && rm -r /t && mkdir /t
COPY tree/b /t/
`)
    expect(files).toMatchObject({
      '/t': 'dir 755 0:0',
      '/t/b': 'file 644 0:0 "b"',
      '/var': 'file 644 0:0 "a"',
      '/var/tmp': 'gone',
    })
    expect(Object.keys(files).filter((path) => path.startsWith('/t/'))).toEqual(['/t/b'])
  })

  test('runs on an image that has a layer twice', async () => {
    const { files } = await bench.build(
      'FROM busybox\nWORKDIR /w\nWORKDIR /w\nRUN rm -r /w && touch /mark\nWORKDIR /w\nRUN pwd > at\n',
    )
    expect(files).toMatchObject({ '/w': 'dir 755 0:0', '/w/at': 'file 644 0:0 "/w\\n"' })
  })

  test('runs on sixty layers of its own', async () => {
    const lines = Array.from({ length: 60 }, (_, index) => `COPY f /layers/${index}`)
    bench.file('f', 'f')
    const { files } = await bench.build(`FROM busybox\n${lines.join('\n')}\nRUN ls /layers | wc -l > /count\n`)
    expect(files['/count']).toBe('file 644 0:0 "60\\n"')
  })
})

describe('RUN and its surroundings', () => {
  async function output(lines: string, options: Parameters<BuildBench['build']>[1] = {}): Promise<string> {
    const { shown } = await bench.build(`FROM busybox\n${lines}\n`, { noCache: true, ...options })
    return shown.at(-1)?.log ?? ''
  }

  test('has the environment of the stage and nothing of ours', async () => {
    process.env['CAIRN_TEST_LEAK'] = 'leak'
    try {
      const env = await output('ENV A=1\nARG B=2\nRUN env')
      expect(env.split('\n').sort().filter(Boolean)).toEqual([
        'A=1',
        'B=2',
        'HOME=/root',
        'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        'PWD=/',
        'SHLVL=1',
      ])
    } finally {
      delete process.env['CAIRN_TEST_LEAK']
    }
  })

  test('reads no stdin and has no terminal', async () => {
    expect(await output('RUN cat; test -t 0 || echo none')).toBe('none\n')
  })

  test('has only the loopback with --network=none', async () => {
    expect(await output('RUN --network=none ls /sys/class/net')).toBe('lo\n')
  })

  test('knows the hosts of --add-host', async () => {
    const run = { secrets: new Map<string, SecretSource>(), shmSize: 1024 * 1024, packLayer: undefined }
    const extraHosts = [{ name: 'db.test', address: '10.1.2.3' }]
    expect(await output('RUN --network=none cat /etc/hosts')).toBe(
      '127.0.0.1\tlocalhost buildkitsandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n',
    )
    const text = await output("RUN grep db.test /etc/hosts; df -k /dev/shm | tail -1 | awk '{print $2}'", {
      run,
      extraHosts,
    })
    expect(text).toMatch(/^10\.1\.2\.3\s+db\.test\n1024\n$/)
  })

  test('runs with the capabilities of a container only', async () => {
    const text = await output(
      'RUN mount -t tmpfs t /mnt 2>&1; mknod /tmp/null c 1 3 && (echo x > /tmp/null) 2>&1; true',
    )
    expect(text).toMatch(/mount: .*(permission denied|Operation not permitted)/i)
  })

  test('takes secrets as file and as variable, with mode and owner, and forgets them', async () => {
    writeFileSync(`${bench.directory}/secret`, 'from-the-file-5d1\n')
    const secrets = new Map<string, SecretSource>([
      ['file', { from: 'file', path: `${bench.directory}/secret` }],
      ['env', { from: 'env', value: 'from-the-env-5d1' }],
    ])
    const run = { secrets, shmSize: undefined, packLayer: undefined }
    const source = `FROM busybox
RUN --mount=type=secret,id=file,uid=5,gid=6,mode=0440 cat /run/secrets/file; stat -c '%a %u:%g' /run/secrets/file
RUN --mount=type=secret,id=env,env=TOKEN --mount=type=secret,id=env,target=/etc/token echo "$TOKEN"; cat /etc/token
`
    const { shown, files, config } = await bench.build(source, { run, noCache: true })
    expect(shown.slice(1).map(({ log }) => log)).toEqual([
      'from-the-file-5d1\n440 5:6\n',
      'from-the-env-5d1\nfrom-the-env-5d1',
    ])
    expect(files).toEqual({})
    expect(JSON.stringify(config)).not.toContain('5d1')
    bench.closeStore()
    const stored = Bun.spawnSync(['grep', '-rl', '-e', '-the-[a-z]*-5d1', bench.root])
    expect(stored.stdout.toString()).toBe('')
  })

  test('fills a cache once, whole before any step sees it', async () => {
    const stages = [1, 2, 3].map(
      (number) => `FROM busybox AS s${number}
RUN --mount=type=cache,target=/c,id=at-once,from=seed,source=/seed ls /c | wc -l > /n${number}`,
    )
    const copies = [1, 2, 3].map((number) => `COPY --from=s${number} /n${number} /`)
    const source = `FROM busybox AS seed
RUN mkdir /seed && for i in $(seq 300); do echo $i > /seed/$i; done
${stages.join('\n')}
FROM scratch
${copies.join('\n')}
`
    const { files } = await bench.build(source)
    expect(Object.values(files)).toEqual(Array(3).fill('file 644 0:0 "300\\n"') as string[])
  })

  test('fails without a secret that is required', async () => {
    const error = await bench.failure('FROM busybox\nRUN --mount=type=secret,id=s,required true\n')
    expect(error).toMatchObject({ message: 'secret s: not found', hint: 'Give it with --secret id=s,src=FILE.' })
  })

  test('loses what is written to bind mounts', async () => {
    bench.file('src/a', 'a')
    const source = `FROM busybox AS s
RUN mkdir /s && echo s > /s/s
FROM busybox
RUN --mount=source=src,target=/m,rw echo b > /m/a && cat /m/a
RUN --mount=from=s,source=/s,target=/m,rw echo b > /m/s && cat /m/s
RUN --mount=source=src,target=/m cat /m/a; touch /m/a 2>&1 || true
RUN --mount=from=s,source=/s,target=/m cat /m/s; touch /m/s 2>&1 || true
`
    const { shown } = await bench.build(source, { noCache: true })
    expect(shown.slice(2).map(({ log }) => log[0])).toEqual(['b', 'b', 'a', 's'])
    expect(shown.at(-1)?.log).toContain('Read-only file system')
    expect(shown.at(-2)?.log).toContain('Read-only file system')
    expect(readFileSync(`${bench.context}/src/a`, 'utf8')).toBe('a')
  })

  test('keeps cache mounts by id and owner between builds, and lets one build at a time into a locked one', async () => {
    const count = (id: string): string =>
      `FROM busybox\nRUN --mount=type=cache,target=/c,id=${id},sharing=locked echo x >> /c/n; wc -l < /c/n\n`
    const log = async (source: string): Promise<string | undefined> =>
      (await bench.build(source, { noCache: true })).shown.at(-1)?.log
    expect([await log(count('one')), await log(count('one')), await log(count('two'))]).toEqual(['1\n', '2\n', '1\n'])
    const source = `FROM busybox AS a
RUN --mount=type=cache,target=/c,id=l,sharing=locked mkdir /c/busy && sleep 0.2 && rmdir /c/busy
FROM busybox AS b
RUN --mount=type=cache,target=/c,id=l,sharing=locked mkdir /c/busy && sleep 0.2 && rmdir /c/busy && touch /b
FROM scratch
COPY --from=a /etc/passwd /
COPY --from=b /b /
`
    expect(Object.keys((await bench.build(source)).files)).toEqual(['/b', '/passwd'])
  })

  test('fills a new cache from its source', async () => {
    const source = `FROM busybox AS s
RUN mkdir /seed && echo seed > /seed/f
FROM busybox
RUN --mount=type=cache,target=/c,id=seeded,from=s,source=/seed,uid=7 cat /c/f; stat -c %u /c; echo more > /c/g
RUN --mount=type=cache,target=/c,id=seeded,from=s,source=/seed,uid=7 ls /c
`
    expect((await bench.build(source, { noCache: true })).shown.slice(2).map(({ log }) => log)).toEqual([
      // As with BuildKit the owner is that of the source.
      'seed\n0\n',
      'f\ng\n',
    ])
    const elsewhere = source.replaceAll('source=/seed,', 'source=/nothing,').replaceAll('seeded', 'other')
    const missing = await bench.failure(elsewhere, { noCache: true })
    expect(missing.message).toBe('open /nothing: no such file or directory')
  })

  test('keeps five megabytes of output complete and in order', async () => {
    const text = await output("RUN i=0; while [ $i -lt 40000 ]; do printf '%0124d\\n%0128d\\n' $i $i; i=$((i+2)); done")
    const lines = text.split('\n')
    expect(text.length).toBe(20_000 * (125 + 129))
    expect(lines.slice(0, -1).map(Number)).toEqual(Array.from({ length: 40_000 }, (_, line) => line - (line % 2)))
  })

  test('keeps stdout and stderr apart and both whole', async () => {
    const streams: string[] = []
    await bench.build('FROM busybox\nRUN echo out; echo err >&2\n', {
      noCache: true,
      progress: (event) => {
        if (event.type === 'log') streams.push(`${event.stream} ${Buffer.from(event.data).toString()}`)
      },
    })
    expect(streams.sort()).toEqual(['1 out\n', '2 err\n'])
  })

  test('ends what a step leaves running', async () => {
    const started = performance.now()
    await output('RUN sleep 1000 & echo started')
    expect(performance.now() - started).toBeLessThan(20_000)
  })
})

describe('a RUN that fails', () => {
  test('says which step, where, why and what it wrote last', async () => {
    const steps: ShownStep[] = []
    const source = `FROM busybox AS builder
RUN true
RUN for i in $(seq 30); do echo line $i; done; echo last >&2; exit 3
RUN never
`
    const error = await bench.failure(source, { steps })
    expect(error).toMatchObject({
      code: 'STEP_FAILED',
      message:
        'process "/bin/sh -c for i in $(seq 30); do echo line $i; done; echo last >&2; exit 3" did not complete successfully: exit code: 3',
      range: { start: 3, end: 3 },
      title: '[3/4] RUN for i in $(seq 30); do echo line $i; done; echo last >&2; exit 3',
      excerpt: `Dockerfile:3
--------------------
   1 |     FROM busybox AS builder
   2 |     RUN true
   3 | >>> RUN for i in $(seq 30); do echo line $i; done; echo last >&2; exit 3
   4 |     RUN never
--------------------`,
    })
    const { logTail } = error as unknown as { logTail: string[] }
    expect(logTail.at(-2)).toContain('line 30')
    expect(logTail.at(-1)).toContain('last')
    expect(steps.map(({ title, error: failed }) => [title.slice(0, 5), failed !== undefined])).toEqual([
      ['[1/4]', false],
      ['[2/4]', false],
      ['[3/4]', true],
    ])
  })

  test.each([
    ['exit 127', 127],
    ["sh -c 'kill -9 $$'; exit $?", 137],
    ['no-such-command', 127],
  ])('tells the exit code of %s', async (command, status) => {
    expect((await bench.failure(`FROM busybox\nRUN ${command}\n`)).message).toEndWith(
      `did not complete successfully: exit code: ${status}`,
    )
  })

  test('fails for an image without a shell, an unknown user and an unknown program', async () => {
    bench.file('f', 'f')
    const noShell = await bench.failure('FROM scratch\nCOPY f /\nRUN x\n')
    expect(noShell).toMatchObject({ code: 'STEP_FAILED', range: { start: 3, end: 3 } })
    expect(noShell.message).toContain('exit code: 127: ')
    expect((await bench.failure('FROM busybox\nRUN ["/nope"]\n')).message).toContain('exit code: 127: ')
    expect((await bench.failure('FROM busybox\nRUN ["/etc/passwd"]\n')).message).toContain('exit code: 126: ')
    expect((await bench.failure('FROM busybox\nUSER nobody-here\nRUN x\n')).message).toContain(
      'unable to find user nobody-here',
    )
  })

  test('keeps what was done before it and goes on there', async () => {
    await bench.failure('FROM busybox\nRUN echo kept > /kept\nRUN exit 1\n')
    const { shown } = await bench.build('FROM busybox\nRUN echo kept > /kept\nRUN exit 0\n')
    expect(shown.map(({ cached }) => cached)).toEqual([false, true, false])
  })

  test('stops what runs beside it', async () => {
    const source = `FROM busybox AS slow
RUN sleep 60
FROM busybox AS fails
RUN sleep 0.2; exit 5
FROM scratch
COPY --from=slow / /
COPY --from=fails / /
`
    const started = performance.now()
    const steps: ShownStep[] = []
    const error = await bench.failure(source, { steps })
    expect(error.message).toEndWith('exit code: 5')
    expect(performance.now() - started).toBeLessThan(20_000)
    expect(steps.find(({ title }) => title.includes('sleep 60'))?.error).toBe('context canceled')
  })

  test('stops at once when the build is canceled', async () => {
    const controller = new AbortController()
    setTimeout(() => controller.abort(), 300)
    const started = performance.now()
    const error: unknown = await bench
      .build('FROM busybox\nRUN sleep 60\n', { signal: controller.signal })
      .catch((reason: unknown) => reason)
    expect(isCairnError(error, 'CANCELED') || (error as Error).name === 'AbortError').toBe(true)
    expect(performance.now() - started).toBeLessThan(10_000)
  })

  test('shows its report on the command line and ends with 1', async () => {
    bench.file('Dockerfile', 'FROM busybox\nRUN echo some output; exit 4\n')
    bench.closeStore()
    const { status, out, err } = await bench.cairn(['build', '--progress=plain', bench.context])
    expect({ status, out }).toEqual({ status: 1, out: '' })
    expect(err).toContain(`
------
 > [2/2] RUN echo some output; exit 4:
some output
------
`)
    expect(err).toEndWith(
      `
------
Dockerfile:2
--------------------
   1 |     FROM busybox
   2 | >>> RUN echo some output; exit 4
--------------------
cairn: failed to build: failed to solve: process "/bin/sh -c echo some output; exit 4" did not complete successfully: exit code: 4
`,
    )
  })

  test('leaves no temporary file, lock, container or mount behind', () => {
    expect(leftovers()).toEqual([])
    expect(mountsBelow(bench.root)).toEqual([])
  })
})

describe('RUN in an image whose files are not plain', () => {
  test('keeps what it does not touch as it is: hard links, sparse files, odd modes, capabilities', async () => {
    const { tree } = await bench.build(`FROM busybox
RUN mkdir -m 2770 /d && echo x > /d/a && ln /d/a /d/b && dd if=/dev/zero of=/d/sparse bs=1 count=1 seek=5000000 2>/dev/null && chmod 6711 /d/a
RUN echo more >> /d/a
`)
    expect(tree.lookup('/d')?.mode).toBe(0o2770)
    expect(tree.lookup('/d/sparse')?.size).toBe(5_000_001)
    expect(contentOf(tree, '/d/a').toString()).toBe('x\nmore\n')
    // As in docker: overlayfs copies up the name that was written to, the other one keeps the old file.
    expect(contentOf(tree, '/d/b').toString()).toMatch(/^x\n/)
  })
})
