import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { closeSync, mkdirSync, openSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ContainerCairn } from '../../../test/fixtures/cli/container-cairn.ts'
import { eventually } from '../../../test/fixtures/container-bench.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

let cairn: ContainerCairn

beforeAll(async () => {
  cairn = new ContainerCairn()
  await cairn.image('busybox')
})

afterAll(() => {
  cairn[Symbol.dispose]()
})

const run = (...args: string[]) => cairn.run(['run', '--rm', ...args])
const shell = (script: string, ...flags: string[]) => cairn.ok(['run', '--rm', ...flags, 'busybox', 'sh', '-c', script])

describe('`cairn run` ends with', () => {
  test.each(['crun', 'runc'])('the status of the command, by %s', async (runtime) => {
    const { status, out, err } = await run(
      '--runtime',
      runtime,
      'busybox',
      'sh',
      '-c',
      'echo out; echo err >&2; exit 7',
    )
    expect({ status, out, err }).toEqual({ status: 7, out: 'out\n', err: 'err\n' })
    const limited = ['--ulimit', 'cpu=1', 'busybox', 'sh', '-c', 'while :; do :; done']
    expect((await run('--runtime', runtime, ...limited)).status).toBe(137)
  })

  test('127 for a command that is not there, 126 for one that cannot be run, each said once', async () => {
    expect(await run('busybox', 'nosuch')).toEqual({
      status: 127,
      out: '',
      err: 'cairn: exec: "nosuch": executable file not found in $PATH\n',
    })
    expect(await run('busybox', '/no/such')).toMatchObject({
      status: 127,
      err: 'cairn: exec: "/no/such": stat /no/such: no such file or directory\n',
    })
    expect(await run('busybox', '/etc/passwd')).toMatchObject({
      status: 126,
      err: 'cairn: exec: "/etc/passwd": permission denied\n',
    })
    expect(await run('busybox', '/etc')).toMatchObject({ status: 126 })
    expect(await run('busybox', '')).toMatchObject({ status: 127 })
  })

  test('126 and 127 also where only the runtime can tell', async () => {
    mkdirSync(join(cairn.directory, 'programs'))
    writeFileSync(join(cairn.directory, 'programs', 'plain'), 'text')
    for (const runtime of ['crun', 'runc']) {
      const flags = ['--runtime', runtime, '-v', './programs:/programs']
      expect((await run(...flags, 'busybox', '/programs/nosuch')).status).toBe(127)
      expect((await run(...flags, 'busybox', '/programs/plain')).status).toBe(126)
    }
  })

  test.each([
    [
      ['--rm', '127.0.0.1:1/nosuch'],
      "Unable to find image '127.0.0.1:1/nosuch:latest' locally\ncairn: 127.0.0.1:1: connection refused\n",
    ],
    [['--rm', '--pull', 'never', 'nosuch'], 'cairn: No such image: nosuch:latest\n'],
    [['--rm', '-u', 'nobody1', 'busybox'], 'cairn: unable to find user nobody1: no matching entries in passwd file\n'],
    [['--rm', '-u', '0:nogrp', 'busybox'], 'cairn: unable to find group nogrp: no matching entries in group file\n'],
    [
      ['--rm', '-w', 'rel', 'busybox'],
      "cairn: the working directory 'rel' is invalid, it needs to be an absolute path",
    ],
    [['--rm', '--name', 'a/b', 'busybox'], 'cairn: Invalid container name (a/b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are'],
    [['--rm', '--entrypoint', '', 'busybox'], 'cairn: no command specified\n'],
    [['--rm', '-m', '1m', 'busybox'], 'cairn: Minimum memory limit allowed is 6MB\n'],
    [
      ['--rm', '--restart', 'always', 'busybox'],
      'cairn: conflicting options: cannot specify both --restart and --rm\n',
    ],
    [['--restart', 'foo', 'busybox'], "cairn: invalid restart policy: unknown policy 'foo'; use one of 'no', 'always'"],
    [['--rm', '--cpus', '9999', 'busybox'], 'cairn: range of CPUs is from 0.01 to '],
    [
      ['--rm', '--log-driver', 'syslog', 'busybox'],
      'cairn: error looking up logging plugin syslog: plugin "syslog" not found\n',
    ],
    [
      ['--rm', '--log-opt', 'max-file=0', 'busybox'],
      'cairn: failed to initialize logging driver: max-file cannot be less than 1\n',
    ],
    [
      ['--rm', '--device-read-bps', 'vda:1mb', 'busybox'],
      'invalid argument "vda:1mb" for "--device-read-bps" flag: bad format for device path: vda:1mb\n',
    ],
    [
      ['--rm', '--device-write-iops', '/dev/vda:1k', 'busybox'],
      'invalid argument "/dev/vda:1k" for "--device-write-iops" flag: invalid rate for device: /dev/vda:1k. The correct format is <device-path>:<number>. Number must be',
    ],
    [
      ['--rm', '--device-cgroup-rule', 'x', 'busybox'],
      'invalid argument "x" for "--device-cgroup-rule" flag: invalid device cgroup format \'x\'\n',
    ],
    [
      ['--rm', '--device-read-bps', '/dev/nosuch:1', 'busybox'],
      'cairn: cannot limit the device /dev/nosuch: it is not there\n',
    ],
    [['--rm', '--log-opt', 'mode=x', 'busybox'], 'cairn: logger: logging mode not supported: x\n'],
    [
      ['--rm', '--log-driver', 'local', '--log-opt', 'labels=x', 'busybox'],
      "cairn: unknown log opt 'labels' for log driver local\n",
    ],
    [['--rm', '--gpus', 'all', 'busybox'], 'cairn: could not select device driver "" with capabilities: [[gpu]]\n'],
    [['--rm', '-p80:http', 'busybox'], 'cairn: invalid containerPort: http\n'],
    [
      ['--rm', '--network', 'mine', 'busybox'],
      'cairn: failed to set up container networking: network mine not found\n',
    ],
    [['--rm', '--pull', 'always', '127.0.0.1:1/busybox'], 'cairn: 127.0.0.1:1: connection refused\n'],
    [['--rm', '--pull', 'sometimes', 'busybox'], "cairn: invalid pull option: 'sometimes': must be one of"],
    [['--rm', '--cap-add', 'FOO', 'busybox'], 'cairn: invalid CapAdd: unknown capability: "CAP_FOO"\n'],
    [['--rm', '--security-opt', 'foo', 'busybox'], 'cairn: Invalid --security-opt: "foo"\n'],
    [['--rm', '--stop-signal', 'FOO', 'busybox'], 'cairn: invalid signal: FOO\n'],
    [['--rm', '-v', '/a:/b:zz', 'busybox'], 'cairn: invalid mode: zz\n'],
    [
      ['--rm', '-v', '/a:/', 'busybox'],
      `cairn: invalid volume specification: '/a:/': invalid mount config for type "bind": invalid spec`,
    ],
    [['--rm', '-v/a:/x', '--tmpfs=/x', 'busybox'], 'cairn: Duplicate mount point: /x\n'],
    [['--rm', '--tmpfs', '/x:foo=1', 'busybox'], 'cairn: invalid tmpfs option "foo=1"\n'],
    [['--rm', '--add-host', 'x', 'busybox'], 'invalid argument "x" for "--add-host" flag: bad format for add-host'],
    [['--rm', '--ulimit', 'nofile=2:1', 'busybox'], 'invalid argument "nofile=2:1" for "--ulimit" flag: ulimit soft'],
    [['--rm', '--env-file', '/no/such', 'busybox'], 'cairn: open /no/such: no such file or directory\n'],
    [
      ['--rm', '--pull', 'never', '--platform', 'linux/s390x', 'busybox'],
      'cairn: image with reference busybox was found but its platform',
    ],
    [['--nosuch', 'busybox'], 'unknown flag: --nosuch\n'],
  ])('125 and docker’s words for `run %p`', async (args, message) => {
    const { status, out, err } = await cairn.run(['run', ...args])
    expect(err).toStartWith(message)
    expect({ status, out }).toEqual({ status: 125, out: '' })
    expect(cairn.entries('containers').filter((name) => name !== 'run')).toEqual([])
  })

  test('1 without an image, and where a terminal is wanted and input is none', async () => {
    expect((await cairn.run(['run'])).status).toBe(1)
    const { status, err } = await run('-it', 'busybox')
    expect(err).toStartWith('cairn: the input device is not a TTY\n')
    expect(status).toBe(1)
  })
})

