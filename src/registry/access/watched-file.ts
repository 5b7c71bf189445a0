import { CairnError } from '../../errors/error.ts'
import { tryStat } from '../../linux/file-status.ts'
import { readConfigFile } from './config-file.ts'

/** How long a file is taken to be as it was, in milliseconds. */
const patience = 1_000

/**
 * What a file says, read again when it has changed, so that users and rights can be taken away from a server that runs.
 * A file that has become unreadable or wrong leaves what it said before, and is told of once.
 */
export class WatchedFile<T> {
  readonly path: string
  readonly #parse: (text: string) => T
  readonly #complain: (error: CairnError) => void
  #value: T
  #mark: string
  #checkedAt = Date.now()

  private constructor(path: string, parse: (text: string) => T, complain: (error: CairnError) => void, first: T) {
    this.path = path
    this.#parse = parse
    this.#complain = complain
    this.#value = first
    this.#mark = markOf(path)
  }

  /** Reads the file for the first time. Throws CONFIG_INVALID where it cannot be read, and what `parse` throws. */
  static async open<T>(
    path: string,
    parse: (text: string) => T,
    complain: (error: CairnError) => void,
  ): Promise<WatchedFile<T>> {
    return new WatchedFile(path, parse, complain, parse(await readConfigFile(path)))
  }

  async get(): Promise<T> {
    const now = Date.now()
    if (now - this.#checkedAt < patience) return this.#value
    this.#checkedAt = now
    const mark = markOf(this.path)
    if (mark === this.#mark) return this.#value
    this.#mark = mark
    try {
      this.#value = this.#parse(await readConfigFile(this.path))
    } catch (error) {
      if (!(error instanceof CairnError)) throw error
      this.#complain(error)
    }
    return this.#value
  }
}

function markOf(path: string): string {
  const status = tryStat(path)
  if (status === undefined) return 'absent'
  return `${status.inode}:${status.size}:${status.mtimeSeconds}.${status.mtimeNanoseconds}`
}
