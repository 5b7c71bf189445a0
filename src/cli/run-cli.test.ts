import { afterEach, describe, expect, test } from 'bun:test'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import manifest from '../../package.json'
import { Children } from '../../test/fixtures/children.ts'
import { nameOf } from './command.ts'
import { helpFor } from './usage.ts'
import { table } from './table-of-commands.ts'
import { version } from './version.ts'

const sample = join(import.meta.dir, '../../test/fixtures/cli/sample-cli.ts')
const main = join(import.meta.dir, '../main.ts')
const children = new Children()
afterEach(() => children[Symbol.dispose]())
const plainEnvironment = { PATH: process.env['PATH'] ?? '', HOME: '/home/me' }

interface Ended {
  readonly status: number
  readonly out: string
  readonly err: string
}

/** Runs the sample command line, or another script, with `argv`. */
function cairn(argv: readonly string[], options: { env?: Record<string, string>; script?: string } = {}): Ended {
  const { env = {}, script = sample } = options
  const ended = Bun.spawnSync([process.execPath, script, ...argv], { env: { ...plainEnvironment, ...env } })
  return { status: ended.exitCode, out: ended.stdout.toString(), err: ended.stderr.toString() }
}

describe('runCli()', () => {
  test('runs a command by any of its paths', () => {
    for (const path of ['tag', 'image tag'])
      expect(cairn([...path.split(' '), 'a', 'b'])).toEqual({ status: 0, out: `${path}: a b\n`, err: '' })
  })

  test('gives a command its flags, arguments and exit status', () => {
    const { status, out } = cairn(['run', '--rm', '-v/a:/b', '-h', 'host', 'alpine', 'sh', '-c', 'x', '--rm'])
    expect(status).toBe(7)
    expect(JSON.parse(out)).toEqual({
      flags: expect.objectContaining({ hostname: 'host', rm: true, volume: ['/a:/b'] }),
      args: ['alpine', 'sh', '-c', 'x', '--rm'],
    })
  })

  test('takes global flags before and after the command, the later ones first', () => {
    const settings = (...argv: string[]): object => JSON.parse(cairn(argv).out) as object
    expect(settings('images')).toMatchObject({ debug: false, configDir: '/home/me/.docker' })
    expect(settings('--root', '/a', '-l', 'warn', 'images', '-q')).toMatchObject({
      root: '/a',
      given: true,
    })
    expect(settings('--root=/a', '--config=/c', 'images', '--root=/b', '--log-level=error')).toMatchObject({
      root: '/b',
      configDir: '/c',
    })
    expect(settings('-D', 'images')).toMatchObject({ debug: true })
    expect(settings('images', '--debug')).toMatchObject({ debug: true })
  })

  test('finds the store and the config where the environment says', () => {
    const env = { CAIRN_ROOT: '/store', DOCKER_CONFIG: '/config', CAIRN_DEBUG: '1' }
    expect(JSON.parse(cairn(['images'], { env }).out)).toMatchObject({
      root: '/store',
      configDir: '/config',
      debug: true,
    })
  })

  test('refuses a wrong flag as docker 28 does, with status 125', () => {
    expect(cairn(['images', '--foo'])).toEqual({
      status: 125,
      out: '',
      err: `unknown flag: --foo

Usage:  cairn images [OPTIONS] [REPOSITORY[:TAG]]

Run 'cairn images --help' for more information
`,
    })
    expect(cairn(['-Q'])).toEqual({
      status: 125,
      out: '',
      err: `unknown shorthand flag: 'Q' in -Q

Usage:  cairn [OPTIONS] COMMAND [ARG...]

Run 'cairn --help' for more information
`,
    })
    expect(cairn(['image', '--foo']).err).toStartWith('unknown flag: --foo\n\nUsage:  cairn image COMMAND\n')
  })

  test.each([
    [['tag', 'a'], "'cairn tag' requires 2 arguments", 'tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]'],
    [['run'], "'cairn run' requires at least 1 argument", 'run [OPTIONS] IMAGE [COMMAND] [ARG...]'],
    [['wait', 'a'], "'cairn wait' accepts no arguments", 'wait [OPTIONS]'],
    [
      ['image', 'ls', 'a', 'b'],
      "'cairn image ls' requires at most 1 argument",
      'image ls [OPTIONS] [REPOSITORY[:TAG]]',
    ],
  ])('refuses the wrong number of arguments of %j as docker 28 does, with status 1', (argv, message, usage) => {
    const path = usage.split(/ [A-Z[]/)[0]
    expect(cairn(argv)).toEqual({
      status: 1,
      out: '',
      err: `cairn: ${message}\n\nUsage:  cairn ${usage}\n\nRun 'cairn ${path} --help' for more information\n`,
    })
  })

  test('refuses an unknown command as docker 28 does and says what may have been meant', () => {
    expect(cairn(['zzz'])).toEqual({
      status: 1,
      out: '',
      err: "cairn: unknown command: cairn zzz\n\nRun 'cairn --help' for more information\n",
    })
    expect(cairn(['imagse']).err).toContain('Did you mean this?\n  cairn images\n  cairn image\n')
    expect(cairn(['image', 'sl']).err).toBe(`cairn: unknown command: cairn image sl

Did you mean this?
  cairn image ls

Usage:  cairn image COMMAND

Run 'cairn image --help' for more information
`)
  })

  test('refuses a log level that does not exist', () => {
    expect(cairn(['--log-level', 'xx', 'images'])).toMatchObject({
      status: 1,
      err: expect.stringContaining('Unable to parse logging level: xx'),
    })
  })

  test('prints a failure with its hint, a status of its own, and no stack', () => {
    const opened = 'open first\nopen second\nclose second\nclose first\n'
    expect(cairn(['fail', 'known'])).toEqual({
      status: 1,
      out: '',
      err: `${opened}cairn: no image is named x\n\nSee cairn images.\n`,
    })
    expect(cairn(['fail', 'usage'])).toEqual({
      status: 125,
      out: '',
      err: `${opened}cairn: conflicting options: -d and --attach\n\nRun 'cairn fail --help' for more information\n`,
    })
    expect(cairn(['fail', 'status'])).toMatchObject({ status: 127, err: `${opened}cairn: exec: "nope": not found\n` })
  })

  test('shows where a failure comes from when debugging, and always that a bug is one', () => {
    expect(cairn(['fail', 'known']).err).not.toContain('sample-cli.ts')
    expect(cairn(['--debug', 'fail', 'known']).err).toContain('sample-cli.ts')
    expect(cairn(['fail', 'known'], { env: { CAIRN_DEBUG: '1' } }).err).toContain('sample-cli.ts')
    const bug = cairn(['fail', 'bug'])
    expect(bug.status).toBe(1)
    expect(bug.err).toContain('cairn: internal error: undefined is not a function\n')
    expect(bug.err).toContain('This is a bug in Cairn.')
  })

  test('takes no shortage of the machine for a bug, and says which limit to look at', () => {
    expect(cairn(['fail', 'shortage']).err).toEndWith(
      'cairn: EAGAIN: posix_spawn\n\nToo many processes run: see ulimit -u, and the limit of processes of the cgroup or service.\n',
    )
  })

  test('warns of a deprecated flag on stderr and goes on', () => {
    expect(cairn(['quietly', '--loud'])).toEqual({
      status: 0,
      out: 'collected\n',
      err: 'Flag --loud has been deprecated, it is always loud\n',
    })
  })

  test('reads lines of stdin, and takes a pipe for what it is', () => {
    const ended = Bun.spawnSync([process.execPath, sample, 'echo'], { stdin: Buffer.from('a\r\nb c\n\nlast') })
    expect(ended.stdout.toString()).toBe('[a][b c][][last]{"isTTY":false,"columns":80,"rows":24}\n')
  })
})

describe('help', () => {
  test('lists the commands when there are none', () => {
    const help = `Usage:  cairn [OPTIONS] COMMAND

Builds, runs, inspects and moves container images, with no daemon

Common Commands:
  run         Run
  images      List images

Management Commands:
  image       Manage images
  system      Manage Cairn

Commands:
  fail        Fail
  flood       Write much
  tag         Create a tag
  version     Show the version
  wait        Wait

Global Options:
`
    for (const argv of [[], ['--help'], ['-h']]) {
      const { status, out } = cairn(argv)
      expect(out).toStartWith(help)
      expect(out).toEndWith("\n\nRun 'cairn COMMAND --help' for more information on a command.\n")
      expect(status).toBe(0)
    }
  })

  test('lists the commands of a group, on stderr where it was not asked for', () => {
    const help = `Usage:  cairn image COMMAND

Manage images

Commands:
  ls          List images
  tag         Create a tag

Run 'cairn image COMMAND --help' for more information on a command.
`
    for (const argv of [
      ['image', '--help'],
      ['--help', 'image'],
    ])
      expect(cairn(argv)).toEqual({ status: 0, err: '', out: help })
    expect(cairn(['image'])).toEqual({ status: 0, err: help, out: '' })
  })

  test('lays a command out and wraps its options as docker 28 does', () => {
    const help = (path: string): string => `Usage:  cairn ${path} [OPTIONS] [REPOSITORY[:TAG]]

List images

Shows images that have a name.

Aliases:
  cairn image ls, cairn image list, cairn images

Examples:
  # All of them
  cairn images -a

  # Those of one repository
  cairn images alpine

Options:
  -a, --all             Show all images (default hides intermediate images)
      --digests         Show digests
  -f, --filter filter   Filter output based on conditions provided
      --format string   Format output using a custom template:
                        'table':            Print output in table format
                        with column headers (default)
                        'table TEMPLATE':   Print output in table format
                        using the given Go template
                        'json':             Print in JSON format
                        'TEMPLATE':         Print output using the given
                        Go template.
                        Refer to https://docs.docker.com/go/formatting/
                        for more information about formatting output with
                        templates
      --no-trunc        Don't truncate output
  -q, --quiet           Only show image IDs
      --tree            List multi-platform images as a tree (EXPERIMENTAL)
`
    for (const argv of [
      ['images', '--help'],
      ['images', '-qh', 'x'],
      ['--help', 'images'],
    ])
      expect(cairn(argv)).toEqual({ status: 0, out: help('images'), err: '' })
    expect(cairn(['image', 'ls', '--help']).out).toBe(help('image ls'))
  })

  test('leaves -h to a command that uses it', () => {
    expect(cairn(['run', '-h', 'host', 'alpine']).out).toContain('"hostname":"host"')
    expect(cairn(['run', '--help']).out).toContain('  -h, --hostname string      Container host name\n')
  })
})

describe('output', () => {
  test('ends the command quietly with status 141 when its reader has gone', async () => {
    for (const argv of [['flood'], ['flood', '--stream']]) {
      const command = children.add(Bun.spawn([process.execPath, sample, ...argv], { stdout: 'pipe', stderr: 'pipe' }))
      const reader = command.stdout.getReader()
      await reader.read()
      await reader.cancel()
      expect(await new Response(command.stderr).text()).toBe('')
      expect(await command.exited).toBe(141)
    }
  })

  test('says so when stdout is full, with status 1', () => {
    for (const argv of [['flood'], ['quietly'], ['--help'], ['--version'], ['flood', '--stream']]) {
      const full = openSync('/dev/full', 'w')
      try {
        const ended = Bun.spawnSync([process.execPath, sample, ...argv], { stdout: full, stderr: 'pipe' })
        expect(ended.stderr.toString()).toBe('cairn: cannot write to standard output: no space left on device\n')
        expect(ended.exitCode).toBe(1)
      } finally {
        closeSync(full)
      }
    }
  })

  test('keeps what a file that stdout and stderr are appended to holds', () => {
    const folder = mkdtempSync(join(tmpdir(), 'cairn-cli-'))
    const path = join(folder, 'log')
    try {
      const file = openSync(path, 'w')
      for (const argv of [['tag', 'a', 'b'], ['quietly'], ['flood', '--stream'], ['quietly'], ['fail', 'known']])
        Bun.spawnSync([process.execPath, sample, ...argv], { stdout: file, stderr: file })
      closeSync(file)
      const text = readFileSync(path, 'utf8').replaceAll('x'.repeat(70_000), 'x')
      expect(text).toStartWith(`tag: a b\ncollected\n${'x'.repeat(100)}wrote all\ncollected\nopen first\n`)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('knows the size of a terminal', async () => {
    let text = ''
    const terminal = { cols: 91, rows: 33, data: (_: unknown, data: Uint8Array) => void (text += Buffer.from(data)) }
    const command = children.add(Bun.spawn([process.execPath, sample, 'echo'], { terminal }))
    command.terminal?.write('hi\n\x04')
    expect(await command.exited).toBe(0)
    command.terminal?.close()
    expect(text).toContain('{"isTTY":true,"columns":91,"rows":33}')
  })
})

describe('signals', () => {
  async function waiting(...argv: string[]): Promise<{ command: Bun.ReadableSubprocess; next: () => Promise<string> }> {
    const script = [process.execPath, sample, 'wait', ...argv]
    const command = children.add(Bun.spawn(script, { stdout: 'pipe', stderr: 'pipe' }))
    const chunks = command.stdout.values()
    const next = async (): Promise<string> => Buffer.from((await chunks.next()).value ?? []).toString()
    expect(await next()).toBe('waiting\n')
    return { command, next }
  }

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('abort the command at the first %s and give status %d', async (name, status) => {
    const { command, next } = await waiting()
    command.kill(name)
    expect(await next()).toBe('asked to end\n')
    expect(await command.exited).toBe(status)
    expect(await new Response(command.stderr).text()).toBe('cairn: canceled\n')
  })

  test('end it at once at the second', async () => {
    const { command, next } = await waiting('--stubborn')
    command.kill('SIGINT')
    expect(await next()).toBe('asked to end\n')
    command.kill('SIGINT')
    expect(await command.exited).toBe(130)
  })
})

describe('cairn', () => {
  test('--version and version name the release of package.json', () => {
    expect(version).toBe(manifest.version)
    for (const flag of ['--version', '-v'])
      expect(cairn([flag], { script: main })).toEqual({
        status: 0,
        out: `Cairn version ${version}, build source\n`,
        err: '',
      })
    expect(cairn(['version'], { script: main }).out).toStartWith(`Client:
 Version:           ${version}
 API version:       1.51
`)
  })

  test('version --format serves the scripts that ask docker for it', () => {
    const format = (text: string): Ended => cairn(['version', '--format', text], { script: main })
    expect(format('{{.Server.Version}} {{.Client.Os}}')).toEqual({ status: 0, out: `${version} linux\n`, err: '' })
    expect(JSON.parse(format('json').out)).toMatchObject({
      Client: { Version: version },
      Server: { ApiVersion: '1.51' },
    })
    expect(format('{{.Client.')).toMatchObject({
      status: 64,
      err: expect.stringContaining('template parsing error: template: version:1: unexpected "." in operand'),
    })
  })

  test('help knows every command of the table', async () => {
    for (const { paths, summary } of table.commands)
      for (const path of paths) {
        const text = await helpFor(table, path.split(' '), 80)
        expect(text).toStartWith(`Usage:  cairn ${path}`)
        expect(text).toContain(summary)
        expect(nameOf(path)).not.toContain(' ')
      }
  })

  test('help tells an unknown topic', () => {
    expect(cairn(['help', 'zz'], { script: main })).toMatchObject({
      status: 1,
      err: expect.stringContaining('cairn: unknown help topic: zz\n'),
    })
  })
})
