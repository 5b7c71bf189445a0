import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { dropUnpackedLayers } from '../src/engine/store/drop-unpacked-layers.ts'
import { BuildBench, type Built, busyboxArchive, type CliOptions, contentOf } from './fixtures/build-bench.ts'
import { type SampleProject, sampleProjects } from './fixtures/sample-projects.ts'

const copies = `FROM busybox
WORKDIR /srv/app
COPY . .
COPY --chown=app:extra --chmod=640 a /owned/a
COPY --parents --link sub/deep/c /linked/
ADD archive.tar.gz /unpacked
COPY <<EOF /made
text
EOF
ENV A=1
`
const runs = `${copies}RUN echo made > /ran && mkdir /dir && ln -s ran /dir/link && rm /etc/group
RUN date > /dev/null; echo more >> /ran
`

/** The same files in a bench, made in another order, at another time and with another umask. */
function fill(bench: BuildBench, reversed: boolean): void {
  const archive = Bun.spawnSync([
    'tar',
    '-C',
    bench.directory,
    '--owner=3',
    '--mtime=@1000000000',
    '-cz',
    '--files-from=/dev/null',
  ])
  const files: [string, string | Uint8Array][] = [
    ['a', 'a'],
    ['z', 'z'],
    ['sub/b', 'b'],
    ['sub/deep/c', 'c'],
    ['archive.tar.gz', archive.stdout],
  ]
  for (const [path, content] of reversed ? files.reverse() : files) bench.file(path, content)
}

/** Sets every time in the context to the same moment: COPY keeps the times of its sources. */
function settle(bench: BuildBench): void {
  const done = Bun.spawnSync(['find', bench.context, '-exec', 'touch', '-h', '-d', '@1500000000', '{}', '+'])
  if (!done.success) throw new Error(done.stderr.toString())
}

/** Digest of the image and its layers as a command of its own builds it. */
async function built(
  bench: BuildBench,
  dockerfile: string,
  options: CliOptions = {},
  ...flags: string[]
): Promise<{ id: string; diffIds: string[] }> {
  bench.file('Dockerfile', dockerfile)
  settle(bench)
  bench.closeStore()
  const { status, out, err } = await bench.cairn(['build', '-q', ...flags, bench.context], options)
  if (status !== 0) throw new Error(err)
  const inspected = await bench.cairn(['image', 'inspect', '--format', '{{json .RootFS.Layers}}', out.trim()], options)
  return { id: out.trim(), diffIds: JSON.parse(inspected.out) as string[] }
}

