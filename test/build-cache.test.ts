import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { chmodSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { deleteCacheRecords, listCacheRecords } from '../src/content/cache-records.ts'
import { collectGarbage } from '../src/content/gc.ts'
import type { Digest } from '../src/oci/digest.ts'
import type { SecretSource } from '../src/build/build-secrets.ts'
import { BuildBench, busyboxArchive, type BenchOptions, type Built } from './fixtures/build-bench.ts'

let bench: BuildBench
beforeEach(async () => {
  bench = await BuildBench.open()
})
afterEach(() => bench[Symbol.dispose]())

/** Every step but FROM as `cached` or why it ran, in order; `ran` in a first build, which has nothing to explain. */
function verdicts({ shown }: Built): string[] {
  return shown
    .filter(({ title }) => !title.includes('] FROM '))
    .map(({ cached, reason }) => (cached ? 'cached' : (reason ?? 'ran')))
}

/** Builds once more and gives the verdicts, of which none may be without a reason. */
async function steps(dockerfile: string, options: BenchOptions = {}): Promise<string[]> {
  const isFirst = bench.store.database.one('SELECT 1 FROM build_steps') === undefined
  const all = verdicts(await bench.build(dockerfile, options))
  for (const verdict of all)
    if (isFirst) expect(verdict).toMatch(/^(cached|ran)$/)
    else expect(verdict).not.toMatch(/^(ran|)$|unknown|undefined/)
  return all
}

const app = `FROM busybox
COPY package.json .
RUN echo install > /installed
COPY src src
RUN echo build > /built
`

function appContext(): void {
  bench.file('package.json', '{}')
  bench.file('src/a.js', 'a')
  bench.file('src/b.js', 'b')
}

describe('a rebuild', () => {
  test('of the same runs nothing and gives the same image', async () => {
    appContext()
    const first = await bench.build(app)
    const second = await bench.build(app)
    expect(verdicts(first)).toEqual(['ran', 'ran', 'ran', 'ran'])
    expect(verdicts(second)).toEqual(['cached', 'cached', 'cached', 'cached'])
    expect(second.imageId).toBe(first.imageId)
    expect([second.steps, second.cached]).toEqual([5, 4])
  })

  test('counts on neither name nor comments, blank lines and metadata', async () => {
    appContext()
    await steps(app)
    const same = app.replace('COPY src', '# a comment\n\nLABEL a=1\nEXPOSE 80\nCOPY src')
    expect(await steps(same)).toEqual(['cached', 'cached', 'cached', 'cached'])
  })

  test('counts on no name of a stage and on no spelling of a path', async () => {
    appContext()
    const named = (stage: string, path: string): string =>
      `FROM busybox AS ${stage}\nCOPY ${path} /src\nFROM busybox\nCOPY --from=${stage} /src /src\nRUN --mount=from=${stage},target=/b ls /b\n`
    await steps(named('build', 'src'))
    expect(await steps(named('other', './src/'))).toEqual(['cached', 'cached', 'cached'])
  })

  test('from another folder with the same files is a hit', async () => {
    appContext()
    await steps(app)
    bench.closeStore()
    renameSync(bench.context, `${bench.directory}/moved`)
    const options = ['build', '--progress=plain', `${bench.directory}/moved`]
    const { err, status } = await bench.cairn(options)
    expect(status).toBe(0)
    expect(err.match(/CACHED/g)).toHaveLength(4)
  })

  test('after a changed file runs only what needs it, and says which file', async () => {
    appContext()
    await steps(app)
    bench.file('src/b.js', 'B')
    const [, , , build] = await steps(app)
    expect(build).toBe('src/b.js changed (COPY src src, line 4)')
    bench.file('package.json', '{ }')
    expect(await steps(app)).toEqual([
      'package.json changed',
      'package.json changed (COPY package.json ., line 2)',
      'package.json changed (COPY package.json ., line 2)',
      'package.json changed (COPY package.json ., line 2)',
    ])
  })

  test('names added, removed and many changed files', async () => {
    appContext()
    await steps(app)
    bench.file('src/c.js')
    expect((await steps(app))[2]).toBe('src/c.js added')
    rmSync(`${bench.context}/src/a.js`)
    expect((await steps(app))[2]).toBe('src/a.js removed')
    for (let index = 0; index < 6; index++) bench.file(`src/${index}.js`)
    expect((await steps(app))[2]).toBe('src/0.js added, src/1.js added, src/2.js added, 3 more files')
    bench.symlink('src/link', 'a')
    expect((await steps(app))[2]).toBe('src/link added')
    rmSync(`${bench.context}/src/link`)
    bench.symlink('src/link', 'b')
    expect((await steps(app))[2]).toBe('src/link points to b (was a)')
  })

  test('does not mind times: a touched file is a hit', async () => {
    appContext()
    await steps(app)
    utimesSync(`${bench.context}/src/a.js`, 1_000_000_000, 1_000_000_000)
    utimesSync(`${bench.context}/src`, 1_000_000_000, 1_000_000_000)
    expect(await steps(app)).toEqual(['cached', 'cached', 'cached', 'cached'])
  })

  test('notices other bytes of the same size under the same time', async () => {
    appContext()
    utimesSync(`${bench.context}/src/a.js`, 1_000_000_000, 1_000_000_000)
    await Bun.sleep(60)
    await steps(app)
    await steps(app)
    const before = statSync(`${bench.context}/src/a.js`)
    writeFileSync(`${bench.context}/src/a.js`, 'X')
    utimesSync(`${bench.context}/src/a.js`, 1_000_000_000, 1_000_000_000)
    const after = statSync(`${bench.context}/src/a.js`)
    expect([after.size, after.mtimeMs, after.ino]).toEqual([before.size, before.mtimeMs, before.ino])
    expect((await steps(app))[2]).toBe('src/a.js changed')
    expect((await bench.build(app)).files['/src/a.js']).toBe('file 644 0:0 "X"')
  })

  test('notices bytes written right after they were read', async () => {
    appContext()
    for (const content of ['1', '2', '3', '4', '5']) {
      writeFileSync(`${bench.context}/src/a.js`, content)
      utimesSync(`${bench.context}/src/a.js`, 1_000_000_000, 1_000_000_000)
      expect((await bench.build(app)).files['/src/a.js']).toBe(`file 644 0:0 "${content}"`)
    }
  })

  test('notices another mode, also of a directory', async () => {
    appContext()
    await steps(app)
    chmodSync(`${bench.context}/src/a.js`, 0o755)
    expect((await steps(app))[2]).toBe('src/a.js has mode 755 (was 644)')
    bench.dir('src/sub', 0o755)
    await steps(app)
    bench.dir('src/sub', 0o700)
    expect((await steps(app))[2]).toBe('src/sub has mode 700 (was 755)')
  })

  test('notices extended attributes that are copied', async () => {
    appContext()
    await steps(app)
    Bun.spawnSync(['setfattr', '-n', 'user.x', '-v', '1', `${bench.context}/src/a.js`])
    expect((await steps(app))[2]).toBe('src/a.js has other extended attributes')
  })

  test('does not look at files that are ignored, excluded or not asked for', async () => {
    appContext()
    bench.file('.dockerignore', '*.md\n')
    const source = 'FROM busybox\nCOPY --exclude=*.log . /all\nRUN true\n'
    bench.file('Dockerfile', source)
    await steps(source)
    bench.file('readme.md')
    bench.file('x.log')
    expect(await steps(source)).toEqual(['cached', 'cached'])
    await steps(app)
    bench.file('elsewhere')
    expect(await steps(app)).toEqual(['cached', 'cached', 'cached', 'cached'])
  })
})

describe('a step that runs again says why', () => {
  test('when a variable changed', async () => {
    const source = (value: string): string => `FROM busybox\nENV A=${value}\nRUN echo x > /x\nRUN echo y > /y\n`
    await steps(source('1'))
    // What it made is the same, so the step after it is a hit but for its own environment.
    expect(await steps(source('2'))).toEqual(Array(2).fill('variable A changed from "1" to "2"'))
    expect(await steps(source('2').replace('ENV A=2', 'ENV B=1'))).toEqual([
      'variable A="2" was removed, variable B="1" was added',
      'variable A="2" was removed, variable B="1" was added',
    ])
  })

  test('when a build argument changed', async () => {
    const source = 'FROM busybox\nRUN echo before > /before\nARG V=1\nRUN echo x$V > /x\nCOPY package.json /p\n'
    appContext()
    await steps(source)
    const [before, run, copy] = await steps(source, { args: { V: '2' } })
    expect([before, run]).toEqual(['cached', 'variable V changed (was "1")'])
    expect(copy).toBe('variable V changed (was "1") (RUN echo x2 > /x, line 4)')
    // COPY and WORKDIR only see a variable that stands in their text.
    const other = 'FROM busybox\nARG V=1\nCOPY package.json /p\nWORKDIR /w\n'
    await steps(other)
    expect(await steps(other, { args: { V: '2' } })).toEqual(['cached', 'cached'])
  })

  test('without a word of a proxy or a secret, which count for nothing', async () => {
    const source = 'FROM busybox\nRUN --mount=type=secret,id=s echo x > /x\n'
    const run = (value: string): BenchOptions['run'] & object => ({
      secrets: new Map<string, SecretSource>([['s', { from: 'env', value }]]),
      shmSize: undefined,
      packLayer: undefined,
    })
    await steps(source, { run: run('one'), args: { http_proxy: 'http://one' } })
    expect(await steps(source, { run: run('two'), args: { http_proxy: 'http://two' } })).toEqual(['cached'])
  })

  test('when the instruction changed', async () => {
    await steps('FROM busybox\nRUN echo one > /x\nRUN echo $(cat /x) > /y\n')
    expect(await steps('FROM busybox\nRUN echo two > /x\nRUN echo $(cat /x) > /y\n')).toEqual([
      'the instruction changed (was RUN echo one > /x)',
      'the instruction changed (was RUN echo one > /x) (RUN echo two > /x, line 2)',
    ])
  })

  test.each([
    ['COPY package.json /p', 'COPY package.json /q', 'the instruction changed (was COPY package.json /p)'],
    ['COPY package.json /p', 'COPY --chown=1 package.json /p', 'the instruction changed (was COPY package.json /p)'],
    ['USER 1\nRUN true', 'USER 2\nRUN true', 'user changed from 1 to 2'],
    ['RUN true', 'SHELL ["/bin/sh", "-ec"]\nRUN true', 'SHELL changed from ["/bin/sh","-c"] to ["/bin/sh","-ec"]'],
    ['RUN --network=none true', 'RUN true', 'the instruction changed (was RUN --network=none true)'],
    ['RUN true', 'COPY package.json /', 'the instruction changed (was RUN true)'],
    ['RUN cat <<E\n1\nE', 'RUN cat <<E\n2\nE', 'the text that it runs or writes changed'],
    ['RUN <<E\n#!/bin/sh\ntrue\nE', 'RUN <<E\n#!/bin/sh\ntrue #\nE', 'the text that it runs or writes changed'],
    ['COPY <<E /e\n1\nE', 'COPY <<E /e\n2\nE', 'the text that it runs or writes changed'],
  ])('when %j became %j', async (before, now, reason) => {
    appContext()
    await steps(`FROM busybox\n${before}\n`)
    expect((await steps(`FROM busybox\n${now}\n`)).at(-1)).toBe(reason)
  })

  test('when a step was put in before it', async () => {
    appContext()
    await steps(app)
    const inserted = app.replace('RUN echo install', 'RUN echo more > /more\nRUN echo install')
    expect(await steps(inserted)).toEqual([
      'cached',
      'new step',
      'new step (RUN echo more > /more, line 3)',
      'new step (RUN echo more > /more, line 3)',
      'new step (RUN echo more > /more, line 3)',
    ])
  })

  test('when the step before it is gone', async () => {
    await steps('FROM busybox\nRUN echo 1 > /1\nRUN echo 2 > /2\nRUN echo 3 > /3\n')
    expect(await steps('FROM busybox\nRUN echo 1 > /1\nRUN echo 3 > /3\n')).toEqual([
      'cached',
      'it now follows RUN echo 1 > /1 (line 2)',
    ])
  })

  test('when the base image changed', async () => {
    await steps('FROM busybox\nRUN echo x > /x\nRUN echo y > /y\n')
    const other = Buffer.from(busyboxArchive())
    // The name of the account in /etc/passwd: the same length, so that the archive stays one.
    other.write('APP:', other.indexOf('\napp:x:1000:1000') + 1)
    await bench.importBase('busybox', [], other)
    const [first, second] = await steps('FROM busybox\nRUN echo x > /x\nRUN echo y > /y\n')
    const moved = /^base image changed from (\S+)@sha256:\w{12} to \1@sha256:\w{12} \(FROM busybox, line 1\)$/
    expect(first).toMatch(moved)
    expect(second).toMatch(moved)
  })

  test('when another base image was chosen', async () => {
    await bench.importBase('other', ['ENV FROM_OTHER=1'])
    await steps('FROM busybox\nCOPY Dockerfile /\nRUN echo x > /x\n')
    // The same files, another configuration: only what sees it runs again.
    expect(await steps('FROM other\nCOPY Dockerfile /\nRUN echo x > /x\n')).toEqual([
      'Dockerfile changed',
      'variable FROM_OTHER="1" was added',
    ])
  })

  test('when its layer was pruned, or its record', async () => {
    const source = 'FROM busybox\nRUN echo x > /x\nRUN echo y > /y\n'
    const { config } = await bench.build(source, { tag: 'app' })
    const layer = config.rootfs.diff_ids[2]
    bench.store.database.run('DELETE FROM layers WHERE diff_id = ?', layer as string)
    bench.store.database.run('DELETE FROM snapshots WHERE diff_id = ?', layer as string)
    expect(await steps(source)).toEqual(['cached', 'its cached layer was removed'])
    deleteCacheRecords(
      bench.store,
      listCacheRecords(bench.store).map(({ key }) => key),
    )
    await collectGarbage(bench.store)
    expect(await steps(source)).toEqual(['no cache has its result', 'no cache has its result'])
  })

  test('when --no-cache or --no-cache-filter said so', async () => {
    const source = 'FROM busybox AS one\nRUN echo x > /x\nFROM busybox AS two\nCOPY --from=one /x /\nRUN echo y > /y\n'
    await steps(source)
    expect(await steps(source, { noCache: true })).toEqual(Array(3).fill('--no-cache was given') as string[])
    const [one, ...two] = await steps(source, { noCacheFilter: new Set(['two']) })
    expect(one).toBe('cached')
    for (const reason of two) expect(reason).toMatch(/^--no-cache/)
    // What --no-cache left is used again.
    expect(await steps(source)).toEqual(['cached', 'cached', 'cached'])
  })

  test('when SOURCE_DATE_EPOCH changed', async () => {
    await steps('FROM busybox\nRUN echo x > /x\n')
    expect(await steps('FROM busybox\nRUN echo x > /x\n', { args: { SOURCE_DATE_EPOCH: '5' } })).toEqual([
      'SOURCE_DATE_EPOCH changed from unset to 5',
    ])
  })

  test('when --add-host has another name; addresses are not asked for, as with docker', async () => {
    const source = 'FROM busybox\nRUN true\nCOPY Dockerfile /\n'
    const hosts = (name: string, address: string): BenchOptions => ({ extraHosts: [{ name, address }] })
    await steps(source)
    expect((await steps(source, hosts('db', '10.0.0.1')))[0]).toBe('--add-host was set to db')
    expect(await steps(source, hosts('db', '10.0.0.2'))).toEqual(['cached', 'cached'])
    expect((await steps(source, hosts('web', '10.0.0.2')))[0]).toBe('--add-host changed from db to web')
  })

  test('when files of another stage changed', async () => {
    appContext()
    const source =
      'FROM busybox AS b\nCOPY src /src\nRUN cp -r /src /out\nFROM busybox\nCOPY --from=b /out /out\nRUN ls /out > /list\n'
    await steps(source)
    bench.file('src/a.js', 'other')
    expect(await steps(source)).toEqual([
      'src/a.js changed',
      'src/a.js changed (COPY src /src, line 2)',
      'out/a.js changed',
      'out/a.js changed (COPY --from=b /out /out, line 5)',
    ])
  })

  test('when a bind mount changed', async () => {
    appContext()
    const source = 'FROM busybox\nRUN --mount=source=src,target=/s cat /s/a.js > /a\n'
    await steps(source)
    expect(await steps(source)).toEqual(['cached'])
    bench.file('src/a.js', 'other')
    expect(await steps(source)).toEqual(['src/a.js changed'])
  })
})

describe('early cut-off', () => {
  test('lets steps hit after one that ran again and came to the same', async () => {
    appContext()
    const source =
      'FROM busybox\nCOPY src /src\nRUN ls /src > /list && rm -r /src\nRUN wc -l < /list > /count\nCOPY package.json /\n'
    await steps(source)
    bench.file('src/a.js', 'other')
    // The layers of COPY differ, and with them everything above but for its own changes.
    const second = await steps(source)
    expect(second.slice(0, 2)).toEqual(['src/a.js changed', 'src/a.js changed (COPY src /src, line 2)'])
    const again =
      'FROM busybox\nRUN --mount=source=src,target=/src ls /src > /list\nRUN wc -l < /list > /count\nCOPY package.json /\n'
    await steps(again)
    bench.file('src/a.js', 'third')
    expect(await steps(again)).toEqual(['src/a.js changed', 'cached', 'cached'])
  })

  test('lets steps hit after --no-cache-filter made the same again below them', async () => {
    const source = 'FROM busybox AS one\nRUN echo x > /x\nFROM one AS two\nRUN cat /x > /y\nRUN cat /y > /z\n'
    const first = await bench.build(source)
    const second = await bench.build(source, { noCacheFilter: new Set(['one']) })
    expect(verdicts(second)).toEqual(['--no-cache-filter was given', 'cached', 'cached'])
    expect(second.files).toEqual(first.files)
  })

  test('lets COPY --from hit when the stage ran again and the files are the same', async () => {
    appContext()
    const source =
      'FROM busybox AS b\nCOPY src /src\nRUN mkdir /out && ls /src > /out/list\nFROM busybox\nCOPY --from=b /out /out\nRUN cat /out/list\n'
    const first = await bench.build(source)
    bench.file('src/a.js', 'other')
    const second = await bench.build(source)
    expect(verdicts(second).slice(2)).toEqual(['cached', 'cached'])
    expect(second.config.rootfs).toEqual(first.config.rootfs)
  })

  test('is no reason to take a layer that was made on other files', async () => {
    const source = (line: string): string => `FROM busybox\n${line}\nRUN cat /x > /y\n`
    await bench.build(source('RUN echo 1 > /x'))
    await bench.build(source('RUN echo 2 > /x'))
    const back = await bench.build(source('RUN echo 1 > /x'), { noCacheFilter: new Set() })
    expect(back.files['/y']).toBe('file 644 0:0 "1\\n"')
    expect(verdicts(back)).toEqual(['cached', 'cached'])
  })

  test('is no hit on a step below that lost its result and gives others now', async () => {
    const source = 'FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /x\nRUN cat /x > /y\n'
    const { config } = await bench.build(source)
    const lowest = config.rootfs.diff_ids.at(-2)
    const below = listCacheRecords(bench.store).filter(({ result }) =>
      JSON.stringify(result).includes(`"diffId":"${lowest}"`),
    )
    expect(
      deleteCacheRecords(
        bench.store,
        below.map(({ key }) => key),
      ),
    ).toBe(2)
    const { files } = await bench.build(source)
    expect(files['/y']).toBe(files['/x'] as string)
  })

  test('packs a context of many files again as if it never had been', async () => {
    const source = 'FROM busybox\nCOPY --chmod=u+w . /app/\n'
    for (let index = 0; index < 1100; index++) bench.file(`d${index % 10}/f${index}`, `content ${index}\n`)
    await bench.build(source)
    bench.file('d3/f3', 'changed')
    bench.file('d3/new', 'new')
    rmSync(`${bench.context}/d4/f4`)
    chmodSync(`${bench.context}/d5/f5`, 0o600)
    const again = await bench.build(source)
    const anew = await bench.build(source, { noCache: true })
    expect(again.config.rootfs).toEqual(anew.config.rootfs)
    expect([again.files['/app/d3/f3'], again.files['/app/d3/new'], again.files['/app/d4/f4']]).toEqual([
      'file 644 0:0 "changed"',
      'file 644 0:0 "new"',
      undefined,
    ] as never)
    // A layer that was damaged on the disk is not built on.
    const layer = again.config.rootfs.diff_ids.at(-1) as Digest
    const path = bench.store.blobs.path(layer)
    const bytes = readFileSync(path)
    bytes[700] = (bytes[700] ?? 0) ^ 1
    writeFileSync(path, bytes)
    bench.file('d3/f3', 'changed again')
    const whole = await bench.build(source)
    expect(whole.config.rootfs).toEqual((await bench.build(source, { noCache: true })).config.rootfs)
  })

  test('never gives one build the files of another, however the two differ', async () => {
    // Steps of random builds over a few files; each image is compared with what the same steps make without a cache.
    const commands = [
      'echo 1 > /a',
      'echo 2 > /a',
      'cat /a > /b 2>/dev/null || echo none > /b',
      'rm -f /a',
      'mkdir -p /d && cp /b /d/ 2>/dev/null || true',
    ]
    const random = (limit: number, seed: number): number => Bun.hash.xxHash32(String(seed)) % limit
    const known = new Map<string, string>()
    for (let round = 0; round < 12; round++) {
      const lines = Array.from(
        { length: 3 },
        (_, index) => `RUN ${commands[random(commands.length, round * 7 + index)]}`,
      )
      const source = `FROM busybox\n${lines.join('\n')}\n`
      const { files } = await bench.build(source)
      const fresh = known.get(source) ?? JSON.stringify((await bench.build(source, { noCache: true })).files)
      known.set(source, fresh)
      expect(JSON.stringify(files)).toBe(fresh)
    }
  }, 30_000)
})

describe('of what was not kept, a reason', () => {
  test('is the files that a step reads, where it stands on what it stood on', async () => {
    appContext()
    const source = 'FROM busybox AS b\nCOPY src /src\nFROM busybox\nCOPY --link --from=b /src /src\n'
    await steps(source)
    bench.file('src/a.js', 'other')
    await steps(source)
    bench.file('src/a.js', 'a')
    await steps(source)
    bench.dir('other/src')
    expect(await steps(source, { contexts: ['b=other'] })).toEqual(['/src from b changed'])
  })

  test('is what is different below, also where that was cached as it once was', async () => {
    appContext()
    bench.file('package.json', 'other')
    await steps(app.replace(/COPY src[^]*/, ''))
    bench.file('package.json', '{}')
    await steps(app)
    bench.file('package.json', 'other')
    const cause = 'package.json changed (COPY package.json ., line 2)'
    expect(await steps(app)).toEqual(['cached', 'cached', cause, cause])
  })

  test('names no file as the terminal would take it', async () => {
    bench.dir('d')
    await steps('FROM busybox\nCOPY d /d\n')
    bench.file('d/\x1b[31m\r\nx')
    expect(await steps('FROM busybox\nCOPY d /d\n')).toEqual(['d/^[[31m^M^Jx added'])
  })

  test('is found where the stage has another name now', async () => {
    appContext()
    const named = (stage: string): string => `FROM busybox AS ${stage}\nCOPY src /src\nRUN ls /src\n`
    await steps(named('one'))
    bench.file('src/a.js', 'other')
    expect(await steps(named('two'))).toEqual(['src/a.js changed', 'src/a.js changed (COPY src /src, line 2)'])
    bench.file('src/a.js', 'more')
    const single = named('two').replace('FROM busybox AS two', 'FROM busybox AS x\nRUN true\nFROM busybox')
    expect((await steps(single))[0]).toBe('src/a.js changed')
  })
})

describe('what stands on a COPY --link', () => {
  const dockerfile = `FROM busybox AS one
COPY a /a
COPY --link b /b
RUN cat /a /b > /both
FROM scratch
COPY --from=one /both /both
`

  test('runs again where what is below the link changed, and says so', async () => {
    bench.file('a', 'a')
    bench.file('b', 'b')
    await steps(dockerfile)
    bench.file('a', 'other ')
    const built = await bench.build(dockerfile)
    const cause = 'a changed (COPY a /a, line 2)'
    expect(verdicts(built)).toEqual(['a changed', 'cached', cause, 'both changed'])
    expect(built.files['/both']).toEndWith('"other b"')
    bench.file('a', 'a')
    expect(await steps(dockerfile)).toEqual(['cached', 'cached', 'cached', 'cached'])
  })

  test('runs again where the base is another one', async () => {
    bench.file('b', 'b')
    const twice = (first: string): string => `FROM busybox AS below
RUN echo ${first} > /a
FROM below
COPY --link b /b
RUN cat /a /b > /both
`
    await steps(twice('one'))
    expect((await bench.build(twice('two'))).files['/both']).toEndWith('"two\\nb"')
  })

  test('is not taken for the same on another base of one build', async () => {
    bench.file('b', 'b')
    const { files } = await bench.build(`FROM busybox AS one
RUN echo one > /a
COPY --link b /b
RUN cat /a /b > /both
FROM busybox AS two
RUN echo two > /a
COPY --link b /b
RUN cat /a /b > /both
FROM scratch
COPY --from=one /both /one
COPY --from=two /both /two
`)
    expect(files).toMatchObject({ '/one': 'file 644 0:0 "one\\nb"', '/two': 'file 644 0:0 "two\\nb"' })
  })

  test('is not taken for the same where files are copied from it', async () => {
    bench.file('a', 'a')
    bench.file('b', 'b')
    const copied = 'FROM busybox AS one\nCOPY a /a\nCOPY --link b /b\nFROM scratch\nCOPY --from=one /a /a\n'
    await steps(copied)
    bench.file('a', 'new')
    expect((await bench.build(copied)).files['/a']).toEndWith('"new"')
  })
})

describe('what a build remembers', () => {
  test('holds no value of a variable or an argument', async () => {
    const text = 'FROM busybox\nARG TOKEN\nARG OPTION\nENV URL=ftp://me:$OPTION@host\nRUN true\n'
    await bench.build(text, { args: { TOKEN: 'very-secret-value', OPTION: 'very-secret-value' } })
    await bench.build('FROM busybox\nENV API_KEY=very-secret-value URL=https://me:very-secret-value@host\nRUN true\n')
    const rows = bench.store.database.all<{ inputs: string }>('SELECT inputs FROM build_steps')
    expect(rows.length).toBeGreaterThan(0)
    expect(JSON.stringify(rows)).not.toContain('very-secret-value')
  })

  test('survives garbage collection with the image that needs it', async () => {
    const source = 'FROM busybox\nRUN echo x > /x\n'
    await bench.build(source, { tag: 'app' })
    await collectGarbage(bench.store)
    expect(await steps(source)).toEqual(['cached'])
  })

  test('is nothing of a build that failed, but for the steps that were done', async () => {
    await bench.failure('FROM busybox\nRUN echo x > /x\nRUN false\n', { tag: 'app' })
    bench.closeStore()
    expect((await bench.cairn(['image', 'inspect', 'app'])).status).not.toBe(0)
    expect(await steps('FROM busybox\nRUN echo x > /x\n')).toEqual(['cached'])
  })
})
