import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { chmodSync, statSync } from 'node:fs'
import { arm64Program } from './fixtures/arm64-program.ts'
import { ContainerCairn } from './fixtures/cli/container-cairn.ts'
import { RootlessCairn } from './fixtures/cli/rootless-cairn.ts'
import { eventually } from './fixtures/container-bench.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(120_000)

/** Ids are given by set-user-ID programs of the package uidmap, networks by pasta of passt; scripts/test.sh installs both. */
const hasIds = Bun.which('newuidmap') !== null && Bun.which('newgidmap') !== null
const hasNetworks = hasIds && Bun.which('pasta') !== null

const dockerfile = `FROM busybox
RUN mkdir -p /d/below && echo 1 > /d/below/f && echo 2 > /d/g && chown -R 33:44 /d && echo gone > /gone
RUN rm -rf /d && mkdir /d && echo new > /d/new && rm /gone
COPY --chown=12:13 Dockerfile /copied
RUN ! test -e /gone && test "$(ls /d)" = new && chown 1000 /d/new && chmod 4755 /d/new
USER app
RUN touch /tmp/mine && test "$(id -u)" = 1000
`

describe.skipIf(!hasIds)('an ordinary user', () => {
  let cairn: RootlessCairn

  beforeAll(async () => {
    cairn = await RootlessCairn.open()
    await cairn.image('busybox')
  })

  afterEach(async () => {
    const { out } = await cairn.run(['ps', '-aq'])
    if (out !== '') await cairn.run(['rm', '-f', ...out.trim().split('\n')])
  })

  afterAll(() => {
    cairn[Symbol.dispose]()
  })

  const keeper = (): number => {
    const record = JSON.parse(cairn.sh(`cat ${cairn.root}/rootless/namespace.json`)) as { keeper: { pid: number } }
    return record.keeper.pid
  }

  test('builds the very image that root builds, with files of other users and of layers below removed', async () => {
    using root = new ContainerCairn()
    await root.image('busybox')
    const archive = `${cairn.directory}/busybox.tar`
    await root.ok(['save', '-o', archive, 'busybox'])
    cairn.own(archive)
    await cairn.ok(['load', '-q', '-i', archive])
    root.file('Dockerfile', dockerfile)
    cairn.file('Dockerfile', dockerfile)
    const id = await cairn.ok(['build', '-q', '-t', 'mine', '.'])
    expect(id).toStartWith('sha256:')
    expect(id).toBe(await root.ok(['build', '-q', '-t', 'mine', '.']))
    const { out } = await cairn.run(['run', '--rm', '--network', 'none', 'mine', 'ls', '-ln', '/copied', '/d/new'])
    expect(out).toMatch(/^-rw-r--r-- +1 12 +13 .* \/copied\n-rwsr-xr-x +1 1000 +0 .* \/d\/new\n$/)
    expect(await cairn.isQuiet()).toBe(true)
  })

  test.skipIf(Bun.which('qemu-aarch64-static') === null)('builds and runs programs for another processor', async () => {
    chmodSync(cairn.file('program', arm64Program()), 0o755)
    cairn.file('Dockerfile', 'FROM scratch\nCOPY program /program\nRUN ["/program"]\nCMD ["/program"]\n')
    const { status, err } = await cairn.run([
      'build',
      '--platform',
      'linux/arm64',
      '--progress',
      'plain',
      '-t',
      'arm',
      '.',
    ])
    expect(err).toMatch(/ arm64\n/)
    expect(status).toBe(0)
    expect(await cairn.ok(['run', '--rm', '--network', 'none', '--platform', 'linux/arm64', 'arm'])).toBe('arm64\n')
  })

  test('is root in a container, where its files are its own and other users have ids of its range', async () => {
    const script = 'id -u; echo from inside > /here/mine; touch /here/other; chown 1000:2000 /here/other'
    const run = ['run', '--rm', '--network', 'none', '-v', `${cairn.directory}:/here`, 'busybox', 'sh', '-c', script]
    expect(await cairn.run(run)).toEqual({ status: 0, out: '0\n', err: '' })
    expect(statSync(`${cairn.directory}/mine`).uid).toBe(cairn.uid)
    expect(statSync(`${cairn.directory}/other`)).toMatchObject({ uid: 2_000_999, gid: 2_001_999 })
    // What only root of the machine may read stays closed, also to root of the container.
    const secret = ['run', '--rm', '--network', 'none', '-v', '/etc/shadow:/s', 'busybox', 'cat', '/s']
    expect((await cairn.run(secret)).err).toContain('Permission denied')
  })

  test('keeps containers in the background, which all later commands reach, and leaves no process behind', async () => {
    const loop = 'trap "exit 3" TERM; echo up; while :; do sleep 0.05; done'
    await cairn.ok(['run', '-d', '--name', 'box', '--network', 'none', 'busybox', 'sh', '-c', loop])
    expect(await cairn.ok(['ps', '--format', '{{.Names}} {{.State}}'])).toBe('box running\n')
    expect(await cairn.ok(['exec', '-u', 'app', 'box', 'id', '-u'])).toBe('1000\n')
    expect(await cairn.ok(['logs', 'box'])).toBe('up\n')
    cairn.file('in', 'copied')
    await cairn.ok(['cp', 'in', 'box:/tmp/in'])
    expect(await cairn.ok(['exec', 'box', 'cat', '/tmp/in'])).toBe('copied')
    expect(await cairn.ok(['diff', 'box'])).toContain('A /tmp/in')
    expect(await cairn.ok(['stop', 'box'])).toBe('box\n')
    expect(await cairn.ok(['inspect', '-f', '{{.State.ExitCode}}', 'box'])).toBe('3\n')
    await cairn.ok(['start', 'box'])
    expect(await cairn.ok(['rm', '-f', 'box'])).toBe('box\n')
    expect(await cairn.isQuiet()).toBe(true)
  })

  test('reaches its containers also where the process that keeps their namespace was killed', async () => {
    await cairn.ok(['run', '-d', '--name', 'kept', '--network', 'none', 'busybox', 'sleep', '1000'])
    const first = keeper()
    process.kill(first, 'SIGKILL')
    expect(await cairn.ok(['exec', 'kept', 'echo', 'here'])).toBe('here\n')
    expect(keeper()).not.toBe(first)
    expect(await cairn.ok(['rm', '-f', 'kept'])).toBe('kept\n')
    expect(await cairn.isQuiet()).toBe(true)
  })

  test('has one namespace for all commands that begin at once', async () => {
    const runs = Array.from({ length: 5 }, (_, index) =>
      cairn.ok(['run', '-d', '--name', `at-once-${index}`, '--network', 'none', 'busybox', 'sleep', '1000']),
    )
    const pids = (await Promise.all(runs)).length
    const names = Array.from({ length: pids }, (_, index) => `at-once-${index}`)
    const maps = await Promise.all(names.map((name) => cairn.ok(['inspect', '-f', '{{.State.Pid}}', name])))
    const namespaces = new Set(maps.map((pid) => cairn.sh(`readlink /proc/${pid.trim()}/ns/user`)))
    expect([...namespaces]).toEqual([expect.stringMatching(/^user:\[\d+\]\n$/)])
  })

  test('is refused what only root can: limits, holding processes, low ports', async () => {
    const limited = await cairn.run(['run', '--rm', '-m', '64m', '--network', 'none', 'busybox', 'true'])
    expect(limited).toMatchObject({
      status: 125,
      err: expect.stringContaining('resource limits need a cgroup') as string,
    })
    await cairn.ok(['run', '-d', '--name', 'free', '--network', 'none', 'busybox', 'sleep', '1000'])
    expect((await cairn.run(['pause', 'free'])).err).toContain('without a cgroup')
    expect(await cairn.ok(['info', '--format', '{{json .SecurityOptions}}'])).toContain('name=rootless')
  })

  test('leaves nothing after SIGKILL that the next command does not end', async () => {
    const child = cairn.start(['run', '--rm', '--name', 'shot', '--network', 'none', 'busybox', 'sleep', '1000'])
    const isThere = (): boolean => cairn.processes().some(({ command }) => command === 'sleep 1000')
    expect(await eventually(isThere, 20_000)).toBe(true)
    child.kill('SIGKILL')
    await child.exited
    expect(await eventually(() => !isThere())).toBe(true)
    expect(await cairn.ok(['ps', '-aq'])).toBe('')
    expect(await cairn.isQuiet()).toBe(true)
  })

  describe.skipIf(!hasNetworks)('with pasta', () => {
    const web = 'mkdir /www; echo page > /www/index.html; exec httpd -f -p 80 -h /www'

    test('reaches other machines from containers and publishes ports', async () => {
      const fetched = await cairn.run(['run', '--rm', 'busybox', 'wget', '-qO-', 'http://203.0.113.9/'])
      expect(fetched).toEqual({ status: 0, out: 'internet\n', err: '' })
      await cairn.ok(['run', '-d', '--name', 'web', '-p', '8080:80', 'busybox', 'sh', '-c', web])
      for (const address of ['127.0.0.1', '10.99.0.1', '[::1]']) {
        const page = (): string => cairn.sh(`timeout 5 busybox wget -qO- http://${address}:8080/`)
        expect(await eventually(() => page() === 'page\n')).toBe(true)
      }
      expect((await cairn.run(['run', '--rm', '-p', '8080:80', 'busybox', 'true'])).err).toContain('already allocated')
      const low = await cairn.run(['run', '--rm', '-p', '80:80', 'busybox', 'true'])
      expect(low.err).toContain('ports below 1024 are for root')
      await cairn.ok(['rm', '-f', 'web'])
      expect(await cairn.isQuiet()).toBe(true)
    })

    test('cannot reach what listens on 127.0.0.1 of the machine', async () => {
      await cairn.ok(['run', '-d', '--name', 'own', '-p', '127.0.0.1:8090:80', 'busybox', 'sh', '-c', web])
      expect(await eventually(() => cairn.sh('busybox wget -qO- http://127.0.0.1:8090/') === 'page\n')).toBe(true)
      for (const address of ['10.99.0.2', '172.17.0.1', '127.0.0.1']) {
        const fetch = ['wget', '-T', '3', '-qO-', `http://${address}:8090/`]
        expect((await cairn.run(['run', '--rm', 'busybox', ...fetch])).out).toBe('')
      }
    })

    test('has networks where containers find each other by name', async () => {
      await cairn.ok(['network', 'create', 'shop'])
      await cairn.ok(['run', '-d', '--name', 'store', '--network', 'shop', 'busybox', 'sh', '-c', web])
      const fetch = ['run', '--rm', '--network', 'shop', 'busybox', 'wget', '-qO-', 'http://store/']
      expect(await cairn.ok(fetch)).toBe('page\n')
      await cairn.ok(['rm', '-f', 'store'])
      await cairn.ok(['network', 'rm', 'shop'])
      expect(await cairn.isQuiet()).toBe(true)
    })
  })
})

