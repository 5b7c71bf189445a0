import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { busyboxArchive } from '../fixtures/build-bench.ts'
import { descendants, killProcess, type Outcome, startCairn } from './killable-cairn.ts'
import { attendantsOf, type NeedyContainer, strays } from './machine-state.ts'

export interface CrowdOptions {
  readonly count: number
  /** Commands at once. */
  readonly batch?: number
  readonly cairn?: readonly string[]
  readonly parent?: string
}

export interface CrowdReport {
  readonly count: number
  /** Milliseconds until all ran, and until all were gone. */
  readonly started: number
  readonly removed: number
  /** Kilobytes for each container by what takes them: proportional set size, proc_pid_smaps_rollup(5). */
  readonly memory: Readonly<Record<string, number>>
  /** Their sum without the container's own process. */
  readonly overhead: number
  readonly problems: readonly string[]
}

/**
 * Starts many containers with published ports in parallel batches, asks each at its port, measures what is there for them
 * while they are idle, removes them and looks for what is left.
 */
export async function runContainerCrowd(options: CrowdOptions): Promise<CrowdReport> {
  using crowd = new ContainerCrowd(options)
  return await crowd.run()
}

class ContainerCrowd {
  readonly #options: CrowdOptions
  readonly #directory: string
  readonly #root: string
  readonly #problems: string[] = []
  readonly #firstPort = 21_000 + (process.pid % 30) * 250

  constructor(options: CrowdOptions) {
    this.#options = options
    this.#directory = mkdtempSync(`${options.parent ?? tmpdir()}/cairn-crowd-`)
    this.#root = `${this.#directory}/store`
  }

  async run(): Promise<CrowdReport> {
    const { count } = this.#options
    writeFileSync(`${this.#directory}/base.tar`, busyboxArchive())
    await this.#expect(['import', `${this.#directory}/base.tar`, 'base'])
    const numbers = Array.from({ length: count }, (_, index) => index)
    const began = performance.now()
    const ids = await this.#inBatches(numbers, (number) => this.#start(number))
    const started = performance.now() - began
    const listed = (await this.#expect(['ps', '-q', '--no-trunc'])).trim().split('\n').filter(Boolean)
    if (listed.toSorted().join() !== ids.toSorted().join())
      this.#problems.push(`${listed.length} of ${count} containers run`)
    const containers = ids.map((id, number): NeedyContainer => {
      const ports = [this.#firstPort + number]
      return { id, state: 'running', hasHealthcheck: false, hasLogFiles: false, networks: ['bridge'], ports }
    })
    this.#problems.push(...strays(this.#root, containers, new Set(ids)))
    // Before they are asked, which wakes up what holds the ports.
    await Bun.sleep(500)
    const memory = this.#memory()
    await this.#inBatches(numbers, (number) => this.#ask(number))
    const removal = performance.now()
    await this.#inBatches(numbers, (number) => this.#expect(['rm', '-f', nameOf(number)]))
    const removed = performance.now() - removal
    await this.#settle(new Set(ids))
    const overhead = Object.entries(memory).reduce((sum, [kind, size]) => sum + (kind === ownProcess ? 0 : size), 0)
    return { count, started, removed, memory, overhead, problems: this.#problems }
  }

  async #inBatches<Result>(numbers: readonly number[], work: (number: number) => Promise<Result>): Promise<Result[]> {
    const { batch = 10 } = this.#options
    const results: Result[] = []
    for (let at = 0; at < numbers.length; at += batch)
      // oxlint-disable-next-line no-await-in-loop -- one batch after the other
      results.push(...(await Promise.all(numbers.slice(at, at + batch).map(work))))
    return results
  }

  async #start(number: number): Promise<string> {
    const port = `${this.#firstPort + number}:80`
    const serve = `while :; do echo -e "HTTP/1.0 200 OK\\r\\n\\r\\n$1" | nc -l -p 80 > /dev/null; done`
    const command = ['sh', '-c', serve, 'sh', nameOf(number)]
    return (await this.#expect(['run', '-d', '--name', nameOf(number), '-p', port, 'base', ...command])).trim()
  }

  /** By IPv4, and by IPv6 which the kernel does not redirect. */
  async #ask(number: number): Promise<void> {
    for (const host of ['127.0.0.1', '[::1]']) {
      const url = `http://${host}:${this.#firstPort + number}`
      let answer = ''
      for (let attempt = 0; attempt < 10 && answer === ''; attempt++)
        answer = await fetch(url, { signal: AbortSignal.timeout(5000) }).then(
          async (response) => (await response.text()).trim(),
          async () => Bun.sleep(200).then(() => ''),
        )
      if (answer !== nameOf(number)) this.#problems.push(`${url} says ${JSON.stringify(answer)}`)
    }
  }

  /** Kilobytes for each container. */
  #memory(): Record<string, number> {
    const sums: Record<string, number> = {}
    for (const { pid, kind } of attendantsOf(this.#root)) {
      const add = (name: string, one: number): void => void (sums[name] = (sums[name] ?? 0) + residentSize(one))
      add(kind, pid)
      if (kind === 'monitor') for (const child of descendants(pid)) add(ownProcess, child)
    }
    return Object.fromEntries(Object.entries(sums).map(([kind, size]) => [kind, size / this.#options.count]))
  }

  async #settle(ids: ReadonlySet<string>): Promise<void> {
    let left: string[] = []
    for (let attempt = 0; attempt < 25; attempt++) {
      left = strays(this.#root, [], ids)
      if (left.length === 0) break
      // oxlint-disable-next-line no-await-in-loop -- what is just going has a moment for that
      await Bun.sleep(200)
    }
    this.#problems.push(...left)
    const { status, out, err } = await this.#spawn(['system', 'check'])
    if (status !== 0) this.#problems.push(`system check: ${out}${err}`)
  }

  async #expect(argv: readonly string[]): Promise<string> {
    const { status, out, err } = await this.#spawn(argv)
    if (status !== 0) this.#problems.push(`cairn ${argv.join(' ')} ended with ${status}: ${err.trim()}`)
    return out
  }

  async #spawn(argv: readonly string[]): Promise<Outcome> {
    return await startCairn(argv, { cairn: this.#options.cairn, home: this.#directory, root: this.#root }).end
  }

  [Symbol.dispose](): void {
    for (let attempt = 0; attempt < 100; attempt++) {
      const left = attendantsOf(this.#root)
      if (left.length === 0) break
      for (const { pid } of left) for (const one of [...descendants(pid), pid]) killProcess(one)
      Bun.sleepSync(20)
    }
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

const ownProcess = 'container'

function nameOf(number: number): string {
  return `crowd-${number}`
}

/** Kilobytes. */
function residentSize(pid: number): number {
  try {
    return Number(/^Pss:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0)
  } catch {
    return 0
  }
}