describe('`cairn run` makes the process', () => {
  test('with docker’s variables, those given and those of the image, in docker’s order', async () => {
    await cairn.image('configured', {
      config: { Env: ['PATH=/bin', 'OWN=image', 'KEPT=image', 'GONE=image'], Cmd: ['env'] },
    })
    cairn.file('variables', '# comment\nFILE=a b "c"\n  OWN=file\nFROM_HERE\nUNSET\n')
    const flags = ['--env-file=variables', '-e', 'OWN=flag', '-eGONE', '-e', 'EMPTY=', '-e', 'FROM_HERE', '-h', 'box']
    const out = await cairn.ok(['run', '--rm', ...flags, 'configured'], { env: { FROM_HERE: 'here' } })
    expect(out.split('\n').slice(0, -1)).toEqual([
      'PATH=/bin',
      'HOSTNAME=box',
      'FILE=a b "c"',
      'OWN=flag',
      'FROM_HERE=here',
      'EMPTY=',
      'KEPT=image',
      'HOME=/root',
    ])
    expect(await cairn.ok(['run', '--rm', '-t', 'configured'])).toContain('\r\nTERM=xterm\r\n')
    expect(await cairn.ok(['run', '--rm', '-eHOME=/h', 'configured'])).toContain('\nHOME=/h\n')
  })

  test('with user, groups, home and directory from the image, else from the flags', async () => {
    await cairn.image('app', {
      config: { User: 'app', WorkingDir: '/home/app', Cmd: ['sh', '-c', 'id; pwd; echo $HOME'] },
    })
    expect(await cairn.ok(['run', '--rm', 'app'])).toBe(
      'uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)\n/home/app\n/home/app\n',
    )
    expect(await cairn.ok(['run', '--rm', '-u', '4242:77', '-w', '/made/here', 'app'])).toBe(
      'uid=4242 gid=77 groups=77\n/made/here\n/\n',
    )
    expect(await shell('id -G', '-u', 'app', '--group-add', '55', '--group-add', 'extra')).toBe('1000 55 2000\n')
  })

  test('of entrypoint and command, either of them replaced', async () => {
    await cairn.image('greeter', { config: { Entrypoint: ['echo', 'hello'], Cmd: ['world'] } })
    expect(await cairn.ok(['run', '--rm', 'greeter'])).toBe('hello world\n')
    expect(await cairn.ok(['run', '--rm', 'greeter', 'you', '--rm'])).toBe('hello you --rm\n')
    expect(await cairn.ok(['run', '--rm', '--entrypoint', 'printf', 'greeter', '%s|', 'a', 'b c'])).toBe('a|b c|')
    expect(await cairn.ok(['run', '--rm', '--entrypoint', '', 'greeter', 'echo', 'bare'])).toBe('bare\n')
    expect((await run('--entrypoint', 'printf', 'greeter')).err).not.toContain('world')
  })

  test('with limits, capabilities, privileges and a filter of system calls', async () => {
    const status = (field: string) => `grep ${field}: /proc/self/status | tr -d "\\t"`
    expect(await shell(status('CapEff'), '--cap-drop', 'ALL', '--cap-add', 'chown')).toBe('CapEff:0000000000000001\n')
    expect(await shell(status('NoNewPrivs'), '--security-opt', 'no-new-privileges')).toBe('NoNewPrivs:1\n')
    expect(await shell(`${status('Seccomp')}; ${status('NoNewPrivs')}`)).toBe('Seccomp:2\nNoNewPrivs:0\n')
    expect(await shell(status('Seccomp'), '--security-opt', 'seccomp=unconfined')).toBe('Seccomp:0\n')
    expect(await shell(`ls /dev/kmsg; ${status('Seccomp')}`, '--privileged')).toBe('/dev/kmsg\nSeccomp:0\n')
    expect(await shell('ulimit -n; ulimit -Hn; ulimit -c', '--ulimit=nofile=64:128', '--ulimit=core=-1')).toBe(
      '64\n128\nunlimited\n',
    )
    expect(await shell('df -k /dev/shm | tail -1 | tr -s " " | cut -d" " -f2', '--shm-size=3m')).toBe('3072\n')
  })

  test('with the network asked for', async () => {
    expect(
      await shell('ls /sys/class/net; cat /etc/hosts', '--network=none', '--add-host=db:10.0.0.7', '-hbox'),
    ).toMatch(/^lo\n127\.0\.0\.1\tlocalhost box\n[^]*\n10\.0\.0\.7\tdb\n$/)
    expect(await shell('readlink /proc/self/ns/net', '--network=host')).toBe(`${readlinkSync('/proc/self/ns/net')}\n`)
    const hostname = readFileSync('/proc/sys/kernel/hostname', 'utf8')
    expect(await shell('hostname; cat /etc/hostname', '--net=host')).toBe(hostname + hostname)
    expect(await shell('cat /etc/resolv.conf', '--network=none', '--dns=192.0.2.1', '--dns-search=example')).toMatch(
      /^search example\nnameserver 192\.0\.2\.1\n/m,
    )
  })
})

