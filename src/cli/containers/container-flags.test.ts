import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { MountRequest } from '../../containers/mounts.ts'
import { isCairnError } from '../../errors/error.ts'
import { containerFlags, missingFlags, runFlags } from './container-flags.ts'
import { parseEnvFlags } from './env-flags.ts'
import { parseMountFlags } from './mount-flags.ts'

let directory: string

beforeEach(() => {
  directory = mkdtempSync('/tmp/cairn-flags-')
})

afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

function messageOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (isCairnError(error)) return `${error.code}: ${error.message}`
    throw error
  }
  return 'no error'
}

const mounts = (flags: { volume?: string[]; mount?: string[]; tmpfs?: string[] }): MountRequest[] =>
  parseMountFlags({ volume: [], mount: [], tmpfs: [], ...flags }, '/here')

describe('parseMountFlags()', () => {
  test.each<[string, Partial<MountRequest>]>([
    ['./x/../y:/t', { type: 'bind', source: '/here/y', target: '/t' }],
    ['.:/t:ro', { type: 'bind', source: '/here', readonly: true }],
    ['..:/t', { type: 'bind', source: '/' }],
    ['/a//b/:/t', { type: 'bind', source: '/a/b' }],
    ['/only', { type: 'volume', target: '/only' }],
  ])('reads -v %s', (text, expected) => {
    expect(mounts({ volume: [text] })).toEqual([expect.objectContaining(expected) as MountRequest])
  })

  test('takes the same -v twice for one', () => {
    expect(mounts({ volume: ['/a:/b', '/a:/b'] })).toHaveLength(1)
  })

  test.each<[string, MountRequest]>([
    ['type=bind,src=/a,dst=/b,readonly', { type: 'bind', source: '/a', target: '/b', readonly: true, recursive: true }],
    [
      'type=bind,source=/a,target=/b,ro=false,bind-recursive=disabled',
      { type: 'bind', source: '/a', target: '/b', readonly: false, recursive: false },
    ],
    [
      'src=vol,destination=/b,volume-nocopy',
      { type: 'volume', name: 'vol', target: '/b', readonly: false, copy: false },
    ],
    ['type=volume,dst=/b', { type: 'volume', target: '/b', readonly: false, copy: true }],
    ['"type=bind","src=/a,b",dst=/c', { type: 'bind', source: '/a,b', target: '/c', readonly: false, recursive: true }],
    [
      'type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=0750',
      { type: 'tmpfs', target: '/t', readonly: false, size: 1 << 20, mode: 0o750 },
    ],
  ])('reads --mount %s', (text, expected) => {
    expect(mounts({ mount: [text] })).toEqual([expected])
  })

  test.each([
    ['type=bind,src=/a', 'target is required'],
    ['foo', "invalid field 'foo' must be a key=value pair"],
    ['type=volume,dst=/x,foo=1', "unexpected key 'foo' in 'foo=1'"],
    ['type=bind,src=/a,dst=/x,readonly=maybe', 'invalid value for readonly: maybe'],
    ['type=bind,src=/a,dst=/x,tmpfs-size=1', "cannot mix 'tmpfs-*' options with mount type 'bind'"],
    ['type=tmpfs,dst=/x,tmpfs-size=big', 'invalid value for tmpfs-size: big'],
  ])('refuses --mount %s as docker does', (text, reason) => {
    expect(messageOf(() => mounts({ mount: [text] }))).toBe(
      `USAGE: invalid argument ${JSON.stringify(text)} for "--mount" flag: ${reason}`,
    )
  })

  test('says which parts of --mount are missing', () => {
    expect(messageOf(() => mounts({ mount: ['type=image,src=a,dst=/x'] }))).toBe(
      'NOT_SUPPORTED: --mount type=image is not supported yet',
    )
    expect(messageOf(() => mounts({ mount: ['dst=/x,volume-opt=a=b'] }))).toBe(
      'NOT_SUPPORTED: volume-opt of --mount is not supported yet',
    )
  })

  test('reads --tmpfs with options', () => {
    expect(mounts({ tmpfs: ['/run:rw,size=64k,mode=1755,uid=5,gid=6,exec', '/plain'] })).toEqual([
      { type: 'tmpfs', target: '/run', size: 65536, mode: 0o1755, uid: 5, gid: 6, exec: true },
      { type: 'tmpfs', target: '/plain' },
    ])
  })
})

describe('parseEnvFlags()', () => {
  test('reads files line by line, without quotes or expansion', () => {
    const file = `${directory}/env`
    writeFileSync(file, '\uFEFFA=1\r\n\n# no\n  B= x "y" # z\nC\nUNSET\nD==\n')
    expect(parseEnvFlags([file], ['A', 'E=2', 'GONE'], { C: 'c', A: 'a' })).toEqual([
      'A=1',
      'B= x "y" # z',
      'C=c',
      'D==',
      'A=a',
      'E=2',
      'GONE',
    ])
  })

  test.each([
    ['a b=1', "variable 'a b' contains whitespaces"],
    ['=1', "no variable name on line '=1'"],
  ])('refuses the line %p', (line, reason) => {
    const file = `${directory}/env`
    writeFileSync(file, `${line}\n`)
    expect(messageOf(() => parseEnvFlags([file], [], {}))).toBe(`USAGE: invalid env file (${file}): ${reason}`)
  })
})

test('every flag of `docker run` is known, and none twice', () => {
  const docker = `add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns
    cidfile cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems detach detach-keys
    device device-cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops disable-content-trust
    dns dns-option dns-search domainname entrypoint env env-file expose gpus group-add health-cmd health-interval
    health-retries health-start-interval health-start-period health-timeout hostname init interactive ip ip6 ipc
    isolation kernel-memory label label-file link link-local-ip log-driver log-opt mac-address memory memory-reservation
    memory-swap memory-swappiness mount name network network-alias no-healthcheck oom-kill-disable oom-score-adj pid
    pids-limit platform privileged publish publish-all pull quiet read-only restart rm runtime security-opt shm-size
    sig-proxy stop-signal stop-timeout storage-opt sysctl tmpfs tty ulimit use-api-socket user userns uts volume
    volume-driver volumes-from workdir`.split(/\s+/)
  const own = Object.keys({ ...containerFlags, ...runFlags })
  expect(own.filter((name) => Object.hasOwn(missingFlags, name))).toEqual([])
  const known = new Set([...own, ...Object.keys(missingFlags)])
  expect(docker.filter((name) => !known.has(name))).toEqual([])
})
