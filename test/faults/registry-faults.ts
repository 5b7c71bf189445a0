import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Choices } from './choices.ts'
import { CountingProxy } from './counting-proxy.ts'
import { type KillableCommand, killProcess, type Outcome, startCairn } from './killable-cairn.ts'

export interface RegistryFaultOptions {
  readonly seed: number
  /** Connections that are cut, and clients that are killed, in a push and in a pull each. */
  readonly cuts: number
  readonly kills: number
  /** Bytes of the image's files. */
  readonly size: number
  /** Bytes a second of the network between client and registry. */
  readonly rate: number
  readonly cairn?: readonly string[]
  /** Directory for stores; that for temporary files if absent. */
  readonly parent?: string
  readonly log?: (line: string) => void
}

/** How one transfer went. */
export interface Transfer {
  readonly cuts: number
  readonly kills: number
  /** Bytes on the wire, with the heads of requests and answers. */
  readonly bytes: number
}

export interface RegistryFaultReport {
  /** Bytes of the image's blobs at the registry. */
  readonly size: number
  readonly push: Transfer
  readonly pull: Transfer
  readonly problems: readonly string[]
}

const layerCount = 3

/**
 * Pushes an image to `cairn registry serve` and pulls it into an empty store while connections are cut and clients are
 * killed (SIGKILL) at random, and counts the bytes that this takes.
 */
export async function runRegistryFaults(options: RegistryFaultOptions): Promise<RegistryFaultReport> {
  const directory = mkdtempSync(join(options.parent ?? tmpdir(), 'cairn-registry-faults-'))
  try {
    return await new RegistryFaults(options, directory).run()
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

class RegistryFaults {
  readonly #options: RegistryFaultOptions
  readonly #directory: string
  readonly #choices: Choices

  constructor(options: RegistryFaultOptions, directory: string) {
    this.#options = options
    this.#directory = directory
    this.#choices = new Choices(options.seed)
  }

  async run(): Promise<RegistryFaultReport> {
    this.#writeContext()
    const port = freePort()
    const server = this.#start('registry', 'registry', 'serve', '--addr', `127.0.0.1:${port}`)
    const proxy = await CountingProxy.start(port, this.#options.rate)
    try {
      await until(async () => (await fetch(`http://127.0.0.1:${port}/healthz`)).ok)
      return await this.#transfer(proxy, port)
    } finally {
      proxy.stop()
      killProcess(server.pid)
      await server.end
    }
  }

  async #transfer(proxy: CountingProxy, port: number): Promise<RegistryFaultReport> {
    const { size } = this.#options
    const name = `${proxy.host}/faults:1`
    await this.#ok('source', 'build', '-q', '-t', name, join(this.#directory, 'context'))
    // Half of it is text: about two thirds of the bytes go over the wire.
    const push = await this.#disturb(proxy, 'up', size * 0.65, 'source', 'push', name)
    const repository = `http://127.0.0.1:${port}/v2/faults`
    const answer = await fetch(`${repository}/manifests/1`)
    const { config, layers } = (await answer.json()) as { config: { size: number }; layers: { size: number }[] }
    const blobs = [config, ...layers].reduce((sum, blob) => sum + blob.size, 0)
    const pull = await this.#disturb(proxy, 'down', blobs, 'target', 'pull', name)
    const problems: string[] = []
    for (const [verb, { bytes }] of Object.entries({ push, pull }))
      if (bytes > blobs * 1.05) problems.push(`${verb} took ${bytes} bytes for ${blobs}`)
    const check = await this.#start('target', 'system', 'check').end
    if (check.status !== 0) problems.push(`the store is not whole: ${check.out}${check.err}`)
    const digest = answer.headers.get('docker-content-digest') ?? ''
    const listed = await this.#ok('target', 'images', '--digests')
    if (digest === '' || !listed.out.includes(digest)) problems.push(`${digest} is not listed: ${listed.out}`)
    return { size: blobs, push, pull, problems }
  }

  /** Runs a command until it is through, cut and killed on the way to `size` bytes. */
  async #disturb(
    proxy: CountingProxy,
    direction: 'up' | 'down',
    size: number,
    store: string,
    ...argv: readonly string[]
  ): Promise<Transfer> {
    const { cuts, kills, log } = this.#options
    const start = { bytes: proxy[direction], cuts: proxy.cuts }
    // Some connections carry little: more than enough are to be cut.
    const life = size / (cuts * 2.2)
    proxy.lifetime = () => (proxy.cuts - start.cuts < cuts ? this.#choices.spread(life / 4, life * 2) : undefined)
    let killed = 0
    for (;;) {
      const mark = proxy[direction] + (0.3 + this.#choices.number()) * (size / (kills + 1))
      const command = this.#start(store, ...argv)
      if (killed < kills && (await reaches(command, () => proxy[direction] >= mark))) {
        killProcess(command.pid)
        killed++
        log?.(`${argv[0]}: killed at ${proxy[direction] - start.bytes} bytes, ${proxy.cuts - start.cuts} cuts`)
      }
      const outcome = await command.end
      if (outcome.status === 0) break
      if (outcome.status > 0 && outcome.status < 128) throw new Error(`${argv.join(' ')}: ${outcome.err}`)
    }
    proxy.lifetime = () => undefined
    return { cuts: proxy.cuts - start.cuts, kills: killed, bytes: proxy[direction] - start.bytes }
  }

  /** Layers of which one half is text and the other half cannot be compressed. */
  #writeContext(): void {
    const context = join(this.#directory, 'context')
    mkdirSync(context)
    const half = Math.ceil(this.#options.size / layerCount / 2)
    const lines = ['FROM scratch']
    for (let layer = 0; layer < layerCount; layer++) {
      const fd = openSync(join(context, `layer${layer}`), 'w')
      writeRandom(fd, half)
      for (let written = 0; written < half;) written += writeSync(fd, this.#text(1000))
      closeSync(fd)
      lines.push(`COPY layer${layer} /`)
    }
    writeFileSync(join(context, 'Dockerfile'), lines.join('\n'))
  }

  #text(lines: number): string {
    const word = (): string => this.#choices.below(5000).toString(36)
    return Array.from({ length: lines }, () => `${word()} ${word()} ${word()} ${word()} ${word()} ${word()}\n`).join('')
  }

  #start(store: string, ...argv: readonly string[]): ReturnType<typeof startCairn> {
    const { cairn } = this.#options
    return startCairn(argv, { cairn, home: this.#directory, root: join(this.#directory, store) })
  }

  async #ok(store: string, ...argv: readonly string[]): Promise<Outcome> {
    const outcome = await this.#start(store, ...argv).end
    if (outcome.status !== 0) throw new Error(`${argv.join(' ')}: ${outcome.err}`)
    return outcome
  }
}

/** Waits until something is so; false where the command ends before. */
async function reaches(command: KillableCommand, what: () => boolean): Promise<boolean> {
  while (command.isRunning() && !what()) await Bun.sleep(2)
  return command.isRunning()
}

function writeRandom(fd: number, size: number): void {
  const piece = new Uint8Array(64 * 1024)
  for (let written = 0; written < size; written += piece.length)
    writeSync(fd, crypto.getRandomValues(piece), 0, Math.min(piece.length, size - written))
}

function freePort(): number {
  using server = Bun.serve({ port: 0, fetch: () => new Response() })
  return server.port as number
}

async function until(what: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; await Bun.sleep(50))
    if (await what().catch(() => false)) return
  throw new Error('the registry does not answer')
}