describe('an ordinary user without ranges of ids', () => {
  test('runs images whose files are all of root, and is told what to ask for where they are not', async () => {
    using cairn = await RootlessCairn.open({ hasRanges: false, without: Bun.which('pasta') === null ? [] : ['pasta'] })
    await cairn.image('busybox')
    const run = ['run', '--rm', '--network', 'none', 'busybox', 'sh', '-c', 'id -u; cat /proc/self/uid_map']
    expect((await cairn.ok(run)).replace(/ +/g, ' ')).toBe(`0\n 0 ${cairn.uid} 1\n`)
    cairn.file('Dockerfile', 'FROM busybox\nRUN touch /f && chown 33 /f\n')
    expect((await cairn.run(['build', '.'])).err).toContain('Invalid argument')
    cairn.file('Dockerfile', 'FROM busybox\nCOPY --chown=33 Dockerfile /f\nRUN true\n')
    const { status, err } = await cairn.run(['build', '.'])
    expect(status).toBe(1)
    expect(err).toContain('is to be owned by 33:33, and this user may not give files that owner')
    expect(err).toContain('sudo usermod --add-subuids')
    const network = await cairn.run(['run', '--rm', 'busybox', 'true'])
    expect(network).toMatchObject({ status: 125, err: expect.stringContaining('need pasta without root') as string })
    expect(await cairn.ok(['run', '--rm', '--network', 'host', 'busybox', 'hostname'])).not.toBe('')
    expect(await cairn.ok(['info', '--format', '{{json .Warnings}}'])).toContain(
      'files and processes can be of one user',
    )
    expect(await cairn.isQuiet()).toBe(true)
  })
})

describe('an ordinary user who can have no user namespace', () => {
  test('builds without RUN, and is told the reason for the rest', async () => {
    using cairn = await RootlessCairn.open({ without: ['unshare'] })
    await cairn.image('busybox')
    cairn.file('Dockerfile', 'FROM busybox\nCOPY Dockerfile /f\n')
    expect(await cairn.ok(['build', '-q', '-t', 'plain', '.'])).toStartWith('sha256:')
    expect(await cairn.ok(['images', '--format', '{{.Repository}}'])).toContain('plain')
    cairn.file('Dockerfile', 'FROM busybox\nRUN true\n')
    const built = await cairn.run(['build', '.'])
    expect(built.status).toBe(1)
    expect(built.err).toContain(
      'Without root that needs a user namespace: working without root needs unshare, which is not installed',
    )
    const ran = await cairn.run(['run', '--rm', '--network', 'none', 'busybox', 'true'])
    expect(ran.status).toBe(125)
    expect(ran.err).toContain('Without root that needs a user namespace: working without root needs unshare')
  })
})
