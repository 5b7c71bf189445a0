import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { BuildBench, type Ended } from './fixtures/build-bench.ts'

describe('build --verify-reproducible', () => {
  let bench: BuildBench
  beforeAll(async () => {
    bench = await BuildBench.open()
  })
  afterAll(() => bench[Symbol.dispose]())
  beforeEach(() => bench.closeStore())

  /** Builds twice, and gives what was said at the end. */
  async function verified(dockerfile: string, ...flags: string[]): Promise<Ended & { said: string }> {
    bench.file('Dockerfile', dockerfile)
    const ended = await bench.cairn(['build', '--progress=plain', '--verify-reproducible', ...flags, bench.context])
    const at = ended.err.search(/^(?:Reproducible|Not reproducible):/m)
    return { ...ended, said: at < 0 ? '' : ended.err.slice(at) }
  }

  test('says so where the layers are the same, and keeps nothing of the second build', async () => {
    bench.file('a', 'a')
    const source = `FROM busybox AS made
RUN mkdir /d && echo a > /d/a && ln -s a /d/l && touch /d/empty && rm /etc/group
RUN --mount=type=cache,target=/cache touch /cache/x && ls /cache > /listed
FROM busybox
WORKDIR /w
COPY a .
COPY --from=made /d /listed /copied/
RUN times=$(ls -ld / /w /w/a /copied) && umask > /umask && echo "$times" > /times && echo $TZ > /zone
`
    const built = await bench.cairn(['build', '-q', bench.file('unused').replace(/unused$/, ''), '-f', '-'], {
      stdin: source,
    })
    expect(built.err).toBe('')
    const before = stateOf(bench)
    const { said, status, err } = await verified(source)
    expect(said).toBe('Reproducible: built again, 6 steps gave the same layers.\n')
    expect(status).toBe(0)
    expect(err).toContain('rebuilt: --verify-reproducible was given')
    expect(stateOf(bench)).toEqual(before)
    // The cache is as it was, also that of the mount.
    const again = await bench.cairn(['build', '--progress=plain', bench.context])
    expect(again.err.match(/CACHED/g)).toHaveLength(6)
  }, 60_000)

  test('names instruction, file, place and cause of what differs, and ends with status 1', async () => {
    const metadata = `${bench.directory}/metadata.json`
    const { said, status } = await verified(
      `FROM busybox
RUN echo fixed > /fixed
RUN echo "built $(date -u +%Y-%m-%dT%H:%M:%SZ)" > /built
COPY Dockerfile /after
`,
      `--metadata-file=${metadata}`,
    )
    expect(status).toBe(1)
    const lines = said.replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, '<time>').replace(/byte \d+/, 'byte <n>')
    expect(lines).toBe(`Not reproducible: built again, 1 of 3 steps gave other layers.

Dockerfile:3  RUN echo "built $(date -u +%Y-%m-%dT%H:%M:%SZ)" > /built
  /built differs from byte <n> on (27 bytes, 27 bytes)
    first:  "built <time>\\n"
    second: "built <time>\\n"
  likely cause: a date or time
  advice: leave it out, or take it from SOURCE_DATE_EPOCH (ARG SOURCE_DATE_EPOCH, date -d @$SOURCE_DATE_EPOCH)
`)
    const told = (JSON.parse(readFileSync(metadata, 'utf8')) as Record<string, unknown>)['cairn.reproducible']
    expect(told).toMatchObject({
      reproducible: false,
      compared: 3,
      differences: [{ line: 3, after: [], difference: { path: '/built', aspect: 'content', cause: 'a date or time' } }],
    })
  }, 60_000)

  test('finds the likely cause of what differs', async () => {
    const uuid = 'cat /proc/sys/kernel/random/uuid'
    const steps: readonly (readonly [command: string, path: string, cause: string])[] = [
      [`${uuid} > /id`, '/id differs from byte', 'a random identifier (UUID)'],
      ['head -c 64 /dev/urandom > /r', '/r differs from byte', 'random data'],
      ['head -c 16 /dev/urandom | md5sum > /hex', '/hex differs from byte', 'a random number'],
      ['date +%Y%m%d%H%M%S > /compact', '/compact differs from byte', 'a date or time'],
      [`mkdir -p /var/log && ${uuid} > /var/log/app.log`, '/var/log/app.log differs', 'a log says when'],
      ['mktemp /x.XXXXXX > /dev/null', '/x.', 'a file with a random name'],
      [
        'chmod $(printf %o $(( $(date +%s) % 512 ))) /etc/passwd',
        '/etc/passwd differs in its mode',
        'the mode was left',
      ],
      [`mkdir -p /tmp && ${uuid} > /tmp/x`, '/tmp/x differs', 'a temporary file was left'],
      [
        'echo x | gzip > /x.gz; f=$(printf "%08x" $(date +%s)); printf "\\\\x${f:6:2}" | dd of=/x.gz bs=1 seek=4 conv=notrunc',
        '/x.gz differs from byte 4',
        'gzip keeps the time',
      ],
      ['touch -d @$(( $(date +%s) / 2 )) /t', '/t differs in its time', 'a time that the command set itself'],
    ]
    const { said, status } = await verified(`FROM busybox\n${steps.map(([command]) => `RUN ${command}\n`).join('')}`)
    const parts = new Map(said.split('\n\n').map((part) => [Number(/^Dockerfile:(\d+) /.exec(part)?.[1]), part]))
    for (const [index, [, path, cause]] of steps.entries()) {
      expect(parts.get(index + 2) ?? '').toContain(`  ${path}`)
      expect(parts.get(index + 2) ?? '').toContain(`likely cause: ${cause}`)
    }
    expect(status).toBe(1)
  }, 60_000)

  test('says what is the same today and will not be tomorrow', async () => {
    const account = 'echo "u:!:$(( $(date +%s) / 86400 )):0:99999:7:::" >> /etc/shadow'
    const { said, status } = await verified(
      `FROM busybox\nRUN ${account}\nRUN echo fixed > /fixed\nRUN date -u +%F > /built\nRUN touch -d @1000000000 /built\n`,
    )
    const days = said.replaceAll(/\d{4}-\d\d-\d\d/g, '<day>').replace(/:\d{5}$/m, ':<day>')
    expect(days).toStartWith(
      'Not reproducible: built again, 4 steps gave the same layers, which have the date of today.\n\nDockerfile:2  RUN ',
    )
    expect(days).toContain(
      '  /etc/shadow has the day of the build, and is another one tomorrow: u:…:<day>\n  likely cause: an account',
    )
    expect(days).toContain('Dockerfile:4  RUN date -u +%F > /built\n  /built has the day of the build')
    expect(days.match(/^Dockerfile:/gm)).toHaveLength(2)
    expect(status).toBe(1)
  }, 60_000)

  test('tells what only follows from an earlier difference', async () => {
    const { said } = await verified(
      'FROM busybox AS b\nRUN cat /proc/sys/kernel/random/uuid > /id\nFROM busybox\nCOPY --from=b /id /id\n',
    )
    expect(said).toContain('Dockerfile:2  RUN')
    expect(said).toContain('Dockerfile:4  COPY --from=b /id /id\n  after line 2, which differs, too\n')
  }, 60_000)

  test('says that real times differ', async () => {
    const { said, status } = await verified('FROM busybox\nRUN echo x > /x\n', '--timestamps=real')
    expect(said).toContain('/x differs in its time: 2')
    expect(said).toContain('likely cause: a time that the command set itself, or that came with --timestamps real')
    expect(said).toMatch(/The image is of 2\S+, the second of 2/)
    expect(status).toBe(1)
  }, 60_000)

  test('verifies every platform', async () => {
    const { said } = await verified(
      'FROM --platform=$BUILDPLATFORM busybox AS b\nRUN cat /proc/sys/kernel/random/uuid > /id\nFROM scratch\nARG TARGETARCH\nCOPY --from=b /id /id-$TARGETARCH\n',
      '--platform=linux/amd64,linux/arm64',
    )
    expect(said).toContain('Not reproducible: built again, 3 of 3 steps')
    expect(said).toContain('COPY --from=b /id /id-amd64')
    expect(said).toContain('COPY --from=b /id /id-arm64')
  }, 60_000)

  test('fails as a build does where the second one fails', async () => {
    const { status, err, said } = await verified(
      'FROM busybox\nRUN --mount=type=cache,target=/c test ! -e /never && date +%s > /s\nRUN test $(date +%s) -le $(( $(cat /s) + 1 ))\nRUN test "$(umask)" = 0022\nRUN --mount=type=bind,target=/b ls /b/nothing\n',
    )
    expect(said).toBe('')
    expect(status).toBe(1)
    expect(err).toContain('>>> RUN --mount=type=bind')
  }, 60_000)
})

/** What a store has that stays: blobs, directories of layers, caches. */
function stateOf({ root }: BuildBench): unknown {
  const list = (path: string): string[] => readdirSync(`${root}/${path}`).toSorted()
  return [list('content/blobs/sha256').length, list('snapshots'), list('cache/mounts'), list('tmp')]
}
