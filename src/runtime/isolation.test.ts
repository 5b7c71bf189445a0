import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { ContainerBench } from '../../test/fixtures/container-bench.ts'
import { errnoOffset, type SystemCallName, writeSystemCallProgram } from '../../test/fixtures/system-call-program.ts'
import { errno } from '../linux/errno.ts'
import { defaultCapabilities, heldCapabilities } from './capabilities.ts'
import { type OciRuntime, detectRuntime } from './runtime.ts'
import type { ContainerOptions } from './spec.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

/** Makes device files of the host's disk and of null, and says whether they can be opened. */
const deviceScript = `
  mknod /disk b 254 0 && head -c 1 /disk >/dev/null 2>&1 && echo opened /disk
  mknod /dev/disk b 254 0 && head -c 1 /dev/disk >/dev/null 2>&1 && echo opened /dev/disk
  mknod /tmp/kmsg c 1 11 && head -c 1 /tmp/kmsg >/dev/null 2>&1 && echo opened /tmp/kmsg
  head -c 1 /brought >/dev/null 2>&1 && echo opened /brought
  mount -o remount,dev / 2>/dev/null && echo remounted
  for name in null zero full random urandom tty; do [ -c /dev/$name ] || echo no /dev/$name; done
  head -c 3 /dev/urandom | wc -c; echo gone > /dev/null; rm -f /disk /tmp/kmsg
`

describe.each(['crun', 'runc'] as const)('a container of %s', (name) => {
  const runtime = detectRuntime(name)
  const bench = (): ContainerBench => new ContainerBench(runtime)

  test('has docker’s fourteen capabilities, none as an ordinary user, all that there are when privileged', async () => {
    using box = bench()
    const sets = async (options: Partial<ContainerOptions>): Promise<string[]> => {
      const status = await box.shell('grep Cap /proc/self/status', options)
      return [...status.matchAll(/Cap\w+:\s*([0-9a-f]+)/g)].map(([, mask = '']) => mask)
    }
    const none = '0'.repeat(16)
    const docker = '00000000a80425fb'
    // Inheritable, permitted, effective, bounding, ambient.
    expect(await sets({})).toEqual([none, docker, docker, docker, none])
    expect(await sets({ user: { uid: 1000, gid: 1000 } })).toEqual([none, none, none, docker, none])
    expect(heldCapabilities(`CapBnd:\t${docker}\n`).toSorted()).toEqual(defaultCapabilities.toSorted())
    const [, permitted = ''] = await sets({ privileged: true })
    expect(heldCapabilities(`CapBnd:\t${permitted}\n`)).toEqual(heldCapabilities())
  })

  test('is refused the system calls that docker refuses', async () => {
    using box = bench()
    const errnoOf = async (call: SystemCallName, args: number[], options: Partial<ContainerOptions> = {}) => {
      writeSystemCallProgram(`${box.rootfs}/bin/call`, call, args)
      const { status } = await box.run(['call'], options)
      return typeof status === 'number' ? status - errnoOffset : status
    }
    const CLONE_NEWUSER = 0x1000_0000
    const AF_VSOCK = 40
    const AF_ALG = 38
    const AF_UNIX = 1
    const READ_IMPLIES_EXEC = 0x40_0000
    expect(await errnoOf('unshare', [CLONE_NEWUSER])).toBe(errno.EPERM)
    expect(await errnoOf('clone', [CLONE_NEWUSER])).toBe(errno.EPERM)
    expect(await errnoOf('clone3', [0, 0])).toBe(errno.ENOSYS)
    expect(await errnoOf('mount', [0, 0, 0, 0])).toBe(errno.EPERM)
    expect(await errnoOf('setns', [0, 0])).toBe(errno.EPERM)
    expect(await errnoOf('keyctl', [0, 0])).toBe(errno.EPERM)
    expect(await errnoOf('bpf', [0, 0, 0])).toBe(errno.EPERM)
    expect(await errnoOf('socket', [AF_VSOCK, 1, 0])).toBe(errno.EPERM)
    expect(await errnoOf('socket', [AF_ALG, 5, 0])).toBe(errno.EPERM)
    expect(await errnoOf('personality', [READ_IMPLIES_EXEC])).toBe(errno.EPERM)
    expect(await errnoOf('personality', [0])).toBe(0)
    // A descriptor: 0, 1 and 2 are taken.
    expect(await errnoOf('socket', [AF_UNIX, 1, 0])).toBe(-3)

    const open = { seccomp: 'unconfined' } as const
    expect(await errnoOf('unshare', [CLONE_NEWUSER], open)).toBe(0)
    expect(await errnoOf('clone3', [0, 0], open)).toBe(errno.EINVAL)
    const admin = { capabilities: [...defaultCapabilities, 'CAP_SYS_ADMIN'] }
    expect(await errnoOf('unshare', [CLONE_NEWUSER], admin)).toBe(0)
    expect(await errnoOf('keyctl', [0, 0], admin)).toBe(errno.EPERM)
  })

  test('runs under a filter and may gain privileges, unless told otherwise', async () => {
    using box = bench()
    const script = 'grep -E "^(Seccomp|NoNewPrivs):" /proc/self/status | tr -d "\\t"'
    expect(await box.shell(script)).toBe('NoNewPrivs:0\nSeccomp:2\n')
    expect(await box.shell(script, { noNewPrivileges: true })).toBe('NoNewPrivs:1\nSeccomp:2\n')
    expect(await box.shell(script, { seccomp: 'unconfined' })).toBe('NoNewPrivs:0\nSeccomp:0\n')
    expect(await box.shell(script, { user: { uid: 1000, gid: 1000 } })).toBe('NoNewPrivs:0\nSeccomp:2\n')
  })

  test('cannot read or write what tells of the host or reaches into it', async () => {
    using box = bench()
    const script = `
      for file in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts /proc/sched_debug; do
        [ ! -e $file ] || [ "$(head -c 1 $file 2>/dev/null | wc -c)" = 0 ] || echo readable $file
      done
      for dir in /proc/acpi /proc/scsi /sys/firmware /proc/asound; do
        [ ! -d $dir ] || [ -z "$(ls -A $dir)" ] || echo listed $dir
      done
      for file in /proc/sys/kernel/domainname /proc/sysrq-trigger /sys/power/state /proc/irq/default_smp_affinity; do
        (echo x > $file) 2>/dev/null && echo writable $file
      done
      mkdir /sys/fs/cgroup/escape /sys/fs/cgroup/*/escape 2>/dev/null
      find /sys/fs/cgroup -path '*escape/cgroup.procs'
      cat /proc/sys/kernel/ostype
    `
    expect(await box.shell(script)).toBe('Linux\n')
  })

  test.each([
    ['a plain root', {}],
    ['a read-only root', { readonlyRootfs: true }],
  ] as const)('cannot open the host’s devices with %s', async (_, options) => {
    using box = bench()
    Bun.spawnSync(['mknod', `${box.rootfs}/brought`, 'b', '254', '0'])
    expect(existsSync(`${box.rootfs}/brought`)).toBe(true)
    mkdirSync(`${box.directory}/volume`)
    expect(await box.shell(`{ ${deviceScript} } 2>/dev/null`, options)).toBe('3\n')
    const mounts = [{ type: 'bind' as const, source: `${box.directory}/volume`, target: '/tmp' }]
    expect(await box.shell(`{ ${deviceScript} } 2>/dev/null`, { ...options, mounts })).toBe('3\n')
  })
})

