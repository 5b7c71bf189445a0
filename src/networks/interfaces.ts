import type { Store } from '../content/store.ts'
import { networkOf } from './endpoint-records.ts'
import { changeLinks } from './host-links.ts'
import type { LinkChange } from './link-change.ts'
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
  inNetworkHome(() => changeLinks(endpoints.flatMap((endpoint) => pairOf(store, namespace, endpoint))))
  const addresses = endpoints.flatMap((endpoint) => addressesOf(store, endpoint))
  const routes = routesOf(store, [...(others ?? []), ...endpoints])
  inContainerNetwork(namespace, () => {
    const isWithout6 = ({ address6 }: Endpoint): string => (address6 === undefined ? '1' : '0')
    setSwitches({
      ...(others === undefined ? newSettings : {}),
      ...Object.fromEntries(endpoints.map((one) => [`ipv6/conf/${one.device}/disable_ipv6`, isWithout6(one)])),
    })
    const loopback: LinkChange[] = others === undefined ? [{ kind: 'set', device: 'lo', up: true }] : []
    changeLinks([...loopback, ...addresses, ...routes])
  })
}

const newSettings = {
  'ipv4/ip_unprivileged_port_start': '0',
  'ipv4/ping_group_range': '0 2147483647',
}

/** The pair of devices, one of them in the namespace. */
function pairOf(store: Store, namespace: number, endpoint: Endpoint): LinkChange[] {
  const { container, device, hostDevice, mac } = endpoint
  const network = networkOf(store, endpoint)
  const option = network.settings.options['com.docker.network.driver.mtu']
  const mtu = option === undefined ? undefined : Number(option)
  const alias = `${linkAlias(store)}c:${container.slice(0, 12)}`
  return [
    { kind: 'add-veth', name: hostDevice, mtu, peer: { name: device, mac, namespace } },
    // A container may come back to itself by a published port.
    { kind: 'set', device: hostDevice, alias, master: bridgeOf(network), hairpin: true },
    { kind: 'set', device: hostDevice, up: true },
  ]
}

function addressesOf(store: Store, endpoint: Endpoint): LinkChange[] {
  const { address, address6, device } = endpoint
  const { pool, pool6 } = poolsOf(networkOf(store, endpoint).settings)
  const add = (text: string, subnet: string): LinkChange => ({
    kind: 'add-address',
    device,
    address: text + prefixOf(subnet),
  })
  return [
    ...(pool === undefined ? [] : [add(address, pool.subnet)]),
    ...(address6 === undefined || pool6 === undefined ? [] : [add(address6, pool6.subnet)]),
    { kind: 'set', device, up: true },
  ]
}

/** What a container sends elsewhere goes through the first of its networks that leads anywhere. */
function routesOf(store: Store, endpoints: readonly Endpoint[]): LinkChange[] {
  const way = endpoints.find((endpoint) => !networkOf(store, endpoint).settings.internal)
  if (way === undefined) return []
  const { device, address6 } = way
  const { pool, pool6 } = poolsOf(networkOf(store, way).settings)
  const by = (gateway: string): LinkChange => ({ kind: 'set-default-route', gateway, device })
  return [
    ...(pool === undefined ? [] : [by(pool.gateway)]),
    ...(address6 === undefined || pool6 === undefined ? [] : [by(pool6.gateway)]),
  ]
}

function prefixOf(subnet: string): string {
  return subnet.slice(subnet.indexOf('/'))
}

/** Takes devices out of a container's network namespace. */
export function disconnectInterfaces(endpoints: readonly Endpoint[]): void {
  const changes = endpoints.map(({ hostDevice }): LinkChange => ({ kind: 'delete', device: hostDevice }))
  inNetworkHome(() => changeLinks(changes, { lenient: true }))
}
