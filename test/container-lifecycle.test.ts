import { Database } from 'bun:sqlite'
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { resolveContainer } from '../src/containers/container-records.ts'
import { watchHealth } from '../src/containers/health.ts'
import { openStore } from '../src/content/store.ts'
import { tryListDirectory } from '../src/linux/directories.ts'
import { stat, tryStat } from '../src/linux/file-status.ts'
import { withHostCgroups } from '../src/runtime/cgroups.ts'
import { detectRuntime } from '../src/runtime/runtime.ts'
import { ContainerCairn } from './fixtures/cli/container-cairn.ts'
import { eventually, processesWith } from './fixtures/container-bench.ts'

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

const loop = 'while :; do sleep 0.05; done'

async function detached(name: string, script: string, ...flags: string[]): Promise<string> {
  return (await cairn.ok(['run', '-d', '--name', name, ...flags, 'busybox', 'sh', '-c', script])).trim()
}

async function inspected(name: string, format: string): Promise<string> {
  return (await cairn.ok(['inspect', '-f', format, name])).trim()
}

async function becomes(name: string, format: string, wanted: string, limit = 15_000): Promise<void> {
  const end = performance.now() + limit
  let found = await inspected(name, format)
  while (found !== wanted && performance.now() < end) {
    await Bun.sleep(50)
    found = await inspected(name, format)
  }
  expect(found, await inspected(name, '{{.State.Error}}')).toBe(wanted)
}

/** Of a file of the machine's cgroups; nothing where it is not there. */
function textOf(path: string): string {
  return withHostCgroups(() => (tryStat(path) === undefined ? '' : readFileSync(path, 'utf8')))
}

/** What a container leaves on the machine besides its record. */
function remains(id: string): string[] {
  const cgroups = withHostCgroups(() =>
    tryListDirectory('/sys/fs/cgroup').flatMap(({ name }) =>
      tryListDirectory(`/sys/fs/cgroup/${name}`).flatMap((below) =>
        below.name.includes(id) ? [`${name}/${below.name}`] : [],
      ),
    ),
  )
  const states = ['runc', 'crun'].flatMap((runtime) => cairn.entries('containers/run/monitored', runtime))
  return [...cgroups, ...states.filter((name) => name === id), ...cairn.mounts()]
}

