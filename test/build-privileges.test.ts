import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { parseEntitlements } from '../src/engine/build/build-devices.ts'
import { heldCapabilities } from '../src/runtime/capabilities.ts'
import { DeviceRegistry } from '../src/runtime/cdi.ts'
import { type BenchOptions, BuildBench } from './fixtures/build-bench.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

let bench: BuildBench
beforeAll(async () => {
  bench = await BuildBench.open()
})
afterAll(() => bench[Symbol.dispose]())

const settings = { secrets: new Map(), shmSize: undefined, packLayer: undefined }

/** What the last step of a build of these lines writes. */
async function output(lines: string, options: BenchOptions = {}): Promise<string> {
  const { shown } = await bench.build(`FROM busybox\n${lines}\n`, { noCache: true, ...options })
  return shown.at(-1)?.log ?? ''
}

const allow = (...given: string[]): BenchOptions => ({ allow: parseEntitlements(given) })

describe('RUN --security=insecure', () => {
  test('needs to be allowed', async () => {
    const error = await bench.failure('FROM busybox\nRUN --security=insecure true\n')
    expect(error.message).toBe('security.insecure is not allowed')
    expect(error.hint).toBe('Allow it with: cairn build --allow security.insecure')
  })

  test('has every capability that Cairn has and no filter, for ordinary users too, and can mount and write everywhere', async () => {
    const look = "grep -E '^(CapEff|CapAmb|Seccomp):' /proc/self/status"
    const text = await output(`USER 1000\nRUN --security=insecure ${look}`, allow('security.insecure'))
    const held = /CapEff:\s*([0-9a-f]+)/.exec(text)?.[1] ?? ''
    expect(BigInt(`0x${held}`).toString(2).replaceAll('0', '')).toHaveLength(heldCapabilities().length)
    expect(/CapAmb:\s*([0-9a-f]+)/.exec(text)?.[1]).toBe(held)
    expect(text).toContain('Seccomp:\t0')
    const root = await output(
      'RUN --security=insecure mkdir /m && mount -t tmpfs t /m && touch /m/f && umount /m && rmdir /m && ! grep -E " (/proc/sys|/sys) .* ro," /proc/mounts && ls -l /dev/fuse /dev/loop0',
      allow('security.insecure'),
    )
    expect(root).toMatch(/^crw.* 10, 229 .*\/dev\/fuse\nbrw.* 7, +0 .*\/dev\/loop0\n$/)
  })

  test('is another step for the cache than the same in the sandbox', async () => {
    await bench.build('FROM busybox\nRUN --security=sandbox echo same\n')
    expect((await bench.build('FROM busybox\nRUN echo same\n')).shown.at(-1)?.cached).toBe(true)
    const insecure = await bench.build('FROM busybox\nRUN --security=insecure echo same\n', allow('security.insecure'))
    expect(insecure.shown.at(-1)?.cached).toBe(false)
  })

  test('leaves nothing of its surroundings in the layer', async () => {
    const { files } = await bench.build('FROM busybox\nRUN --security=insecure touch /f\n', allow('security.insecure'))
    expect(files).toEqual({ '/f': 'file 644 0:0 ""' })
  })
})

describe('RUN --network', () => {
  test('host needs to be allowed, for the step or for all of the build', async () => {
    const source = 'FROM busybox\nRUN --network=host true\n'
    expect((await bench.failure(source)).message).toBe('network.host is not allowed')
    await bench.build(source, allow('network.host'))
    await bench.build(source, { network: 'host' })
  })
})

