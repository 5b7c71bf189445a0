import { acquireLock, tryAcquireLock } from '../content/lock.ts'
import type { Store } from '../content/store.ts'
import { CairnError, isCairnError } from '../errors/error.ts'
import { tryListDirectory } from '../linux/directories.ts'
import { close } from '../linux/files.ts'
import { makeDirectories, removeFile } from '../linux/names.ts'
import { readTextFile, writeTextFile } from '../linux/text-file.ts'
import { applyNetworks } from '../networks/apply.ts'
import { deleteEndpoint, endpointsOf, publishedPortsOf, recordEndpoint } from '../networks/endpoint-records.ts'
import { connectInterfaces, disconnectInterfaces } from '../networks/interfaces.ts'
import type { EndpointSetting, Network } from '../networks/network.ts'
import { findNetwork } from '../networks/network-records.ts'
import { networkScope } from '../networks/scope.ts'
import type { Container } from './container.ts'
import { getContainer, recordSettings } from './container-records.ts'
import { findInit } from './init-process.ts'
import { linkedFrom, linkedHosts } from './links.ts'
import { movePorts, openNamespaceOf, textsOf } from './network.ts'
import { containerDirectory, containerLock, networkChangePath, runtimeStateDirectory } from './places.ts'
import { settleContainer } from './settle-container.ts'

/**
 * Attaches a container to one more network, at once where it runs. Throws NETWORK_IN_USE where it is attached already,
 * CONTAINER_STATE for one that has the host's network, none or another container's, and as recordEndpoint().
 */
export async function connectContainer(
  store: Store,
  id: string,
  network: Network,
  setting: EndpointSetting,
): Promise<void> {
  using _lock = await acquireLock(store, containerLock(id))
  settleContainer(store, id)
  const container = containerOf(store, id)
  checkConnectable(container, network)
  const { networks = [] } = container.settings
  if (networks.some((one) => findNetwork(store, one.network)?.id === network.id))
    throw new CairnError(
      'NETWORK_IN_USE',
      `endpoint with name ${container.name} already exists in network ${network.name}`,
    )
  const settings = { ...container.settings, networks: [...networks, setting] }
  const namespace = openNamespaceOf(store, id)
  if (namespace === undefined) {
    recordSettings(store, id, settings)
    return
  }
  using _change = beginChange(store, id, network)
  try {
    const before = endpointsOf(store, id)
    const index = Math.max(-1, ...before.map(({ device }) => Number(device.slice('eth'.length)))) + 1
    const endpoint = store.database.transaction(() => {
      recordSettings(store, id, settings)
      return recordEndpoint(store, networkScope(), container, setting, index)
    })
    try {
      applyNetworks(store)
      connectInterfaces(store, namespace, [endpoint], before)
    } catch (error) {
      store.database.transaction(() => {
        deleteEndpoint(store, id, network)
        recordSettings(store, id, container.settings)
      })
      applyNetworks(store)
      throw error
    }
    writeTexts(store, { ...container, settings })
  } finally {
    close(namespace)
  }
}

/**
 * Takes a container from a network. Published ports go on by another of its networks. Throws CONTAINER_STATE where it is not
 * attached to that.
 */
export async function disconnectContainer(store: Store, id: string, network: Network): Promise<void> {
  using _lock = await acquireLock(store, containerLock(id))
  settleContainer(store, id)
  const container = containerOf(store, id)
  if (network.driver === 'host' && container.settings.network === 'host')
    throw new CairnError(
      'CONTAINER_STATE',
      'cannot disconnect container from host network - container was created in host network mode',
    )
  if (network.driver === 'null' && container.settings.network === 'none') {
    recordSettings(store, id, { ...container.settings, network: 'bridge', networks: [] })
    return
  }
  const { networks = [] } = container.settings
  const left = networks.filter((one) => findNetwork(store, one.network)?.id !== network.id)
  if (left.length === networks.length)
    throw new CairnError('CONTAINER_STATE', `container ${id} is not connected to network ${network.name}`)
  const settings = { ...container.settings, networks: left }
  const gone = endpointsOf(store, id).filter((endpoint) => endpoint.network === network.id)
  const hadPorts = publishedPortsOf(store, id).some(({ address }) =>
    gone.some((endpoint) => endpoint.address === address),
  )
  using _change = beginChange(store, id, network)
  const change = (): void => {
    deleteEndpoint(store, id, network)
    recordSettings(store, id, settings)
  }
  if (hadPorts) await movePorts(store, { ...container, settings }, change)
  else store.database.transaction(change)
  disconnectInterfaces(gone)
  applyNetworks(store)
  const namespace = openNamespaceOf(store, id)
  if (namespace === undefined) return
  try {
    connectInterfaces(store, namespace, [], endpointsOf(store, id))
  } finally {
    close(namespace)
  }
  writeTexts(store, { ...container, settings })
}

