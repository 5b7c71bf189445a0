import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Database } from 'bun:sqlite'
import { eventually, processesWith } from './fixtures/container-bench.ts'
import { ContainerCairn } from './fixtures/cli/container-cairn.ts'

setDefaultTimeout(60_000)

let cairn: ContainerCairn
const loop = 'while :; do sleep 0.05; done'

beforeAll(async () => {
  cairn = new ContainerCairn()
  await cairn.image('busybox')
  await cairn.ok(['run', '-d', '--name', 'box', '-e', 'OWN=1', '-w', '/tmp', 'busybox', 'sh', '-c', loop])
})

afterAll(() => {
  cairn[Symbol.dispose]()
})

/** Waits until a file of the container has this text. */
async function waitFor(path: string, wanted: string): Promise<void> {
  const end = performance.now() + 10_000
  let text = ''
  while (text !== wanted && performance.now() < end) text = (await cairn.run(['exec', 'box', 'cat', path])).out
  expect(text).toBe(wanted)
}

describe('`cairn exec`', () => {
  test('runs a command with the container’s variables, directory, user and files, or others', async () => {
    const own = await cairn.ok(['exec', 'box', 'sh', '-c', 'echo $OWN; pwd; id -u; echo $$ | grep -c .'])
    expect(own).toBe('1\n/tmp\n0\n1\n')
    const other = ['exec', '-e', 'OWN=2', '-e', 'MORE=x', '-w', '/', '-u', '5:6', 'box']
    expect(await cairn.ok([...other, 'sh', '-c', 'echo $OWN $MORE; pwd; id -u; id -g'])).toBe('2 x\n/\n5\n6\n')
    expect((await cairn.run(['exec', '-u', 'nobody1', 'box', 'true'])).status).not.toBe(0)
  })

  test('hands input over to its end and keeps the outputs apart', async () => {
    const script = ['exec', '-i', 'box', 'sh', '-c', 'cat; echo err >&2; exit 7']
    expect(await cairn.run(script, { stdin: 'in\n' })).toEqual({ status: 7, out: 'in\n', err: 'err\n' })
    expect((await cairn.run(['exec', 'box', 'cat'], { stdin: 'in\n' })).out).toBe('')
  })

  test.each([
    [['exec', 'box', 'nosuch'], 127, 'exec: "nosuch": executable file not found in $PATH\n'],
    [['exec', 'box', '/no/such'], 127, 'exec: "/no/such": stat /no/such: no such file or directory\n'],
    [['exec', 'box', '/etc'], 126, 'exec: "/etc": is a directory: permission denied\n'],
    [['exec', 'box', '/etc/passwd'], 126, 'exec: "/etc/passwd": permission denied\n'],
    [['exec', '-d', 'box', 'nosuch'], 1, 'exec: "nosuch": executable file not found in $PATH\n'],
    [['exec', 'nosuch', 'true'], 1, 'No such container: nosuch\n'],
    [['exec', 'box'], 1, "'cairn exec' requires at least 2 arguments"],
  ])('%p ends with %i in docker’s words', async (args, status, message) => {
    const ended = await cairn.run(args)
    expect(ended.err).toContain(message)
    expect(ended.status).toBe(status)
  })

  test('leaves a command running that nobody waits for', async () => {
    await cairn.ok(['exec', '-d', 'box', 'sh', '-c', 'sleep 0.2; echo done >/tmp/detached'])
    await waitFor('/tmp/detached', 'done\n')
  })

  test('has a terminal where one is asked for', async () => {
    using session = cairn.onTerminal([
      'exec',
      '-it',
      'box',
      'sh',
      '-c',
      'stty size; read line; echo "got $line"; exit 4',
    ])
    const shows = async (text: string): Promise<void> => {
      const end = performance.now() + 20_000
      while (!session.shown().includes(text) && performance.now() < end) await Bun.sleep(20)
      expect(session.shown()).toContain(text)
    }
    await shows('33 77')
    session.terminal.write('typed\r')
    await shows('got typed')
    await shows('status 4')
  })

  test('is left by the detach keys, and the command goes on with its terminal', async () => {
    const script =
      'echo ready; read line; tty; sleep 1; i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i + 1)); done; stty size; echo "$line" > /tmp/left'
    using session = cairn.onTerminal([
      'exec',
      '-it',
      '--detach-keys',
      'ctrl-a,x',
      'box',
      'sh',
      '-c',
      `(${script}) && test -t 0 && echo on >> /tmp/left`,
    ])
    const shows = async (text: string): Promise<void> => {
      await eventually(() => session.shown().includes(text), 20_000)
      expect(session.shown()).toContain(text)
    }
    await shows('ready')
    session.terminal.write('ctrl\u0001y\r')
    await shows('/dev/pts/')
    session.terminal.write('\u0001')
    session.terminal.write('x')
    await shows('read escape sequence')
    await shows('status 1')
    const [before, after] = session.shown().match(/^[0-9a-f:]{20,}\r$/gm) ?? []
    expect(after).toBe(before)
    await waitFor('/tmp/left', 'ctrl\u0001y\non\n')
    const events = await cairn.ok(['events', '--since', '1h', '--until', '0s', '--filter', 'container=box'])
    expect(events).toContain('exec_detach')
    expect(await eventually(() => processesWith('[ $i -lt 3000 ]').length === 0)).toBe(true)
  })
})

