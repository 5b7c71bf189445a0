import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { SystemCallError } from '../linux/errno.ts'
import { close } from '../linux/files.ts'
import { RouteSocket } from '../linux/netlink.ts'
import { inNetworkNamespace, makeNetworkNamespace } from '../linux/network-namespace.ts'
import { type LinkChange, ipLines } from './link-change.ts'
import { readLinks, sendChange } from './link-messages.ts'

/** Everything here is in network namespaces of the test's own, which go with their descriptors. */
let outside: number
let inside: number
beforeEach(() => {
  outside = makeNetworkNamespace()
  inside = makeNetworkNamespace()
})
afterEach(() => {
  close(outside)
  close(inside)
})

function ip(namespace: number, args: readonly string[], input = ''): string {
  return inNetworkNamespace(namespace, () => {
    const { exitCode, stdout, stderr } = Bun.spawnSync(['ip', ...args], {
      stdin: new TextEncoder().encode(input),
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    })
    if (exitCode !== 0) throw new Error(stderr.toString())
    return stdout.toString()
  })
}

type Executor = (namespace: number, changes: readonly LinkChange[]) => void

const executors: readonly (readonly [name: string, apply: Executor])[] = [
  [
    'messages',
    (namespace, changes) =>
      inNetworkNamespace(namespace, () => {
        using socket = new RouteSocket()
        for (const change of changes) sendChange(socket, change)
      }),
  ],
  [
    'ip',
    (namespace, changes) => {
      const lines = changes.flatMap((change) => ipLines(change))
      ip(namespace, ['-batch', '-'], `${lines.join('\n')}\n`)
    },
  ],
]

/** A bridge with a container, as networks are made of. */
function network(): { readonly home: LinkChange[]; readonly container: LinkChange[] } {
  return {
    home: [
      { kind: 'add-bridge', name: 'br9', mac: '02:42:ac:14:00:01' },
      { kind: 'set', device: 'br9', alias: 'cairn:ab', mtu: 1400, up: true },
      { kind: 'add-address', device: 'br9', address: '172.20.0.1/16' },
      { kind: 'add-address', device: 'br9', address: 'fd00:9::1/64' },
      {
        kind: 'add-veth',
        name: 'veth9',
        mtu: 1400,
        peer: { name: 'eth0', mac: '02:42:ac:14:00:02', namespace: inside },
      },
      { kind: 'set', device: 'veth9', alias: 'cairn:c', master: 'br9', hairpin: true },
      { kind: 'set', device: 'veth9', up: true },
    ],
    container: [
      { kind: 'set', device: 'lo', up: true },
      { kind: 'add-address', device: 'eth0', address: '172.20.0.2/16' },
      { kind: 'add-address', device: 'eth0', address: 'fd00:9::2/64' },
      { kind: 'set', device: 'eth0', up: true },
      { kind: 'set-default-route', gateway: '172.20.0.1', device: 'eth0' },
      { kind: 'set-default-route', gateway: 'fd00:9::1', device: 'eth0' },
    ],
  }
}

interface LinkInfo {
  readonly info_kind?: string
  readonly info_data?: { readonly forward_delay?: number }
  readonly info_slave_kind?: string
  readonly info_slave_data?: { readonly hairpin?: boolean }
}

interface ShownLink {
  readonly ifname: string
  readonly address: string
  readonly mtu: number
  readonly master?: string
  readonly ifalias?: string
  readonly flags: readonly string[]
  readonly linkinfo?: LinkInfo
  readonly addr_info: readonly { local: string; prefixlen: number; scope: string; nodad?: boolean }[]
}

/** What there is, as `ip` shows it, without what differs each time. */
function shown(namespace: number): unknown {
  const links = JSON.parse(ip(namespace, ['-json', '-details', 'address', 'show'])) as ShownLink[]
  const routes = [...ip(namespace, ['route']).split('\n'), ...ip(namespace, ['-6', 'route']).split('\n')]
  return {
    links: links.map(({ ifname, address, mtu, master, ifalias, flags, linkinfo, addr_info: addresses }) => ({
      ifname,
      // The kernel chose that of the outer end.
      address: ifname === 'veth9' ? '' : address,
      mtu,
      master,
      ifalias,
      isUp: flags.includes('UP'),
      kind: linkinfo?.info_kind,
      delay: linkinfo?.info_data?.forward_delay,
      port: linkinfo?.info_slave_kind,
      hairpin: linkinfo?.info_slave_data?.hairpin,
      addresses: addresses
        .filter(({ scope }) => scope !== 'link')
        .map(({ local, prefixlen, scope, nodad }) => [local, prefixlen, scope, nodad]),
    })),
    routes: routes.filter((route) => route !== '' && !route.startsWith('fe80::')),
  }
}

