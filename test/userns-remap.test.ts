import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { chmodSync, statSync } from 'node:fs'
import { RemappingCairn } from './fixtures/cli/remapping-cairn.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(120_000)

let cairn: RemappingCairn

beforeAll(async () => {
  cairn = await RemappingCairn.open()
  await cairn.image('busybox')
})

afterEach(async () => {
  const { out } = await cairn.run(['ps', '-aq'])
  if (out !== '') await cairn.run(['rm', '-f', ...out.trim().split('\n')])
})

afterAll(() => {
  cairn[Symbol.dispose]()
})

const quiet = ['--network', 'none'] as const
const remapped = ['--userns', 'remap', ...quiet] as const
const map = '0 500000 65536'

function words(text: string): string {
  return text.trim().replace(/\s+/g, ' ')
}

describe.each(['crun', 'runc'])('a container with other users, by %s', (runtime) => {
  test('is root inside and nobody outside, and its files are as without', async () => {
    const name = `volume-${runtime}`
    const script =
      'cat /proc/self/uid_map; touch /mine; echo x > /data/of-root; echo x > /data/of-33; chown 33:44 /data/of-33'
    const run = ['run', '--rm', '--runtime', runtime, ...remapped, '-v', `${name}:/data`, 'busybox', 'sh', '-c']
    expect(words(await cairn.ok([...run, `${script}; ls -ln /mine /etc/hosts | cut -c1-40`]))).toStartWith(map)
    expect(statSync(`${cairn.root}/volumes/${name}/_data/of-root`)).toMatchObject({ uid: 0, gid: 0 })
    expect(statSync(`${cairn.root}/volumes/${name}/_data/of-33`)).toMatchObject({ uid: 33, gid: 44 })
    const plain = ['run', '--rm', ...quiet, '-v', `${name}:/data`, 'busybox', 'stat', '-c', '%u:%g', '/data/of-33']
    expect(await cairn.ok(plain)).toBe('33:44\n')
  })

  test('goes on in the background as any other', async () => {
    const loop = 'trap "exit 4" TERM; echo up; while :; do sleep 0.05; done'
    await cairn.ok(['run', '-d', '--name', 'box', '--runtime', runtime, ...remapped, 'busybox', 'sh', '-c', loop])
    const pid = (await cairn.ok(['inspect', '-f', '{{.State.Pid}}', 'box'])).trim()
    expect(statSync(`/proc/${pid}`).uid).toBe(500_000)
    expect(await cairn.ok(['inspect', '-f', '{{.HostConfig.UsernsMode}}', 'box'])).toBe('remap\n')
    expect(await cairn.ok(['exec', '-u', 'app', 'box', 'sh', '-c', 'touch /tmp/of-app; id -u'])).toBe('1000\n')
    cairn.file('in', 'copied')
    await cairn.ok(['cp', 'in', 'box:/tmp/in'])
    expect(await cairn.ok(['exec', 'box', 'stat', '-c', '%u', '/tmp/in', '/tmp/of-app'])).toBe('0\n1000\n')
    await cairn.ok(['cp', 'box:/tmp/of-app', 'out'])
    expect(statSync(`${cairn.directory}/out`).uid).toBe(0)
    await cairn.ok(['commit', 'box', 'committed'])
    const owners = ['run', '--rm', ...quiet, 'committed', 'stat', '-c', '%u', '/tmp/in', '/tmp/of-app']
    expect(await cairn.ok(owners)).toBe('0\n1000\n')
    await cairn.ok(['stop', 'box'])
    expect(await cairn.ok(['inspect', '-f', '{{.State.ExitCode}}', 'box'])).toBe('4\n')
    await cairn.ok(['start', 'box'])
    expect(await cairn.ok(['exec', 'box', 'cat', '/tmp/in'])).toBe('copied')
    await cairn.ok(['rm', '-f', 'box'])
    expect(cairn.mounts()).toEqual([])
  })

  test('can do nothing to what only root of the machine may', async () => {
    chmodSync(cairn.file('secret', 'secret'), 0o600)
    const mounted = ['-v', `${cairn.directory}:/host`]
    const script = `cat /host/secret; echo x > /host/new; mknod /disk b 8 0; mount -t tmpfs none /tmp; echo end`
    const run = [
      'run',
      '--rm',
      '--runtime',
      runtime,
      ...remapped,
      ...mounted,
      '--cap-add',
      'ALL',
      'busybox',
      'sh',
      '-c',
      script,
    ]
    const { out, err } = await cairn.run(run)
    expect(out).toBe('end\n')
    expect(err).toContain("can't open '/host/secret': Permission denied")
    expect(err).toContain("can't create /host/new: Permission denied")
    expect(err).toContain('mknod: /disk: Operation not permitted')
  })

  test('has a root that cannot be written to where that is asked for', async () => {
    const run = ['run', '--rm', '--runtime', runtime, ...remapped, '--read-only', 'busybox', 'sh', '-c']
    expect((await cairn.run([...run, 'touch /x'])).err).toContain('Read-only file system')
  })
})

describe('CAIRN_USERNS_REMAP', () => {
  const show = ['busybox', 'cat', '/proc/self/uid_map']

  test('remaps all containers but those with `--userns host`', async () => {
    const env = { CAIRN_USERNS_REMAP: 'default' }
    expect(words(await cairn.ok(['run', '--rm', ...quiet, ...show], { env }))).toBe(map)
    expect(words(await cairn.ok(['run', '--rm', '--userns', 'host', ...quiet, ...show], { env }))).toBe(
      '0 0 4294967295',
    )
    expect(words(await cairn.ok(['run', '--rm', ...quiet, ...show]))).toBe('0 0 4294967295')
    const named = { CAIRN_USERNS_REMAP: 'dockremap:dockremap' }
    expect(words(await cairn.ok(['run', '--rm', ...quiet, ...show], { env: named }))).toBe(map)
  })

  test('of an account without ranges says which line is missing', async () => {
    const { status, err } = await cairn.run(['run', '--rm', ...show], { env: { CAIRN_USERNS_REMAP: 'unheard-of' } })
    expect(status).toBe(125)
    expect(err).toContain('no subuid ranges found for user "unheard-of" in /etc/subuid')
    expect(err).toContain('unheard-of:100000:65536')
  })
})

test.each([
  [['--privileged'], 'privileged mode is incompatible with user namespaces'],
  [['--network', 'host'], "cannot share the host's network namespace when user namespaces are enabled"],
  [['--pid', 'host', '--network', 'none'], 'cannot share the host PID namespace when user namespaces are enabled'],
  [['--ipc', 'host', '--network', 'none'], 'cannot share namespaces: host'],
])('`--userns remap` refuses %j', async (flags, message) => {
  const { status, err } = await cairn.run(['run', '--rm', '--userns', 'remap', ...flags, 'busybox', 'true'])
  expect(status).toBe(125)
  expect(err).toContain(message)
})

test('`--userns` knows no other mode', async () => {
  const { status, err } = await cairn.run(['run', '--rm', '--userns', 'private', 'busybox', 'true'])
  expect({ status, err: err.split('\n')[0] }).toEqual({ status: 125, err: 'cairn: --userns: invalid USER mode' })
})
