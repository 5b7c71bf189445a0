import { CairnError } from '../errors/error.ts'

/** Thrown when the reader of stdout has gone. The runner ends the command quietly with status 141. */
export class OutputClosed extends Error {
  override readonly name = 'OutputClosed'
}

const closed: ReadonlySet<unknown> = new Set(['EPIPE', 'ECONNRESET', 'EIO'])
const writes: ReadonlySet<unknown> = new Set(['write', 'send', 'writev', 'sendmsg'])

/** A failed write of Bun's as the runner understands it: EPIPE as {@link OutputClosed}, others told to the user. */
export function translateWriteError(error: unknown): unknown {
  if (!(error instanceof Error) || !('syscall' in error) || !writes.has(error.syscall)) return error
  const code = 'code' in error ? error.code : undefined
  if (closed.has(code)) return new OutputClosed()
  return writeFailure(code === 'ENOSPC' ? 'no space left on device' : error.message)
}

/** The error for a write to stdout that failed because of `why`. */
export function writeFailure(why: string): CairnError {
  return new CairnError('SYSTEM_CALL', `cannot write to standard output: ${why}`)
}
