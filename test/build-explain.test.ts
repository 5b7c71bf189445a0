import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { chmodSync, lchownSync, linkSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { deleteCacheRecords, listCacheRecords } from '../src/content/cache-records.ts'
import type { SecretSource } from '../src/build/build-secrets.ts'
import { BuildBench, busyboxArchive, type BenchOptions } from './fixtures/build-bench.ts'

const dockerfile = `ARG BASE=busybox
FROM \${BASE} AS deps
WORKDIR /app
COPY package.json package-lock.json ./
RUN echo deps > /deps

FROM deps AS build
ARG MODE=dev
ENV LEVEL=1
COPY src ./src
RUN --mount=source=tools,target=/tools cat src/main.js /tools/gen > /out

FROM busybox
COPY --from=build /out /out
COPY --chown=1:1 public /public
USER 1
RUN cat /out > /tmp/final
`

/** What an edit changes, and which steps then run, in their order, with their reasons; every other is cached. */
interface Edit {
  readonly edit?: (bench: BuildBench) => void | Promise<void>
  /** Text of the Dockerfile that is replaced, with its replacement. */
  readonly replace?: readonly [string, string]
  readonly options?: BenchOptions
  readonly runs: Readonly<Record<string, string>>
}

const context = (bench: BuildBench, path: string): string => `${bench.context}/${path}`
const secret = (value: string): BenchOptions => ({
  run: {
    secrets: new Map<string, SecretSource>([['s', { from: 'env', value }]]),
    shmSize: undefined,
    packLayer: undefined,
  },
})

/** A change of what the application is built from: COPY, the RUN that reads it, and what is made of that. */
function main(cause: string): Record<string, string> {
  return {
    'COPY src': cause,
    'RUN --mount': `${cause} (COPY src ./src, line 10)`,
    'COPY --from': 'out changed',
    'COPY --chown': 'out changed (COPY --from=build /out /out, line 14)',
    'RUN cat': 'out changed (COPY --from=build /out /out, line 14)',
  }
}

/** A change of which the output does not tell: the early cut-off ends it at COPY --from. */
function cutOff(cause: string): Record<string, string> {
  return { 'COPY src': cause, 'RUN --mount': `${cause} (COPY src ./src, line 10)` }
}

const lower = 'COPY package.json package-lock.json ./'

/** A change of what the dependencies are made from. */
function deps(cause: string, at = `${lower}, line 4`): Record<string, string> {
  const inherited = `${cause} (${at})`
  return {
    ...(at.startsWith('COPY') ? { 'COPY package': cause } : {}),
    'RUN echo deps': inherited,
    'COPY src': inherited,
    'RUN --mount': inherited,
  }
}

const edits: Readonly<Record<string, Edit>> = {
  'nothing at all': { runs: {} },
  'a touched file': { edit: (bench) => utimesSync(context(bench, 'src/main.js'), 5, 5), runs: {} },
  'a touched directory': { edit: (bench) => utimesSync(context(bench, 'src'), 5, 5), runs: {} },
  'a changed file': { edit: (bench) => void bench.file('src/main.js', 'two'), runs: main('src/main.js changed') },
  'a changed file of the same size and time': {
    edit: (bench) => {
      bench.file('src/main.js', 'ONE')
      utimesSync(context(bench, 'src/main.js'), 1_000_000_000, 1_000_000_000)
    },
    runs: main('src/main.js changed'),
  },
  'a file that is replaced by one with the same bytes': {
    edit: (bench) => {
      bench.file('src/new', 'one')
      renameSync(context(bench, 'src/new'), context(bench, 'src/main.js'))
    },
    runs: {},
  },
  'a new file': { edit: (bench) => void bench.file('src/new.js'), runs: cutOff('src/new.js added') },
  'a new empty directory': { edit: (bench) => void bench.dir('src/empty'), runs: cutOff('src/empty added') },
  'a removed file': { edit: (bench) => rmSync(context(bench, 'src/lib.js')), runs: cutOff('src/lib.js removed') },
  'a renamed file': {
    edit: (bench) => renameSync(context(bench, 'src/lib.js'), context(bench, 'src/other.js')),
    runs: cutOff('src/lib.js renamed to src/other.js'),
  },
  'a mode': {
    edit: (bench) => chmodSync(context(bench, 'src/lib.js'), 0o755),
    runs: cutOff('src/lib.js has mode 755 (was 644)'),
  },
  'the mode of a directory': {
    edit: (bench) => chmodSync(context(bench, 'src/sub'), 0o700),
    runs: cutOff('src/sub has mode 700 (was 755)'),
  },
  setuid: {
    edit: (bench) => chmodSync(context(bench, 'src/lib.js'), 0o4755),
    runs: cutOff('src/lib.js has mode 4755 (was 644)'),
  },
  'an owner, which COPY does not keep': {
    edit: (bench) => lchownSync(context(bench, 'src/lib.js'), 5, 5),
    runs: {},
  },
  'a file that became a symlink': {
    edit: (bench) => {
      rmSync(context(bench, 'src/lib.js'))
      symlinkSync('main.js', context(bench, 'src/lib.js'))
    },
    runs: cutOff('src/lib.js is a symlink (was a file)'),
  },
  'the target of a symlink': {
    edit: (bench) => {
      rmSync(context(bench, 'src/link'))
      symlinkSync('main.js', context(bench, 'src/link'))
    },
    runs: cutOff('src/link points to main.js (was lib.js)'),
  },
  'many files': {
    edit: (bench) => {
      for (let index = 0; index < 6; index++) bench.file(`src/${index}.js`)
    },
    runs: cutOff('src/0.js added, src/1.js added, src/2.js added, 3 more files'),
  },
  'a file and a mode': {
    edit: (bench) => {
      bench.file('src/main.js', 'two')
      chmodSync(context(bench, 'src/lib.js'), 0o600)
    },
    runs: main('src/lib.js has mode 600 (was 644), src/main.js changed'),
  },
  'bytes and mode of one file': {
    edit: (bench) => void bench.file('src/main.js', 'two', 0o600),
    runs: main('src/main.js changed, src/main.js has mode 600 (was 644)'),
  },
  'a hard link where two files were': {
    edit: (bench) => {
      rmSync(context(bench, 'src/sub/a'))
      Bun.spawnSync(['ln', context(bench, 'src/lib.js'), context(bench, 'src/sub/a')])
    },
    runs: cutOff('src/sub/a is a hardlink (was a file)'),
  },
  'sources in another order': {
    replace: [lower, 'COPY package-lock.json package.json ./'],
    runs: { 'COPY package': `the instruction changed (was ${lower})` },
  },
  'a source less': {
    replace: [lower, 'COPY package-lock.json ./'],
    runs: deps(`the instruction changed (was ${lower})`, 'COPY package-lock.json ./, line 4'),
  },
  'no user any more': { replace: ['USER 1\n', ''], runs: { 'RUN cat': 'user is not set any more (was 1)' } },
  'a second name outside of what is copied': {
    edit: (bench) => void Bun.spawnSync(['ln', context(bench, 'src/lib.js'), context(bench, 'elsewhere')]),
    runs: {},
  },
  'a new file in front of hard links': {
    edit: (bench) => void bench.file('src/aaa'),
    runs: cutOff('src/aaa added'),
  },
  'the bytes of a file with two names': {
    edit: (bench) => writeFileSync(context(bench, 'src/twin'), 'other'),
    runs: cutOff('src/twin changed'),
  },
  'an extended attribute': {
    edit: (bench) => void Bun.spawnSync(['setfattr', '-n', 'user.x', '-v', '1', context(bench, 'src/lib.js')]),
    runs: cutOff('src/lib.js has other extended attributes'),
  },
  'a file nothing reads': { edit: (bench) => void bench.file('notes.txt', 'new'), runs: {} },
  'a file that is ignored': { edit: (bench) => void bench.file('src/debug.log', 'new'), runs: {} },
  'an ignore file that says the same': {
    edit: (bench) => void bench.file('.dockerignore', '# logs\n**/*.log\n'),
    runs: {},
  },
  'an ignore file that leaves a file out': {
    edit: (bench) => void bench.file('.dockerignore', '**/*.log\nsrc/lib.js\n'),
    runs: cutOff('src/lib.js is ignored now'),
  },
  'an ignore file that lets a file in': {
    edit: (bench) => void bench.file('.dockerignore', ''),
    runs: cutOff('src/debug.log is no longer ignored'),
  },
  'a manifest': {
    edit: (bench) => void bench.file('package.json', '{"a":1}'),
    runs: deps('package.json changed'),
  },
  'two manifests': {
    edit: (bench) => {
      bench.file('package.json', '{"a":1}')
      bench.file('package-lock.json', '{"b":1}')
    },
    runs: deps('package.json changed, package-lock.json changed'),
  },
  'a file of a bind mount': {
    edit: (bench) => void bench.file('tools/gen', 'other'),
    runs: {
      'RUN --mount': 'tools/gen changed',
      'COPY --from': 'out changed',
      'COPY --chown': 'out changed (COPY --from=build /out /out, line 14)',
      'RUN cat': 'out changed (COPY --from=build /out /out, line 14)',
    },
  },
  'a file of a bind mount that is not read': {
    edit: (bench) => void bench.file('tools/unused', 'other'),
    runs: { 'RUN --mount': 'tools/unused added' },
  },
  'a file of the last stage': {
    edit: (bench) => void bench.file('public/index.html', 'other'),
    runs: {
      'COPY --chown': 'public/index.html changed',
      'RUN cat': 'public/index.html changed (COPY --chown=1:1 public /public, line 15)',
    },
  },
  'an argument': {
    options: { args: { MODE: 'prod' } },
    runs: { 'RUN --mount': 'variable MODE changed (was "dev")' },
  },
  'the default of an argument': {
    replace: ['MODE=dev', 'MODE=prod'],
    runs: { 'RUN --mount': 'variable MODE changed from "dev" to "prod"' },
  },
  'an argument that was not given before and says the default': { options: { args: { MODE: 'dev' } }, runs: {} },
  'an argument nobody declares': { options: { args: { OTHER: '1' } }, runs: {} },
  'a proxy': { options: { args: { http_proxy: 'http://proxy' } }, runs: {} },
  'a variable': { replace: ['LEVEL=1', 'LEVEL=2'], runs: { 'RUN --mount': 'variable LEVEL changed from "1" to "2"' } },
  'a variable more': { replace: ['LEVEL=1', 'LEVEL=1 MORE=1'], runs: { 'RUN --mount': 'variable MORE="1" was added' } },
  'a variable less': { replace: ['ENV LEVEL=1\n', '\n'], runs: { 'RUN --mount': 'variable LEVEL="1" was removed' } },
  'a variable of the last stage, which only its RUN sees': {
    replace: ['USER 1', 'ENV A=1 \nUSER 1'],
    runs: { 'RUN cat': 'variable A="1" was added' },
  },
  'a label': { options: { labels: { version: '2' } }, runs: {} },
  'a label in the file': { replace: ['USER 1', 'LABEL a=b\nUSER 1'], runs: {} },
  'a comment': { replace: ['WORKDIR', '# a comment\nWORKDIR'], runs: {} },
  'another spelling of an instruction': { replace: ['COPY src', 'copy  src'], runs: {} },
  'CMD, ENTRYPOINT, EXPOSE, HEALTHCHECK': {
    replace: ['USER 1', 'CMD ["a"]\nENTRYPOINT ["b"]\nEXPOSE 80\nHEALTHCHECK CMD true\nUSER 1'],
    runs: {},
  },
  'a user': { replace: ['USER 1', 'USER 2'], runs: { 'RUN cat': 'user changed from 1 to 2' } },
  'a working directory': {
    replace: ['USER 1', 'WORKDIR /tmp\nUSER 1'],
    runs: { WORKDIR: 'new step', 'RUN cat': 'workdir changed from / to /tmp' },
  },
  'a shell': {
    replace: ['USER 1', 'SHELL ["/bin/sh", "-ec"]\nUSER 1'],
    runs: { 'RUN cat': 'SHELL changed from ["/bin/sh","-c"] to ["/bin/sh","-ec"]' },
  },
  'a command': {
    replace: ['RUN echo deps', 'RUN echo Deps'],
    runs: {
      'RUN echo Deps': 'the instruction changed (was RUN echo deps > /deps)',
      'COPY src': 'the instruction changed (was RUN echo deps > /deps) (RUN echo Deps > /deps, line 5)',
      'RUN --mount': 'the instruction changed (was RUN echo deps > /deps) (RUN echo Deps > /deps, line 5)',
    },
  },
  'an owner that COPY gives': {
    replace: ['--chown=1:1', '--chown=2:2'],
    runs: {
      'COPY --chown': 'the instruction changed (was COPY --chown=1:1 public /public)',
      'RUN cat':
        'the instruction changed (was COPY --chown=1:1 public /public) (COPY --chown=2:2 public /public, line 15)',
    },
  },
  'another destination': {
    replace: ['public /public', 'public /www'],
    runs: {
      'COPY --chown': 'the instruction changed (was COPY --chown=1:1 public /public)',
      'RUN cat':
        'the instruction changed (was COPY --chown=1:1 public /public) (COPY --chown=1:1 public /www, line 15)',
    },
  },
  'a step more': {
    replace: ['USER 1', 'RUN echo more > /more\nUSER 1'],
    runs: { 'RUN echo more': 'new step', 'RUN cat': 'new step (RUN echo more > /more, line 16)' },
  },
  'a step less': {
    replace: ['COPY --chown=1:1 public /public\n', ''],
    runs: { 'RUN cat': 'it now follows COPY --from=build /out /out (line 14)' },
  },
  'steps in another order': {
    replace: [
      'COPY --from=build /out /out\nCOPY --chown=1:1 public /public',
      'COPY --chown=1:1 public /public\nCOPY --from=build /out /out',
    ],
    runs: {
      'COPY --chown': 'it now follows FROM busybox (line 2)',
      'COPY --from': 'it now follows FROM busybox (line 2) (COPY --chown=1:1 public /public, line 14)',
      'RUN cat': 'it now follows FROM busybox (line 2) (COPY --chown=1:1 public /public, line 14)',
    },
  },
  'another base image': {
    options: { args: { BASE: 'other' } },
    edit: async (bench) => {
      const archive = Buffer.from(busyboxArchive())
      archive.write('APP:', archive.indexOf('\napp:x:1000:1000') + 1)
      await bench.importBase('other', [], archive)
    },
    runs: Object.fromEntries(
      ['WORKDIR', 'COPY package', 'RUN echo', 'COPY src', 'RUN --mount'].map((step) => [
        step,
        'base image changed from docker.io/library/busybox:latest to docker.io/library/other:latest (FROM other, line 2)',
      ]),
    ),
  },
  '--no-cache': {
    options: { noCache: true },
    runs: Object.fromEntries(
      ['WORKDIR', 'COPY package', 'RUN echo', 'COPY src', 'RUN --mount', 'COPY --from', 'COPY --chown', 'RUN cat'].map(
        (step) => [step, '--no-cache was given'],
      ),
    ),
  },
  '--no-cache-filter': {
    options: { noCacheFilter: new Set(['build']) },
    runs: { 'COPY src': '--no-cache-filter was given', 'RUN --mount': '--no-cache-filter was given' },
  },
  '--network': {
    options: { network: 'none' },
    runs: {
      'RUN echo': 'network changed from default to none',
      'RUN --mount': 'network changed from default to none',
      'RUN cat': 'network changed from default to none',
    },
  },
  '--add-host': {
    options: { extraHosts: [{ name: 'db', address: '10.0.0.1' }] },
    runs: {
      'RUN echo': '--add-host was set to db',
      'RUN --mount': '--add-host was set to db',
      'RUN cat': '--add-host was set to db',
    },
  },
  'a secret no step mounts': { options: secret('x'), runs: {} },
  'a pruned cache': {
    edit: ({ store }) =>
      void deleteCacheRecords(
        store,
        listCacheRecords(store).map(({ key }) => key),
      ),
    runs: Object.fromEntries(
      ['WORKDIR', 'COPY package', 'RUN echo', 'COPY src', 'RUN --mount', 'COPY --from', 'COPY --chown', 'RUN cat'].map(
        (step) => [step, 'no cache has its result'],
      ),
    ),
  },
}

describe('a build after one edit says exactly what it was', () => {
  let bench: BuildBench
  beforeEach(async () => {
    bench = await BuildBench.open()
  })
  afterEach(() => bench[Symbol.dispose]())

  function layOut(): void {
    rmSync(bench.context, { recursive: true, force: true })
    bench.dir('src/sub')
    chmodSync(bench.context, 0o755)
    bench.file('src/main.js', 'one')
    utimesSync(context(bench, 'src/main.js'), 1_000_000_000, 1_000_000_000)
    bench.file('src/lib.js', 'lib')
    bench.file('src/sub/a', 'lib')
    bench.file('src/debug.log')
    bench.symlink('src/link', 'lib.js')
    bench.file('src/twin', 'twin')
    linkSync(context(bench, 'src/twin'), context(bench, 'src/twins'))
    bench.file('package.json', '{}')
    bench.file('package-lock.json', '{}')
    bench.file('tools/gen', 'gen')
    bench.file('public/index.html', 'page')
    bench.file('notes.txt')
    writeFileSync(context(bench, '.dockerignore'), '**/*.log\n')
  }

  for (const [name, { edit, replace, options = {}, runs }] of Object.entries(edits))
    test(name, async () => {
      layOut()
      await bench.build(dockerfile)
      await edit?.(bench)
      const [from = '', to = ''] = replace ?? []
      if (replace !== undefined) expect(dockerfile).toContain(from)
      const { shown } = await bench.build(dockerfile.replace(from, to), options)
      const ran = shown.filter(({ title, cached }) => !cached && !title.includes('] FROM '))
      const nameOf = (title: string): string =>
        Object.keys(runs).find((step) => title.replace(/^\[.*?\] /, '').startsWith(step)) ?? title
      expect(ran.map(({ title, reason }) => [nameOf(title), reason ?? 'no reason'])).toEqual(Object.entries(runs))
    })

  test('there are sixty of them', () => {
    expect(Object.keys(edits).length).toBeGreaterThanOrEqual(60)
  })
})
