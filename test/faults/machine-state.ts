import { readFileSync, readlinkSync } from 'node:fs'
import { digestHex, digestOf } from '../../src/oci/digest.ts'
import { namesIn } from './killable-cairn.ts'

/** What a container is, as far as it needs something of the machine. */
export interface NeedyContainer {
  readonly id: string
  readonly state: string
  readonly hasHealthcheck: boolean
  /** Several files of its log are kept. */
  readonly hasLogFiles: boolean
  /** It is attached to networks with bridges. */
  readonly networks: readonly string[]
  /** Ports of the host on IPv4. */
  readonly ports: readonly number[]
}

/** A process that is there for a container. */
export interface Attendant {
  readonly pid: number
  readonly kind: 'monitor' | 'health' | 'log' | 'forwarder' | 'waiter' | 'names' | 'other'
  /** The container that it is for. */
  readonly id?: string
  readonly command: string
}

/** The processes that work for the containers of the store at `root`. */
export function attendantsOf(root: string): Attendant[] {
  return pids().flatMap((pid): Attendant[] => {
    const words = commandOf(pid)
    const command = words.join(' ')
    if (!command.includes(root) || pid === process.pid) return []
    const idAfter = (word: string): string | undefined => /[0-9a-f]{64}/.exec(command.split(word)[1] ?? '')?.[0]
    const of = (kind: Attendant['kind'], id: string | undefined): Attendant[] => [
      { pid, kind, command: command.slice(0, 300), ...(id === undefined ? {} : { id }) },
    ]
    if (words[0]?.endsWith('conmon') === true) return of('monitor', idAfter('--cid'))
    if (command.includes('container health-changed') || command.includes("'health-changed'"))
      return of('health', idAfter('/health '))
    // The program that looks after the size of a log, and what that has started.
    if (/containers\/[0-9a-f]{64}\/log( |$)/.test(command)) return of('log', idAfter('/containers/'))
    if (command.includes('container forward')) return of('forwarder', idAfter('container forward'))
    if (words[0]?.endsWith('sh') === true && command.includes('container revive'))
      return of('waiter', idAfter('container revive'))
    if (words[0]?.endsWith('aardvark-dns') === true) return of('names', undefined)
    return of('other', undefined)
  })
}

/**
 * How many first processes of containers run with each serial number behind `marker`. With `--init` the command is the
 * child of the first, so it is the process that was not started by another one with the marker.
 */
export function runningSerials(marker: string): Map<string, number> {
  const found = new Map<string, number>()
  const parents = new Map<number, string>()
  const marked: { readonly pid: number; readonly parent: number; readonly serial: string }[] = []
  for (const pid of pids()) {
    const text = commandOf(pid).join(' ')
    const at = text.indexOf(marker)
    if (at < 0) continue
    const status = statusOf(pid)
    // What is in a pid namespace of its own has more than one number.
    if (status === undefined || status.depth < 2 || status.isZombie) continue
    const serial = text.slice(at + marker.length).split('.')[0] ?? ''
    parents.set(pid, serial)
    marked.push({ pid, parent: status.parent, serial })
  }
  for (const { parent, serial } of marked)
    if (parents.get(parent) !== serial) found.set(serial, (found.get(serial) ?? 0) + 1)
  return found
}

/** Everything on the machine that belongs to the store at `root` and that none of the containers needs, or that one lacks. */
export function strays(root: string, containers: readonly NeedyContainer[], known: ReadonlySet<string>): string[] {
  const running = containers.filter(({ state }) => state === 'running' || state === 'paused')
  const attendants = attendantsOf(root)
  return [
    ...strayAttendants(attendants, containers, running),
    ...strayMounts(root, attendants, running),
    ...strayLinks(root, running),
    ...strayRules(root, running),
    ...strayCgroups(known, running),
    ...strayFiles(root, containers, running),
  ]
}

function strayAttendants(
  attendants: readonly Attendant[],
  containers: readonly NeedyContainer[],
  running: readonly NeedyContainer[],
): string[] {
  const problems: string[] = []
  const wanted = {
    monitor: running.map(({ id }) => id),
    health: running.flatMap(({ id, hasHealthcheck }) => (hasHealthcheck ? [id] : [])),
    log: running.flatMap(({ id, hasLogFiles }) => (hasLogFiles ? [id] : [])),
    forwarder: running.flatMap(({ id, ports }) => (ports.length > 0 ? [id] : [])),
    waiter: containers.flatMap(({ id, state }) => (state === 'restarting' ? [id] : [])),
  }
  for (const [kind, ids] of Object.entries(wanted)) {
    const found = attendants.filter((one) => one.kind === kind)
    for (const { pid, id = '', command } of found)
      if (!ids.includes(id)) problems.push(`${kind} ${pid} of a container that does not run: ${command}`)
    for (const id of ids) {
      const count = found.filter((one) => one.id === id).length
      if (kind === 'log' ? count === 0 : count !== 1)
        problems.push(`${id.slice(0, 12)} has ${count} processes for: ${kind}`)
    }
  }
  const servers = attendants.filter(({ kind }) => kind === 'names').length
  const serversWanted = running.some(({ networks }) => networks.some((name) => name !== 'bridge')) ? 1 : 0
  if (servers !== serversWanted) problems.push(`${servers} name servers in place of ${serversWanted}`)
  for (const { kind, pid, command } of attendants)
    if (kind === 'other') problems.push(`process ${pid} still runs: ${command}`)
  return problems
}

