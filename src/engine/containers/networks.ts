import { getContainer } from '../../containers/container-records.ts'
import { stopLingering } from '../../containers/lingering-network.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import { recordEvent } from '../../content/events.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, isCairnError, usageError } from '../../errors/error.ts'
import { endpointsIn } from '../../networks/endpoint-records.ts'
import { type Network, predefinedNetworks } from '../../networks/network.ts'
import { deleteNetwork, listNetworks, resolveNetwork } from '../../networks/network-records.ts'
import { booleanFilter, checkFilters, type Filters, suitsLabels } from '../filters.ts'
import { untilFilter } from '../moment.ts'

const predefined: readonly string[] = predefinedNetworks

const accepted = ['dangling', 'driver', 'id', 'label', 'label!', 'name', 'scope', 'type']

/**
 * The networks that suit `filters`, by name. Throws USAGE (status 1) for filters that are wrong.
 */
export function findNetworks(store: Store, filters: Filters = new Map()): Network[] {
  checkFilters(filters, accepted)
  recoverContainers(store)
  const dangling = booleanFilter(filters, 'dangling')
  const any = (name: string, suits: (value: string) => boolean): boolean => filters.get(name)?.some(suits) ?? true
  return listNetworks(store).filter((network) => {
    const { id, name, driver, settings } = network
    const isPredefined = predefined.includes(name)
    return (
      any('id', (value) => id.includes(value)) &&
      any('name', (value) => name.includes(value)) &&
      any('driver', (value) => driver === value) &&
      any('scope', (value) => value === 'local') &&
      any('type', (value) => value === typeOf(isPredefined, value)) &&
      (dangling === undefined || (!isPredefined && endpointsIn(store, id).length === 0) === dangling) &&
      suitsLabels(filters, settings.labels)
    )
  })
}

function typeOf(isPredefined: boolean, value: string): string {
  if (value !== 'custom' && value !== 'builtin') throw usageError(`invalid filter: 'type'='${value}'`)
  return isPredefined ? 'builtin' : 'custom'
}

/** All about a network under docker's names. */
export function inspectNetwork(store: Store, network: Network): Readonly<Record<string, unknown>> {
  const { id, name, driver, settings, createdAt } = network
  const isPredefined = predefined.includes(name)
  const containers = endpointsIn(store, id).map((endpoint) => {
    const length = (isIpv6: boolean): string =>
      settings.pools.find(({ subnet }) => subnet.includes(':') === isIpv6)?.subnet.split('/')[1] ?? ''
    return [
      endpoint.container,
      {
        Name: getContainer(store, endpoint.container)?.name ?? '',
        EndpointID: endpoint.id,
        MacAddress: endpoint.mac,
        IPv4Address: `${endpoint.address}/${length(false)}`,
        IPv6Address: endpoint.address6 === undefined ? '' : `${endpoint.address6}/${length(true)}`,
      },
    ] as const
  })
  return {
    Name: name,
    Id: id,
    Created: new Date(createdAt).toISOString(),
    Scope: 'local',
    Driver: driver,
    EnableIPv4: settings.ipv4,
    EnableIPv6: settings.ipv6,
    IPAM: {
      Driver: 'default',
      Options: isPredefined ? null : {},
      Config:
        driver !== 'bridge'
          ? null
          : settings.pools.map((pool) => ({
              Subnet: pool.subnet,
              ...(pool.range === undefined ? {} : { IPRange: pool.range }),
              ...(settings.isChosen || pool.hasOwnGateway === true ? { Gateway: pool.gateway } : {}),
              ...(pool.reserved === undefined ? {} : { AuxiliaryAddresses: pool.reserved }),
            })),
    },
    Internal: settings.internal,
    Attachable: settings.attachable,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: Object.fromEntries(containers),
    Options: settings.options,
    Labels: settings.labels,
  }
}

/**
 * Removes a network that no container which runs is attached to. Throws NETWORK_UNKNOWN, NETWORK_AMBIGUOUS, NETWORK_IN_USE.
 */
export function removeNetwork(store: Store, text: string): void {
  recoverContainers(store)
  store.database.transaction(() => {
    const network = resolveNetwork(store, text)
    const { id, name } = network
    if (predefined.includes(name))
      throw new CairnError('NETWORK_IN_USE', `${name} is a pre-defined network and cannot be removed`)
    const endpoints = endpointsIn(store, id)
    if (endpoints.length > 0) {
      const users = endpoints.map(
        (endpoint) => `name:"${getContainer(store, endpoint.container)?.name ?? ''}" id:"${endpoint.id.slice(0, 12)}"`,
      )
      throw new CairnError(
        'NETWORK_IN_USE',
        `error while removing network: network ${name} has active endpoints (${users.join(', ')})`,
      )
    }
    deleteNetwork(store, network)
  })
}

/**
 * Removes the networks that no container which runs is attached to; gives their names. Filters are `label`, `label!` and
 * `until`. Throws USAGE (status 1) for filters that are wrong.
 */
export function pruneNetworks(store: Store, filters: Filters = new Map(), now = Date.now()): string[] {
  checkFilters(filters, ['label', 'label!', 'until'])
  const isOld = untilFilter(filters, now)
  const selection = new Map([...filters].filter(([name]) => name !== 'until'))
  const names: string[] = []
  stopLingering(store)
  for (const { id, name, createdAt } of findNetworks(store, new Map([...selection, ['dangling', ['true']]]))) {
    if (!isOld(createdAt)) continue
    try {
      removeNetwork(store, id)
    } catch (error) {
      // A container was attached just now, or somebody else removed it.
      if (isCairnError(error, 'NETWORK_IN_USE') || isCairnError(error, 'NETWORK_UNKNOWN')) continue
      throw error
    }
    names.push(name)
  }
  recordEvent(store, 'network', 'prune', '', { reclaimed: '0' })
  return names
}
