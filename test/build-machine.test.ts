import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { BuildBench, busyboxArchive } from './fixtures/build-bench.ts'
import { cairnProgram } from './fixtures/suite.ts'

let bench: BuildBench
beforeEach(async () => {
  bench = await BuildBench.open()
  bench.closeStore()
  writeFileSync(`${bench.directory}/base.tar`, busyboxArchive())
  writeFileSync(`${bench.directory}/cairn`, `#!/bin/sh\nexec ${cairnProgram.join(' ')} "$@"\n`, {
    mode: 0o755,
  })
  mkdirSync(`${bench.directory}/mnt`)
})
afterEach(() => bench[Symbol.dispose]())

/** Runs a script in a mount namespace of its own, with `cairn` to call; gives what it printed. */
function inNamespace(script: string): string {
  const done = Bun.spawnSync(['unshare', '-m', 'sh', '-euc', script], {
    cwd: bench.directory,
    env: {
      PATH: `${bench.directory}:${process.env['PATH']}`,
      HOME: bench.directory,
      CAIRN_ROOT: `${bench.directory}/mnt/store`,
    },
    stderr: 'pipe',
  })
  return `${done.stdout.toString()}${done.stderr.toString()}`
}

const read = (name: string): string => readFileSync(`${bench.directory}/${name}`, 'utf8')
const lastLines = (text: string): string => text.slice(text.lastIndexOf('cairn: '))

describe('a build on a full disk', () => {
  /** The store's file system has room for `size`; what the builds say goes to out.1, out.2, and so on. */
  const onSmallDisk = (size: string, ...builds: string[]): string =>
    inNamespace(`
mount -t tmpfs -o size=${size} tmpfs mnt
cairn import base.tar busybox > /dev/null
number=0
try() { number=$((number + 1)); status=0; cairn build --progress=plain "$@" > out.$number 2>&1 || status=$?; echo "build $status"; }
${builds.join('\n')}
echo "left: $(ls mnt/store/tmp)"
for snapshot in mnt/store/snapshots/*; do [ ! -e "$snapshot" ] || [ -d "$snapshot/fs" ] && [ ! -e "$snapshot/work" ] || echo "half made: $snapshot"; done
df -k mnt | tail -1 | awk '{print "free", ($4 > 1000) ? "enough" : $4}'
`)

  test('says so once when COPY has no room, leaves nothing half made and works afterwards', () => {
    bench.file('big', new Uint8Array(12_000_000).fill(1))
    bench.file('small', 'small')
    bench.file('Dockerfile', 'FROM busybox\nCOPY big /big\n')
    bench.file('Dockerfile.small', 'FROM busybox\nCOPY small /small\nRUN cat /small\n')
    const said = onSmallDisk(
      '12m',
      'try -t app context',
      'cairn image inspect app >/dev/null 2>&1 || echo absent',
      'try -t app -f context/Dockerfile.small context',
    )
    expect(said).toBe('build 1\nabsent\nbuild 0\nleft: \nfree enough\n')
    const message = lastLines(read('out.1'))
    expect(message).toMatch(/no space left on device/i)
    expect(read('out.1').match(/cairn: /g)).toHaveLength(1)
    expect(read('out.1')).toContain('>>> COPY big /big')
    expect(read('out.1')).not.toMatch(/\bat .*\.ts:\d+/)
  })

  test('says so when the layer of a RUN has no room although its files had', () => {
    bench.file(
      'Dockerfile',
      'FROM busybox\nRUN dd if=/dev/zero of=/big bs=1M count=7 2>/dev/null && sed -i "s/^/x/" /etc/passwd\n',
    )
    bench.file('Dockerfile.small', 'FROM busybox\nRUN echo small > /small\n')
    const said = onSmallDisk(
      '18m',
      'try -t app context',
      'cairn image inspect app >/dev/null 2>&1 || echo absent',
      'try -t app -f context/Dockerfile.small context',
    )
    expect(said).toBe('build 1\nabsent\nbuild 0\nleft: \nfree enough\n')
    expect(lastLines(read('out.1'))).toMatch(/no space left on device/i)
    expect(read('out.1').match(/cairn: /g)).toHaveLength(1)
  })

  test('shows what the command said when it had no room itself', () => {
    bench.file('Dockerfile', 'FROM busybox\nRUN dd if=/dev/zero of=/big bs=1M count=30\n')
    bench.file('Dockerfile.small', 'FROM busybox\nRUN echo small > /small\n')
    const said = onSmallDisk('12m', 'try context', 'try -f context/Dockerfile.small context')
    expect(said).toBe('build 1\nbuild 0\nleft: \nfree enough\n')
    expect(read('out.1')).toContain('No space left on device')
    expect(lastLines(read('out.1'))).toContain('did not complete successfully: exit code: 1')
  })

  test('says so when there is no room for the base to be unpacked', () => {
    bench.file('Dockerfile', 'FROM busybox\nRUN true\n')
    const said = onSmallDisk('7m', 'try context')
    expect(said).toStartWith('build 1\nleft: \n')
    expect(said).not.toContain('half made')
    expect(lastLines(read('out.1'))).toMatch(/no space left on device/i)
  })
})