/** Mounts of the store in any mount namespace but those of containers that run. */
function strayMounts(root: string, attendants: readonly Attendant[], running: readonly NeedyContainer[]): string[] {
  const ids = new Set(running.map(({ id }) => id))
  const monitors = attendants.filter(({ kind, id = '' }) => kind === 'monitor' && ids.has(id)).map(({ pid }) => pid)
  const allowed = new Set(monitors.map(mountsOf))
  // The containers' own: their first processes are children of the monitors.
  for (const pid of pids()) if (monitors.includes(statusOf(pid)?.parent ?? 0)) allowed.add(mountsOf(pid))
  const seen = new Set(allowed)
  return pids().flatMap((pid) => {
    const space = mountsOf(pid)
    if (space === undefined || seen.has(space)) return []
    seen.add(space)
    return (textOf(`/proc/${pid}/mountinfo`) ?? '')
      .split('\n')
      .filter((line) => line.includes(root))
      .map((line) => `mounted in process ${pid} (${commandOf(pid).join(' ').slice(0, 80)}): ${line}`)
  })
}

function mountsOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/mnt`)
  } catch {
    return undefined
  }
}

function markOf(root: string): string {
  return digestHex(digestOf(root)).slice(0, 8)
}

function strayLinks(root: string, running: readonly NeedyContainer[]): string[] {
  const alias = `cairn:${markOf(root)}:`
  const links = (JSON.parse(output(['ip', '-json', 'link', 'show'])) as { ifname: string; ifalias?: string }[]).flatMap(
    ({ ifname, ifalias = '' }) => (ifalias.startsWith(alias) ? [{ ifname, kind: ifalias.slice(alias.length) }] : []),
  )
  const problems: string[] = []
  for (const { id, networks } of running) {
    const own = links.filter(({ kind }) => kind === `c:${id.slice(0, 12)}`).length
    if (own !== networks.length) problems.push(`${id.slice(0, 12)} has ${own} devices for ${networks.length} networks`)
  }
  for (const { ifname, kind } of links)
    if (kind.startsWith('c:') && !running.some(({ id }) => kind === `c:${id.slice(0, 12)}`))
      problems.push(`device ${ifname} of ${kind} is left`)
  const bridges = links.filter(({ kind }) => kind.startsWith('n:')).length
  const wanted = new Set(running.flatMap(({ networks }) => networks)).size
  if (bridges !== wanted) problems.push(`${bridges} bridges in place of ${wanted}`)
  return problems
}

function strayRules(root: string, running: readonly NeedyContainer[]): string[] {
  const table = `cairn_${markOf(root)}`
  const problems: string[] = []
  const hasTable = output(['nft', 'list', 'tables']).includes(table)
  if (hasTable !== running.some(({ networks }) => networks.length > 0))
    problems.push(`the table ${table} is ${hasTable ? 'left' : 'missing'}`)
  const rules = hasTable ? output(['nft', 'list', 'table', 'inet', table]) : ''
  const ascending = (a: number, b: number): number => a - b
  const ports = [...rules.matchAll(/dport (\d+) dnat/g)].map(([, port]) => Number(port)).toSorted(ascending)
  const wanted = running.flatMap((container) => container.ports).toSorted(ascending)
  if (ports.join() !== wanted.join()) problems.push(`rules for ports ${ports.join()} in place of ${wanted.join()}`)
  if (running.length === 0 && output(['iptables', '-w', '-S', 'FORWARD']).includes(table))
    problems.push(`rules of iptables for ${table} are left`)
  return problems
}

function strayCgroups(known: ReadonlySet<string>, running: readonly NeedyContainer[]): string[] {
  const ids = new Set(running.map(({ id }) => id))
  const roots = ['/sys/fs/cgroup', ...namesIn('/sys/fs/cgroup').map((name) => `/sys/fs/cgroup/${name}`)]
  return roots.flatMap((root) =>
    namesIn(root).flatMap((name) => {
      const id = /^cairn-([0-9a-f]{64})$/.exec(name)?.[1]
      return id !== undefined && known.has(id) && !ids.has(id) ? [`cgroup ${root}/${name} is left`] : []
    }),
  )
}

function strayFiles(root: string, containers: readonly NeedyContainer[], running: readonly NeedyContainer[]): string[] {
  const problems: string[] = []
  const ids = new Set(containers.map(({ id }) => id))
  for (const name of namesIn(`${root}/containers`))
    if (name !== 'run' && !ids.has(name)) problems.push(`containers/${name} is left`)
  for (const name of namesIn(`${root}/containers/run`))
    if (!['monitored', 'names', 'seccomp', 'crun-version'].includes(name))
      problems.push(`containers/run/${name} is left`)
  for (const runtime of namesIn(`${root}/containers/run/monitored`))
    for (const id of namesIn(`${root}/containers/run/monitored/${runtime}`))
      if (!running.some((one) => one.id === id)) problems.push(`state of ${runtime} is left: ${id}`)
  if (running.every(({ networks }) => networks.every((name) => name === 'bridge')))
    problems.push(...namesIn(`${root}/containers/run/names`).map((name) => `containers/run/names/${name} is left`))
  return problems
}

function output(command: readonly string[]): string {
  return Bun.spawnSync([...command], { stderr: 'ignore' }).stdout.toString()
}

function pids(): number[] {
  return namesIn('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
}

function commandOf(pid: number): string[] {
  return (textOf(`/proc/${pid}/cmdline`) ?? '').split('\0')
}

function statusOf(
  pid: number,
): { readonly parent: number; readonly depth: number; readonly isZombie: boolean } | undefined {
  const text = textOf(`/proc/${pid}/status`)
  if (text === undefined) return undefined
  const field = (name: string): string => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(text)?.[1] ?? ''
  return {
    parent: Number(field('PPid')),
    depth: field('NSpid').split(/\s+/).length,
    isZombie: /^[ZX]/.test(field('State')),
  }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