describe('a container in the background', () => {
  test('runs on without the command that started it, has a log, and leaves nothing when it is removed', async () => {
    const id = await detached('api', `echo out; echo err >&2; ${loop}`)
    expect(id).toMatch(/^[0-9a-f]{64}$/)
    expect(await cairn.ok(['ps', '--format', '{{.Names}} {{.State}}'])).toBe('api running\n')
    expect(await eventually(() => readFileSync(`${cairn.root}/containers/${id}/log`, 'utf8').includes('err'))).toBe(
      true,
    )
    expect(await cairn.run(['logs', 'api'])).toEqual({ status: 0, out: 'out\n', err: 'err\n' })
    expect((await cairn.run(['rm', 'api'])).err).toBe(
      'cairn: cannot remove container "api": container is running: stop the container before removing or force remove\n',
    )
    expect(await cairn.ok(['rm', '-f', 'api'])).toBe('api\n')
    expect(remains(id)).toEqual([])
    expect(await eventually(() => cairn.attendants().length === 0)).toBe(true)
    expect(cairn.entries('containers')).toEqual(['run'])
  })

  test('is stopped by its own signal, killed where it does not end in time, and started again', async () => {
    await detached('heeds', `trap 'echo bye; exit 9' USR1; echo up; ${loop}`, '--stop-signal', 'USR1')
    await detached('deaf', `trap '' TERM; ${loop}`, '--stop-timeout', '1')
    await eventuallyLogs('heeds', 'up\n')
    expect(await cairn.ok(['stop', 'heeds', 'deaf'])).toBe('heeds\ndeaf\n')
    expect(await inspected('heeds', '{{.State.Status}} {{.State.ExitCode}}')).toBe('exited 9')
    expect(await inspected('deaf', '{{.State.Status}} {{.State.ExitCode}}')).toBe('exited 137')
    await cairn.ok(['start', 'heeds'])
    await eventuallyLogs('heeds', 'up\nbye\nup\n')
    expect(await cairn.ok(['kill', '-s', 'USR1', 'heeds'])).toBe('heeds\n')
    expect(await cairn.ok(['wait', 'heeds'])).toBe('9\n')
    await cairn.ok(['rm', 'heeds', 'deaf'])
  })

  test('goes with --rm when it ends, and its status can still be waited for', async () => {
    const id = await detached('short', 'sleep 0.5; exit 5', '--rm')
    expect(await cairn.ok(['wait', 'short'])).toBe('5\n')
    expect(await eventually(() => cairn.entries('containers').every((name) => name !== id))).toBe(true)
    expect(remains(id)).toEqual([])
  })

  test('that could not be started says why, and keeps docker’s statuses', async () => {
    const { status, out, err } = await cairn.run(['run', '-d', '--name', 'bad', 'busybox', 'nosuch'])
    expect(status).toBe(127)
    expect(out).toMatch(/^[0-9a-f]{64}\n$/)
    expect(err).toBe('cairn: exec: "nosuch": executable file not found in $PATH\n')
    expect(await inspected('bad', '{{.State.Status}} {{.State.ExitCode}}')).toBe('created 127')
    expect(remains(out.trim())).toEqual([])
    await cairn.ok(['rm', 'bad'])
  })

  test('is held and let go, and tells what cannot be done meanwhile', async () => {
    const id = await detached('held', `i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done`)
    await eventuallyLogs('held', '2\n')
    await cairn.ok(['pause', 'held'])
    const before = await cairn.ok(['logs', 'held'])
    await Bun.sleep(200)
    expect(await cairn.ok(['logs', 'held'])).toBe(before)
    expect(await cairn.ok(['ps', '--format', '{{.Status}}'])).toEndWith('(Paused)\n')
    expect((await cairn.run(['pause', 'held'])).err).toBe(`cairn: Container ${id} is already paused\n`)
    expect((await cairn.run(['exec', 'held', 'true'])).err).toBe(
      'cairn: Container held is paused, unpause the container before exec\n',
    )
    expect((await cairn.run(['rm', 'held'])).err).toContain('container is paused and must be unpaused first')
    await cairn.ok(['unpause', 'held'])
    expect((await cairn.run(['unpause', 'held'])).err).toBe(`cairn: Container ${id} is not paused\n`)
    await cairn.ok(['pause', 'held'])
    await cairn.ok(['rm', '-f', 'held'])
    expect(remains(id)).toEqual([])
  })

  test('has the limits that were asked for, also changed ones', async () => {
    const limits = ['-m', '64m', '--cpus', '0.5', '--pids-limit', '33', '--cpu-shares', '77', '--cpuset-cpus', '0']
    await detached('limited', loop, ...limits)
    const read =
      'cd /sys/fs/cgroup; cat memory*/memory.limit_in_bytes memory.max pids*/pids.max pids.max 2>/dev/null; true'
    expect((await cairn.ok(['exec', 'limited', 'sh', '-c', read])).trim().split('\n')).toEqual(['67108864', '33'])
    await cairn.ok(['update', '-m', '96m', '--memory-swap', '96m', '--pids-limit', '44', 'limited'])
    expect((await cairn.ok(['exec', 'limited', 'sh', '-c', read])).trim().split('\n')).toEqual(['100663296', '44'])
    expect(
      await inspected('limited', '{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.CpuShares}}'),
    ).toBe('100663296 500000000 77')
    expect(await cairn.ok(['stats', '--no-stream', '--format', '{{.Name}} {{.MemUsage}}', 'limited'])).toMatch(
      /^limited [\d.]+[KM]iB \/ 96MiB\n$/,
    )
    await cairn.ok(['rm', '-f', 'limited'])
  })

  test('that takes more memory than it may is told to have been killed for that', async () => {
    await detached('greedy', 'x=$(dd if=/dev/zero bs=1M count=80 2>/dev/null | tr "\\0" a); echo ${#x}', '-m', '16m')
    expect(await cairn.ok(['wait', 'greedy'])).not.toBe('0\n')
    expect(await inspected('greedy', '{{.State.OOMKilled}}')).toBe('true')
    await cairn.ok(['rm', 'greedy'])
  })

  test('can be renamed, listed by its processes, and keeps its name from others', async () => {
    await detached('first', 'sleep 1000')
    await cairn.ok(['create', '--name', 'second', 'busybox', 'true'])
    await cairn.ok(['rename', 'first', 'renamed'])
    const { status, err } = await cairn.run(['rename', 'second', 'renamed'])
    expect(status).toBe(1)
    expect(err).toStartWith('cairn: Error when allocating new name: Conflict. The container name "/renamed" is already')
    expect(await cairn.ok(['top', 'renamed', '-o', 'pid,args'])).toMatch(/^PID {17} *COMMAND\n\d+ +sleep 1000\n$/)
    await cairn.ok(['rm', '-f', 'renamed', 'second'])
  })
})

