import type { ErrorCode } from './codes.ts'
import { type ErrorKind, kindOf } from './codes.ts'

/** What an error may carry besides its message. Undefined is as good as not given, so that of another error is handed on. */
export interface ErrorDetails {
  /** One sentence that says what the user can do about it. */
  readonly hint?: string | undefined
  /** The error underneath, kept for `CAIRN_DEBUG=1`. */
  readonly cause?: unknown
  /** The exit status this failure must end the command with, where its kind does not decide it (a container's own status). */
  readonly exitCode?: number | undefined
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

/**
 * A command line that can be read but not followed: flags that contradict each other, a value out of range. It ends the
 * command with status 1, as docker's client does; one that cannot be read is USAGE alone, with status 125.
 */
export function usageError(message: string, details: Omit<ErrorDetails, 'exitCode'> = {}): CairnError {
  return new CairnError('USAGE', message, { ...details, exitCode: 1 })
}

/** `error` in other words: of its code, with its hint and exit status unless `details` say otherwise; it is the cause. */
export function reworded(error: CairnError, message: string, details: ErrorDetails = {}): CairnError {
  return new CairnError(error.code, message, { hint: error.hint, exitCode: error.exitCode, cause: error, ...details })
}
