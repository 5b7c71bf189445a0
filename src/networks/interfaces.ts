import type { Store } from '../content/store.ts'
import { networkOf } from './endpoint-records.ts'
import { changeLinks } from './host-links.ts'
import { inContainerNetwork, inNetworkHome, setSwitches } from './place.ts'
import { bridgeOf, type Endpoint, poolsOf } from './network.ts'
import { linkAlias } from './scope.ts'

/**
 * Connects a network namespace to the bridges of its endpoints, which must be up. The devices go with the namespace. A new
 * one gets docker's settings: every port may be listened at by every user, and everybody may ping. Throws TOOL_MISSING,
 * TOOL_FAILED.
 *
 * @param others - endpoints that it is connected to already; undefined for a new namespace
 */
export function connectInterfaces(
  store: Store,
  namespace: number,
  endpoints: readonly Endpoint[],
  others?: readonly Endpoint[],
): void {
  inNetworkHome(() => changeLinks(endpoints.flatMap((endpoint) => pairLines(store, namespace, endpoint))))
  const addresses = endpoints.flatMap((endpoint) => addressLines(store, endpoint))
  const routes = routeLines(store, [...(others ?? []), ...endpoints])
  inContainerNetwork(namespace, () => {
    const isWithout6 = ({ address6 }: Endpoint): string => (address6 === undefined ? '1' : '0')
    setSwitches({
      ...(others === undefined ? newSettings : {}),
      ...Object.fromEntries(endpoints.map((one) => [`ipv6/conf/${one.device}/disable_ipv6`, isWithout6(one)])),
    })
    changeLinks([...(others === undefined ? ['link set lo up'] : []), ...addresses, ...routes])
  })
}

const newSettings = {
  'ipv4/ip_unprivileged_port_start': '0',
  'ipv4/ping_group_range': '0 2147483647',
}

/** The pair of devices, one of them in the namespace. */
function pairLines(store: Store, namespace: number, endpoint: Endpoint): string[] {
  const { container, device, hostDevice, mac } = endpoint
  const network = networkOf(store, endpoint)
  const option = network.settings.options['com.docker.network.driver.mtu']
  const mtu = option === undefined ? '' : ` mtu ${option}`
  const inside = `${device}${mtu} address ${mac} netns /proc/${process.pid}/fd/${namespace}`
  return [
    `link add name ${hostDevice}${mtu} type veth peer name ${inside}`,
    `link set dev ${hostDevice} alias ${linkAlias(store)}c:${container.slice(0, 12)} master ${bridgeOf(network)}`,
    // A container may come back to itself by a published port.
    `link set dev ${hostDevice} type bridge_slave hairpin on`,
    `link set dev ${hostDevice} up`,
  ]
}

function addressLines(store: Store, endpoint: Endpoint): string[] {
  const { address, address6, device } = endpoint
  const { pool, pool6 } = poolsOf(networkOf(store, endpoint).settings)
  return [
    ...(pool === undefined ? [] : [`address add ${address}${prefixOf(pool.subnet)} dev ${device}`]),
    ...(address6 === undefined || pool6 === undefined
      ? []
      : [`address add ${address6}${prefixOf(pool6.subnet)} dev ${device} nodad`]),
    `link set dev ${device} up`,
  ]
}

/** What a container sends elsewhere goes through the first of its networks that leads anywhere. */
function routeLines(store: Store, endpoints: readonly Endpoint[]): string[] {
  const way = endpoints.find((endpoint) => !networkOf(store, endpoint).settings.internal)
  if (way === undefined) return []
  const { device, address6 } = way
  const { pool, pool6 } = poolsOf(networkOf(store, way).settings)
  return [
    ...(pool === undefined ? [] : [`route replace default via ${pool.gateway} dev ${device}`]),
    ...(address6 === undefined || pool6 === undefined ? [] : [`route replace ::/0 via ${pool6.gateway} dev ${device}`]),
  ]
}

function prefixOf(subnet: string): string {
  return subnet.slice(subnet.indexOf('/'))
}

/** Takes devices out of a container's network namespace. */
export function disconnectInterfaces(endpoints: readonly Endpoint[]): void {
  const lines = endpoints.map(({ hostDevice }) => `link delete dev ${hostDevice}`)
  inNetworkHome(() => changeLinks(lines, { lenient: true }))
}
