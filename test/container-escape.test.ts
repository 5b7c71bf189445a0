import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { arm64Program } from './fixtures/arm64-program.ts'
import { ContainerCairn } from './fixtures/cli/container-cairn.ts'

setDefaultTimeout(120_000)

/** What only the host has, and what it holds; a container that shows it has escaped. */
const secret = 'this is the host'
let cairn: ContainerCairn
let outside: string

/** Major and minor of the disk that the store is on, where that is one. */
const { dev } = statSync('/')
const disk = [(dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xfff00)] as const

/** `crun` and `runc` in the foreground, `monitor` with a monitor and a cgroup of its own. */
const ways = [
  ['crun', ['run', '--rm', '--runtime', 'crun']],
  ['runc', ['run', '--rm', '--runtime', 'runc']],
  ['a monitor', ['run']],
] as const

beforeAll(async () => {
  cairn = new ContainerCairn()
  outside = join(cairn.directory, 'outside')
  mkdirSync(outside)
  writeFileSync(join(outside, 'secret'), secret)
  writeFileSync(join(outside, 'passwd'), 'root:x:0:0::/:/bin/sh\nvictim:x:1234:1234::/home:/bin/sh\n')
  writeFileSync(join(outside, 'group'), 'victims:x:4321:\n')
  writeFileSync(join(outside, 'hosts'), `127.0.0.1 ${secret}\n`)
  await cairn.image('hostile', {
    config: { Volumes: { '/anonymous': {} } },
    arrange: (rootfs) => {
      // By way of / as the host has it, and by more steps up than there are.
      const up = `${'../'.repeat(20)}${outside.slice(1)}`
      for (const file of ['passwd', 'group']) {
        rmSync(join(rootfs, 'etc', file))
        symlinkSync(join(outside, file), join(rootfs, 'etc', file))
      }
      symlinkSync(join(outside, 'hosts'), join(rootfs, 'etc/hosts'))
      symlinkSync(`${up}/hosts`, join(rootfs, 'etc/resolv.conf'))
      for (const name of ['volume', 'anonymous', 'bound']) symlinkSync(outside, join(rootfs, name))
      symlinkSync(up, join(rootfs, 'work'))
      symlinkSync('/proc/1/root', join(rootfs, 'init'))
      Bun.spawnSync(['mknod', join(rootfs, 'disk'), 'b', ...disk.map(String)])
      Bun.spawnSync(['mknod', join(rootfs, 'memory'), 'c', '1', '1'])
    },
  })
  // The runtimes mount on these themselves.
  for (const name of ['proc', 'sys', 'dev'])
    // oxlint-disable-next-line no-await-in-loop
    await cairn.image(`hostile-${name}`, {
      arrange: (rootfs) => {
        rmSync(join(rootfs, name), { recursive: true })
        symlinkSync(outside, join(rootfs, name))
      },
    })
})

afterEach(() => {
  expect(readdirSync(outside).toSorted()).toEqual(['group', 'hosts', 'passwd', 'secret'])
  expect(readFileSync(join(outside, 'hosts'), 'utf8')).toBe(`127.0.0.1 ${secret}\n`)
})

afterAll(() => {
  cairn[Symbol.dispose]()
})

