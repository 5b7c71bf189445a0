import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Cairn, type Ended } from '../../../test/fixtures/cli/cairn.ts'
import { cairnProgram } from '../../../test/fixtures/suite.ts'
import { readTarFile } from '../../tar/reader.ts'

/**
 * Stands for mmdebstrap: makes the files of a small Debian, with all the traces that the real one and its packages
 * leave, different ones each time. `suite` decides how it behaves.
 */
const fakeMmdebstrap = `#!/bin/sh
set -eu
log="$(dirname "$0")/log"
hook= format= options=
while [ "$1" != -- ]; do
  case "$1" in
    --setup-hook=*) hook="\${1#*=}" ;;
    --format=*) format="\${1#*=}" ;;
    *) options="$options $1" ;;
  esac
  shift
done
suite="$2" target="$3"
shift 3
echo "$format$options -- $suite $* epoch=\${SOURCE_DATE_EPOCH:-none}" >> "$log"
if [ "$suite" = broken ]; then echo "E: cannot find the keyring" >&2; exit 25; fi
if [ -n "$hook" ]; then
  mkdir -p "$TMPDIR/chroot/etc/apt/sources.list.d"
  echo "deb \${1:-file:/nosuch} $suite main" > "$TMPDIR/chroot/etc/apt/sources.list"
  sh -c "$hook" exec "$TMPDIR/chroot" || true
  exit 1
fi
echo "I: chroot architecture amd64 is equal to the host's architecture" >&2
echo "I: running apt-get update..." >&2
if [ "$suite" = failing ]; then
  echo "Err:1 http://mirror.example failing InRelease" >&2
  echo "E: The repository does not have a Release file." >&2
  exit 25
fi
cd "$target"
mkdir -p bin dev etc/apt/apt.conf.d etc/dpkg/dpkg.cfg.d etc/ssh proc run/lock tmp usr/bin usr/lib usr/sbin \\
  var/cache/ldconfig var/lib/dpkg var/lib/apt/lists/partial var/log/apt
chmod 1777 tmp
echo program > bin/bash
echo random $$ > var/cache/ldconfig/aux-cache
echo "today $$" | tee var/log/dpkg.log var/log/apt/history.log > var/log/other.log
: > var/log/wtmp
echo $$ | tee etc/hostname etc/resolv.conf etc/machine-id etc/ssh/ssh_host_ed25519_key run/pid > tmp/file
echo 'root:x:0:0:root:/root:/bin/bash' > etc/passwd
echo old > etc/passwd-
mknod dev/null c 1 3
printf 'PRETTY_NAME="Fake Linux 1"\\nVERSION_ID="1"\\nHOME_URL="https://fake.example/"\\n' > usr/lib/os-release
printf 'Package: b\\nStatus: install ok installed\\nArchitecture: amd64\\nVersion: 2:1.0-1\\n\\nPackage: gone\\nStatus: deinstall ok config-files\\nVersion: 1\\n\\nPackage: a\\nStatus: install ok installed\\nArchitecture: all\\nVersion: 3\\n' > var/lib/dpkg/status
if [ -n "\${1:-}" ]; then cp "\${1#file:}/dists/$suite/InRelease" var/lib/apt/lists/mirror_dists_InRelease; fi
if [ "$suite" = changing ]; then echo 'Date: Sat, 03 Jan 2026 00:00:00 UTC' > var/lib/apt/lists/mirror_dists_InRelease; fi
echo "I: installing essential packages..." >&2
echo "W: something to know" >&2
if [ "$suite" = slow ]; then sleep 1000 & echo "sleeping" >&2; wait; fi
echo "I: success in 1.0 seconds" >&2
`

const released = Date.parse('2026-01-02T03:04:05Z') / 1000