describe('`cairn run` moves data', () => {
  const megabytes = 50
  const pattern = new Uint8Array(1 << 20).map((_, index) => (index * 31 + (index >> 8)) & 0xff)

  function expectedDigest(): string {
    const hash = new Bun.CryptoHasher('sha256')
    for (let count = 0; count < megabytes; count++) hash.update(pattern)
    return hash.digest('hex')
  }

  async function digestOf(stream: ReadableStream<Uint8Array>): Promise<{ digest: string; size: number }> {
    const hash = new Bun.CryptoHasher('sha256')
    let size = 0
    for await (const chunk of stream) {
      hash.update(chunk)
      size += chunk.length
    }
    return { digest: hash.digest('hex'), size }
  }

  test('from a pipe through the container into a pipe, all of it and the end of input', async () => {
    const child = cairn.children.add(
      Bun.spawn(cairn.command('run', '--rm', '-i', 'busybox', 'sh', '-c', 'cat; echo end >&2'), {
        env: cairn.environment,
        stdin: 'pipe',
        stdout: 'pipe',
        stderr: 'pipe',
      }),
    )
    const feed = async (): Promise<void> => {
      for (let count = 0; count < megabytes; count++) {
        await child.stdin.write(pattern)
        await child.stdin.flush()
      }
      await child.stdin.end()
    }
    const [out, err] = await Promise.all([digestOf(child.stdout), new Response(child.stderr).text(), feed()])
    expect(out).toEqual({ digest: expectedDigest(), size: megabytes << 20 })
    expect(err).toBe('end\n')
    expect(await child.exited).toBe(0)
  })

  test('from a file into a file, which the container gets no hold of', async () => {
    const source = cairn.file('source', '')
    const writer = Bun.file(source).writer()
    for (let count = 0; count < megabytes; count++) {
      writer.write(pattern)
      await writer.flush()
    }
    await writer.end()
    const target = cairn.file('target', '')
    const [input, output] = [openSync(source, 'r'), openSync(target, 'w')]
    try {
      const script =
        'readlink /proc/self/fd/0 >&2; readlink /proc/self/fd/1 >&2; true >/proc/self/fd/0; true >/proc/self/fd/1; cat'
      const child = cairn.children.add(
        Bun.spawn(cairn.command('run', '--rm', '-i', 'busybox', 'sh', '-c', script), {
          env: cairn.environment,
          stdin: input,
          stdout: output,
          stderr: 'pipe',
        }),
      )
      expect(await new Response(child.stderr).text()).toMatch(/^pipe:.*\npipe:.*\n/)
      expect(await child.exited).toBe(0)
    } finally {
      closeSync(input)
      closeSync(output)
    }
    expect(statSync(source).size).toBe(megabytes << 20)
    expect(await digestOf(Bun.file(target).stream())).toEqual({ digest: expectedDigest(), size: megabytes << 20 })
  })

  test('only where it is attached', async () => {
    expect(await cairn.run(['run', '--rm', 'busybox', 'cat'], { stdin: 'unread' })).toMatchObject({
      status: 0,
      out: '',
    })
    const script = 'cat; echo out; echo err >&2'
    const only = (...flags: string[]) =>
      cairn.run(['run', '--rm', ...flags, 'busybox', 'sh', '-c', script], { stdin: 'in\n' })
    expect(await only('-a', 'stdout')).toEqual({ status: 0, out: 'out\n', err: '' })
    expect(await only('-i', '-a', 'stdin', '-a', 'STDERR')).toEqual({ status: 0, out: '', err: 'err\n' })
  })

  test('until the reader leaves, which ends the container by SIGPIPE', async () => {
    const child = cairn.children.add(
      Bun.spawn(['sh', '-c', '"$@" | head -c 3', 'sh', ...cairn.command('run', '--rm', 'busybox', 'yes')], {
        env: cairn.environment,
        stdout: 'pipe',
      }),
    )
    expect(await new Response(child.stdout).text()).toBe('y\ny')
    expect(await child.exited).toBe(0)
    expect(await cairn.ok(['ps', '-aq'])).toBe('')
  })
})