/**
 * Notes that the devices of a container are about to be changed, until what this gives is disposed of: what was recorded by
 * a process that is killed in between is brought about by {@link finishNetworkChanges}.
 */
function beginChange(store: Store, id: string, network: Network): Disposable {
  const path = networkChangePath(store, id)
  makeDirectories(path.slice(0, path.lastIndexOf('/')), 0o700)
  writeTextFile(path, network.id)
  return { [Symbol.dispose]: () => removeFile(path) }
}

/**
 * Gives containers the devices, routes and files that go with their records where the process that changed those was killed.
 * A listing of a directory that is mostly empty or not there. What fails is told, and tried again by the next command.
 */
export function finishNetworkChanges(store: Store): void {
  for (const { name: id } of tryListDirectory(`${runtimeStateDirectory(store)}/networks`)) {
    // Whoever holds it is still at it.
    using lock = tryAcquireLock(store, containerLock(id))
    if (lock === undefined) continue
    const path = networkChangePath(store, id)
    const network = readTextFile(path)
    try {
      if (network !== undefined) finishChange(store, id, network)
      removeFile(path)
    } catch (error) {
      if (!isCairnError(error)) throw error
      store.tell(`networks of the container ${id} could not be set right: ${error.message}`)
    }
  }
}

function finishChange(store: Store, id: string, network: string): void {
  const container = getContainer(store, id)
  if (container?.state !== 'running' || findInit(store, id) === undefined) return
  const namespace = openNamespaceOf(store, id)
  if (namespace === undefined) return
  try {
    const endpoints = endpointsOf(store, id)
    const [begun, others] = [true, false].map((is) => endpoints.filter((one) => (one.network === network) === is))
    // Some of its devices may be there.
    disconnectInterfaces(begun ?? [])
    applyNetworks(store)
    connectInterfaces(store, namespace, begun ?? [], others ?? [])
  } finally {
    close(namespace)
  }
  writeTexts(store, container)
}

function containerOf(store: Store, id: string): Container {
  const container = getContainer(store, id)
  if (container === undefined) throw new CairnError('CONTAINER_UNKNOWN', `No such container: ${id}`)
  return container
}

function checkConnectable({ settings }: Container, { driver }: Network): void {
  if (settings.network === 'none')
    throw new CairnError(
      'CONTAINER_STATE',
      'container cannot be connected to multiple networks with one of the networks in private (none) mode',
    )
  if (settings.network !== 'bridge')
    throw new CairnError(
      'CONTAINER_STATE',
      'container sharing network namespace with another container or host cannot be connected to any other network',
    )
  if (driver !== 'bridge')
    throw new CairnError(
      'CONTAINER_STATE',
      driver === 'host'
        ? 'cannot connect container to host network - container must be created in host network mode'
        : 'container cannot be connected to multiple networks with one of the networks in private (none) mode',
      {
        hint: 'It is made with that network: `cairn run --network`.',
      },
    )
}

/** Tells containers that run and are linked to this one, which has just been started, of its address. */
export function tellLinked(store: Store, started: Container): void {
  for (const container of linkedFrom(store, started)) writeTexts(store, container)
}

/** Tells a container that runs of its networks: the files are mounted into it. */
function writeTexts(store: Store, container: Container): void {
  const own = textsOf(store, container.settings, endpointsOf(store, container.id))
  const texts = { ...own, hosts: own.hosts + linkedHosts(store, container, 'lenient') }
  for (const name of ['hosts', 'resolv.conf'] as const)
    writeTextFile(`${containerDirectory(store, container.id)}/${name}`, texts[name], 0o644)
}