describe.each(executors)('changes of links by %s', (_name, apply) => {
  test('make a bridge and a container on it', () => {
    const { home, container } = network()
    apply(outside, home)
    apply(inside, container)
    expect(shown(outside)).toMatchObject({
      links: [
        { ifname: 'lo', isUp: false },
        {
          ifname: 'br9',
          address: '02:42:ac:14:00:01',
          mtu: 1400,
          ifalias: 'cairn:ab',
          isUp: true,
          kind: 'bridge',
          delay: 0,
          addresses: [
            ['172.20.0.1', 16, 'global', undefined],
            ['fd00:9::1', 64, 'global', true],
          ],
        },
        { ifname: 'veth9', mtu: 1400, master: 'br9', ifalias: 'cairn:c', isUp: true, port: 'bridge', hairpin: true },
      ],
    })
    expect(shown(inside)).toMatchObject({
      links: [
        { ifname: 'lo', isUp: true },
        { ifname: 'eth0', address: '02:42:ac:14:00:02', mtu: 1400, isUp: true, kind: 'veth' },
      ],
      routes: [
        'default via 172.20.0.1 dev eth0 ',
        '172.20.0.0/16 dev eth0 proto kernel scope link src 172.20.0.2 ',
        'fd00:9::/64 dev eth0 proto kernel metric 256 pref medium',
        'default via fd00:9::1 dev eth0 metric 1024 pref medium',
      ],
    })
  })

  test('replace a default route, take addresses away and delete devices with their other end', () => {
    const { home, container } = network()
    apply(outside, home)
    apply(inside, container)
    apply(inside, [{ kind: 'set-default-route', gateway: '172.20.0.9', device: 'eth0' }])
    expect(ip(inside, ['route', 'show', 'default'])).toBe('default via 172.20.0.9 dev eth0 \n')
    apply(outside, [
      { kind: 'delete-address', device: 'br9', address: '172.20.0.1/16' },
      { kind: 'delete', device: 'veth9' },
    ])
    expect(JSON.stringify(shown(outside))).not.toMatch(/172\.20|veth9/)
    expect(JSON.stringify(shown(inside))).not.toContain('eth0')
  })

  test('fail for what is there already or is not, by its name', () => {
    const { home } = network()
    const bridge = home.slice(0, 1)
    apply(outside, bridge)
    expect(() => apply(outside, bridge)).toThrow(/exists/i)
    for (const change of [
      { kind: 'delete', device: 'none' },
      { kind: 'set', device: 'none', up: true },
      { kind: 'add-address', device: 'none', address: '10.9.9.9/24' },
    ] as const)
      expect(() => apply(outside, [change])).toThrow(/none|cannot find device/i)
  })
})

describe('readLinks()', () => {
  test('tells of devices, whose they are and which addresses they have', () => {
    const [[, apply] = ['', () => undefined]] = executors
    const { home } = network()
    apply(outside, home)
    inNetworkNamespace(outside, () => {
      using socket = new RouteSocket()
      expect(readLinks(socket)).toEqual([
        { name: 'lo', alias: '', isBridge: false, addresses: [] },
        { name: 'br9', alias: 'cairn:ab', isBridge: true, addresses: ['172.20.0.1/16', 'fd00:9::1/64'] },
        { name: 'veth9', alias: 'cairn:c', isBridge: false, addresses: [] },
      ])
    })
  })

  test('tells of hundreds', () => {
    inNetworkNamespace(outside, () => {
      using socket = new RouteSocket()
      for (let index = 0; index < 300; index++)
        sendChange(socket, { kind: 'add-bridge', name: `b${index}`, mac: '02:42:ac:14:00:01' })
      expect(readLinks(socket)).toHaveLength(301)
      expect(() => sendChange(socket, { kind: 'delete', device: 'b300' })).toThrow(SystemCallError)
      expect(readLinks(socket).at(-1)?.name).toBe('b299')
    })
  })
})