describe('the same Dockerfile and context', () => {
  test('give the same layers in two stores without RUN', async () => {
    using one = await BuildBench.open()
    using two = await BuildBench.open()
    fill(one, false)
    fill(two, true)
    const first = await built(one, copies)
    const second = await built(two, copies, { prefix: ['sh', '-c', 'umask 077; TZ=Asia/Kolkata exec "$@"', 'sh'] })
    expect(first.diffIds).toHaveLength(7)
    expect(second.diffIds).toEqual(first.diffIds)
  })

  test('give the same image with RUN and SOURCE_DATE_EPOCH, whatever the folder, umask and time zone', async () => {
    using one = await BuildBench.open()
    using two = await BuildBench.open('/var/tmp')
    fill(one, false)
    fill(two, true)
    const env = { SOURCE_DATE_EPOCH: '1600000000' }
    const first = await built(one, runs, { env })
    await Bun.sleep(1100)
    const second = await built(two, runs, {
      env: { ...env, TZ: 'America/Adak', LANG: 'tr_TR.UTF-8' },
      prefix: ['sh', '-c', 'umask 077; exec "$@"', 'sh'],
    })
    expect(second).toEqual(first)
    const { out } = await one.cairn(['image', 'inspect', '--format', '{{.Created}} {{json .RootFS.Layers}}', first.id])
    expect(out).toStartWith('2020-09-13T12:26:40Z ')
    // And the same again in the same store without its cache.
    expect(await built(one, runs, { env }, '--no-cache')).toEqual(first)
  }, 60_000)

  test('let every user of a RUN step read and enter what Cairn makes, whatever the umask', async () => {
    using bench = await BuildBench.open()
    bench.file('f', 'f')
    const source = `FROM busybox AS s
RUN true
FROM s
USER app
RUN ls / /etc > /dev/null && cat /etc/resolv.conf /etc/hosts > /dev/null && touch /tmp/x
RUN --mount=source=f,target=/new/deep/f --mount=type=cache,target=/other/deep/c ls /other/deep/c && cat /new/deep/f
RUN --mount=from=s,target=/s,rw --mount=from=s,target=/t ls /s/bin /t/bin > /dev/null
RUN <<EOF
#!/bin/sh
echo script
EOF
`
    await built(bench, source, { prefix: ['sh', '-c', 'umask 077; exec "$@"', 'sh'] })
  })

  test('leave the root directory as the base image has it', async () => {
    using bench = await BuildBench.open()
    const tar = Bun.spawnSync(['tar', '-C', '/', '--mode=0711', '--owner=5', '-c', '--no-recursion', './'])
    await bench.importBase('odd', [], Buffer.concat([tar.stdout.subarray(0, 512), busyboxArchive().subarray(512)]))
    const { tree, config } = await bench.build('FROM odd\nRUN stat -c "%a %u" / > /f\n')
    expect(contentOf(tree, '/f').toString()).toBe('711 5\n')
    expect(bench.layer(config.rootfs.diff_ids.at(-1) as never).isImplied('/')).toBe(true)
  })

  test('give layers without a time after SOURCE_DATE_EPOCH', async () => {
    using bench = await BuildBench.open()
    bench.file('new', 'new')
    const { config } = await bench.build('FROM busybox\nCOPY new /new\nRUN touch /ran\nWORKDIR /w\n', {
      args: { SOURCE_DATE_EPOCH: '1000' },
    })
    for (const diffId of config.rootfs.diff_ids.slice(1)) {
      const layer = bench.layer(diffId)
      for (const path of ['/new', '/ran', '/w']) expect(layer.lookup(path)?.mtimeSeconds ?? 0).toBeLessThanOrEqual(1000)
    }
    expect(config.created).toBe('1970-01-01T00:16:40Z')
    expect(config.history?.slice(1).map(({ created }) => created)).toEqual(
      Array(3).fill('1970-01-01T00:16:40Z') as string[],
    )
    // The base image's own entry is left as it is.
    expect(config.history?.[0]?.created).toBe('2020-01-02T03:04:05Z')
  })
})

type Unprivileged = BuildBench & { readonly options: CliOptions }

const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']

/** A bench whose store belongs to nobody and holds busybox. */
async function unprivileged(): Promise<Unprivileged> {
  const bench = await BuildBench.open()
  bench.closeStore()
  const home = `${bench.directory}/home`
  mkdirSync(home)
  chownSync(home, 65_534, 65_534)
  writeFileSync(`${bench.directory}/base.tar`, busyboxArchive())
  const options: CliOptions = { prefix: nobody, env: { HOME: home, CAIRN_ROOT: undefined }, cwd: '/' }
  // Dated and described as the benches' own.
  const dated = { ...options, env: { ...options.env, SOURCE_DATE_EPOCH: '1577934245' } }
  const argv = ['import', '--message', 'busybox for tests', `${bench.directory}/base.tar`, 'busybox']
  const imported = await bench.cairn(argv, dated)
  if (imported.status !== 0) throw new Error(imported.err)
  return Object.assign(bench, { options })
}

/** One of the two places in which samples are built. */
interface Place {
  readonly bench: BuildBench
  readonly options: CliOptions
  /** Files are made in another order. */
  readonly isReversed: boolean
}

/** Digests of the manifest or index, and of an archive of the image. */
interface BuiltSample {
  readonly image: string
  readonly archive: string
}