describe('a build on a machine that cannot run steps', () => {
  const runs = 'FROM busybox\nCOPY Dockerfile /\nRUN true\n'

  test('names the runtimes and the package where there is none', () => {
    bench.file('Dockerfile', runs)
    const said = inNamespace(`
mount -t tmpfs tmpfs mnt
cairn import base.tar busybox > /dev/null
for runtime in crun runc; do
  IFS=:; for directory in $PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; do
    [ ! -e "$directory/$runtime" ] || mount --bind /dev/null "$directory/$runtime"
  done
done
cairn build context > out.1 2>&1 || echo "build $?"
echo "left: $(ls mnt/store/tmp mnt/store/snapshots 2>/dev/null | grep -v :)"
printf 'FROM busybox\\nCOPY Dockerfile /\\n' > context/Dockerfile
cairn build -q context > /dev/null && echo "without RUN"
`)
    expect(said).toBe('build 1\nleft: \nwithout RUN\n')
    expect(lastLines(read('out.1'))).toBe(
      `cairn: failed to build: failed to solve: no OCI runtime found: neither crun nor runc\n\nInstall one: \`apt-get install crun\` (or runc).\n`,
    )
    expect(read('out.1')).toContain('>>> RUN true')
  })

  test('says what the store would have to be on for overlays', () => {
    bench.file('Dockerfile', runs)
    const said = inNamespace(`
mount -t tmpfs tmpfs mnt
mkdir mnt/lower mnt/upper mnt/work
mount -t overlay overlay -o lowerdir=mnt/lower,upperdir=mnt/upper,workdir=mnt/work mnt
cairn import base.tar busybox > /dev/null
cairn build context > out.1 2>&1 || echo "build $?"
echo "left: $(ls mnt/store/tmp mnt/store/snapshots 2>/dev/null | grep -v :)"
`)
    expect(said).toBe('build 1\nleft: \n')
    expect(lastLines(read('out.1'))).toMatch(
      /^cairn: failed to build: failed to solve: fsconfig upperdir overlay on .+not supported as upperdir\n\nThe upper directory must be on .+CAIRN_ROOT to one\.\n$/,
    )
  })

  test('builds in a store whose path has spaces, commas and backslashes', async () => {
    const parent = `${bench.directory}/with space,comma\\back`
    mkdirSync(parent)
    const odd = await BuildBench.open(parent)
    try {
      odd.file('Dockerfile', runs)
      odd.closeStore()
      const { status, err } = await odd.cairn(['build', odd.context])
      expect([status, status === 0 ? '' : err]).toEqual([0, ''])
    } finally {
      odd[Symbol.dispose]()
    }
  })
})
