import type { ErrorCode } from './codes.ts'
import { type ErrorKind, kindOf } from './codes.ts'

/** What an error may carry besides its message. */
export interface ErrorDetails {
  /** One sentence that says what the user can do about it. */
  readonly hint?: string
  /** The error underneath, kept for `CAIRN_DEBUG=1`. */
  readonly cause?: unknown
  /** The exit status this failure must end the command with, where its kind does not decide it (a container's own status). */
  readonly exitCode?: number
}

/**
 * A failure that is told to the user: a code from the closed list, a message that names the file, line, field or
 * digest, and where possible a hint. Anything else that is thrown is a bug in Cairn.
 */
export class CairnError extends Error {
  override readonly name = 'CairnError'
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly exitCode: number | undefined

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.hint = details.hint
    this.exitCode = details.exitCode
  }

  get kind(): ErrorKind {
    return kindOf(this.code)
  }
}

/** True when `error` is a {@link CairnError}, with `code` where one is given. */
export function isCairnError(error: unknown, code?: ErrorCode): error is CairnError {
  return error instanceof CairnError && (code === undefined || error.code === code)
}