let cairn: Cairn
beforeEach(() => {
  cairn = new Cairn()
  mkdirSync(join(cairn.home, 'bin'))
  writeFileSync(join(cairn.home, 'bin/mmdebstrap'), fakeMmdebstrap)
  chmodSync(join(cairn.home, 'bin/mmdebstrap'), 0o755)
  for (const suite of ['stable', 'changing']) {
    mkdirSync(join(cairn.home, 'mirror/dists', suite), { recursive: true })
    writeFileSync(
      join(cairn.home, 'mirror/dists', suite, 'InRelease'),
      'Origin: Fake\nDate: Fri, 02 Jan 2026 03:04:05 UTC\n',
    )
  }
})
afterEach(() => {
  cairn[Symbol.dispose]()
})

const path = (): string => `${join(cairn.home, 'bin')}:${process.env['PATH'] ?? ''}`
const mirror = (): string => `file:${join(cairn.home, 'mirror')}`
const bootstrap = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> =>
  cairn.run(['bootstrap', ...args], { env: { PATH: path(), ...env } })
/** How the program was called. */
const calls = (): string[] => readFileSync(join(cairn.home, 'bin/log'), 'utf8').trim().split('\n')
const temporary = (): string[] => (existsSync(join(cairn.root, 'tmp')) ? readdirSync(join(cairn.root, 'tmp')) : [])

/** The paths in the only layer of an image, with the size of files. */
async function layerOf(name: string): Promise<Map<string, number>> {
  const layer = (await cairn.ok(['inspect', '-f', '{{index .RootFS.Layers 0}}', name])).trim()
  const file = join(cairn.root, 'content/blobs', layer.replace(':', '/'))
  return new Map([...readTarFile(file)].map(({ entry }) => [entry.path, entry.size]))
}