async function buildSample(name: string, project: SampleProject, place: Place): Promise<BuiltSample> {
  const { bench, options } = place
  const { dockerfile, flags = [], base, isArchived } = project
  const directory = `sample/${name.replaceAll(/\W/g, '-')}`
  layOut(project, directory, place)
  const full = `${bench.context}/${directory}`
  const run = async (stdin: string | Uint8Array, ...argv: string[]): Promise<void> => {
    const { status, err } = await bench.cairn(['build', ...argv], { ...options, stdin })
    if (status !== 0) throw new Error(err)
  }
  if (base !== undefined) await run(base, '-q', '-t', 'base', '-')
  const [metadata, archive] = [`${bench.directory}/out/metadata.json`, `${bench.directory}/out/image.tar`]
  const compression = name.length % 2 === 0 ? 'gzip' : 'zstd'
  const outputs = ['--output=type=image', `--output=type=oci,dest=${archive},compression=${compression}`]
  const own = flags.map((flag) => flag.replace('<dir>', full))
  if (isArchived === true) {
    const tar = Bun.spawnSync(['tar', '-C', full, '-c', '.'])
    await run(tar.stdout, '-q', ...outputs, `--metadata-file=${metadata}`, '-')
  } else await run(dockerfile, '-q', '-f-', ...own, ...outputs, `--metadata-file=${metadata}`, full)
  const told = JSON.parse(readFileSync(metadata, 'utf8')) as Record<string, unknown>
  return {
    image: String(told['containerimage.digest']),
    archive: new Bun.CryptoHasher('sha256').update(readFileSync(archive)).digest('hex'),
  }
}

/** Makes the files of a project, with their modes whatever the umask; the times are those of now. */
function layOut({ files = {}, modes = {}, dockerfile }: SampleProject, directory: string, place: Place): void {
  const { bench, isReversed } = place
  const entries = Object.entries({ ...files, Dockerfile: dockerfile })
  for (const [path, content] of isReversed ? entries.reverse() : entries) {
    const target = `${directory}/${path}`
    if (path.endsWith('/')) bench.dir(target)
    else if (typeof content === 'string' && content.startsWith('-> ')) bench.symlink(target, content.slice(3))
    else bench.file(target, content, modes[path] ?? 0o644)
  }
}

