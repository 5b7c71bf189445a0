import { describe, expect, test } from 'bun:test'
import { type ResolverOptions, hostsFile, resolverConfig } from './network-files.ts'

const config = (options: ResolverOptions, resolv?: string, resolved?: string): string =>
  resolverConfig(options, (path) =>
    path === '/etc/resolv.conf' ? resolv : path.startsWith('/run/systemd') ? resolved : undefined,
  )

describe('resolverConfig()', () => {
  test('`resolverConfig()` copies the host’s servers, search list and options without comments', () => {
    const text =
      '# made by hand\nnameserver 10.0.0.2\nnameserver\tfd00::2\nsearch a.example b.example\noptions ndots:2\n; end\n'
    expect(config({}, text)).toBe(
      'nameserver 10.0.0.2\nnameserver\tfd00::2\nsearch a.example b.example\noptions ndots:2\n',
    )
  })

  test('`resolverConfig()` takes the servers behind systemd-resolved’s stub', () => {
    const stub = 'nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n'
    expect(config({}, stub, 'nameserver 192.168.1.1\nsearch lan\n')).toBe('nameserver 192.168.1.1\nsearch lan\n')
    expect(config({ hostNetwork: true }, stub, 'nameserver 192.168.1.1\n')).toBe(stub)
    expect(config({}, stub)).toBe('options edns0 trust-ad\nsearch lan\nnameserver 8.8.8.8\nnameserver 8.8.4.4\n')
  })

  test('`resolverConfig()` drops servers on loopback addresses, unless the network is the host’s', () => {
    const text = 'nameserver 127.0.0.1\nnameserver ::1\nnameserver ::1%lo\nnameserver 127.1.2.3\nnameserver 1.1.1.1\n'
    expect(config({}, text)).toBe('nameserver 1.1.1.1\n')
    expect(config({ hostNetwork: true }, text)).toBe(text)
    expect(config({}, 'nameserver 127.0.0.1')).toBe('nameserver 8.8.8.8\nnameserver 8.8.4.4\n')
    expect(config({})).toBe('nameserver 8.8.8.8\nnameserver 8.8.4.4\n')
    expect(config({ hostNetwork: true }, 'nameserver 9.9.9.9')).toBe('nameserver 9.9.9.9\n')
  })

  test('`resolverConfig()` puts what was asked for in place of what the host has', () => {
    const text = 'nameserver 10.0.0.2\nsearch host.example\noptions ndots:2\n'
    expect(config({ servers: ['1.1.1.1', '9.9.9.9'] }, text)).toBe(
      'search host.example\noptions ndots:2\nnameserver 1.1.1.1\nnameserver 9.9.9.9\n',
    )
    expect(config({ search: ['x.example'], options: ['rotate'] }, text)).toBe(
      'nameserver 10.0.0.2\nsearch x.example\noptions rotate\n',
    )
    // docker: `--dns-search .` empties the list.
    expect(config({ search: ['.'] }, text)).toBe('nameserver 10.0.0.2\noptions ndots:2\n')
  })

  test('`resolverConfig()` reads this host’s own files', () => {
    expect(resolverConfig()).toMatch(/^nameserver \S+$/m)
  })
})

test('`hostsFile()` names localhost, the machine itself and extra hosts', () => {
  const text = hostsFile({ hostname: 'box', extraHosts: [{ name: 'db', address: '10.1.1.1' }] })
  expect(text).toStartWith('127.0.0.1\tlocalhost box\n::1\tlocalhost ip6-localhost ip6-loopback\n')
  expect(text).toEndWith('\n10.1.1.1\tdb\n')
  expect(hostsFile({ hostname: 'box', addresses: ['172.17.0.2'] })).toEndWith('\n172.17.0.2\tbox\n')
  const brief = hostsFile({ hostname: 'box', extraHosts: [{ name: 'db', address: '10.1.1.1' }], isBrief: true })
  expect(brief).toBe('127.0.0.1\tlocalhost box\n::1\tlocalhost ip6-localhost ip6-loopback\n10.1.1.1\tdb\n')
  expect(hostsFile({ hostname: 'localhost' })).toStartWith('127.0.0.1\tlocalhost\n')
})
