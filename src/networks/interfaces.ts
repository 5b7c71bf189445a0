import type { Store } from '../content/store.ts'
import { inNetworkNamespace } from '../linux/network-namespace.ts'
import { writeTextFile } from '../linux/text-file.ts'
import { tryStat } from '../linux/file-status.ts'
import { networkOf } from './endpoint-records.ts'
import { changeLinks, listLinks } from './host-links.ts'
import type { Endpoint } from './network.ts'
import { linkAlias } from './scope.ts'

/**
 * Brings up the loopback device of a container's new network namespace, with docker's settings: every port may be listened at
 * by every user, and who may ping is up to nobody. Throws TOOL_MISSING, TOOL_FAILED.
 */
export function openNamespace(namespace: number, hasIpv6: boolean): void {
  inNetworkNamespace(namespace, () => {
    const settings = {
      'ipv4/ip_unprivileged_port_start': '0',
      'ipv4/ping_group_range': '0 2147483647',
      ...(hasIpv6 ? {} : { 'ipv6/conf/default/disable_ipv6': '1' }),
    }
    for (const [name, value] of Object.entries(settings)) {
      const path = `/proc/sys/net/${name}`
      if (tryStat(path) !== undefined) writeTextFile(path, value)
    }
    changeLinks(['link set lo up'])
  })
}

/**
 * Connects a network namespace to the bridges of its endpoints, which must be up. The devices go with the namespace. Throws
 * TOOL_MISSING, TOOL_FAILED.
 *
 * @param hasRoute - the namespace has a way out already
 */
export function connectInterfaces(
  store: Store,
  namespace: number,
  endpoints: readonly Endpoint[],
  { hasRoute = false } = {},
): void {
  const alias = linkAlias(store)
  const links = listLinks()
  const bridgeOfNetwork = (network: string): string =>
    links.find((link) => link.isBridge && link.alias === `${alias}n:${network.slice(0, 12)}`)?.name ?? ''
  changeLinks(
    endpoints.flatMap(({ container, network, device, hostDevice, mac }) => [
      `link add ${hostDevice} type veth peer name ${device} address ${mac} netns /proc/${process.pid}/fd/${namespace}`,
      `link set ${hostDevice} alias ${alias}c:${container.slice(0, 12)}`,
      `link set ${hostDevice} master ${bridgeOfNetwork(network)}`,
      `link set ${hostDevice} up`,
    ]),
  )
  const inside: string[] = []
  let isRouted = hasRoute
  for (const endpoint of endpoints) {
    const { address, address6, device } = endpoint
    const { settings } = networkOf(store, endpoint)
    const [pool, pool6] = [false, true].map((isIpv6) =>
      settings.pools.find(({ subnet }) => subnet.includes(':') === isIpv6),
    )
    if (pool !== undefined) inside.push(`address add ${address}${prefixOf(pool.subnet)} dev ${device}`)
    if (address6 !== undefined && pool6 !== undefined)
      inside.push(`address add ${address6}${prefixOf(pool6.subnet)} dev ${device} nodad`)
    inside.push(`link set ${device} up`)
    if (isRouted || settings.internal) continue
    if (pool !== undefined) inside.push(`route add default via ${pool.gateway} dev ${device}`)
    if (address6 !== undefined && pool6 !== undefined)
      inside.push(`-6 route add default via ${pool6.gateway} dev ${device}`)
    isRouted = true
  }
  inNetworkNamespace(namespace, () => {
    changeLinks(inside)
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