describe('--timestamps and SOURCE_DATE_EPOCH', () => {
  /** What times files have, in seconds: `now` for those of today. */
  const timesOf = ({ tree }: Built, ...paths: string[]): unknown[] =>
    paths.map((path) => {
      const seconds = tree.lookup(path)?.mtimeSeconds ?? -1
      return Math.abs(seconds - Date.now() / 1000) < 3600 ? 'now' : seconds
    })
  const fixed = 315_532_800
  const source = `FROM busybox AS s
RUN touch /ran
FROM busybox
COPY new old /c/
ADD a.tar /a/
RUN touch /ran && touch -d @1400000000 /dated && chmod 600 /a/f
RUN stat -c %Y /ran /dated /a/f /c/new > /seen
COPY --from=s /ran /again
WORKDIR /w
`
  const paths = ['/c/new', '/c/old', '/a/f', '/ran', '/dated', '/again', '/w']

  async function prepared(): Promise<BuildBench> {
    const bench = await BuildBench.open()
    bench.file('new', 'n')
    utimesSync(bench.file('old', 'o'), 1_100_000_000, 1_100_000_000)
    const pack = 'cd "$1" && echo f > f && tar --mtime=@1300000000 -cf context/a.tar f && rm f'
    Bun.spawnSync(['sh', '-c', pack, 'sh', bench.directory])
    return bench
  }

  test('give one time to what is new and leave times that come from inputs', async () => {
    using bench = await prepared()
    const built = await bench.build(source)
    expect(timesOf(built, ...paths)).toEqual([fixed, fixed, 1_300_000_000, fixed, 1_400_000_000, fixed, fixed])
    expect(contentOf(built.tree, '/seen').toString()).toBe(`${fixed}\n1400000000\n1300000000\n${fixed}\n`)
    expect(built.config.created).toBe('1980-01-01T00:00:00Z')
    expect(built.config.history?.slice(1).every(({ created }) => created === '1980-01-01T00:00:00Z')).toBe(true)
    // What came of it is the same where the steps read tars and not the directories that RUN left.
    expect(dropUnpackedLayers(bench.store)).toBeGreaterThan(0)
    await bench.build(`${source}RUN stat -c %Y /ran /dated /a/f /c/new | cmp - /seen\n`)
  }, 60_000)

  test('are real where that is wanted, and no layer of one kind is taken for the other', async () => {
    using bench = await prepared()
    const first = await bench.build(source)
    const real = await bench.build(source, { timestamps: 'real' })
    expect(timesOf(real, ...paths)).toEqual(['now', 1_100_000_000, 1_300_000_000, 'now', 1_400_000_000, 'now', 'now'])
    expect(Math.abs(Date.parse(real.config.created ?? '') - Date.now())).toBeLessThan(3_600_000)
    const copied = real.shown.find(({ title }) => title.endsWith('COPY new old /c/'))
    expect(copied?.reason).toBe('--timestamps changed from fixed to real')
    const again = await bench.build(source)
    expect(again.cached).toBe(7)
    expect(again.imageId).toBe(first.imageId)
  }, 60_000)

  test('take SOURCE_DATE_EPOCH in place of 1980, and nothing is newer', async () => {
    using bench = await prepared()
    const built = await bench.build(source, { args: { SOURCE_DATE_EPOCH: '1350000000' } })
    const epoch = 1_350_000_000
    expect(timesOf(built, ...paths)).toEqual([epoch, epoch, 1_300_000_000, epoch, epoch, epoch, epoch])
    expect(built.config.created).toBe('2012-10-12T00:00:00Z')
    const real = await bench.build(source, { args: { SOURCE_DATE_EPOCH: '1350000000' }, timestamps: 'real' })
    expect(timesOf(real, ...paths)).toEqual([epoch, 1_100_000_000, 1_300_000_000, epoch, epoch, epoch, epoch])
    // Later steps see what is in the tar, not what the step left.
    expect(contentOf(real.tree, '/seen').toString().split('\n').slice(0, 2)).toEqual([`${epoch}`, `${epoch}`])
  }, 60_000)

  test('take the time of the commit for SOURCE_DATE_EPOCH=git, also for steps that declare it', async () => {
    using bench = await prepared()
    const dockerfile = 'FROM busybox\nARG SOURCE_DATE_EPOCH\nRUN echo $SOURCE_DATE_EPOCH > /e\n'
    const error = await bench.failure(dockerfile, { args: { SOURCE_DATE_EPOCH: 'git' } })
    expect(error.message).toBe('SOURCE_DATE_EPOCH=git needs a context in a git repository with a commit')
    const git = 'git init -q && git add . && git -c user.name=n -c user.email=e commit -qm 1'
    const env = { ...process.env, GIT_COMMITTER_DATE: '@1500000000 +0000' }
    expect(Bun.spawnSync(['sh', '-c', git], { cwd: bench.context, env }).success).toBe(true)
    for (const text of ['git', 'context']) {
      // oxlint-disable-next-line no-await-in-loop -- one store
      const { tree, config } = await bench.build(dockerfile, { args: { SOURCE_DATE_EPOCH: text } })
      expect(contentOf(tree, '/e').toString()).toBe('1500000000\n')
      expect(config.created).toBe('2017-07-14T02:40:00Z')
    }
  }, 60_000)

  test('are listed by when the image came here, and inspected as they are', async () => {
    using bench = await prepared()
    await bench.build('FROM busybox\nCOPY old /\n', { tag: 'app' })
    bench.closeStore()
    const year = String(new Date().getUTCFullYear())
    const list = await bench.cairn(['images', '--format', '{{.Repository}} {{.CreatedAt}} {{.CreatedSince}}'])
    expect(list.out).toStartWith(`app ${year}-`)
    expect(list.out.split('\n')[0]).toMatch(/ (?:seconds?|minutes?) ago$|Less than a second ago$/)
    const history = await bench.cairn(['history', '--format', '{{.CreatedAt}}', '--human=false', 'app'])
    expect(history.out).toStartWith(`${year}-`)
    expect((await bench.cairn(['images', '-q', '--filter', 'until=1h'])).out.trim().split('\n')).toHaveLength(1)
    expect((await bench.cairn(['inspect', '--format', '{{.Created}}', 'app'])).out).toBe('1980-01-01T00:00:00Z\n')
    const odd = await bench.cairn(['build', '-q', bench.context], { env: { CAIRN_TIMESTAMPS: 'sometimes' } })
    expect(odd.err).toContain('CAIRN_TIMESTAMPS is "sometimes"; it can be "fixed" or "real"')
  }, 60_000)
})

