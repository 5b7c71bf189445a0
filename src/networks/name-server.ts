import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { tryListDirectory } from '../linux/directories.ts'
import { makeDirectories, removeFile } from '../linux/names.ts'
import { removeTree } from '../linux/remove-tree.ts'
import { systemProgram } from '../linux/system-program.ts'
import { readTextFile, writeTextFile } from '../linux/text-file.ts'
import { isRunning, type ProcessIdentity, processStatus, signalProcess } from '../linux/processes.ts'
import { signalNumbers } from '../linux/signals.ts'
import { digestHex, digestOf } from '../oci/digest.ts'
import { heldPorts } from './port-holders.ts'
import { networkCommand } from './place.ts'
import { type Endpoint, hasNames, type Network } from './network.ts'

/**
 * Names of containers are told by aardvark-dns, one process for all networks of a store. It reads a file for each network:
 * the addresses that it is asked at, then a line for each container. https://github.com/containers/aardvark-dns
 */

function directoryOf(store: Store, scope: string): string {
  return store.path('containers', 'run', 'names', directoryName(scope))
}

function directoryName(scope: string): string {
  return digestHex(digestOf(scope)).slice(0, 16)
}

/** Removes what there is for other scopes than these. */
export function dropNames(store: Store, scopes: readonly string[]): void {
  const kept = new Set(scopes.map(directoryName))
  const directory = store.path('containers', 'run', 'names')
  for (const { name } of tryListDirectory(directory)) if (!kept.has(name)) removeTree(`${directory}/${name}`)
}

/** True where names are to be told and nobody does. */
export function isNameServerMissing(store: Store, scope: string, networks: readonly Network[]): boolean {
  return networks.some(hasNames) && running(directoryOf(store, scope)) === undefined
}

/**
 * Makes the names of containers known to each other, or forgotten. Throws TOOL_MISSING without aardvark-dns, TOOL_FAILED.
 */
export function applyNames(
  store: Store,
  scope: string,
  networks: readonly Network[],
  endpoints: readonly Endpoint[],
): void {
  const directory = directoryOf(store, scope)
  const wanted = new Map(networks.filter(hasNames).map((network) => [network.id, fileOf(network, endpoints)]))
  for (const { name } of tryListDirectory(directory))
    if (name !== pidFile && !wanted.has(name)) removeFile(`${directory}/${name}`)
  const server = running(directory)
  if (wanted.size === 0) {
    if (server !== undefined) signalProcess(server, signalNumbers.SIGTERM)
    removeTree(directory)
    return
  }
  makeDirectories(directory, 0o700)
  for (const [id, text] of wanted) writeTextFile(`${directory}/${id}`, text)
  const before = listeningSockets()
  if (server === undefined) startServer(directory)
  else signalProcess(server, signalNumbers.SIGHUP)
  awaitServer(before, wanted.size)
}

/** How long it may take to read its files, in milliseconds. */
const patience = 100
const pause = 2

/** What it reads again it does on new sockets. Until then it may tell what was, or lose what it is asked. */
function awaitServer(before: ReadonlySet<string>, count: number): void {
  const deadline = performance.now() + patience
  const isThere = (): boolean => [...listeningSockets()].filter((inode) => !before.has(inode)).length >= count
  while (!isThere() && performance.now() < deadline) Bun.sleepSync(pause)
}

function listeningSockets(): Set<string> {
  return new Set(heldPorts('udp').flatMap(({ port, inode }) => (port === serverPort ? [inode] : [])))
}

const serverPort = 53

const pidFile = 'aardvark.pid'

/**
 * Who asks is known by its address, and is told the names of the networks that the address is in. So a container's addresses
 * of other networks are listed too, under a name that nobody asks for: all its networks answer it wherever it asks.
 */
function fileOf({ id, settings }: Network, endpoints: readonly Endpoint[]): string {
  const here = endpoints.filter(({ network }) => network === id)
  const lines = [settings.pools.map(({ gateway }) => gateway).join(',')]
  for (const { container, address, address6 = '', names, servers = [] } of here) {
    lines.push(
      `${container} ${address} ${address6} ${names.join(',')}${servers.length > 0 ? ` ${servers.join(',')}` : ''}`,
    )
    const elsewhere = endpoints.filter((other) => other.container === container && other.network !== id)
    for (const other of elsewhere)
      lines.push(`${container} ${other.address} ${other.address6 ?? ''} ${container}.${other.network.slice(0, 12)}`)
  }
  return `${lines.join('\n')}\n`
}

function running(directory: string): ProcessIdentity | undefined {
  const pid = Number(readTextFile(`${directory}/${pidFile}`) ?? '')
  if (!Number.isInteger(pid) || pid <= 0) return undefined
  const status = processStatus(pid)
  const identity = status === undefined ? undefined : { pid, startTime: status.startTime }
  // The number may be another process's by now.
  const isServer = readTextFile(`/proc/${pid}/cmdline`)?.split('\0').includes(directory) === true
  return identity !== undefined && isServer && isRunning(identity) ? identity : undefined
}

function startServer(directory: string): void {
  removeFile(`${directory}/${pidFile}`)
  const program = systemProgram('aardvark-dns', { libexec: '/usr/lib/podman:/usr/libexec/podman' })
  if (program === undefined)
    throw new CairnError('TOOL_MISSING', 'names of containers need aardvark-dns, which is not installed', {
      hint: 'Install it: `apt-get install aardvark-dns`. Or use the network "bridge", where containers have no names.',
    })
  const { exitCode } = Bun.spawnSync(
    networkCommand([program, '--config', directory, '--port', String(serverPort), 'run']),
    {
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: 'ignore',
      cwd: '/',
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    },
  )
  if (exitCode !== 0) throw new CairnError('TOOL_FAILED', `aardvark-dns ended with ${exitCode}`)
}
