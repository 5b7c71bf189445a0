import { mkdir, rm } from 'node:fs/promises'
import { output } from './measurement.ts'

/** A registry on this machine that both tools push to and pull from: `cairn registry serve` with a store of its own. */
export class BenchRegistry {
  readonly host: string
  readonly #binary: string
  readonly #root: string
  readonly #port: number
  #server: Bun.Subprocess | undefined

  /** Its store is made at `root`. */
  constructor(binary: string, root: string, port = 5977) {
    this.#binary = binary
    this.#root = root
    this.#port = port
    this.host = `127.0.0.1:${port}`
  }

  /** Starts it with nothing in it. */
  async restart(): Promise<void> {
    await this.stop()
    await mkdir(this.#root, { recursive: true })
    this.#server = Bun.spawn([this.#binary, 'registry', 'serve', '--addr', this.host], {
      env: { ...process.env, CAIRN_ROOT: this.#root },
      stdio: ['ignore', 'ignore', 'ignore'],
    })
    for (let attempt = 0; !(await this.#answers()); attempt++) {
      if (attempt > 200) throw new Error(`no registry came up on port ${this.#port}`)
      await Bun.sleep(25)
    }
  }

  /** Ends it and removes what it holds. */
  async stop(): Promise<void> {
    this.#server?.kill()
    await this.#server?.exited
    this.#server = undefined
    await rm(this.#root, { recursive: true, force: true })
    await output({ argv: ['sync'] })
  }

  async #answers(): Promise<boolean> {
    try {
      return (await fetch(`http://${this.host}/v2/`)).ok
    } catch {
      return false
    }
  }
}