describe('a project gives the same image and archive in other folders, stores, umasks, zones and at other times', () => {
  let one: BuildBench
  let two: BuildBench
  let three: Unprivileged
  const firsts = new Map<string, BuiltSample>()

  beforeAll(async () => {
    one = await BuildBench.open()
    two = await BuildBench.open('/var/tmp')
    three = await unprivileged()
    for (const bench of [one, two, three]) {
      bench.closeStore()
      mkdirSync(`${bench.directory}/out`)
      chmodSync(`${bench.directory}/out`, 0o777)
    }
    for (const [name, project] of Object.entries(sampleProjects))
      // oxlint-disable-next-line no-await-in-loop -- one machine
      firsts.set(name, await buildSample(name, project, { bench: one, options: {}, isReversed: false }))
  }, 240_000)
  afterAll(() => {
    for (const bench of [one, two, three]) bench[Symbol.dispose]()
  })

  const elsewhere: CliOptions = {
    env: {
      HOME: '/',
      USER: 'other',
      LOGNAME: 'other',
      TZ: 'Pacific/Kiritimati',
      LANG: 'tr_TR.UTF-8',
      LC_ALL: 'tr_TR.UTF-8',
    },
    prefix: ['sh', '-c', 'umask 077; exec "$@"', 'sh'],
    cwd: '/',
  }

  for (const [name, project] of Object.entries(sampleProjects)) {
    test(
      name,
      async () => {
        const first = firsts.get(name) as BuiltSample
        expect(first.image).toMatch(/^sha256:/)
        const options = { ...elsewhere, env: { ...elsewhere.env, CAIRN_ROOT: two.root } }
        expect(await buildSample(name, project, { bench: two, options, isReversed: true })).toEqual(first)
        if (project.isPlain !== true) return
        const nobody = three.options
        expect(await buildSample(name, project, { bench: three, options: nobody, isReversed: true })).toEqual(first)
      },
      60_000,
    )
  }
})

describe('a user without privileges', () => {
  test('builds without RUN, with owners and modes, what root builds', async () => {
    using root = await BuildBench.open()
    using other = await unprivileged()
    fill(root, false)
    fill(other, true)
    const first = await built(root, copies)
    const second = await built(other, copies, other.options)
    expect(second.diffIds).toEqual(first.diffIds)
    const env = { SOURCE_DATE_EPOCH: '1600000000' }
    const scratch = 'FROM scratch\nCOPY --chown=5:6 --chmod=4755 . /x/\nWORKDIR /w\nUSER 7\nWORKDIR /w/7\n'
    const third = await built(root, scratch, { env })
    expect(await built(other, scratch, { ...other.options, env: { ...other.options.env, ...env } })).toEqual(third)
    expect(existsSync(`${other.directory}/home/.local/share/cairn`)).toBe(true)
  })

  test('is told which file of the context it cannot read', async () => {
    using bench = await unprivileged()
    bench.file('secret', 'x', 0o600)
    chmodSync(`${bench.context}/secret`, 0o600)
    bench.file('Dockerfile', 'FROM scratch\nCOPY . /\n')
    const { status, err } = await bench.cairn(['build', bench.context], bench.options)
    expect(status).toBe(1)
    expect(err).toContain('>>> COPY . /')
    expect(err.slice(err.lastIndexOf('cairn: '))).toMatch(/secret.*permission denied/i)
  })
})