describe('RUN --device', () => {
  let registry: DeviceRegistry
  let directory: string
  beforeAll(() => {
    directory = `${bench.directory}/cdi`
    for (const name of ['etc', 'run']) mkdirSync(`${directory}/${name}`, { recursive: true })
    writeFileSync(`${directory}/library.so`, 'library')
    writeFileSync(
      `${directory}/etc/vendor.json`,
      JSON.stringify({
        cdiVersion: '0.6.0',
        kind: 'vendor.test/gpu',
        annotations: { 'org.mobyproject.buildkit.device.class': 'gpu' },
        containerEdits: {
          env: ['VENDOR=yes'],
          mounts: [
            {
              hostPath: `${directory}/library.so`,
              containerPath: '/usr/lib/vendor/library.so',
              options: ['ro', 'rbind'],
            },
          ],
        },
        devices: [
          {
            name: 'one',
            containerEdits: {
              env: ['GPU=one', 'PATH=/vendor:/bin'],
              deviceNodes: [
                { path: '/dev/gpu-one', hostPath: '/dev/zero', fileMode: 0o640, uid: 7, gid: 8 },
                { path: '/dev/vendor/ctl', type: 'c', major: 1, minor: 3 },
              ],
              additionalGids: [77],
            },
          },
          { name: 'two', containerEdits: { env: ['GPU=two'] } },
        ],
      }),
    )
    writeFileSync(
      `${directory}/run/hooked.yaml`,
      `cdiVersion: 0.6.0
kind: vendor.test/hooked
devices:
  - name: only
    annotations:
      org.mobyproject.buildkit.device.autoallow: "true"
    containerEdits:
      hooks:
        - hookName: createContainer
          path: /bin/sh
          args: [sh, -c, "cat > ${directory}/state.json"]
`,
    )
    writeFileSync(`${directory}/run/broken.yaml`, 'kind: [')
    registry = new DeviceRegistry([`${directory}/etc`, `${directory}/run`])
  })

  const device = (...given: string[]): BenchOptions => ({ ...allow(...given), run: { ...settings, devices: registry } })

  test('gives device files, variables, mounts and groups, and none of it stays', async () => {
    const look = [
      'echo $VENDOR $GPU $PATH',
      'stat -c "%n %a %u:%g %t,%T" /dev/gpu-one /dev/vendor/ctl',
      'head -c 3 /dev/gpu-one | od -An -tx1',
      'echo x > /dev/vendor/ctl',
      'cat /usr/lib/vendor/library.so',
      'id -G',
    ].join('; ')
    const built = await bench.build(`FROM busybox\nRUN --device=vendor.test/gpu=one ${look}\n`, device('device'))
    expect(built.shown.at(-1)?.log).toBe(
      'yes one /vendor:/bin\n/dev/gpu-one 640 7:8 1,5\n/dev/vendor/ctl 666 0:0 1,3\n 00 00 00\nlibrary0 77\n',
    )
    expect(built.files).toEqual({})
    expect(built.config.config?.Env?.some((entry) => entry.startsWith('VENDOR'))).toBe(false)
  })

  test('opens no other device file than it gives', async () => {
    const text = await output(
      'RUN --device=vendor.test/gpu=one mknod /tmp/n c 1 3 && (echo x > /tmp/n) 2>&1; true',
      device('device'),
    )
    expect(text).toMatch(/permission denied|not permitted/i)
  })

  test('belongs to the user of the step where the specification does not say whose it is', async () => {
    expect(
      await output('USER 12:34\nRUN --device=vendor.test/gpu=one stat -c %u:%g /dev/vendor/ctl', device('device')),
    ).toBe('12:34\n')
  })

  test('is found by its kind, by all of a kind, and by a class', async () => {
    const found = (name: string): string[] => registry.find([{ name, required: false }])
    const [one, two] = ['vendor.test/gpu=one', 'vendor.test/gpu=two']
    expect(found('vendor.test/gpu')).toEqual([one])
    expect(found('vendor.test/gpu=*')).toEqual([one, two])
    expect(found('gpu')).toEqual([one, two])
    expect(found('vendor.test/gpu=three')).toEqual([])
  })

  test('runs the hooks of the specification', async () => {
    await output('RUN --device=vendor.test/hooked true', device())
    expect(await Bun.file(`${directory}/state.json`).json()).toMatchObject({ status: expect.any(String) })
  })

  test('needs to be allowed, by name or all of them, under another name too', async () => {
    const source = (name: string): string => `FROM busybox\nRUN --device=${name} echo $GPU\n`
    const refused = await bench.failure(source('vendor.test/gpu=one'), device())
    expect(refused.message).toBe('device vendor.test/gpu=one is requested by the build but not allowed')
    const both = await bench.failure(source('gpu'), device('device=vendor.test/other'))
    expect(both.message).toBe(
      'devices vendor.test/gpu=one, vendor.test/gpu=two are requested by the build but not allowed',
    )
    expect(await output('RUN --device=gpu echo $GPU', device('device=vendor.test/gpu=*'))).toBe('two\n')
    expect(await output('RUN --device=mine echo $GPU', device('device=vendor.test/gpu=two,alias=mine'))).toBe('two\n')
  })

  test('that is not there is an error where it is required, which names files that cannot be read', async () => {
    expect(await output('RUN --device=vendor.test/none echo fine', device('device'))).toBe('fine\n')
    const error = await bench.failure('FROM busybox\nRUN --device=vendor.test/none,required true\n', device('device'))
    expect(error.message).toBe('required device "vendor.test/none" is not registered')
    expect(error.hint).toContain('run/broken.yaml cannot be used: ')
  })

  test('is part of the key', async () => {
    const build = async (name: string): Promise<boolean | undefined> =>
      (await bench.build(`FROM busybox\nRUN --device=${name} echo keyed\n`, device('device'))).shown.at(-1)?.cached
    expect([
      await build('vendor.test/gpu=one'),
      await build('vendor.test/gpu'),
      await build('vendor.test/gpu=two'),
    ]).toEqual([false, true, false])
  })
})