describe.each(ways)('A hostile image run by %s', (_, run) => {
  const inside = async (...args: string[]) => await cairn.run([...run, '--net', 'none', ...args])

  test('has no account of the host by a symlinked /etc/passwd or /etc/group', async () => {
    for (const user of ['victim', '0:victims']) {
      // oxlint-disable-next-line no-await-in-loop
      const { status, err } = await inside('-u', user, 'hostile', 'id')
      expect(err).toMatch(/unable to find (?:user victim|group victims)/)
      expect(status).toBe(125)
    }
  })

  test('leads no mount and no working directory out by a symlink', async () => {
    const script =
      'ls /volume/ /anonymous/ /work/ /bound/; touch /volume/x /anonymous/x /bound/x made; pwd; cat /etc/hosts /etc/resolv.conf'
    const mounts = ['-v', 'named:/volume', '-v', `${cairn.root}/../bound:/bound`, '-w', '/work/deep']
    const { out, err } = await inside(...mounts, 'hostile', 'sh', '-c', script)
    expect(out + err).not.toContain(secret)
    expect(out).not.toContain('passwd')
    expect(readdirSync(outside)).not.toContain('deep')
  })

  test('cannot use a device file that it brought or made', async () => {
    const script = `mknod /own b ${disk.join(' ')}; mknod /dev/own b ${disk.join(' ')}; for f in /disk /memory /own /dev/own; do head -c 1 $f && echo read $f; : >$f && echo wrote $f; done`
    const { out } = await inside('hostile', 'sh', '-c', script)
    expect(out).toBe('')
  })

  test('cannot change the kernel, see other processes or look behind what is masked', async () => {
    const script = `
      for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/sys/kernel/hostname /sys/kernel/uevent_helper /sys/fs/cgroup/*/release_agent /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs; do
        [ -e $f ] || continue;
        (echo x >$f) 2>/dev/null && echo wrote $f; done
      for f in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do [ "$(head -c 1 $f 2>/dev/null | wc -c)" = 0 ] || echo read $f; done
      for d in /proc/acpi /proc/scsi /sys/firmware; do [ -z "$(ls $d 2>/dev/null)" ] || echo listed $d; done
      for p in /proc/[0-9]*; do [ \${p#/proc/} -lt 100 ] || echo process $p; done
      cat /init${outside}/secret
      mount -t proc proc /mnt 2>/dev/null && echo mounted; mount -o remount,rw /proc/sys 2>/dev/null && echo remounted
      umount /proc/kcore 2>/dev/null && echo unmounted; chroot /proc/1/root cat ${outside}/secret; true`
    const { out } = await inside('hostile', 'sh', '-c', script)
    expect(out).toBe('')
  })

  test('finds no directory of the host among the descriptors of its working directory', async () => {
    for (let fd = 3; fd < 16; fd++) {
      const script = `cat ../../../../../../../..${outside}/secret; ls -d ../../../../../../../..${outside}`
      // oxlint-disable-next-line no-await-in-loop
      const { out } = await inside('-w', `/proc/self/fd/${fd}`, 'hostile', 'sh', '-c', script)
      expect(out).toBe('')
    }
  })

  test.each(['proc', 'sys', 'dev'])('does not turn what is mounted on /%s against the host', async (name) => {
    const { out } = await inside(`hostile-${name}`, 'sh', '-c', `cat ${outside}/secret; ls -A /${name}/secret`)
    expect(out).toBe('')
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(outside)
  })
})

describe('`cairn exec` in a hostile container', () => {
  test('has no account, directory or descriptor of the host', async () => {
    await cairn.ok(['run', '-d', '--name', 'hostile', '--net', 'none', 'hostile', 'sleep', '300'])
    try {
      expect((await cairn.run(['exec', '-u', 'victim', 'hostile', 'id'])).err).toContain('unable to find user victim')
      for (const directory of [
        '/work',
        '/volume',
        outside,
        '/init/proc/1/cwd',
        ...[3, 4, 5, 6, 7, 8, 9, 10].map((fd) => `/proc/self/fd/${fd}`),
      ]) {
        // oxlint-disable-next-line no-await-in-loop
        const { out } = await cairn.run([
          'exec',
          '-w',
          directory,
          'hostile',
          'sh',
          '-c',
          `cat secret ../../../../../..${outside}/secret`,
        ])
        expect(out).toBe('')
      }
      // A program that a race has put in place of the one that was looked for.
      await cairn.ok(['exec', 'hostile', 'sh', '-c', 'ln -s /proc/self/exe /bin/self'])
      expect((await cairn.run(['exec', 'hostile', '/bin/self'])).out).not.toContain('runc')
    } finally {
      await cairn.run(['rm', '-f', 'hostile'])
    }
  })
})

test('a filter of the user’s own is in force, and one that cannot be read starts nothing', async () => {
  await cairn.image('busybox')
  const deny = {
    defaultAction: 'SCMP_ACT_ALLOW',
    syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO' }],
  }
  const path = cairn.file('deny.json', JSON.stringify(deny))
  for (const [, run] of ways) {
    // oxlint-disable-next-line no-await-in-loop
    const { status, err } = await cairn.run([
      ...run,
      '--net',
      'none',
      '--security-opt',
      `seccomp=${path}`,
      'busybox',
      'mkdir',
      '/x',
    ])
    expect(err).toContain('Operation not permitted')
    expect(status).toBe(1)
  }
  const broken = cairn.file('broken.json', JSON.stringify({ ...deny, flags: ['SECCOMP_FILTER_FLAG_LOG'] }))
  const { status, err } = await cairn.run(['run', '--rm', '--security-opt', `seccomp=${broken}`, 'busybox', 'true'])
  expect(err).toBe('cairn: Decoding seccomp profile failed: "flags" is not supported\n')
  expect(status).toBe(125)
})

test('a container of another architecture runs by an emulator of its own', async () => {
  if (Bun.which('qemu-aarch64-static') === null) return
  await cairn.image('arm', {
    platform: { os: 'linux', architecture: 'arm64' },
    arrange: (rootfs) => {
      writeFileSync(join(rootfs, 'arm64'), arm64Program())
      chmodSync(join(rootfs, 'arm64'), 0o755)
    },
  })
  for (const [, run] of ways)
    // oxlint-disable-next-line no-await-in-loop
    expect(await cairn.ok([...run, '--net', 'none', '--platform', 'linux/arm64', 'arm', '/arm64'])).toBe('arm64\n')
})