describe.each(['crun', 'runc'])('`cairn run -it` by %s', (runtime) => {
  test('gives the terminal’s size, follows it, passes keys raw and sets its modes back', async () => {
    const script =
      'trap "stty size" WINCH; stty size; while :; do read -r line || continue; echo "<$line>"; [ "$line" = end ] && sleep 0.2 && exit 6; done'
    using session = cairn.onTerminal(['run', '--rm', '--runtime', runtime, '-it', 'busybox', 'sh', '-c', script])
    expect(await eventually(() => session.shown().includes('33 77\r\n'), 20_000)).toBe(true)
    session.terminal.resize(100, 40)
    expect(
      await eventually(() => {
        session.terminal.write('more\r')
        return session.shown().includes('40 100\r\n')
      }, 20_000),
    ).toBe(true)
    session.terminal.write('end\r')
    await session.child.exited
    expect(await eventually(() => session.shown().trimEnd().split('\r\n').length > 3)).toBe(true)
    const lines = session.shown().trimEnd().split('\r\n')
    expect(lines).toContain('<end>')
    expect(lines.at(-2)).toBe('status 6')
    expect(lines.at(-1)).toBe(lines[0] as string)
  })

  test('passes Ctrl-C to the container as a key', async () => {
    const script = 'trap "echo interrupted; sleep 0.2; exit 9" INT; echo ready; while :; do sleep 0.05; done'
    using session = cairn.onTerminal(['run', '--rm', '--runtime', runtime, '-it', 'busybox', 'sh', '-c', script])
    expect(await eventually(() => session.shown().includes('ready\r\n'), 20_000)).toBe(true)
    session.terminal.write('\u0003')
    await session.child.exited
    expect(await eventually(() => /interrupted\r\nstatus 9\r\n/.test(session.shown()))).toBe(true)
  })
})

