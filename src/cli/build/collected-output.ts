import { CairnError } from '../../errors/error.ts'
import type { Output } from '../context.ts'
import type { Terminal } from '../containers/terminal.ts'
import { translateWriteError } from '../write-error.ts'

/** Output kept in memory until the command has ended. */
export class CollectedOutput implements Output {
  readonly isTTY = false
  readonly columns = 80
  readonly rows = 24
  readonly #parts: (string | Uint8Array)[] = []

  write(data: string | Uint8Array): void {
    this.#parts.push(data)
  }

  async writeFrom(source: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of source) this.#parts.push(chunk.slice())
  }

  onResize(): () => void {
    return () => {}
  }

  /** Everything written so far, which is then forgotten. */
  take(): Blob {
    return new Blob(this.#parts.splice(0))
  }
}

/** The terminal of a command whose output is collected. It has no stdin. */
export function collectedTerminal(): Terminal & { readonly stdout: CollectedOutput; readonly stderr: CollectedOutput } {
  return {
    stdin: {
      isTTY: false,
      bytes: () => {
        throw new CairnError('NOT_SUPPORTED', 'this command does not read standard input')
      },
      line: () => Promise.resolve(undefined),
    },
    stdout: new CollectedOutput(),
    stderr: new CollectedOutput(),
  }
}

/** Writes all of `data` to stdout or stderr without the cost of opening the terminal. */
export async function writeWhole(file: Bun.BunFile, data: string | Blob): Promise<void> {
  // Bun.write() of nothing truncates the file that stdout or stderr goes to.
  if ((typeof data === 'string' ? data.length : data.size) === 0) return
  try {
    await Bun.write(file, data)
  } catch (error) {
    throw translateWriteError(error)
  }
}
