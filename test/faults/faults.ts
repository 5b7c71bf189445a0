import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { busyboxArchive } from '../fixtures/build-bench.ts'
import { eventually, processesWith } from '../fixtures/container-bench.ts'
import { Choices } from './choices.ts'
import { baseName, nextCommand, type Place } from './commands.ts'
import { descendants, type KillableCommand, killProcess, namesIn, startCairn } from './killable-cairn.ts'

export interface FaultOptions {
  readonly seed: number
  readonly kills: number
  /** Commands at once. */
  readonly workers?: number
  /** The program and its first arguments; the sources if absent. */
  readonly cairn?: readonly string[]
  /** Where the store is made. */
  readonly parent?: string
  readonly log?: (line: string) => void
}

export interface FaultReport {
  readonly seed: number
  readonly commands: number
  readonly kills: number
  /** Images that were there at the end, each of which ran. */
  readonly images: number
  /** Bytes by du, and by system df. */
  readonly sizes: readonly [number, number]
  /** All that was not as it must be. */
  readonly problems: readonly string[]
}

/** What a command may say that was not killed: that somebody else took away what it wanted. */
const excuses =
  /no such image|image not known|unable to find image|no such container|is already in use|conflict: unable|removal of container|not found|is not running|container is running|was started meanwhile|is not in the store as an image|does not exist|failed to resolve|connection refused|cannot connect|unable to connect|manifest unknown/i

/** Of a container that `rm -f` ended. */
const killedStatus = 137

/** Milliseconds after which a command is taken to hang. */
const longest = 90_000

/**
 * Lets several processes build, load, run, commit, tag and remove at once in one store, kills them at random, and tells
 * what is then wrong with the store. The choices are the same for the same seed; when things happen is not.
 */
export async function runFaults(options: FaultOptions): Promise<FaultReport> {
  using run = new FaultRun(options)
  await run.prepare()
  await run.work()
  return await run.verify()
}

class FaultRun {
  readonly #options: FaultOptions
  readonly #directory: string
  readonly #root: string
  readonly #marker: string
  readonly #problems: string[] = []
  /** When a forced removal of a container ended last, by its name. */
  readonly #removals = new Map<string, number>()
  #archives: string[] = []
  #kills = 0
  #commands = 0

  constructor(options: FaultOptions) {
    this.#options = options
    this.#directory = mkdtempSync(join(options.parent ?? tmpdir(), 'cairn-faults-'))
    this.#root = `${this.#directory}/store`
    this.#marker = `faults-${this.#directory.slice(-6)}`
  }

  async prepare(): Promise<void> {
    const rootfs = `${this.#directory}/base.tar`
    writeFileSync(rootfs, baseArchive())
    await this.#expect(['import', rootfs, baseName])
    const base = `${this.#directory}/base-image.tar`
    await this.#expect(['save', '-o', base, baseName])
    this.#archives = [base, ...(await this.#otherArchive())]
  }