describe('`cairn run -t`', () => {
  test('gives a terminal to a container that reads nothing, and all that it writes', async () => {
    const { status, out } = await run('-t', 'busybox', 'sh', '-c', 'tty; seq 1 20000; exit 3')
    expect(status).toBe(3)
    const lines = out.split('\r\n')
    expect(lines.slice(1, -1)).toEqual(Array.from({ length: 20_000 }, (_, index) => String(index + 1)))
  })

  test('follows the size of the terminal it is shown on and turns Ctrl-C into a signal', async () => {
    const script = 'trap "stty size" WINCH; trap "exit 9" INT; echo ready; while :; do sleep 0.05; done'
    using session = cairn.onTerminal(['run', '--rm', '-t', 'busybox', 'sh', '-c', script])
    expect(await eventually(() => session.shown().includes('ready'), 20_000)).toBe(true)
    session.terminal.resize(90, 20)
    expect(await eventually(() => session.shown().includes('20 90'), 20_000)).toBe(true)
    session.terminal.write('\u0003')
    await session.child.exited
    expect(await eventually(() => session.shown().includes('status 9\r\n'))).toBe(true)
  })
})

describe('`cairn run` and signals', () => {
  async function ready(...args: string[]) {
    const child = cairn.start(['run', '--rm', ...args])
    const reader = child.stdout.getReader()
    await reader.read()
    reader.releaseLock()
    return child
  }

  test.each(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1'] as const)('passes %s on', async (signal) => {
    const script = `trap 'exit 40' ${signal.slice(3)}; echo ready; while :; do sleep 0.05; done`
    const child = await ready('busybox', 'sh', '-c', script)
    child.kill(signal)
    expect(await child.exited).toBe(40)
  })

  test('kills at the third SIGINT or SIGTERM a container that heeds none', async () => {
    const child = await ready('busybox', 'sh', '-c', 'trap "" INT TERM; echo ready; exec sleep 99')
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGINT'] as const) {
      child.kill(signal)
      await Bun.sleep(100)
    }
    expect(await child.exited).toBe(137)
    expect(await new Response(child.stderr).text()).toContain('got 3 SIGTERM/SIGINTs, forcefully exiting\n')
  })

  test('ends with its container at the first one without --sig-proxy', async () => {
    const child = await ready('--sig-proxy=false', 'busybox', 'sh', '-c', 'trap "" TERM; echo ready; exec sleep 99')
    child.kill('SIGTERM')
    expect(await child.exited).toBe(143)
    expect(await cairn.ok(['ps', '-aq'])).toBe('')
  })
})

