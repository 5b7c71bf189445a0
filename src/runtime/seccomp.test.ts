import { describe, expect, test } from 'bun:test'
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { allCapabilities, containerCapabilities, defaultCapabilities } from './capabilities.ts'
import { defaultSeccomp } from './seccomp.ts'
import { compiledSeccomp } from './seccomp-filter.ts'

describe('defaultSeccomp()', () => {
  const plain = defaultSeccomp(defaultCapabilities, 'amd64')
  const always = new Set(plain.syscalls[0]?.names)

  test('`defaultSeccomp()` names each call once and denies by default', () => {
    expect(plain).toMatchObject({ defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: 1 })
    expect(always.size).toBe(plain.syscalls[0]?.names.length ?? 0)
    for (const name of [
      'mount',
      'unshare',
      'setns',
      'keyctl',
      'add_key',
      'bpf',
      'kexec_load',
      'io_uring_setup',
      'userfaultfd',
      'clone',
      'socket',
      'personality',
      'open_by_handle_at',
      'reboot',
      'ptrace_scope',
    ])
      expect([name, always.has(name)]).toEqual([name, false])
    for (const name of [
      'read',
      'execve',
      'openat2',
      'chroot',
      'mknod',
      'ptrace',
      'arch_prctl',
      'statx',
      'futex',
      'clock_gettime',
    ])
      expect([name, always.has(name)]).toEqual([name, true])
  })

  test('`defaultSeccomp()` follows the capabilities and the architecture', () => {
    const names = (capabilities: readonly string[], architecture: string): Set<string> =>
      new Set(defaultSeccomp(capabilities, architecture).syscalls[0]?.names)
    expect(names([], 'amd64').has('chroot')).toBe(false)
    expect(names(['CAP_SYS_PTRACE'], 'amd64').has('kcmp')).toBe(true)
    expect(names(['CAP_SYS_ADMIN'], 'amd64').has('mount')).toBe(true)
    expect(names([], 'arm64').has('arch_prctl')).toBe(false)
    expect(names([], 'arm64').has('cacheflush')).toBe(true)
    expect(defaultSeccomp([], 'arm64').architectures).toEqual(['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'])
    expect(plain.architectures).toEqual(['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'])
    const admin = defaultSeccomp(['CAP_SYS_ADMIN'], 'amd64').syscalls
    expect(admin.some((rule) => rule.names.includes('clone3') && rule.action === 'SCMP_ACT_ERRNO')).toBe(false)
    expect(plain.syscalls.find((rule) => rule.names.includes('clone3'))).toMatchObject({ errnoRet: 38 })
  })

  // containers-common's profile is made from docker's. It lists refused calls too and lags or leads by some.
  const installed = '/usr/share/containers/seccomp.json'
  test.skipIf(!isFile(installed))('`defaultSeccomp()` allows nothing that the installed profile refuses', () => {
    const profile = JSON.parse(readFileSync(installed, 'utf8')) as {
      syscalls: { names: string[]; action: string; args?: unknown[]; includes?: { caps?: string[] } }[]
    }
    const refused = new Set(
      profile.syscalls
        .filter((rule) => rule.action === 'SCMP_ACT_ERRNO' && rule.includes?.caps === undefined)
        .flatMap((rule) => rule.names),
    )
    for (const rule of profile.syscalls)
      if (
        rule.action === 'SCMP_ACT_ALLOW' &&
        rule.includes?.caps?.some((cap) => !defaultCapabilities.includes(cap)) !== true
      )
        for (const name of rule.names) refused.delete(name)
    // What podman refuses beyond docker.
    const stricter = new Set(['io_pgetevents', 'vmsplice'])
    expect([...always].filter((name) => refused.has(name) && !stricter.has(name))).toEqual([])
  })
})

describe('compiledSeccomp()', () => {
  // Each test has a profile of its own: what was compiled once stays in memory.
  let profiles = 1
  const profile = () => {
    const own = defaultSeccomp(defaultCapabilities, process.arch === 'arm64' ? 'arm64' : 'amd64')
    return { ...own, defaultErrnoRet: 1 + profiles++ }
  }

  test('`compiledSeccomp()` makes whole instructions and keeps them for the next process', () => {
    using directory = temporary()
    const filter = compiledSeccomp(profile(), `${directory.path}/seccomp`)
    expect((filter?.length ?? 0) % 8).toBe(0)
    expect(filter?.length).toBeGreaterThan(2000)
    const [name = ''] = readdirSync(`${directory.path}/seccomp`)
    expect(readFileSync(`${directory.path}/seccomp/${name}`).length).toBe(32 + (filter?.length ?? 0))
    expect(readdirSync(`${directory.path}/seccomp`)).toHaveLength(1)
  })

  test('`compiledSeccomp()` takes a kept filter, but no damaged and no old one', async () => {
    using directory = temporary()
    const own = profile()
    const filter = compiledSeccomp(own, directory.path)
    const [name = ''] = readdirSync(directory.path)
    const path = `${directory.path}/${name}`
    const kept = readFileSync(path)
    // Another process has nothing in memory.
    const again = async (): Promise<string> => {
      const code = `
        const { compiledSeccomp } = await import('${import.meta.dir}/seccomp-filter.ts')
        console.log(compiledSeccomp(JSON.parse(process.argv[1]), process.argv[2]).toHex())`
      const child = Bun.spawn([process.execPath, '-e', code, JSON.stringify(own), directory.path], { stdout: 'pipe' })
      return (await new Response(child.stdout).text()).trim()
    }
    const forged = Uint8Array.from(filter ?? [])
    forged[0] = (forged[0] ?? 0) ^ 1
    writeFileSync(path, Buffer.concat([new Bun.CryptoHasher('sha256').update(forged).digest(), forged]))
    expect(await again()).toBe(forged.toHex())
    writeFileSync(path, kept.subarray(0, kept.length - 8))
    expect(await again()).toBe(filter?.toHex() ?? '')
    writeFileSync(path, Buffer.concat([new Bun.CryptoHasher('sha256').update(forged).digest(), forged]))
    utimesSync(path, 0, 0)
    expect(await again()).toBe(filter?.toHex() ?? '')
    expect(readFileSync(path).equals(kept)).toBe(true)
  })
})

describe('containerCapabilities()', () => {
  test('`containerCapabilities()` adds, drops and knows ALL', () => {
    expect(containerCapabilities()).toEqual([...defaultCapabilities])
    expect(containerCapabilities({ add: ['net_admin', 'CAP_CHOWN'] })).toEqual([
      ...defaultCapabilities,
      'CAP_NET_ADMIN',
    ])
    expect(containerCapabilities({ drop: ['mknod'] })).not.toContain('CAP_MKNOD')
    expect(containerCapabilities({ drop: ['ALL'], add: ['CHOWN'] })).toEqual(['CAP_CHOWN'])
    expect(containerCapabilities({ add: ['all'], drop: ['SYS_ADMIN'] }, allCapabilities)).toHaveLength(
      allCapabilities.length - 1,
    )
    expect(containerCapabilities({ privileged: true, drop: ['ALL'] }, allCapabilities)).toEqual([...allCapabilities])
    expect(() => containerCapabilities({ add: ['FLY'] })).toThrow('unknown capability: "CAP_FLY"')
  })
})

function temporary(): { readonly path: string } & Disposable {
  const path = mkdtempSync('/tmp/cairn-seccomp-')
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

function isFile(path: string): boolean {
  try {
    return readFileSync(path).length > 0
  } catch {
    return false
  }
}
