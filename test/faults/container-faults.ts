import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { busyboxArchive } from '../fixtures/build-bench.ts'
import { Choices } from './choices.ts'
import { nextOwnedCommand, type OwnedCommand, type Owner } from './container-commands.ts'
import type { FaultOptions } from './faults.ts'
import { descendants, type KillableCommand, killProcess, namesIn, type Outcome, startCairn } from './killable-cairn.ts'
import { attendantsOf, type NeedyContainer, runningSerials, strays } from './machine-state.ts'

export interface ContainerFaultReport {
  readonly seed: number
  readonly commands: number
  /** Of commands, with what they had started or alone. */
  readonly kills: number
  /** Of monitors, and of what else there is for containers. */
  readonly attendantKills: Readonly<Record<string, number>>
  /** How often all containers of a worker were compared with the kernel. */
  readonly looks: number
  /** All that was not as it must be. */
  readonly problems: readonly string[]
}

/** What a command may say that was not killed: that the container is not in the state for it. */
const excuses =
  /no such (container|object)|is not running|is already paused|is not paused|is paused|cannot start a paused|container is (running|restarting|paused)|is restarting|already in use|renaming a container with the same name|port is already allocated|already exists in network|is not connected to network|cannot be connected|is marked for removal|because AutoRemove is enabled|not a TTY/i

const longest = 90_000

/**
 * Lets several processes run, start, stop, rename and remove containers, kills them, monitors and whatever else belongs to
 * containers at random, and looks after every command whether what Cairn says is what the kernel says.
 */
export async function runContainerFaults(options: FaultOptions): Promise<ContainerFaultReport> {
  using run = new ContainerFaults(options)
  await run.prepare()
  await run.work()
  return await run.verify()
}

/** A container as `ps` tells it. */
interface Row {
  readonly id: string
  readonly name: string
  readonly state: string
  readonly serial: string
  /** It may change by itself at any time. */
  readonly isUnsteady: boolean
}

interface Worker {
  readonly owner: Omit<Owner, 'names'>
  readonly choices: Choices
  /** Those that must be there, and those of which that is not known. */
  readonly known: Map<string, 'there' | 'open'>
  readonly gone: Set<string>
  rows: readonly Row[]
}

class ContainerFaults {
  readonly #options: FaultOptions
  readonly #directory: string
  readonly #root: string
  readonly #marker: string
  readonly #problems: string[] = []
  readonly #ids = new Set<string>()
  readonly #attendantKills: Record<string, number> = {}
  #workers: readonly Worker[] = []
  #kills = 0
  #commands = 0
  #looks = 0
  #serial = 0

  constructor(options: FaultOptions) {
    this.#options = options
    this.#directory = mkdtempSync(`${options.parent ?? tmpdir()}/cairn-faults-`)
    this.#root = `${this.#directory}/store`
    this.#marker = `faults-${this.#directory.slice(-6)}-`
  }

