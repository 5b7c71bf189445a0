import type { Store } from '../content/store.ts'
import { CairnError, isCairnError } from '../errors/error.ts'
import { close, open, openFlags } from '../linux/files.ts'
import { applyNetworks } from '../networks/apply.ts'
import { endpointsOf, networkOf, recordEndpoint, releaseNetworks, releasePorts } from '../networks/endpoint-records.ts'
import { lockNetworkHome } from '../networks/home-lock.ts'
import { connectInterfaces } from '../networks/interfaces.ts'
import { type Endpoint, hasNames, type PortSetting, type PublishedPort } from '../networks/network.ts'
import { makeContainerNetwork } from '../networks/place.ts'
import { isReplaceable, portTaken, recordPorts } from '../networks/publish.ts'
import { networkScope } from '../networks/scope.ts'
import { connectNamespaceNetwork } from '../rootless/connection.ts'
import { isRootless } from '../rootless/namespace.ts'
import { hostsFile, resolverConfig } from '../runtime/network-files.ts'
import type { ContainerOptions } from '../runtime/spec.ts'
import type { Container, ContainerSettings } from './container.ts'
import { getContainer } from './container-records.ts'
import type { OpenUserNamespace } from './user-namespace.ts'
import { hostHosts } from './host-files.ts'
import { findInit, findRunningInit } from './init-process.ts'
import { reviveForwarders, startForwarder, withoutForwarder } from './port-forwarder.ts'

/** The network a container is started in, until it is there. */
export interface OpenNetwork extends Disposable {
  readonly runtime: ContainerOptions['network']
  /** /etc/resolv.conf, /etc/hosts and /etc/hostname of the container, as text or as files of another one. */
  readonly files: NetworkTexts | { readonly of: string }
}

export interface NetworkTexts {
  readonly 'resolv.conf': string
  readonly hosts: string
  readonly hostname: string
}

/**
 * Makes the network of a container that is just being started: addresses and ports that nobody else has, a network namespace
 * with its devices, bridges, rules and names. All of it is given back by whatever records that the container does not run;
 * {@link applyNetworks} then takes it from the kernel. The namespace is there as long as what this gives, or the container.
 *
 * Throws NETWORK_UNKNOWN, NETWORK_IN_USE, PORT_IN_USE, CONFIG_INVALID, TOOL_MISSING, TOOL_FAILED, NOT_ROOT.
 *
 * @param own - the container's user namespace, whose network namespace it gets
 */
export async function openNetwork(store: Store, container: Container, own?: OpenUserNamespace): Promise<OpenNetwork> {
  const { settings } = container
  const nothing = (): void => {}
  if (settings.network.startsWith('container:')) {
    const other = settings.network.slice('container:'.length)
    const init = findInit(store, other)
    if (init === undefined) throw withoutNetwork(store, other)
    return { runtime: { path: `/proc/${init.pid}/ns/net` }, files: { of: other }, [Symbol.dispose]: nothing }
  }
  if (settings.network !== 'bridge') {
    const isOwn = settings.network === 'none'
    return { runtime: isOwn ? 'none' : 'host', files: textsOf(store, settings, []), [Symbol.dispose]: nothing }
  }
  if (isRootless()) connectNamespaceNetwork()
  // Networks that nobody uses any more may have what this one is to get.
  applyNetworks(store)
  const endpoints = await attach(store, container)
  try {
    const namespace = own === undefined ? makeContainerNetwork() : duplicate(own.network)
    try {
      connectInterfaces(store, namespace, endpoints)
    } catch (error) {
      close(namespace)
      throw error
    }
    return {
      runtime: { path: `/proc/${process.pid}/fd/${namespace}` },
      files: textsOf(store, settings, endpoints),
      [Symbol.dispose]: () => {
        close(namespace)
      },
    }
  } catch (error) {
    closeNetwork(store, container.id)
    throw error
  }
}

/** The error for a container whose network another one cannot have, in docker's words. */
function withoutNetwork(store: Store, id: string): CairnError {
  const { name = id, state = 'exited' } = getContainer(store, id) ?? {}
  return new CairnError(
    'CONTAINER_STOPPED',
    `cannot join network namespace of a non running container: container ${name} is ${state}`,
  )
}

/** One more descriptor of the same. */
function duplicate(descriptor: number): number {
  return open(`/proc/self/fd/${descriptor}`, openFlags.O_RDONLY)
}

/** Gives back what a container that did not come to run has of networks. */
export function closeNetwork(store: Store, id: string): void {
  releaseNetworks(store, id)
  applyNetworks(store)
}

/**
 * Takes from the kernel what containers that have ended had of networks, and puts back what was killed. Whoever only came for
 * something else is told of what fails and goes on.
 */
export function tidyNetworks(store: Store): void {
  if (store.isReadOnly) return
  try {
    applyNetworks(store)
    reviveForwarders(store)
  } catch (error) {
    if (!isCairnError(error)) throw error
    store.tell(`networks could not be set right: ${error.message}`)
  }
}

/** How often another port is tried where any will do. */
const attempts = 20
/** How often another bridge is. */
const attemptsAtBridge = 4

