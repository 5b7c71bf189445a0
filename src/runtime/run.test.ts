import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Children } from '../../test/fixtures/children.ts'
import { ContainerBench, eventually, outcomeOf, processesWith } from '../../test/fixtures/container-bench.ts'
import { isCairnError } from '../errors/error.ts'
import { withHostCgroups } from './cgroups.ts'
import { detectRuntime } from './runtime.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

describe.each(['crun', 'runc'] as const)('run() with %s', (name) => {
  const runtime = detectRuntime(name)
  const bench = (): ContainerBench => new ContainerBench(runtime)

  test('`run()` gives the exit status of the command, 128 + n after signal n', async () => {
    using box = bench()
    expect(await box.run(['true'])).toEqual({ stdout: '', stderr: '', status: 0 })
    expect((await box.run(['sh', '-c', 'exit 1'])).status).toBe(1)
    expect((await box.run(['sh', '-c', 'exit 42'])).status).toBe(42)
    expect((await box.run(['sh', '-c', 'exit 255'])).status).toBe(255)
    expect(readdirSync(box.stateDirectory).filter((entry) => /^\d/.test(entry))).toEqual([])
    const script = 'sh -c "kill -TERM \\$\\$; sleep 9"; status=$?; echo $status; exit $status'
    expect(await box.run(['sh', '-c', script])).toMatchObject({ stdout: '143\n', status: 143 })
    expect(box.states()).toEqual([])
  })

  test('`run()` keeps stdout and stderr apart and hands stdin over', async () => {
    using box = bench()
    const container = box.start(['sh', '-c', 'echo out; echo err >&2; tr a-z A-Z'], {}, { stdin: 'pipe' })
    const outcome = outcomeOf(container)
    await container.stdin?.write(new TextEncoder().encode('one\n'))
    await container.stdin?.write(new TextEncoder().encode('two\n'))
    await container.stdin?.end()
    expect(await outcome).toEqual({ stdout: 'out\nONE\nTWO\n', stderr: 'err\n', status: 0 })
  })

  test('`run()` gives an empty stdin unless asked otherwise', async () => {
    using box = bench()
    expect(await box.shell('wc -c')).toBe('0\n')
  })

  test('`run()` ignores what is written to a stdin that nobody reads', async () => {
    using box = bench()
    const container = box.start(['true'], {}, { stdin: 'pipe' })
    await outcomeOf(container)
    for (let round = 0; round < 20; round++) await container.stdin?.write(new Uint8Array(1 << 16))
    await container.stdin?.end()
    expect(await container.exited).toBe(0)
  })

  test('`run()` sets environment, working directory, hostname, user and groups', async () => {
    using box = bench()
    const script = 'env | sort; pwd; hostname; id; umask'
    const lines = await box.shell(script, {
      env: ['PATH=/bin', 'GREETING=hello world', 'EMPTY=', 'MULTI=a\nb'],
      cwd: '/made/by/run',
      hostname: 'sandy',
      user: { uid: 1000, gid: 1000, additionalGids: [2000] },
      home: '/home/app',
    })
    expect(lines).toContain('EMPTY=\nGREETING=hello world\nHOME=/home/app\nMULTI=a\n')
    expect(lines).toContain('\nb\n')
    expect(lines).toContain('\n/made/by/run\nsandy\n')
    expect(lines).toContain('uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)\n')
    expect(statSync(`${box.rootfs}/made/by/run`).isDirectory()).toBe(true)
  })

  test('`run()` finds a command in the container’s PATH and adds PATH, HOME where they are missing', async () => {
    using box = bench()
    expect(await box.shell('echo $PATH $HOME', { env: [] })).toBe(
      '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /\n',
    )
    writeFileSync(`${box.rootfs}/usr/bin/mine`, '#!/bin/sh\necho found "$@"\n')
    chmodSync(`${box.rootfs}/usr/bin/mine`, 0o755)
    expect((await box.run(['mine', 'a b', ''], { env: ['PATH=/usr/bin'] })).stdout).toBe('found a b \n')
  })

  test('`run()` tells a missing command from one that cannot be executed, in docker’s words', async () => {
    using box = bench()
    writeFileSync(`${box.rootfs}/bin/plain`, 'no program', { mode: 0o644 })
    const cases: [string, string, number, string][] = [
      ['nope', 'COMMAND_NOT_FOUND', 127, 'exec: "nope": executable file not found in $PATH'],
      ['/no/such', 'COMMAND_NOT_FOUND', 127, 'exec: "/no/such": stat /no/such: no such file or directory'],
      ['./nope', 'COMMAND_NOT_FOUND', 127, 'exec: "./nope": stat ./nope: no such file or directory'],
      ['', 'COMMAND_NOT_FOUND', 127, 'exec: "": executable file not found in $PATH'],
      ['plain', 'COMMAND_NOT_FOUND', 127, 'exec: "plain": executable file not found in $PATH'],
      ['/etc/passwd', 'COMMAND_NOT_EXECUTABLE', 126, 'exec: "/etc/passwd": permission denied'],
    ]
    for (const [command, code, exitCode, message] of cases)
      expect((await box.run([command])).status).toMatchObject({ code, exitCode, message })
    expect((await box.run(['/etc'])).status).toMatchObject({ code: 'COMMAND_NOT_EXECUTABLE', exitCode: 126 })
    expect(box.states()).toEqual([])
  })

  test('`run()` reports a failure of the runtime with its own message and 125', async () => {
    using box = bench()
    const mounts = [{ type: 'bind' as const, source: '/no/such/source', target: '/x' }]
    const { status } = await box.run(['true'], { mounts })
    expect(status).toMatchObject({ code: 'RUNTIME_FAILED', exitCode: 125 })
    expect(String(status)).toContain('/no/such/source')
    expect((await box.run(['true'], { rootfs: '/no/such/root' })).status).toMatchObject({ code: 'RUNTIME_FAILED' })
  })

  test('`run()` delivers 50 MB whole and in order to a slow reader, holding little of it', async () => {
    using box = bench()
    const container = box.start(['sh', '-c', 'seq 1 6800000; echo end >&2'])
    const before = process.memoryUsage.rss()
    const hash = new Bun.CryptoHasher('sha256')
    let size = 0
    let peak = 0
    const reading = (async () => {
      for await (const chunk of container.stdout ?? []) {
        // Time for the container to get ahead, if it could.
        if (size === 0) await Bun.sleep(300)
        hash.update(chunk)
        size += chunk.length
        peak = Math.max(peak, process.memoryUsage.rss())
      }
    })()
    const [status] = await Promise.all([container.exited, reading])
    let text = ''
    for await (const chunk of container.stderr ?? []) text += new TextDecoder().decode(chunk)
    expect({ status, text }).toEqual({ status: 0, text: 'end\n' })
    const expected = Bun.spawnSync(['seq', '1', '6800000']).stdout
    expect(size).toBe(expected.length)
    expect(size).toBeGreaterThan(50_000_000)
    expect(hash.digest('hex')).toBe(new Bun.CryptoHasher('sha256').update(expected).digest('hex'))
    expect(peak - before).toBeLessThan(40 << 20)
  })

  test('`run()` writes straight to a file descriptor', async () => {
    using box = bench()
    const { openSync, closeSync } = await import('node:fs')
    const fd = openSync(`${box.directory}/log`, 'w')
    const { status } = await box.run(['sh', '-c', 'echo a; sleep 0.3; echo b >&2'], {}, { stdout: fd, stderr: fd })
    closeSync(fd)
    expect(status).toBe(0)
    expect(readFileSync(`${box.directory}/log`, 'utf8')).toBe('a\nb\n')
  })

  test('leaving stdout early ends a container that goes on writing', async () => {
    using box = bench()
    const container = box.start(['yes'])
    for await (const chunk of container.stdout ?? []) if (chunk.length > 0) break
    expect(await container.exited).toBeGreaterThan(0)
  })

  test('a container sees only its own processes, loopback network and host name', async () => {
    using box = bench()
    expect(await box.shell('echo $$; ls /proc | grep -c "^[0-9]*$"')).toMatch(/^1\n[1-4]\n$/)
    expect(await box.shell('ls /sys/class/net')).toBe('lo\n')
    expect(await box.shell('ls /sys/class/net', { network: 'host' })).toContain('lo')
    expect(await box.shell('hostname other 2>/dev/null || echo refused')).toBe('refused\n')
  })

  test('a container gets the mounts it was promised, read-only where it was said', async () => {
    using box = bench()
    mkdirSync(`${box.directory}/data`)
    writeFileSync(`${box.directory}/data/file`, 'content')
    writeFileSync(`${box.directory}/hosts`, '127.0.0.1 localhost box\n')
    const script = [
      'cat /in/file; echo > /in/new 2>/dev/null && echo written',
      'echo changed > /out/file',
      'df -k /scratch | tail -1 | tr -s " " | cut -d" " -f2; stat -c %a,%u /scratch; touch /scratch/x && echo scratch',
      'cat /etc/hosts',
      'df -k /dev/shm | tail -1 | tr -s " " | cut -d" " -f2',
    ].join('; ')
    const output = await box
      .shell(script, {
        networkFiles: { hosts: `${box.directory}/hosts` },
        shmSize: 1 << 20,
        mounts: [
          { type: 'bind', source: `${box.directory}/data`, target: '/in', readonly: true },
          { type: 'bind', source: `${box.directory}/data`, target: '/out' },
          { type: 'tmpfs', target: '/scratch', size: 2 << 20, mode: 0o750, uid: 1000, gid: 1000 },
        ],
      })
      .catch((error: unknown) => String(error))
    expect(output).toBe('content2048\n750,1000\nscratch\n127.0.0.1 localhost box\n1024\n')
    expect(readFileSync(`${box.directory}/data/file`, 'utf8')).toBe('changed\n')
  })

  test('a read-only root cannot be written', async () => {
    using box = bench()
    const script = 'touch /x 2>/dev/null && echo written; touch /dev/shm/x && echo shm'
    expect(await box.shell(script, { readonlyRootfs: true })).toBe('shm\n')
    expect(await box.shell(script)).toBe('written\nshm\n')
  })

  test('abort kills every process of the container and rejects with CANCELED', async () => {
    using box = bench()
    const abort = new AbortController()
    const marker = `300.${process.pid}${name}`.replace(/[^\d.]/g, '')
    const container = box.start(
      ['sh', '-c', `trap "" TERM; sleep ${marker} & setsid sleep ${marker} & sleep ${marker}`],
      {},
      {
        signal: abort.signal,
      },
    )
    const outcome = outcomeOf(container)
    expect(await eventually(() => processesWith(`sleep\0${marker}`).length === 3)).toBe(true)
    const start = performance.now()
    abort.abort()
    expect((await outcome).status).toMatchObject({ code: 'CANCELED' })
    expect(performance.now() - start).toBeLessThan(2000)
    expect(processesWith(marker)).toEqual([])
    expect(box.states()).toEqual([])
    expect(readFileSync('/proc/thread-self/mountinfo', 'utf8')).not.toContain(box.directory)
  })

  test('abort at any moment of the start leaves nothing behind', async () => {
    using box = bench()
    for (const delay of [0, 1, 2, 3, 4, 6, 8, 12, 16, 24]) {
      const abort = new AbortController()
      const container = box.start(['sleep', '299'], {}, { signal: abort.signal })
      const outcome = outcomeOf(container)
      await Bun.sleep(delay)
      abort.abort()
      expect((await outcome).status).toMatchObject({ code: 'CANCELED' })
    }
    expect(box.states()).toEqual([])
    expect(processesWith(`${box.directory}/`)).toEqual([])
    expect(() => box.start(['true'], {}, { signal: AbortSignal.abort() })).toThrow('stopped')
  })

  test('`kill()` sends signals and says whether there was a process', async () => {
    using box = bench()
    const container = box.start([
      'sh',
      '-c',
      'trap "echo hup" HUP; trap "exit 5" TERM; echo ready; while :; do sleep 0.02; done',
    ])
    const outcome = outcomeOf(container)
    expect(await container.kill('SIGCONT')).toBe(true)
    await Bun.sleep(150)
    expect(await container.kill('SIGHUP')).toBe(true)
    await Bun.sleep(100)
    expect(await container.kill(15)).toBe(true)
    expect(await outcome).toEqual({ stdout: 'ready\nhup\n', stderr: '', status: 5 })
    expect(await container.kill('SIGTERM')).toBe(false)
  })

  test('`run()` hands the signals that reach Cairn to the container where asked', async () => {
    using box = bench()
    const script = `${box.directory}/forward.ts`
    writeFileSync(
      script,
      `
      import { ContainerBench, outcomeOf } from '${join(import.meta.dir, '../../test/fixtures/container-bench.ts')}'
      using box = new ContainerBench(${JSON.stringify(runtime)})
      const trap = 'trap "exit 21" TERM; trap "echo usr1" USR1; echo ready; while :; do sleep 0.02; done'
      const container = box.start(['sh', '-c', trap], {}, { stdout: 'inherit', forwardSignals: true })
      console.log((await outcomeOf(container)).status)
      `,
    )
    using children = new Children()
    const cairn = children.add(Bun.spawn([process.execPath, script], { stdout: 'pipe' }))
    let shown = ''
    for await (const chunk of cairn.stdout) {
      shown += new TextDecoder().decode(chunk)
      if (shown === 'ready\n') cairn.kill('SIGUSR1')
      if (shown === 'ready\nusr1\n') cairn.kill('SIGTERM')
    }
    expect(shown).toBe('ready\nusr1\n21\n')
    expect(await cairn.exited).toBe(0)
  })

  test('containers run side by side', async () => {
    using box = bench()
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, async (_, index) => box.run(['sh', '-c', `echo ${index}; exit ${index}`])),
    )
    expect(outcomes).toEqual(
      Array.from({ length: 8 }, (_, index) => ({ stdout: `${index}\n`, stderr: '', status: index })),
    )
  })

  test('no cgroup is left behind', () => {
    expect(cgroups()).toEqual([])
  })
})

test('`run()` refuses an id that is no file name', () => {
  using box = new ContainerBench()
  expect(() => box.start(['true'], {}, { id: '../x' })).toThrow(TypeError)
})

test('`containerSpec()` refuses to run nothing, as docker does', () => {
  using box = new ContainerBench()
  try {
    box.start([])
    throw new Error('started')
  } catch (error) {
    expect(isCairnError(error, 'CONFIG_INVALID')).toBe(true)
    expect(error).toMatchObject({ message: 'no command specified', exitCode: 125 })
  }
})

/** The host's cgroups that have our names and the number of this process. */
function cgroups(): string[] {
  const pattern = `cairn-*-${process.pid}`
  const found = withHostCgroups(() => Bun.spawnSync(['find', '/sys/fs/cgroup', '-maxdepth', '3', '-name', pattern]))
  return found.stdout.toString().split('\n').filter(Boolean)
}