  async prepare(): Promise<void> {
    writeFileSync(`${this.#directory}/base.tar`, busyboxArchive())
    await this.#expect(['import', `${this.#directory}/base.tar`, 'base'])
    await this.#expect(['network', 'create', 'between'])
    const { workers = 4, seed } = this.#options
    const firstPort = 20_000 + (process.pid % 250) * 40
    this.#workers = Array.from({ length: workers }, (_, index): Worker => ({
      owner: {
        marker: `${this.#marker}${index}-`,
        prefix: `w${index}-`,
        firstPort: firstPort + index * 5,
        network: 'between',
        nextSerial: () => ++this.#serial,
      },
      choices: new Choices(seed * 1000 + index),
      known: new Map(),
      gone: new Set(),
      rows: [],
    }))
  }

  async work(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => this.#loop(worker)))
  }

  async #loop(worker: Worker): Promise<void> {
    const { choices, owner } = worker
    while (this.#total() < this.#options.kills) {
      const command = nextOwnedCommand(choices, { ...owner, names: worker.rows.map(({ name }) => name) })
      const fate = choices.chance(0.5) ? choices.spread(50, 1000) : undefined
      const whole = choices.chance(0.5)
      await this.#runOne(worker, command, fate, whole)
      await this.#look(worker, command.argv)
      if (choices.chance(0.5)) {
        const what = this.#killAttendant(worker)
        if (what !== undefined) await this.#look(worker, [`(kill of ${what})`])
      }
    }
  }

  #total(): number {
    return this.#kills + Object.values(this.#attendantKills).reduce((sum, count) => sum + count, 0)
  }

  /** Runs a command and kills it after `fate` milliseconds, with all it has started or alone. */
  async #runOne(
    worker: Worker,
    { argv, removes }: OwnedCommand,
    fate: number | undefined,
    whole: boolean,
  ): Promise<void> {
    this.#commands++
    const removed = worker.rows.filter(({ name }) => name === removes || removes === 'all')
    for (const { id } of removed) worker.known.set(id, 'open')
    const { pid, isRunning, end } = this.#spawn(argv)
    let isKilled = false
    const kill = (): void => {
      if (!isRunning() || this.#total() >= this.#options.kills) return
      isKilled = true
      this.#kills++
      for (const one of whole ? [pid, ...descendants(pid)] : [pid]) killProcess(one)
      this.#options.log?.(
        `kill ${this.#total()}: ${argv.slice(0, 12).join(' ')} after ${Math.round(fate ?? 0)} ms${whole ? ', with its children' : ''}`,
      )
    }
    const timer = fate === undefined ? undefined : setTimeout(kill, fate)
    const late = setTimeout(() => {
      this.#problem(`cairn ${argv.join(' ')} hangs`)
      killProcess(pid)
    }, longest)
    const outcome = await end
    clearTimeout(timer)
    clearTimeout(late)
    this.#options.log?.(`${argv.slice(0, 14).join(' ')}: ${isKilled ? 'killed' : outcome.status} ${outcome.err.trim()}`)
    const id = /^[0-9a-f]{64}$/m.exec(outcome.out)?.[0]
    if (id !== undefined && !argv.includes('--rm') && /^(run|create)$/.test(argv[0] ?? ''))
      worker.known.set(id, 'there')
    if (!isKilled) this.#judge(worker, argv, outcome)
    if (!isKilled && outcome.status === 0 && removes !== 'all') for (const row of removed) worker.gone.add(row.id)
  }

  #judge({ rows, owner }: Worker, argv: readonly string[], { status, err }: Outcome): void {
    const told = /name "\/?([^"]+)" is already in use/.exec(err)?.[1]
    if (told !== undefined && !rows.some(({ name }) => name === told))
      this.#problem(`cairn ${argv.join(' ')}: ${err.trim()}, and there was no such container`)
    if (status === 0 || (err !== '' && excuses.test(err))) return
    // A command that is run ends as it likes, and so does one whose container ends first.
    const isOwnStatus = argv[0] === 'run' && argv.join(' ').includes(owner.marker) && status === 1
    if ((isOwnStatus && !err.includes('cairn: ')) || status === 137) return
    this.#problem(`cairn ${argv.join(' ')} ended with ${status}: ${err.trim()}`)
  }

  /** Kills a process that works for one of the worker's containers. */
  #killAttendant({ rows, choices }: Worker): string | undefined {
    const own = new Set(rows.map(({ id }) => id))
    const found = attendantsOf(this.#root).filter(({ kind, id }) => kind === 'names' || own.has(id ?? ''))
    const monitors = found.filter(({ kind }) => kind === 'monitor')
    const from = monitors.length > 0 && choices.chance(0.6) ? monitors : found.filter(({ kind }) => kind !== 'other')
    if (from.length === 0) return undefined
    const victim = choices.of(from)
    killProcess(victim.pid)
    this.#attendantKills[victim.kind] = (this.#attendantKills[victim.kind] ?? 0) + 1
    const what = `${victim.kind} ${victim.pid} of ${victim.id?.slice(0, 12) ?? 'all'}`
    this.#options.log?.(`kill ${this.#total()}: ${what}`)
    return what
  }

  /** Compares what `ps` says of a worker's containers with the processes that there are. Others go on meanwhile. */
  async #look(worker: Worker, after: readonly string[]): Promise<void> {
    this.#looks++
    let wrong: string[] = []
    for (let attempt = 0; attempt < 20; attempt++) {
      const before = runningSerials(worker.owner.marker)
      const rows = await this.#rowsOf(worker.owner)
      const now = runningSerials(worker.owner.marker)
      if (rows === undefined) return
      worker.rows = rows
      const isSettled = before.size === now.size && [...before].every(([serial, count]) => now.get(serial) === count)
      wrong = this.#compare(worker, now)
      if (wrong.length === 0) return
      // What a killed command had asked for may just happen; a container that ends by itself may do so at any time.
      const mayChange = attempt < 3 || rows.some(({ isUnsteady }) => isUnsteady)
      if (isSettled && !mayChange) break
      await Bun.sleep(50)
    }
    for (const problem of wrong) this.#problem(`after ${after.join(' ')}: ${problem}`)
  }

  #compare({ rows, known, gone, owner }: Worker, serials: ReadonlyMap<string, number>): string[] {
    const wrong: string[] = []
    const ids = new Set(rows.map(({ id }) => id))
    for (const [id, state] of known) if (state === 'there' && !ids.has(id)) wrong.push(`${id} is lost`)
    for (const id of ids) {
      if (gone.has(id)) wrong.push(`${id} is there although it was removed`)
      this.#ids.add(id)
    }
    if (ids.size < rows.length) wrong.push('a container is listed twice')
    if (new Set(rows.map(({ name }) => name)).size < rows.length) wrong.push('a name is used twice')
    for (const { id, name, state, serial } of rows) {
      const count = serials.get(serial) ?? 0
      const most = state === 'created' || state === 'exited' ? 0 : 1
      const least = state === 'running' || state === 'paused' ? 1 : 0
      if (count < least || count > most)
        wrong.push(`${name} (${id.slice(0, 12)}) is ${state} and has ${count} first processes`)
    }
    const recorded = new Set(rows.map(({ serial }) => serial))
    for (const serial of serials.keys())
      if (!recorded.has(serial)) wrong.push(`a process of no container runs: ${owner.marker}${serial}`)
    return wrong
  }

  async #rowsOf({ marker, prefix }: Worker['owner']): Promise<readonly Row[] | undefined> {
    const format = '{{.ID}}\t{{.Names}}\t{{.State}}\t{{.Command}}'
    const { status, out, err } = await this.#spawn(['ps', '-a', '--no-trunc', '--format', format]).end
    if (status !== 0) {
      this.#problem(`cairn ps ended with ${status}: ${err}`)
      return undefined
    }
    return out.split('\n').flatMap((line): Row[] => {
      const [id = '', name = '', state = '', command = ''] = line.split('\t')
      if (!command.includes(marker) && !name.startsWith(prefix)) return []
      const serial = command.slice(command.indexOf(marker) + marker.length).split('.')[0] ?? ''
      return [{ id, name, state, serial, isUnsteady: !command.includes('while') || state === 'restarting' }]
    })
  }

  async verify(): Promise<ContainerFaultReport> {
    await this.#expect(['ps'])
    await this.#settle('after the kills', async () => this.#needs(await this.#inspectAll()))
    await this.#check('after the kills')
    await this.#removeAll()
    const { seed } = this.#options
    return {
      seed,
      commands: this.#commands,
      kills: this.#kills,
      attendantKills: this.#attendantKills,
      looks: this.#looks,
      problems: this.#problems,
    }
  }

  /** Nothing may be there for good that no container needs; what is just going has a moment for that. */
  async #settle(when: string, containers: () => Promise<readonly NeedyContainer[]>): Promise<void> {
    let found: string[] = []
    for (let attempt = 0; attempt < 25; attempt++) {
      found = strays(this.#root, await containers(), this.#ids)
      if (found.length === 0) return
      await Bun.sleep(200)
    }
    for (const problem of found) this.#problem(`${when}: ${problem}`)
  }

  async #inspectAll(): Promise<readonly Inspected[]> {
    const ids = (await this.#expect(['ps', '-aq', '--no-trunc'])).trim().split('\n').filter(Boolean)
    for (const id of ids) this.#ids.add(id)
    return ids.length === 0 ? [] : (JSON.parse(await this.#expect(['container', 'inspect', ...ids])) as Inspected[])
  }

  #needs(containers: readonly Inspected[]): NeedyContainer[] {
    return containers.map(({ Id: id, State, Config, HostConfig, NetworkSettings }) => {
      const networks = Object.keys(NetworkSettings.Networks).filter((name) => name !== 'none' && name !== 'host')
      return {
        id,
        state: State.Status,
        hasHealthcheck: Config.Healthcheck !== undefined,
        hasLogFiles: 'max-file' in HostConfig.LogConfig.Config,
        networks,
        // Without a network there is no way to them.
        ports: Object.values(networks.length === 0 ? {} : HostConfig.PortBindings).flatMap((bindings) =>
          bindings.map(({ HostPort }) => Number(HostPort)),
        ),
      }
    })
  }

  async #check(when: string): Promise<void> {
    const { status, out, err } = await this.#spawn(['system', 'check']).end
    if (status !== 0) this.#problem(`system check ${when}: ${out}${err}`)
  }

  /** When all is removed nothing may be left, and ports and names are free. */
  async #removeAll(): Promise<void> {
    const ids = (await this.#expect(['ps', '-aq'])).trim().split('\n').filter(Boolean)
    if (ids.length > 0) await this.#expect(['rm', '-fv', ...ids])
    await this.#settle('when all is removed', () => Promise.resolve([]))
    await this.#expect(['network', 'rm', 'between'])
    await this.#expect(['volume', 'prune', '-af'])
    await this.#takePorts()
    await this.#expect(['rmi', 'base'])
    await this.#check('when all is removed')
    for (const area of ['tmp', 'locks', 'volumes', 'snapshots', 'content/blobs/sha256']) {
      const names = namesIn(`${this.#root}/${area}`)
      if (names.length > 0) this.#problem(`left in ${area}: ${names.join(', ')}`)
    }
  }

  async #takePorts(): Promise<void> {
    for (const { owner } of this.#workers) {
      const names = [0, 1, 2, 3].map((slot) => [
        '--name',
        `${owner.prefix}${slot}`,
        '-p',
        `${owner.firstPort + slot}:80`,
      ])
      const made = await Promise.all(names.map((words) => this.#expect(['run', '--rm', ...words, 'base', 'true'])))
      if (made.some((out) => out !== '')) this.#problem(`${owner.prefix} said ${made.join()}`)
    }
  }

  #problem(text: string): void {
    this.#problems.push(text)
    this.#options.log?.(`PROBLEM ${text}`)
  }

  async #expect(argv: readonly string[]): Promise<string> {
    const { status, out, err } = await this.#spawn(argv).end
    if (status !== 0) this.#problem(`cairn ${argv.join(' ')} ended with ${status}: ${err.trim()}`)
    return out
  }

  #spawn(argv: readonly string[]): KillableCommand {
    return startCairn(argv, { cairn: this.#options.cairn, home: this.#directory, root: this.#root })
  }

  /** Ends whatever a run that failed has left. */
  [Symbol.dispose](): void {
    for (let attempt = 0; attempt < 100; attempt++) {
      const left = attendantsOf(this.#root)
      if (left.length === 0) break
      for (const { pid } of left) for (const one of [...descendants(pid), pid]) killProcess(one)
      Bun.sleepSync(20)
    }
    if (process.env['CAIRN_FAULTS_KEEP'] === undefined) rmSync(this.#directory, { recursive: true, force: true })
  }
}

/** What is read of `container inspect`. */
interface Inspected {
  readonly Id: string
  readonly State: { readonly Status: string }
  readonly Config: { readonly Healthcheck?: unknown }
  readonly HostConfig: {
    readonly LogConfig: { readonly Config: Readonly<Record<string, string>> }
    readonly PortBindings: Readonly<Record<string, readonly { readonly HostPort: string }[]>>
  }
  readonly NetworkSettings: { readonly Networks: Readonly<Record<string, unknown>> }
}
