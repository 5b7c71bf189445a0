import { describe, expect, test } from 'bun:test'
import { parseSeccompProfile, profileFilter } from './seccomp-profile.ts'

const profile = (fields: object): string => JSON.stringify({ defaultAction: 'SCMP_ACT_ERRNO', ...fields })

describe('parseSeccompProfile()', () => {
  test.each([
    ['{', 'JSON Parse error'],
    ['[]', 'not a JSON object'],
    [JSON.stringify({ defaultAction: 'SCMP_ACT_NOTIFY' }), 'defaultAction: "SCMP_ACT_NOTIFY" is not supported'],
    [profile({ flags: ['SECCOMP_FILTER_FLAG_LOG'] }), '"flags" is not supported'],
    [profile({ architectures: ['SCMP_ARCH_X86'], archMap: [{ architecture: 'SCMP_ARCH_X86_64' }] }), 'use either'],
    [profile({ syscalls: [{ names: ['read'], name: 'read', action: 'SCMP_ACT_ALLOW' }] }), "'name' or 'names'"],
    [profile({ syscalls: [{ names: ['read'], action: 'ALLOW' }] }), 'syscalls[0].action'],
    [
      profile({
        syscalls: [{ names: ['read'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value: 1, op: 'SCMP_CMP_IN' }] }],
      }),
      'no such comparison',
    ],
    [
      `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":18446744073709551615,"op":"SCMP_CMP_EQ"}]}]}`,
      'not a number that can be compared with',
    ],
  ])('refuses %s', (text, reason) => {
    expect(() => parseSeccompProfile(text)).toThrow(reason)
  })
})

describe('profileFilter()', () => {
  test('takes the rules that are for these capabilities, this architecture and this kernel', () => {
    const allow = (name: string, conditions: object = {}): object => ({
      names: [name],
      action: 'SCMP_ACT_ALLOW',
      ...conditions,
    })
    const text = profile({
      archMap: [{ architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] }],
      syscalls: [
        allow('read'),
        allow('mount', { includes: { caps: ['CAP_SYS_ADMIN'] } }),
        allow('chroot', { includes: { caps: ['CAP_SYS_CHROOT'] } }),
        allow('clone', { excludes: { caps: ['CAP_SYS_CHROOT'] } }),
        allow('set_tls', { includes: { arches: ['arm64'] } }),
        allow('arch_prctl', { includes: { arches: ['amd64'] } }),
        allow('ptrace', { includes: { minKernel: '3.10' } }),
        allow('bpf', { includes: { minKernel: '999.0' } }),
        // What holds anyhow is left out.
        { name: 'write', action: 'SCMP_ACT_ERRNO' },
        { name: 'clone3', action: 'SCMP_ACT_ERRNO', errnoRet: 38 },
      ],
    })
    const filter = profileFilter(parseSeccompProfile(text), ['CAP_SYS_CHROOT'], 'amd64')
    expect(filter.syscalls.flatMap(({ names }) => names)).toEqual(['read', 'chroot', 'arch_prctl', 'ptrace', 'clone3'])
    expect(filter.architectures).toEqual(['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'])
  })
})