async function eventuallyLogs(name: string, text: string): Promise<void> {
  const end = performance.now() + 15_000
  let out = ''
  do out = await cairn.ok(['logs', name])
  while (!out.includes(text) && performance.now() < end)
  expect(out).toContain(text)
}

describe('restart policies', () => {
  test('start a container again as often as they say, and not one that its user stopped', async () => {
    await detached('fails', 'echo try; exit 3', '--restart', 'on-failure:2')
    await becomes('fails', '{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}', 'exited 2 3')
    expect(await cairn.ok(['logs', 'fails'])).toBe('try\ntry\ntry\n')
    await detached('ends', 'exit 0', '--restart', 'on-failure')
    await becomes('ends', '{{.State.Status}} {{.RestartCount}}', 'exited 0')
    await detached('always', 'sleep 0.2; exit 0', '--restart', 'always')
    await becomes('always', '{{gt .RestartCount 1}}', 'true')
    await cairn.ok(['stop', '-t', '0', 'always'])
    expect(await inspected('always', '{{.State.Status}}')).toBe('exited')
    await Bun.sleep(500)
    expect(await inspected('always', '{{.State.Status}}')).toBe('exited')
    await cairn.ok(['rm', 'fails', 'ends', 'always'])
  })

  test('hold when the process that is to start the container is killed', async () => {
    await detached('patient', 'echo try; exit 1', '--restart', 'always')
    // By now there is most of a second to wait.
    await becomes('patient', '{{gt .RestartCount 3}}', 'true')
    await becomes('patient', '{{.State.Status}}', 'restarting')
    // What waits keeps nothing of the container mounted.
    for (const pid of cairn.attendants())
      expect(readFileSync(`/proc/${pid}/mountinfo`, 'utf8')).not.toContain(cairn.root)
    for (const pid of cairn.attendants()) process.kill(pid, 'SIGKILL')
    const count = Number(await inspected('patient', '{{.RestartCount}}'))
    await becomes('patient', `{{gt .RestartCount ${count}}}`, 'true')
    await cairn.ok(['rm', '-f', 'patient'])
  })
})