describe('the settings of all RUN steps', () => {
  test('--ulimit, --shm-size and --add-host are those of the command line', async () => {
    bench.file(
      'Dockerfile',
      'FROM busybox\nRUN ulimit -n; ulimit -Hn; df -k /dev/shm | tail -1; grep -v ip6- /etc/hosts\n',
    )
    bench.closeStore()
    const flags = ['--ulimit', 'nofile=100:200', '--shm-size', '8m']
    const hosts = ['--add-host', 'a:1.2.3.4', '--add-host=b=[::1],5.6.7.8', '--add-host', 'c:host-gateway']
    const { status, err } = await bench.cairn(['build', '--progress=plain', ...flags, ...hosts, bench.context])
    expect(status).toBe(0)
    const lines = [...err.matchAll(/^#\d+ \d+\.\d+ (.*)$/gm)].map(([, text = '']) => text)
    expect(lines.slice(0, 2)).toEqual(['100', '200'])
    expect(lines[2]).toMatch(/\b8192\b/)
    expect(lines.slice(3)).toEqual([
      '127.0.0.1\tlocalhost buildkitsandbox',
      '1.2.3.4\ta',
      '::1\tb',
      '5.6.7.8\tb',
      '127.0.0.1\tc',
    ])
  })

  test('BUILDKIT_SANDBOX_HOSTNAME names the machine and counts for the key', async () => {
    const source = 'FROM busybox\nRUN hostname; grep -c box /etc/hosts\n'
    const args = { BUILDKIT_SANDBOX_HOSTNAME: 'box' }
    expect((await bench.build(source, { args })).shown.at(-1)?.log).toBe('box\n1\n')
    expect((await bench.build(source)).shown.at(-1)).toMatchObject({ cached: false, log: 'buildkitsandbox\n1\n' })
  })

  test('--cgroup-parent is where the cgroup of a step is, while it runs', async () => {
    const command = `sleep 1.${process.pid}`
    const isOurs = (pid: string): boolean => {
      const path = `/proc/${pid}/cmdline`
      return existsSync(path) && readFileSync(path, 'latin1').replaceAll('\0', ' ').trim() === command
    }
    const cgroups = (): string[] =>
      Bun.spawnSync(['find', '/sys/fs/cgroup', '-maxdepth', '2', '-name', 'cairn-*', '-type', 'd'])
        .stdout.toString()
        .split('\n')
        .filter((path) => existsSync(`${path}/cgroup.procs`))
        .filter((path) => readFileSync(`${path}/cgroup.procs`, 'utf8').split('\n').filter(Boolean).some(isOurs))
    let seen: string[] = []
    const build = output(`RUN exec ${command}`, { run: { ...settings, cgroupParent: '/' } })
    while (seen.length === 0 && (await Promise.race([build, Bun.sleep(50)])) === undefined) seen = cgroups()
    await build
    expect(seen).not.toEqual([])
    expect(seen.filter((path) => existsSync(path))).toEqual([])
  })

  test.each([
    [['--allow', 'everything'], 'unknown entitlement everything'],
    [['--allow', 'device=a,b'], 'invalid device config "b"'],
    [['--allow', 'device="a'], 'parse error on line 1, column 2: extraneous or missing " in quoted-field'],
    [['--allow', 'device=a,b=c'], 'unknown device config key "b"'],
    [['--add-host', 'x:nope'], 'invalid host x:nope'],
    [['--add-host', 'x'], 'invalid host x'],
    [['--ulimit', 'foo=1'], 'invalid argument "foo=1" for "--ulimit" flag: invalid ulimit type: foo'],
    [['--cgroup-parent', 'system.slice:'], '--cgroup-parent system.slice:: slices of systemd are not supported'],
  ])('%p is refused', async (flags, message) => {
    bench.file('Dockerfile', 'FROM busybox\n')
    const { status, err } = await bench.cairn(['build', ...flags, bench.context])
    expect(status).not.toBe(0)
    expect(err).toContain(message)
  })
})