  /** An archive of two images that share layers. */
  async #otherArchive(): Promise<string[]> {
    const context = this.#worker(99).directory
    const path = `${this.#directory}/others.tar`
    for (const name of ['i0', 'i1']) {
      writeFileSync(`${context}/Dockerfile`, `FROM ${baseName}\nRUN echo shared > /s\nRUN echo ${name} > /n\n`)
      await this.#expect(['build', '-q', '-t', `localhost:1/${name}`, context])
    }
    await this.#expect(['save', '-o', path, 'localhost:1/i0', 'localhost:1/i1'])
    return [path]
  }

  async work(): Promise<void> {
    const { workers = 4 } = this.#options
    await Promise.all(Array.from({ length: workers }, (_, index) => this.#loop(index)))
  }

  async #loop(index: number): Promise<void> {
    const choices = new Choices(this.#options.seed * 1000 + index)
    const place = this.#worker(index)
    while (this.#kills < this.#options.kills) {
      const argv = nextCommand(choices, place)
      const fate = choices.chance(0.6) ? choices.spread(40, 1500) : undefined
      const whole = choices.chance(0.5)
      await this.#runOne(argv, fate, whole)
      // Somebody may have taken the base away, without which nothing can be built.
      if (/^(image|rmi)/.test(argv[0] ?? '') || choices.chance(0.1))
        await this.#spawn(['load', '-q', '-i', this.#archives[0] ?? '']).end
    }
  }

  /** Runs a command and kills it after `fate` milliseconds, with all it has started or alone. */
  async #runOne(argv: readonly string[], fate: number | undefined, whole: boolean): Promise<void> {
    this.#commands++
    const began = performance.now()
    const [verb, , name = ''] = argv
    if (verb === 'rm') this.#removals.set(name, Infinity)
    const { pid, isRunning, end } = this.#spawn(argv)
    let isKilled = false
    const kill = (): void => {
      if (!isRunning() || this.#kills >= this.#options.kills) return
      isKilled = true
      this.#kills++
      this.#options.log?.(
        `kill ${this.#kills}: ${argv.slice(0, 3).join(' ')} after ${Math.round(fate ?? 0)} ms${whole ? ', with its children' : ''}`,
      )
      for (const one of whole ? [pid, ...descendants(pid)] : [pid]) killProcess(one)
    }
    const timer = fate === undefined ? undefined : setTimeout(kill, fate)
    const late = setTimeout(() => {
      this.#problems.push(`cairn ${argv.join(' ')} hangs`)
      killProcess(pid)
    }, longest)
    const { status, err } = await end
    clearTimeout(timer)
    clearTimeout(late)
    // One that was killed may have removed the container, too.
    if (verb === 'rm') this.#removals.set(name, performance.now())
    if (isKilled || status === 0 || (err !== '' && excuses.test(err))) return
    const isRemoved = verb === 'run' && status === killedStatus && (this.#removals.get(name) ?? 0) > began
    if (isRemoved) return
    this.#problems.push(`cairn ${argv.join(' ')} ended with ${status}: ${err.trim()}`)
    this.#options.log?.(this.#problems.at(-1) ?? '')
  }

  async verify(): Promise<FaultReport> {
    await this.#expect(['ps'])
    const hasEnded = await eventually(() => processesWith(this.#marker).length === 0, 5000)
    if (!hasEnded) this.#problems.push(`processes of containers still run: ${processesWith(this.#marker).join(', ')}`)
    const check = await this.#check('after the kills')
    const [du, df] = [this.#du(), check?.sizes.told ?? 0]
    const images = await this.#runImages()
    if (Math.abs(du - df) > du * 0.01) this.#problems.push(`du tells of ${du} bytes, system df of ${df}`)
    this.#checkLeftovers()
    await this.#removeAll()
    const { seed } = this.#options
    return { seed, commands: this.#commands, kills: this.#kills, images, sizes: [du, df], problems: this.#problems }
  }

  async #check(when: string): Promise<{ readonly sizes: { readonly told: number } } | undefined> {
    const { status, out, err } = await this.#spawn(['system', 'check', '--format', 'json']).end
    if (status !== 0) this.#problems.push(`system check ${when}: ${out}${err}`)
    return out.startsWith('{') ? (JSON.parse(out) as { sizes: { told: number } }) : undefined
  }

  /** Every image must run. */
  async #runImages(): Promise<number> {
    const ids = new Set((await this.#expect(['images', '-aq', '--no-trunc'])).trim().split('\n').filter(Boolean))
    for (const id of ids) await this.#expect(['run', '--rm', id, 'true'])
    return ids.size
  }

  /** Without what the store keeps for itself: the database, the reserve, and what runtimes need. */
  #du(): number {
    const own = ['cairn.db*', 'reserve', 'builds/run', 'containers/run']
    const exclude = own.map((name) => `--exclude=${this.#root}/${name}`)
    const { stdout } = Bun.spawnSync(['du', '-s', '--block-size=1', ...exclude, this.#root])
    return Number(stdout.toString().split('\t')[0])
  }

  #checkLeftovers(): void {
    for (const area of ['tmp', 'locks']) {
      const names = namesIn(`${this.#root}/${area}`)
      if (names.length > 0) this.#problems.push(`left in ${area}: ${names.join(', ')}`)
    }
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes(this.#root))
    this.#problems.push(...mounts.map((line) => `still mounted: ${line}`))
  }

  /** When all is removed nothing may be left. */
  async #removeAll(): Promise<void> {
    const containers = (await this.#expect(['ps', '-aq'])).trim().split('\n').filter(Boolean)
    if (containers.length > 0) await this.#expect(['rm', '-fv', ...containers])
    await this.#expect(['image', 'prune', '-af'])
    await this.#expect(['builder', 'prune', '-af'])
    for (const area of ['content/blobs/sha256', 'snapshots']) {
      const names = namesIn(`${this.#root}/${area}`)
      if (names.length > 0) this.#problems.push(`leaked in ${area}: ${names.join(', ')}`)
    }
    await this.#check('when all is removed')
  }

  async #expect(argv: readonly string[]): Promise<string> {
    const { status, out, err } = await this.#spawn(argv).end
    if (status !== 0) this.#problems.push(`cairn ${argv.join(' ')} ended with ${status}: ${err.trim()}`)
    return out
  }

  #worker(worker: number): Place {
    const directory = `${this.#directory}/w${worker}`
    mkdirSync(directory, { recursive: true })
    return { worker, directory, archives: this.#archives, marker: this.#marker }
  }

  #spawn(argv: readonly string[]): KillableCommand {
    return startCairn(argv, { cairn: this.#options.cairn, home: this.#directory, root: this.#root })
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

/** Bytes of a file besides busybox: layers are to outweigh the directories of a store by far. */
const ballast = 12 * 1024 * 1024

/** A tar of busybox and the ballast. */
function baseArchive(): Uint8Array {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-ballast-'))
  try {
    writeFileSync(`${directory}/busybox.tar`, busyboxArchive())
    writeFileSync(`${directory}/ballast`, new Uint8Array(ballast).fill(1))
    const tar = Bun.spawnSync(['tar', '-C', directory, '-rf', `${directory}/busybox.tar`, 'ballast'])
    if (!tar.success) throw new Error(tar.stderr.toString())
    return readFileSync(`${directory}/busybox.tar`)
  } finally {
    rmSync(directory, { recursive: true })
  }
}
