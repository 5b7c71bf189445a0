import { existsSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { ContainerCairn } from '../../../test/fixtures/cli/container-cairn.ts'
import { eventually } from '../../../test/fixtures/container-bench.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

let cairn: ContainerCairn

beforeAll(async () => {
  cairn = new ContainerCairn()
  await cairn.image('busybox', {
    config: { Cmd: ['sh'], Env: ['PATH=/bin', 'KEPT=1', 'GONE=1'], Labels: { from: 'image' }, OnBuild: ['RUN x'] },
  })
  const script = 'echo hi >/x; ln -s x /y; ln /x /z; rm /bin/true; mkdir /d; chmod 700 /d'
  const flags = ['-e', 'A=b', '-e', 'GONE', '-w', '/tmp', '-l', 'own=1', '-v', '/data']
  await cairn.ok(['run', '--name', 'one', ...flags, 'busybox', 'sh', '-c', `${script}; echo mounted >/data/file`])
  await cairn.ok(['run', '--name', 'idle', 'busybox', 'true'])
})

afterAll(() => {
  cairn[Symbol.dispose]()
})

const inspect = async (image: string, field: string): Promise<unknown> =>
  JSON.parse(await cairn.ok(['image', 'inspect', '--format', `{{json .${field}}}`, image]))

describe('`cairn commit`', () => {
  test('makes an image of what the container wrote, with its configuration and the changes', async () => {
    const args = ['-a', 'me', '-m', 'why', '-c', 'ENV Z=$A', '-c', 'CMD ["ls"]']
    const id = (await cairn.ok(['commit', ...args, 'one', 'committed:1'])).trim()
    expect(id).toMatch(/^sha256:[0-9a-f]{64}$/)
    expect(await inspect('committed:1', 'Id')).toBe(id)
    expect(await inspect('committed:1', 'Config')).toMatchObject({
      Env: ['A=b', 'PATH=/bin', 'KEPT=1', 'Z=b'],
      Cmd: ['ls'],
      WorkingDir: '/tmp',
      Labels: { from: 'image', own: '1' },
      OnBuild: null,
    })
    expect(await inspect('committed:1', 'Author')).toBe('me')
    const history = await cairn.ok(['history', '--format', '{{.CreatedBy}}|{{.Comment}}', '--no-trunc', 'committed:1'])
    expect(history).toStartWith('sh -c echo hi >/x; ')
    expect(history).toContain('|why\n')
    const look = 'cat /x /y /z; stat -c %a /d; ls /bin/true /data/file 2>&1 | grep -c "No such"'
    expect(await cairn.ok(['run', '--rm', 'committed:1', 'sh', '-c', look])).toBe('hi\nhi\nhi\n700\n2\n')
  })

  test('adds no layer for a container that changed nothing', async () => {
    await cairn.ok(['commit', 'idle', 'empty'])
    expect(await inspect('empty', 'RootFS.Layers')).toEqual(await inspect('busybox', 'RootFS.Layers'))
    expect(await cairn.ok(['history', '--format', '{{.CreatedBy}} {{.Size}}', 'empty'])).toStartWith('true 0B\n')
  })

  test('gives the same image again with SOURCE_DATE_EPOCH', async () => {
    const commit = async () => (await cairn.run(['commit', 'one'], { env: { SOURCE_DATE_EPOCH: '1' } })).out
    const first = await commit()
    expect(first).toMatch(/^sha256:/)
    expect(await commit()).toBe(first)
  })

  test('holds a running container meanwhile, which then goes on', async () => {
    const child = cairn.start([
      'run',
      '--rm',
      '--name',
      'busy',
      'busybox',
      'sh',
      '-c',
      'echo up; while :; do date >/d; done',
    ])
    try {
      await child.stdout.getReader().read()
      for (let time = 0; time < 3; time++) await cairn.ok(['commit', 'busy', 'live'])
      expect(await cairn.ok(['ps', '--format', '{{.Names}} {{.State}}'])).toBe('busy running\n')
      expect(await cairn.ok(['run', '--rm', 'live', 'sh', '-c', 'test -e /d && echo there'])).toBe('there\n')
    } finally {
      await cairn.run(['rm', '-f', 'busy'])
      await child.exited
    }
  })

  test('lets the container go on that it held, also when it is killed', async () => {
    const script = 'head -c 60000000 /dev/urandom >/big; while :; do sleep 0.05; date +%N >/tick; done'
    await cairn.ok(['run', '-d', '--name', 'held', '--network', 'none', 'busybox', 'sh', '-c', script])
    try {
      const init = (await cairn.ok(['inspect', '-f', '{{.State.Pid}}', 'held'])).trim()
      const state = (): string => /\) (\S)/.exec(readFileSync(`/proc/${init}/stat`, 'utf8'))?.[1] ?? ''
      expect(await eventually(() => existsSync(`/proc/${init}/root/tick`))).toBe(true)
      const child = cairn.start(['commit', 'held', 'never:1'])
      expect(await eventually(() => state() === 'T' || child.exitCode !== null)).toBe(true)
      child.kill('SIGKILL')
      await child.exited
      expect(await eventually(() => state() !== 'T')).toBe(true)
      await cairn.ok(['commit', 'held', 'held:1'])
      expect(state()).not.toBe('T')
    } finally {
      await cairn.run(['rm', '-f', 'held'])
    }
  })

  test('refuses what it cannot do and leaves nothing', async () => {
    const before = await cairn.ok(['images', '-q'])
    const failing = async (...args: string[]): Promise<string> => {
      const { status, err } = await cairn.run(['commit', ...args])
      expect(status).toBe(1)
      return err
    }
    expect(await failing('nosuch')).toContain('No such container: nosuch')
    expect(await failing('-c', 'RUN x', 'one')).toContain('RUN is not a valid change command')
    expect(await failing('one', 'UPPER')).toContain('must be lowercase')
    expect(await cairn.ok(['images', '-q'])).toBe(before)
  })
})

describe('`cairn export`', () => {
  test('gives the files of the container as they are, without what is mounted', async () => {
    const tar = await cairn.run(['export', '-o', `${cairn.root}.tar`, 'one'])
    expect(tar.status).toBe(0)
    const names = await new Response(Bun.spawn(['tar', '-tvf', `${cairn.root}.tar`]).stdout).text()
    expect(names).toMatch(/^-rw-r--r-- 0\/0 +3 .* x$/m)
    expect(names).toMatch(/^hrw-r--r-- .* z link to x$/m)
    expect(names).toMatch(/^lrwxrwxrwx .* y -> x$/m)
    expect(names).toMatch(/^drwx------ .* d\/$/m)
    expect(names).not.toContain('bin/true')
    expect(names).not.toContain('data/file')
    await cairn.ok(['import', `${cairn.root}.tar`, 'exported'])
    expect(await cairn.ok(['run', '--rm', 'exported', '/bin/cat', '/x'])).toBe('hi\n')
    await Bun.file(`${cairn.root}.tar`).delete()
  })

  test('refuses a container that is not there', async () => {
    expect((await cairn.run(['export', 'nosuch'])).err).toContain('No such container: nosuch')
  })
})