describe('`cairn run -v`', () => {
  test('shows a directory or file of the host, writable or not', async () => {
    mkdirSync(join(cairn.directory, 'shared'))
    cairn.file('shared/file', 'of the host\n')
    expect(await shell('cat /x/file; echo of the container >/x/new', '-v', './shared:/x')).toBe('of the host\n')
    expect(readFileSync(join(cairn.directory, 'shared/new'), 'utf8')).toBe('of the container\n')
    const { status, err } = await run('-v', `${cairn.directory}/shared:/x:ro`, 'busybox', 'touch', '/x/other')
    expect({ status, err }).toEqual({ status: 1, err: 'touch: /x/other: Read-only file system\n' })
    expect(await shell('cat /etc/motd', '-v', `${cairn.directory}/shared/file:/etc/motd:ro`)).toBe('of the host\n')
    expect(await shell('cat /y/file', '--mount', `type=bind,src=${cairn.directory}/shared,dst=/y,ro`)).toBe(
      'of the host\n',
    )
    await shell('true', '-v', './made:/x')
    expect(statSync(join(cairn.directory, 'made')).isDirectory()).toBe(true)
  })

  test('keeps a named volume, filled from the image with owners and modes', async () => {
    await cairn.image('data', { files: { 'data/sub/seed': 'seed\n' } })
    const inside = (script: string, ...flags: string[]) =>
      cairn.ok(['run', '--rm', ...flags, 'data', 'sh', '-c', script])
    await inside('rm -r /data/sub/seed', '-v', 'fresh:/data:nocopy').catch(() => {})
    expect(
      await inside('cat /data/sub/seed; stat -c "%a %u" /data/sub; echo more >/data/more', '-v', 'kept:/data'),
    ).toBe('seed\n755 0\n')
    expect(await inside('cat /data/more /data/sub/seed', '-v', 'kept:/data:ro')).toBe('more\nseed\n')
    expect(await inside('ls /data', '-v', 'bare:/data:nocopy')).toBe('')
    expect(readFileSync(join(cairn.root, 'volumes/kept/_data/more'), 'utf8')).toBe('more\n')
  })

  test('brings the network’s files back where a volume is mounted on their directory', async () => {
    expect(await shell('cat /etc/hostname; ls /etc | grep -v -e nsswitch -e release', '-v', '/etc', '-h', 'box')).toBe(
      'box\ngroup\nhostname\nhosts\npasswd\nresolv.conf\n',
    )
  })

  test('gives the image’s volumes a place, which goes with --rm and stays without', async () => {
    await cairn.image('volatile', { config: { Volumes: { '/var/lib/db': {} } }, files: { 'var/lib/db/seed': 'x' } })
    const before = cairn.entries('volumes')
    expect(
      await cairn.ok(['run', '--rm', 'volatile', 'sh', '-c', 'ls /var/lib/db; mount | grep -c " /var/lib/db "']),
    ).toBe('seed\n1\n')
    expect(cairn.entries('volumes')).toEqual(before)
    await cairn.ok(['run', '--name', 'stays', 'volatile', 'touch', '/var/lib/db/written'])
    const added = cairn.entries('volumes').filter((name) => !before.includes(name))
    expect(added).toHaveLength(1)
    expect(cairn.entries('volumes', added[0] as string, '_data')).toEqual(['seed', 'written'])
    await cairn.ok(['rm', '-v', 'stays'])
    expect(cairn.entries('volumes')).toEqual(before)
  })
})