describe('`cairn cp`', () => {
  test('follows docker’s rules for what is there, what is not, and what a path ends in', async () => {
    mkdirSync(join(cairn.directory, 'dir/sub'), { recursive: true })
    cairn.file('file', 'f\n')
    cairn.file('dir/inner', 'i\n')
    const find = async (path: string) => (await cairn.ok(['exec', 'box', 'find', path])).trim().split('\n').toSorted()
    await cairn.ok(['cp', 'dir', 'box:/new'])
    expect(await find('/new')).toEqual(['/new', '/new/inner', '/new/sub'])
    await cairn.ok(['cp', 'dir', 'box:/new'])
    expect(await find('/new/dir')).toEqual(['/new/dir', '/new/dir/inner', '/new/dir/sub'])
    await cairn.ok(['cp', 'dir/.', 'box:/new/sub'])
    expect(await find('/new/sub')).toEqual(['/new/sub', '/new/sub/inner', '/new/sub/sub'])
    await cairn.ok(['cp', 'file', 'box:/new/inner'])
    expect(await cairn.ok(['exec', 'box', 'cat', '/new/inner'])).toBe('f\n')
    await cairn.ok(['cp', 'box:/new/.', 'out'])
    expect(readFileSync(join(cairn.directory, 'out/dir/inner'), 'utf8')).toBe('i\n')
    for (const [args, message] of [
      [['cp', 'dir', 'box:/new/inner'], 'cannot copy directory\n'],
      [['cp', 'file', 'box:/none/'], 'no such directory\n'],
      [['cp', 'file', 'box:/no/such'], 'Could not find the file /no in container box\n'],
      [['cp', 'box:/none', 'x'], 'Could not find the file /none in container box\n'],
      [['cp', 'box:/new', 'box:/x'], 'copying between containers is not supported\n'],
      [['cp', 'file', 'x'], 'must specify at least one container source\n'],
      [['cp', 'file', 'box:/new/dir/inner/'], 'not a directory\n'],
    ] as const)
      expect(await cairn.run(args)).toMatchObject({ status: 1, err: `cairn: ${message}` })
  })

  test('reads and writes a container that does not run, its volumes too, and streams archives', async () => {
    await cairn.ok(['create', '--name', 'idle', '-v', 'kept:/vol', 'busybox', 'cat', '/vol/file', '/etc/file'])
    cairn.file('file', 'f\n')
    await cairn.ok(['cp', 'file', 'idle:/vol/file'])
    await cairn.ok(['cp', 'file', 'idle:/etc/'])
    expect(readFileSync(join(cairn.root, 'volumes/kept/_data/file'), 'utf8')).toBe('f\n')
    const archive = await new Response(cairn.start(['cp', 'idle:/etc/file', '-']).stdout).bytes()
    await cairn.run(['cp', '-', 'idle:/var'], { stdin: archive })
    expect(await cairn.ok(['start', '-a', 'idle'])).toBe('f\nf\n')
    expect(await cairn.ok(['diff', 'idle'])).toContain('A /var/file\n')
    expect(cairn.mounts()).toEqual([])
    await cairn.ok(['rm', 'idle'])
  })

  test('is led out of the container by no symlink', async () => {
    writeFileSync(join(cairn.directory, 'secret'), 'of the host\n')
    const { directory } = cairn
    const script = `ln -s ${directory} /out; ln -s / /root-link; mkdir -p ${directory}; ln -s ${directory}/secret /leaf`
    await cairn.ok(['exec', 'box', 'sh', '-c', script])
    expect((await cairn.run(['cp', 'box:/out/secret', 'taken'])).status).toBe(1)
    expect((await cairn.run(['cp', '-L', 'box:/leaf', 'taken'])).status).toBe(1)
    cairn.file('file', 'f\n')
    await cairn.ok(['cp', 'file', 'box:/out/planted'])
    expect(existsSync(join(directory, 'planted'))).toBe(false)
    expect(await cairn.ok(['exec', 'box', 'cat', `${directory}/planted`])).toBe('f\n')
    await cairn.ok(['cp', 'box:/leaf', 'leaf'])
    expect(readlinkSync(join(directory, 'leaf'))).toBe(`${directory}/secret`)
  })

  test('is led nowhere by a directory that becomes a symlink meanwhile', async () => {
    mkdirSync(join(cairn.directory, 'prey'))
    writeFileSync(join(cairn.directory, 'prey/file'), 'of the host\n')
    const script = `mkdir -p /race/real; echo own >/race/real/file; ln -s ${cairn.directory}/prey /race/link
      while :; do mv /race/real /race/dir; mv /race/dir /race/real; mv /race/link /race/dir; mv /race/dir /race/link; done`
    await cairn.ok(['exec', '-d', 'box', 'sh', '-c', script])
    symlinkSync('/nowhere', join(cairn.directory, 'unused'))
    for (let round = 0; round < 12; round++) {
      await cairn.run(['cp', 'box:/race/dir/.', `got${round}`])
      const got = join(cairn.directory, `got${round}`)
      // The symlink may be what was copied.
      const isDirectory = lstatSync(got, { throwIfNoEntry: false })?.isDirectory() === true
      if (isDirectory && existsSync(join(got, 'file')))
        expect(readFileSync(join(got, 'file'), 'utf8')).not.toContain('of the host')
      cairn.file('arrow', 'arrow\n')
      await cairn.run(['cp', 'arrow', 'box:/race/dir/file'])
    }
    expect(readFileSync(join(cairn.directory, 'prey/file'), 'utf8')).toBe('of the host\n')
  })
})

