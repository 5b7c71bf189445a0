import type { Store } from '../content/store.ts'
import { inNetworkNamespace } from '../linux/network-namespace.ts'
import { writeTextFile } from '../linux/text-file.ts'
import { tryStat } from '../linux/file-status.ts'
import { networkOf } from './endpoint-records.ts'
import { changeLinks, listLinks } from './host-links.ts'
import { type Endpoint, poolsOf } from './network.ts'
import { linkAlias } from './scope.ts'

/**
 * Brings up the loopback device of a container's new network namespace, with docker's settings: every port may be listened at
 * by every user, and who may ping is up to nobody. Throws TOOL_MISSING, TOOL_FAILED.
 */
export function openNamespace(namespace: number): void {
  inNetworkNamespace(namespace, () => {
    const settings = {
      'ipv4/ip_unprivileged_port_start': '0',
      'ipv4/ping_group_range': '0 2147483647',
      // Devices get no IPv6 addresses by themselves.
      'ipv6/conf/default/disable_ipv6': '1',
    }
    for (const [name, value] of Object.entries(settings)) setSwitch(name, value)
    changeLinks(['link set lo up'])
  })
}

/**
 * Connects a network namespace to the bridges of its endpoints, which must be up. The devices go with the namespace. Throws
 * TOOL_MISSING, TOOL_FAILED.
 */
export function connectInterfaces(store: Store, namespace: number, endpoints: readonly Endpoint[]): void {
  const alias = linkAlias(store)
  const links = listLinks()
  const bridgeOfNetwork = (network: string): string =>
    links.find((link) => link.isBridge && link.alias === `${alias}n:${network.slice(0, 12)}`)?.name ?? ''
  const inside: string[] = []
  const outside: string[] = []
  for (const endpoint of endpoints) {
    const { container, network, address, address6, device, hostDevice, mac } = endpoint
    const { settings } = networkOf(store, endpoint)
    const { pool, pool6 } = poolsOf(settings)
    const option = settings.options['com.docker.network.driver.mtu']
    const mtu = option === undefined ? '' : ` mtu ${option}`
    outside.push(
      `link add ${hostDevice}${mtu} type veth peer name ${device}${mtu} address ${mac} netns /proc/${process.pid}/fd/${namespace}`,
      `link set ${hostDevice} alias ${alias}c:${container.slice(0, 12)}`,
      `link set ${hostDevice} master ${bridgeOfNetwork(network)}`,
      // A container may come back to itself by a published port.
      `link set ${hostDevice} type bridge_slave hairpin on`,
      `link set ${hostDevice} up`,
    )
    if (pool !== undefined) inside.push(`address add ${address}${prefixOf(pool.subnet)} dev ${device}`)
    if (address6 !== undefined && pool6 !== undefined)
      inside.push(`address add ${address6}${prefixOf(pool6.subnet)} dev ${device} nodad`)
    inside.push(`link set ${device} up`)
  }
  changeLinks(outside)
  inNetworkNamespace(namespace, () => {
    for (const { address6, device } of endpoints)
      if (address6 !== undefined) setSwitch(`ipv6/conf/${device}/disable_ipv6`, '0')
    changeLinks(inside)
  })
}

/** Sets what the kernel has below /proc/sys/net of this network namespace, where it has it. */
function setSwitch(name: string, value: string): void {
  const path = `/proc/sys/net/${name}`
  if (tryStat(path) !== undefined) writeTextFile(path, value)
}

/** Leads what a container sends elsewhere through the first of its networks that leads anywhere. Throws TOOL_FAILED. */
export function routeBy(store: Store, namespace: number, endpoints: readonly Endpoint[]): void {
  const way = endpoints.find((endpoint) => !networkOf(store, endpoint).settings.internal)
  if (way === undefined) return
  const { device, address6 } = way
  const { pool, pool6 } = poolsOf(networkOf(store, way).settings)
  inNetworkNamespace(namespace, () => {
    changeLinks([
      ...(pool === undefined ? [] : [`route replace default via ${pool.gateway} dev ${device}`]),
      ...(address6 === undefined || pool6 === undefined
        ? []
        : [`route replace ::/0 via ${pool6.gateway} dev ${device}`]),
    ])
  })
}

function prefixOf(subnet: string): string {
  return subnet.slice(subnet.indexOf('/'))
}

/** Takes devices out of a container's network namespace. */
export function disconnectInterfaces(endpoints: readonly Endpoint[]): void {
  changeLinks(
    endpoints.map(({ hostDevice }) => `link delete ${hostDevice}`),
    { lenient: true },
  )
}