test('a crun without recursive mount options closes the host’s devices by a hook', async () => {
  const real = detectRuntime('crun')
  using box = new ContainerBench()
  const path = `${box.directory}/crun`
  writeFileSync(path, `#!/bin/sh\n[ "$1" = --version ] && { echo crun version 0.17; exit; }\nexec ${real.path} "$@"\n`)
  chmodSync(path, 0o755)
  const old: OciRuntime = { name: 'crun', path }
  Bun.spawnSync(['mknod', `${box.rootfs}/brought`, 'b', '254', '0'])
  for (const options of [{}, { readonlyRootfs: true }])
    expect(await box.shell(`{ ${deviceScript} } 2>/dev/null`, options, { runtime: old })).toBe('3\n')
  const outcomes = await Promise.all(Array.from({ length: 12 }, async () => box.run(['true'], {}, { runtime: old })))
  expect(outcomes.map(({ status }) => status)).toEqual(Array.from({ length: 12 }, () => 0))
})

test('limits are those that were asked for', async () => {
  using box = new ContainerBench()
  const cgroup = { path: `/cairn-limits-${process.pid}`, memory: 64 << 20, cpus: 0.5, pidsLimit: 20 }
  const script = `
    cd /sys/fs/cgroup
    cat memory/memory.limit_in_bytes memory.max 2>/dev/null
    cat cpu/cpu.cfs_quota_us cpu.max 2>/dev/null | head -c 5; echo
    cat pids/pids.max pids.max 2>/dev/null
    ${deviceScript}
  `
  expect(await box.shell(`{ ${script} } 2>/dev/null`, { cgroup })).toBe('67108864\n50000\n20\n3\n')
  // Ten times 10 MiB of anonymous memory, in a cgroup of 64 MiB.
  const hog = 'head -c 104857600 /dev/zero | tail -c 104857600 | wc -c'
  expect((await box.run(['sh', '-c', hog], { cgroup })).stdout).not.toBe('104857600\n')
  expect((await box.run(['sh', '-c', hog])).stdout).toBe('104857600\n')
})