describe('after the machine has started again', () => {
  test('`cairn container restore` starts what its policy says, and what ended with the machine is recorded', async () => {
    using other = new ContainerCairn()
    await other.image('busybox')
    const start = (name: string, policy: string) =>
      other.ok(['run', '-d', '--name', name, '--restart', policy, 'busybox', 'sh', '-c', loop])
    await start('always', 'always')
    await start('stopped', 'unless-stopped')
    await start('never', 'no')
    await other.ok(['stop', '-t', '0', 'stopped'])
    await other.ok(['stop', '-t', '0', 'always'])
    // As if the machine had gone down while it ran: its numbers of processes are of another boot.
    const id = (await other.ok(['inspect', '-f', '{{.Id}}', 'never'])).trim()
    using database = new Database(`${other.root}/cairn.db`)
    // The monitors of what was stopped may still write.
    database.run('PRAGMA busy_timeout = 10000')
    database.run("UPDATE containers SET run = json_set(run, '$.scope', 'another-boot/1') WHERE id = ?", [id])
    expect(await other.ok(['container', 'restore'])).toBe('always\n')
    expect(await other.ok(['ps', '-a', '--format', '{{.Names}} {{.State}}'])).toBe(
      'never exited\nstopped exited\nalways running\n',
    )
    expect(await other.ok(['inspect', '-f', '{{.State.ExitCode}}', 'never'])).toBe('255\n')
  })

  test('`cairn container systemd` prints a unit for a container, or for all', async () => {
    const { stdout } = cairn.start(['container', 'systemd', 'box'])
    const unit = await new Response(stdout).text()
    expect(unit).toContain('\nDescription=Container box\n')
    expect(unit).toMatch(
      /\nType=forking\nPIDFile=\/\S+\/monitor\.pid\nRestart=on-failure\nExecStart=\/\S+ .*--root \S+ start [0-9a-f]{64}\n/,
    )
    expect(await cairn.ok(['container', 'systemd'])).toMatch(/\nExecStart=.* container restore\n/)
  })
})