describe('state is true at the next command', () => {
  test('when the monitor was killed: the container ended with it', async () => {
    const id = await detached('lost', 'sleep 1000')
    process.kill(Number(readFileSync(`${cairn.root}/containers/${id}/monitor.pid`, 'utf8')), 'SIGKILL')
    expect(await inspected('lost', '{{.State.Status}} {{.State.ExitCode}}')).toBe('exited 137')
    expect(remains(id)).toEqual([])
    await cairn.ok(['start', 'lost'])
    expect(await inspected('lost', '{{.State.Running}}')).toBe('true')
    await cairn.ok(['rm', '-f', 'lost'])
  })

  test('when what set right a killed run --rm was stopped half-way itself', async () => {
    const child = cairn.start(['run', '--rm', '--name', 'short', 'busybox', 'sleep', '1000'])
    const end = performance.now() + 15_000
    while ((await cairn.ok(['ps', '-q'])) === '' && performance.now() < end) await Bun.sleep(20)
    child.kill('SIGKILL')
    await child.exited
    {
      using database = new Database(`${cairn.root}/cairn.db`)
      database.run("CREATE TRIGGER stop BEFORE DELETE ON containers BEGIN SELECT RAISE(ABORT, 'stopped'); END")
      expect((await cairn.run(['ps'])).status).not.toBe(0)
      database.run('DROP TRIGGER stop')
    }
    expect(await cairn.ok(['ps', '-aq'])).toBe('')
    expect(await cairn.ok(['system', 'check'])).toContain(': ok;')
  })

  test('when what the monitor calls at the end was killed', async () => {
    const id = await detached('ended', 'sleep 0.3; exit 4')
    // The monitor goes before it can call anybody, but has noted the status; or it has called, and that is killed.
    await eventually(() => cairn.entries('containers', id, 'exits').length > 0)
    for (const pid of cairn.attendants()) process.kill(pid, 'SIGKILL')
    expect(await inspected('ended', '{{.State.Status}} {{.State.ExitCode}}')).toBe('exited 4')
    expect(remains(id)).toEqual([])
    await cairn.ok(['rm', 'ended'])
  })

  test('when the command that starts a container is killed at any moment', async () => {
    for (const delay of [60, 90, 120, 150, 180, 220, 260, 320]) {
      const child = cairn.start(['run', '-d', '--name', 'struck', 'busybox', 'sleep', '1000'])
      await Bun.sleep(delay)
      child.kill('SIGKILL')
      await child.exited
      const states = await cairn.ok(['ps', '-a', '--format', '{{.State}}'])
      expect(['', 'created\n', 'running\n', 'exited\n']).toContain(states)
      if (states === 'running\n') expect(await cairn.ok(['exec', 'struck', 'echo', 'lives'])).toBe('lives\n')
      if (states !== '') await cairn.ok(['rm', '-f', 'struck'])
      expect(await eventually(() => cairn.attendants().length === 0)).toBe(true)
      expect(cairn.mounts()).toEqual([])
    }
    expect(cairn.entries('containers')).toEqual(['run'])
  })
})

describe('health checks', () => {
  test('run on schedule, show everywhere, and go with the container', async () => {
    const check = ['--health-cmd', 'cat /ok', '--health-interval', '200ms', '--health-retries', '2']
    await detached('watched', loop, ...check)
    expect(await cairn.ok(['ps', '--format', '{{.Status}}'])).toContain('(health: starting)')
    await becomes('watched', '{{.State.Health.Status}}', 'unhealthy')
    expect(await inspected('watched', '{{(index .State.Health.Log 0).Output}}')).toContain('No such file')
    await cairn.ok(['exec', 'watched', 'sh', '-c', 'echo fine >/ok'])
    await becomes('watched', '{{.State.Health.Status}} {{.State.Health.FailingStreak}}', 'healthy 0')
    expect(await cairn.ok(['ps', '--format', '{{.Status}}'])).toContain('(healthy)')
    const events = await cairn.ok(['events', '--since', '1h', '--until', '0s', '--filter', 'container=watched'])
    expect(events).toContain('health_status: unhealthy')
    await cairn.ok(['rm', '-f', 'watched'])
    expect(await eventually(() => cairn.attendants().length === 0)).toBe(true)
  })

  test('leave no process when the container ends long before the next is due', async () => {
    // No other process of the machine sleeps as long.
    const seconds = 1_000_000 + process.pid
    const id = await detached('seldom', 'sleep 1000', '--health-cmd', 'true', '--health-interval', `${seconds}s`)
    const waiting = (): number => processesWith(`sleep\0${seconds}`).length
    expect(await eventually(() => waiting() === 1, 20_000)).toBe(true)
    await cairn.ok(['stop', '-t', '0', id])
    expect(await eventually(() => waiting() === 0, 20_000)).toBe(true)
    await cairn.ok(['rm', id])
  })

  test('are none of a container that ends before they begin', async () => {
    const id = (await cairn.ok(['create', '--name', 'brief', '--health-cmd', 'true', 'busybox', 'true'])).trim()
    const { pid } = Bun.spawnSync(['true'])
    using store = openStore(cairn.root)
    const container = resolveContainer(store, id)
    const run = { init: { pid, startTime: 1 }, runtime: detectRuntime() }
    expect(watchHealth(store, container, run, true)).toBeUndefined()
    await cairn.ok(['rm', 'brief'])
  })
})