describe('cairn bootstrap', () => {
  test('makes the same image of the same packages, without traces of time and machine', async () => {
    const first = await bootstrap(['--suite', 'stable', '--mirror', mirror(), 'fake:1'])
    expect(first.err).not.toContain('ERROR')
    expect(first.status).toBe(0)
    expect(first.out).toMatch(/^sha256:[0-9a-f]{64}\n$/)
    await Bun.sleep(1100)
    const second = await bootstrap(['--suite', 'stable', '--mirror', mirror(), 'fake:2'])
    expect(second.out).toBe(first.out)

    const files = await layerOf('fake:1')
    expect([...files.keys()].toSorted().join(' ')).toBe(
      `bin bin/bash dev etc etc/apt etc/apt/apt.conf.d etc/apt/apt.conf.d/docker-clean
       etc/apt/apt.conf.d/docker-no-languages etc/dpkg etc/dpkg/dpkg.cfg.d etc/dpkg/dpkg.cfg.d/docker-apt-speedup
       etc/machine-id etc/passwd etc/ssh proc run run/lock tmp usr usr/bin usr/lib usr/lib/os-release usr/sbin
       usr/sbin/policy-rc.d var var/cache var/cache/ldconfig var/lib var/lib/apt var/lib/apt/lists var/lib/dpkg
       var/lib/dpkg/status var/log var/log/apt var/log/apt/history.log var/log/dpkg.log var/log/other.log
       var/log/wtmp`.replaceAll(/\s+/g, ' '),
    )
    for (const emptied of ['etc/machine-id', 'var/log/dpkg.log', 'var/log/apt/history.log', 'var/log/other.log'])
      expect([emptied, files.get(emptied)]).toEqual([emptied, 0])
    expect(temporary()).toEqual([])
  })

  test('describes the image, dated by the newest Release file', async () => {
    const { err } = await bootstrap(['--suite', 'stable', '--mirror', mirror(), '--include', 'x,y', '--slim', 'fake:1'])
    expect(err).toContain('running apt-get update')
    expect(err).toContain('W: something to know')
    const [image] = JSON.parse(await cairn.ok(['inspect', 'fake:1']))
    expect(image).toMatchObject({
      Created: '2026-01-02T03:04:05Z',
      Config: {
        Cmd: ['bash'],
        Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
        Labels: {
          'cairn.bootstrap.components': 'main',
          'cairn.bootstrap.mirror': mirror(),
          'cairn.bootstrap.packages': 'a=3 b=2:1.0-1',
          'cairn.bootstrap.suite': 'stable',
          'cairn.bootstrap.variant': 'minbase',
          'org.opencontainers.image.created': '2026-01-02T03:04:05Z',
          'org.opencontainers.image.title': 'Fake Linux 1',
          'org.opencontainers.image.url': 'https://fake.example/',
          'org.opencontainers.image.vendor': 'Fake',
          'org.opencontainers.image.version': '1',
        },
      },
    })
    expect(await cairn.ok(['history', '--no-trunc', '--format', '{{.CreatedBy}}', 'fake:1'])).toBe(
      'cairn bootstrap --suite stable --variant minbase --include x,y --slim\n',
    )
    const [asked, made] = calls()
    expect(asked).toStartWith('null')
    expect(asked).toEndWith('epoch=none')
    expect(made).toContain('--include=x,y')
    expect(made).toContain('--dpkgopt=path-exclude=/usr/share/man/*')
    expect(made).toEndWith(`-- stable ${mirror()} epoch=${released}`)
  })

  test('takes SOURCE_DATE_EPOCH, an architecture, components and a keyring as given', async () => {
    const args = [
      '--suite=any',
      '--arch',
      'armhf',
      '--components=main,contrib',
      '--keyring=/k.gpg',
      '--variant=apt',
      '-q',
    ]
    const { status, err } = await bootstrap([...args, 'fake:arm'], { SOURCE_DATE_EPOCH: '1000000000' })
    expect({ status, err }).toEqual({ status: 0, err: '' })
    expect(calls()).toEqual([
      'directory --mode=root --architectures=armhf --components=main,contrib --keyring=/k.gpg --variant=apt --skip=cleanup/apt/lists -- any  epoch=1000000000',
    ])
    const template = '{{.Architecture}}/{{.Variant}} {{.Created}}'
    expect(await cairn.ok(['inspect', '-f', template, 'fake:arm'])).toBe('arm/v7 2001-09-09T01:46:40Z\n')
  })

  test('shows what mmdebstrap says when it fails, and leaves nothing', async () => {
    const env = { SOURCE_DATE_EPOCH: '1' }
    const failing = await bootstrap(['--suite', 'failing', 'fake'], env)
    expect(failing).toMatchObject({ status: 1, out: '' })
    expect(failing.err).toContain('Err:1 http://mirror.example failing InRelease')
    expect(failing.err).toContain('cairn: mmdebstrap failed: The repository does not have a Release file.\n')
    expect((await bootstrap(['--suite', 'broken', 'fake'])).err).toContain(
      'cairn: mmdebstrap failed: cannot find the keyring\n',
    )
    expect((await bootstrap(['--suite', 'unknown', '--mirror', mirror(), 'fake'])).err).toContain(
      `cannot tell the date of ${mirror()}/dists/unknown/InRelease: there is no `,
    )
    expect((await bootstrap(['--suite', 'changing', '--mirror', mirror(), 'fake'])).err).toContain(
      'the archive was of 2026-01-02T03:04:05Z and is now of 2026-01-03T00:00:00Z',
    )
    expect(await cairn.ok(['images', '-q'])).toBe('')
    expect(readdirSync(join(cairn.root, 'content/blobs/sha256'))).toEqual([])
    expect(temporary()).toEqual([])
  })

  test('refuses a command line it cannot use before it begins', async () => {
    for (const [args, message] of [
      [['fake'], 'required flag "suite" not set'],
      [['--suite', '-x', 'fake'], 'invalid suite "-x"'],
      [['--suite', 'a b', 'fake'], 'invalid suite "a b"'],
      [['--suite', 'stable', '--arch', '../x', 'fake'], 'invalid architecture "../x"'],
      [['--suite', 'stable', 'UPPER'], 'must be lowercase'],
    ] as const) {
      const { status, err } = await bootstrap(args)
      expect(status).toBe(1)
      expect(err).toContain(message)
    }
    expect((await bootstrap(['--suite', 'stable', '--variant', 'huge', 'fake'])).err).toContain(
      'must be one of "essential"',
    )
    expect(existsSync(join(cairn.home, 'bin/log'))).toBe(false)
  })

  test('says what to install where there is no mmdebstrap', async () => {
    // Only what the search must not find is hidden: a file system with nothing in it covers each directory of programs.
    const hide = ['/usr/local/sbin', '/usr/local/bin', '/usr/bin/mmdebstrap'].filter((one) => existsSync(one))
    const script = `for at in "$@"; do if [ -d "$at" ]; then mount -t tmpfs none "$at"; else mount --bind /dev/null "$at"; fi; done; exec ${cairnProgram.join(' ')} bootstrap --suite stable fake`
    const child = Bun.spawnSync(['unshare', '--mount', 'sh', '-c', script, 'sh', ...hide], {
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: cairn.home, CAIRN_ROOT: cairn.root },
    })
    expect(child.exitCode).toBe(1)
    expect(child.stderr.toString()).toBe(
      'cairn: mmdebstrap is not installed\n\nInstall it: `apt-get install mmdebstrap`.\n',
    )
  })

  test('says that it needs root', () => {
    chmodSync(cairn.directory, 0o777)
    chmodSync(join(cairn.directory, '..'), 0o755)
    const child = Bun.spawnSync(
      ['setpriv', '--reuid=65534', '--clear-groups', ...cairnProgram, 'bootstrap', '--suite', 'stable', 'fake'],
      { env: { PATH: path(), HOME: cairn.directory, CAIRN_ROOT: join(cairn.directory, 'nobody') } },
    )
    expect(child.exitCode).toBe(1)
    expect(child.stderr.toString()).toContain('bootstrap installs packages as their own users, which only root may')
  })

  for (const [signal, status] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGKILL', 137],
  ] as const)
    test(`ends mmdebstrap and all it started when ${signal} comes`, async () => {
      const child = cairn.start(['bootstrap', '--suite', 'slow', 'fake'], {
        env: { PATH: path(), SOURCE_DATE_EPOCH: '1' },
      })
      let err = ''
      for await (const bytes of child.stderr) {
        err += new TextDecoder().decode(bytes)
        if (err.includes('installing essential packages')) break
      }
      for (const until = Date.now() + 10_000; sleepers(cairn).length === 0 && Date.now() < until;) await Bun.sleep(20)
      expect(sleepers(cairn)).not.toEqual([])
      child.kill(signal)
      expect(await child.exited).toBe(status)
      for (const until = Date.now() + 5000; sleepers(cairn).length > 0 && Date.now() < until;) await Bun.sleep(20)
      expect(sleepers(cairn)).toEqual([])
      // What a kill leaves is removed by the next command that writes.
      await cairn.ok(['bootstrap', '-q', '--suite', 'any', 'fake:2'], { env: { PATH: path(), SOURCE_DATE_EPOCH: '1' } })
      expect(temporary()).toEqual([])
      expect(await cairn.ok(['images', '--format', '{{.Tag}}'])).toBe('2\n')
    })

  const real = process.env['CAIRN_TEST_BOOTSTRAP'] === '1'
  test.skipIf(!real)(
    'installs Debian from its archive (CAIRN_TEST_BOOTSTRAP=1; CAIRN_TEST_MIRROR chooses the mirror)',
    async () => {
      const chosen = process.env['CAIRN_TEST_MIRROR']
      const args = ['--suite', 'bookworm', ...(chosen === undefined ? [] : ['--mirror', chosen])]
      const env = { PATH: process.env['PATH'] ?? '' }
      const first = await cairn.ok(['bootstrap', ...args, 'debian:a'], { env })
      expect(await cairn.ok(['bootstrap', ...args, 'debian:b'], { env })).toBe(first)
      const files = await layerOf('debian:a')
      expect(files.has('usr/bin/apt-get')).toBe(true)
      expect([...files.keys()].filter((name) => name.startsWith('var/lib/apt/lists/'))).toEqual([])
    },
    600_000,
  )
})

/** Processes that work in this test's store. */
function sleepers({ root }: Cairn): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, 'utf8')
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
        return environment.includes(`TMPDIR=${root}`) && command.startsWith('sleep') ? [command] : []
      } catch {
        return []
      }
    })
}