/** Records what the container gets, brings the kernel to that, and takes the ports. */
async function attach(store: Store, container: Container): Promise<readonly Endpoint[]> {
  const scope = networkScope()
  const ports = portsOf(container.settings)
  const avoided = new Set<number>()
  for (let attempt = 1; ; attempt++) {
    try {
      const { endpoints, published } = await make(store, scope, container, ports, avoided)
      const taken = published.length === 0 ? undefined : await startForwarder(store, scope, container.id, published)
      if (taken === undefined) return endpoints
      if (attempt >= attempts || !isReplaceable(ports, taken)) throw portTaken(taken)
      avoided.add(taken.hostPort)
    } catch (error) {
      closeNetwork(store, container.id)
      // Between the look at the machine's devices and the making of its own, another store made one of that name.
      if (attempt >= attemptsAtBridge || !isCairnError(error, 'NETWORK_IN_USE')) throw setupFailure(error)
    }
    releaseNetworks(store, container.id)
  }
}

/**
 * Calls `change`, which takes a container that runs from a network, and publishes its ports at the first of its networks then,
 * all in one transaction: whoever comes after this was killed finds ports as they were or as they are to be. Throws
 * PORT_IN_USE where another has got hold of one meanwhile.
 */
export async function movePorts(store: Store, container: Container, change: () => void): Promise<void> {
  const scope = networkScope()
  const { id, settings } = container
  // Nobody forwards to where the container was before.
  const published = await withoutForwarder(store, scope, id, () =>
    store.database.transaction(() => {
      change()
      releasePorts(store, id)
      const [first] = endpointsOf(store, id)
      return first === undefined ? [] : recordPorts(store, scope, id, first.address, portsOf(settings))
    }),
  )
  applyNetworks(store)
  if (published.length === 0) return
  const taken = await startForwarder(store, scope, id, published)
  if (taken === undefined) return
  releasePorts(store, id)
  applyNetworks(store)
  throw portTaken(taken)
}

/** In docker's words. */
function setupFailure(error: unknown): unknown {
  if (!isCairnError(error)) return error
  const { code, message, hint } = error
  const details = hint === undefined ? { cause: error } : { cause: error, hint }
  return new CairnError(code, `failed to set up container networking: ${message}`, details)
}

interface Attached {
  readonly endpoints: readonly Endpoint[]
  readonly published: readonly PublishedPort[]
}

/** Records what the container gets and brings the kernel to that, before another store of this machine looks what is free. */
async function make(...args: Parameters<typeof record>): Promise<Attached> {
  using _lock = await lockNetworkHome()
  const attached = record(...args)
  applyNetworks(args[0])
  return attached
}

function record(
  store: Store,
  scope: string,
  container: Container,
  ports: readonly PortSetting[],
  avoided: ReadonlySet<number>,
): Attached {
  return store.database.transaction(() => {
    const { networks = [] } = container.settings
    // Of a start that was killed.
    releaseNetworks(store, container.id)
    const endpoints = networks.map((setting, index) => recordEndpoint(store, scope, container, setting, index))
    const [first] = endpoints
    const published = first === undefined ? [] : recordPorts(store, scope, container.id, first.address, ports, avoided)
    return { endpoints, published }
  })
}

/** What is asked for by `-p`, and by `-P` for the exposed ports that it does not name. */
function portsOf({ ports = [], publishAll, config }: ContainerSettings): readonly PortSetting[] {
  if (publishAll !== true) return ports
  const named = new Set(ports.map(({ port, protocol }) => `${port}/${protocol}`))
  const exposed = Object.keys(config.ExposedPorts ?? {}).flatMap((text): PortSetting[] => {
    const [port = '', protocol = 'tcp'] = text.split('/')
    if ((protocol !== 'tcp' && protocol !== 'udp') || named.has(`${port}/${protocol}`)) return []
    return [{ protocol, port: Number(port), hostAddress: '' }]
  })
  return [...ports, ...exposed]
}

/** What is asked while the name server reads its files again is lost: it is soon asked again. */
const patientResolver = 'options timeout:1 attempts:5\n'

/** The files that tell a container of its network; docker's. */
export function textsOf(
  store: Store,
  { network, hostname, domainname, extraHosts, dns }: ContainerSettings,
  endpoints: readonly Endpoint[],
): NetworkTexts {
  const whole = domainname === undefined || domainname === '' ? hostname : `${hostname}.${domainname}`
  const [label = ''] = hostname.split('.')
  const name = label === whole ? whole : `${whole} ${label}`
  const networks = endpoints.map((endpoint) => networkOf(store, endpoint))
  const gateway = networks[0]?.settings.pools[0]?.gateway ?? '127.0.0.1'
  const hosts = extraHosts.map((host) => (host.address === 'host-gateway' ? { ...host, address: gateway } : host))
  const isNamed = networks.some(hasNames)
  const servers = networks.filter(hasNames).map(({ settings }) => settings.pools[0]?.gateway ?? '')
  const addresses = endpoints.flatMap(({ address, address6 }) =>
    address6 === undefined ? [address] : [address, address6],
  )
  return {
    'resolv.conf': `${resolverConfig({
      ...dns,
      hostNetwork: network !== 'none' && network !== 'bridge',
      ...(servers.length > 0 ? { servers } : {}),
    })}${isNamed && dns.options === undefined ? patientResolver : ''}`,
    hosts:
      network === 'host'
        ? hostHosts(hosts)
        : hostsFile({ hostname: name, extraHosts: hosts, ...(addresses.length > 0 ? { addresses } : {}) }),
    hostname: `${hostname}\n`,
  }
}

/** The network namespace of a container that runs; to be closed. Undefined where it does not run. */
export function openNamespaceOf(store: Store, id: string): number | undefined {
  if (getContainer(store, id)?.state !== 'running') return undefined
  return open(`/proc/${findRunningInit(store, id).pid}/ns/net`, openFlags.O_RDONLY)
}