describe('`cairn run --tmpfs` and `--read-only`', () => {
  test('let a container write where it may and nowhere else', async () => {
    const script =
      'touch /own 2>&1; echo kept >/run/x && cat /run/x; stat -c %a /run; df -k /run | tail -1 | tr -s " " | cut -d" " -f2'
    expect(await shell(script, '--read-only', '--tmpfs', '/run:size=2m,mode=750')).toBe(
      'touch: /own: Read-only file system\nkept\n750\n2048\n',
    )
    expect(await shell('mount | grep " /t "', '--mount', 'type=tmpfs,dst=/t,tmpfs-size=1m')).toMatch(
      /^tmpfs on \/t type tmpfs \(rw,nosuid,nodev,noexec,relatime,size=1024k/,
    )
  })

  test('leave a mount point that the image lacks in no layer', async () => {
    await cairn.ok(['run', '--name', 'pointed', '--tmpfs', '/deep/down', 'busybox', 'touch', '/written'])
    try {
      using database = await databaseOf(cairn)
      const [row] = database
        .query<{ snapshot: string }, []>("SELECT snapshot FROM containers WHERE name = 'pointed'")
        .all()
      expect(cairn.entries('snapshots', row?.snapshot ?? '', 'fs')).toEqual(['written'])
    } finally {
      await cairn.ok(['rm', 'pointed'])
    }
  })
})

async function databaseOf({ root }: ContainerCairn) {
  const { Database } = await import('bun:sqlite')
  return new Database(`${root}/cairn.db`, { readonly: true })
}

describe('`cairn run --name` and `--cidfile`', () => {
  test('name a container, which keeps another from being called the same', async () => {
    const idFile = join(cairn.directory, 'id')
    await cairn.ok(['run', '--name', 'taken', '--cidfile', idFile, 'busybox', 'true'])
    const id = readFileSync(idFile, 'utf8')
    expect(id).toMatch(/^[0-9a-f]{64}$/)
    try {
      const { status, err } = await run('--name', 'taken', 'busybox', 'true')
      expect(status).toBe(125)
      expect(err).toStartWith(
        `cairn: Conflict. The container name "/taken" is already in use by container "${id}". You have to remove (or rename) that container to be able to reuse that name.\n`,
      )
      const again = await run('--cidfile', idFile, 'busybox', 'true')
      expect(again.status).toBe(125)
      expect(again.err).toStartWith(
        `cairn: container ID file found, make sure the other container isn't running or delete ${idFile}\n`,
      )
    } finally {
      await cairn.ok(['rm', 'taken'])
    }
  })

  test('let only one of many containers that start at once have the name', async () => {
    const all = await Promise.all(
      Array.from({ length: 4 }, () => cairn.run(['run', '--name', 'one', 'busybox', 'true'])),
    )
    expect(all.map(({ status }) => status).toSorted()).toEqual([0, 125, 125, 125])
    await cairn.ok(['rm', 'one'])
  })
})

describe('`cairn run` leaves', () => {
  test('nothing behind with --rm: no record, no directory, no mount', async () => {
    const snapshots = cairn.entries('snapshots')
    await shell('echo x >/written', '--tmpfs', '/t', '-v', '/etc')
    expect(cairn.entries('snapshots')).toEqual(snapshots)
    expect(cairn.entries('containers').filter((name) => name !== 'run')).toEqual([])
    expect(cairn.entries('tmp')).toEqual([])
    expect(cairn.mounts()).toEqual([])
    expect(await cairn.ok(['ps', '-aq'])).toBe('')
  })

  test.each(['crun', 'runc'])('no container of %s, no mount and no directory when it is killed', async (runtime) => {
    const snapshots = cairn.entries('snapshots')
    const marker = `8${runtime === 'crun' ? 1 : 2}${process.pid}`
    const child = cairn.start(['run', '--rm', '--runtime', runtime, '-v', '/vol', 'busybox', 'sleep', marker])
    const isAlive = (): boolean => Bun.spawnSync(['pgrep', '-fx', `sleep ${marker}`]).exitCode === 0
    expect(await eventually(isAlive, 20_000)).toBe(true)
    child.kill('SIGKILL')
    expect(await child.exited).toBe(137)
    expect(await eventually(() => !isAlive(), 20_000)).toBe(true)
    expect(cairn.mounts()).toEqual([])
    expect(await cairn.ok(['ps', '-aq'])).toBe('')
    expect(cairn.entries('snapshots')).toEqual(snapshots)
    expect(cairn.entries('containers').filter((name) => name !== 'run')).toEqual([])
    expect(cairn.entries('volumes').filter((name) => name.length === 64)).toEqual([])
    expect(cairn.entries('tmp').filter((name) => name.endsWith('.lock'))).toEqual([])
  })

  test('a container without --rm running when it is killed itself', async () => {
    const child = cairn.start([
      'run',
      '--name',
      'victim',
      'busybox',
      'sh',
      '-c',
      'echo kept >/file; echo ready; sleep 99',
    ])
    await child.stdout.getReader().read()
    child.kill('SIGKILL')
    await child.exited
    const line = await cairn.ok(['ps', '-a', '--filter', 'name=victim', '--format', '{{.State}} {{.Status}}'])
    expect(line).toStartWith('running Up ')
    await cairn.ok(['rm', '-f', 'victim'])
  })

  test('a container that could not be started as created', async () => {
    expect((await cairn.run(['run', '--name', 'never', 'busybox', 'nosuch'])).status).toBe(127)
    expect(await cairn.ok(['ps', '-a', '--filter', 'name=never', '--format', '{{.State}}'])).toBe('created\n')
    await cairn.ok(['rm', 'never'])
  })
})

test('`cairn run` warns of an image for another platform that nobody asked for', async () => {
  await cairn.image('foreign', { platform: { os: 'linux', architecture: 'riscv64' } })
  const { status, out, err } = await run('foreign', 'echo', 'runs anyhow')
  expect({ status, out }).toEqual({ status: 0, out: 'runs anyhow\n' })
  expect(err).toMatch(/^WARNING: The requested image's platform \(linux\/riscv64\) does not match the detected host/)
})

test('`cairn run` works for ordinary users of the container whatever the umask', async () => {
  const child = cairn.children.add(
    Bun.spawn(
      [
        'sh',
        '-c',
        'umask 077; "$@"',
        'sh',
        ...cairn.command(
          'run',
          '--rm',
          '-u',
          'app',
          'busybox',
          'sh',
          '-c',
          'cat /etc/hostname; ls / >/dev/null && touch /tmp/x && echo fine',
        ),
      ],
      { env: cairn.environment, stdout: 'pipe', stderr: 'pipe' },
    ),
  )
  expect(await new Response(child.stderr).text()).toBe('')
  expect(await new Response(child.stdout).text()).toEndWith('fine\n')
})
