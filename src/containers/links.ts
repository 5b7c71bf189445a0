import type { Store } from '../content/store.ts'
import { CairnError, isCairnError, reworded } from '../errors/error.ts'
import { endpointsOf, networkOf } from '../networks/endpoint-records.ts'
import type { Container, ContainerSettings, LinkSetting } from './container.ts'
import { getContainer, getContainerByName, resolveContainer } from './container-records.ts'

/** True where links are docker's older ones: only in the default network must the other be there, and are variables set. */
function isInDefaultNetwork({ network, networks = [] }: Pick<ContainerSettings, 'network' | 'networks'>): boolean {
  return network === 'bridge' && networks[0]?.network === 'bridge'
}

/** Finds the containers that a new one is linked to. Throws CONTAINER_UNKNOWN, CONFIG_INVALID, in docker's words. */
export function linkSettings(
  store: Store,
  settings: Pick<ContainerSettings, 'network' | 'networks'>,
  requests: readonly LinkSetting[],
): readonly LinkSetting[] {
  const { network } = settings
  if (requests.length === 0) return []
  if (network === 'host' || network === 'default' || network.startsWith('container:')) {
    const kind = network.startsWith('container:') ? 'container type network' : 'host type networking'
    throw new CairnError(
      'CONFIG_INVALID',
      `conflicting options: ${kind} can't be used with links. This would result in undefined behavior`,
    )
  }
  if (!isInDefaultNetwork(settings)) return requests
  return requests.map((request) => {
    const { id, name } = linkedContainer(store, request.name)
    return { ...request, id, name }
  })
}

function linkedContainer(store: Store, name: string): Container {
  try {
    if (name === '') throw new CairnError('CONTAINER_UNKNOWN', 'invalid name or ID supplied: ""')
    return resolveContainer(store, name)
  } catch (error) {
    if (!isCairnError(error)) throw error
    throw reworded(error, `could not get container for ${name}: ${error.message}`)
  }
}

/** What a container is told of another that it is linked to. */
interface Linked {
  readonly alias: string
  readonly other: Container
  readonly address: string
}

/** Whether a link that leads nowhere is an error in the default network, as at a start, or left out. */
type Strictness = 'strict' | 'lenient'

/**
 * The containers that this one is linked to and their addresses in its networks. Throws CONTAINER_STOPPED, in docker's words, where
 * one does not run that has to, CONTAINER_STATE where it is not in the default network.
 */
function linkedOf(store: Store, container: Pick<Container, 'name' | 'settings'>, strictness: Strictness): Linked[] {
  const { links = [], networks = [] } = container.settings
  const isStrict = strictness === 'strict' && isInDefaultNetwork(container.settings)
  const own = new Set(networks.map(({ network }) => network))
  return links.flatMap(({ id, name, alias }) => {
    const other = getContainer(store, id ?? name) ?? getContainerByName(store, name)
    if (other?.state !== 'running' && other?.state !== 'paused') {
      if (!isStrict) return []
      throw new CairnError(
        'CONTAINER_STOPPED',
        `Cannot link to a non running container: /${name} AS /${container.name}/${alias}`,
      )
    }
    const endpoint = endpointsOf(store, other.id).find((one) => own.has(networkOf(store, one).name))
    if (endpoint !== undefined) return [{ alias, other, address: endpoint.address }]
    if (!isStrict) return []
    throw new CairnError('CONTAINER_STATE', `container ${other.id} not attached to default bridge network`)
  })
}

/**
 * The lines of /etc/hosts for the containers that this one is linked to. Throws CONTAINER_STOPPED, CONTAINER_STATE, in docker's
 * words, unless links that lead nowhere are left out.
 */
export function linkedHosts(
  store: Store,
  container: Pick<Container, 'name' | 'settings'>,
  strictness: Strictness,
): string {
  return linkedOf(store, container, strictness)
    .map(({ alias, other, address }) => {
      const names = new Set([alias, other.id.slice(0, 12), other.name])
      return `${address}\t${[...names].join(' ')}\n`
    })
    .join('')
}

/** The variables that tell of linked containers' ports and variables: in the default network alone. Throws as {@link linkedHosts}. */
export function linkedVariables(
  store: Store,
  container: Pick<Container, 'name' | 'settings'>,
  strictness: Strictness,
): string[] {
  if (!isInDefaultNetwork(container.settings)) return []
  return linkedOf(store, container, strictness).flatMap(({ alias, other, address }) => {
    const prefix = alias.toUpperCase().replaceAll('-', '_')
    const { ExposedPorts: exposed = {}, Env: env = [] } = other.settings.config
    const ports = Object.keys(exposed ?? {})
      .map((text) => text.split('/'))
      .map(([port = '', protocol = 'tcp']) => ({ port, protocol }))
      .toSorted((a, b) => a.protocol.localeCompare(b.protocol) || Number(a.port) - Number(b.port))
    const [first] = ports
    const urlOf = ({ port, protocol }: (typeof ports)[number]): string => `${protocol}://${address}:${port}`
    return [
      ...(first === undefined ? [] : [`${prefix}_PORT=${urlOf(first)}`]),
      ...ports.flatMap((port) => {
        const name = `${prefix}_PORT_${port.port}_${port.protocol.toUpperCase()}`
        return [
          `${name}=${urlOf(port)}`,
          `${name}_ADDR=${address}`,
          `${name}_PORT=${port.port}`,
          `${name}_PROTO=${port.protocol}`,
        ]
      }),
      `${prefix}_NAME=/${container.name}/${alias}`,
      ...(env ?? [])
        .filter((variable) => variable.includes('=') && !/^(?:HOME|PATH)=/.test(variable))
        .map((variable) => `${prefix}_ENV_${variable}`),
    ]
  })
}

/** Containers that run and are linked to this one. */
export function linkedFrom(store: Store, { id: ownId, name }: Pick<Container, 'id' | 'name'>): Container[] {
  const rows = store.database.all<{ id: string }>(
    `SELECT id FROM containers WHERE state IN ('running', 'paused') AND instr(settings, '"links":[') > 0`,
  )
  return rows.flatMap(({ id }) => {
    const container = getContainer(store, id)
    return container?.settings.links?.some((link) =>
      link.id === undefined ? link.name === name : link.id === ownId,
    ) === true
      ? [container]
      : []
  })
}