describe('`cairn run` joins and hands in', () => {
  const inside = (script: string, ...flags: string[]) =>
    cairn.ok(['run', '--rm', ...flags, 'busybox', 'sh', '-c', script])

  test('an init process that passes signals on and takes care of orphans', async () => {
    expect(await inside('cat /proc/1/comm; sleep 0 & exec echo done', '--init')).toBe('docker-init\ndone\n')
    await detached('initial', loop, '--init')
    expect(await cairn.ok(['stop', '-t', '5', 'initial'])).toBe('initial\n')
    expect(await inspected('initial', '{{.State.ExitCode}} {{.HostConfig.Init}}')).toBe('143 true')
    await cairn.ok(['rm', 'initial'])
  })

  test('namespaces of the host and of other containers', async () => {
    const id = await detached('owner', 'exec sleep 1000', '--ipc', 'shareable')
    const ofOwner = (await cairn.ok(['exec', 'owner', 'readlink', '/proc/1/ns/ipc'])).trim()
    expect(await inside('readlink /proc/self/ns/ipc', '--ipc', 'container:owner')).toBe(`${ofOwner}\n`)
    expect(await inside('cat /proc/1/comm', '--pid', `container:${id}`)).toBe('sleep\n')
    expect(await inside('readlink /proc/self/ns/uts', '--uts', 'host')).toBe(
      await new Response(Bun.spawn(['readlink', '/proc/self/ns/uts']).stdout).text(),
    )
    await cairn.ok(['rm', '-f', 'owner'])
    expect((await cairn.run(['run', '--rm', '--pid', 'container:owner', 'busybox', 'true'])).status).toBe(125)
  })

  test('limits of how fast devices are read and written, and rules for devices it makes', async () => {
    const disk = tryListDirectory('/dev').find(({ type }) => type === 'block-device')
    if (disk === undefined) throw new Error('this machine has no disk')
    const path = `/dev/${disk.name}`
    const throttles = ['--device-read-bps', `${path}:1mb`, '--device-write-iops', `${path}:100`]
    const id = await detached('slow', loop, ...throttles)
    const shown = await inspected(
      'slow',
      '{{json .HostConfig.BlkioDeviceReadBps}} {{json .HostConfig.BlkioDeviceWriteIOps}}',
    )
    expect(shown).toBe(`[{"Path":"${path}","Rate":1048576}] [{"Path":"${path}","Rate":100}]`)
    const { rdevMajor, rdevMinor } = stat(path)
    const numbers = `${rdevMajor}:${rdevMinor}`
    const limits = [
      `cairn-${id}/io.max`,
      ...['read_bps', 'write_iops'].map((name) => `blkio/cairn-${id}/blkio.throttle.${name}_device`),
    ]
    expect([
      `${numbers} rbps=1048576 wbps=max riops=max wiops=100\n`,
      `${numbers} 1048576\n${numbers} 100\n`,
    ]).toContain(limits.map((name) => textOf(`/sys/fs/cgroup/${name}`)).join(''))
    await cairn.ok(['rm', '-f', 'slow'])

    const device = ['/dev/net/tun', '/dev/fuse', '/dev/loop-control'].find((one) => tryStat(one) !== undefined)
    if (device === undefined) throw new Error('this machine has none of the devices that anybody may open')
    const { rdevMajor: major, rdevMinor: minor } = stat(device)
    const open = `mknod /dev/own c ${major} ${minor}; : < /dev/own && echo opened`
    expect((await cairn.run(['run', '--rm', 'busybox', 'sh', '-c', open])).out).toBe('')
    expect(await inside(open, '--device-cgroup-rule', `c ${major}:* rwm`)).toBe('opened\n')
  })

  test('devices with the rights that were given, system controls, and a score', async () => {
    // A device that no container may use by itself; opening it reads nothing.
    const devices = '(: </dev/mine) && echo read; (: >/dev/mine) 2>/dev/null || echo refused'
    expect(await inside(devices, '--device', '/dev/fuse:/dev/mine:r')).toBe('read\nrefused\n')
    expect((await cairn.run(['run', '--rm', '--device', '/nope', 'busybox', 'true'])).status).toBe(125)
    const values = 'cat /proc/sys/kernel/shmmax /proc/self/oom_score_adj /proc/sys/kernel/domainname'
    const flags = ['--sysctl', 'kernel.shmmax=123456', '--oom-score-adj', '77', '--domainname', 'a.b']
    expect(await inside(values, ...flags)).toBe('123456\n77\na.b\n')
  })
})
