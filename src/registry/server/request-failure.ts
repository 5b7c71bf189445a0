import { CairnError } from '../../errors/error.ts'
import { type RegistryErrorCode, type RegistryErrorEnvelope, registryErrors } from '../protocol.ts'

/** What an answer that refuses may carry besides its code. */
export interface FailureDetails {
  /** Where it is not the one that {@link registryErrors} has for the code. */
  readonly status?: number
  /** One sentence; the specification's description where there is none. */
  readonly message?: string
  readonly detail?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly cause?: unknown
}

/** A request that is refused, told to the client as distribution-spec §error-codes says. */
export class RequestFailure extends Error {
  override readonly name = 'RequestFailure'
  readonly code: RegistryErrorCode
  readonly status: number
  readonly detail: unknown
  readonly headers: Readonly<Record<string, string>>

  constructor(code: RegistryErrorCode, details: FailureDetails = {}) {
    const { status, message } = registryErrors[code]
    super(details.message ?? message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.status = details.status ?? status
    this.detail = details.detail
    this.headers = details.headers ?? {}
  }
}

/** Seconds after which a client may try again what the machine could not do just now. */
const retryAfter = '1'

/**
 * The failure to tell of whatever a handler threw: what is wrong with the request is a 4xx, what is wrong here a 503 or
 * 507, and anything that is no CairnError a 500 without details, since it is a bug and may name files.
 */
export function failureOf(error: unknown): RequestFailure {
  if (error instanceof RequestFailure) return error
  // Nobody hears this any more; logs and metrics do.
  if (error instanceof Error && error.name === 'AbortError')
    return new RequestFailure('SIZE_INVALID', { message: 'the connection broke off in the body', cause: error })
  if (!(error instanceof CairnError))
    return new RequestFailure('UNSUPPORTED', { status: 500, message: 'internal error', cause: error })
  switch (error.code) {
    case 'MANIFEST_INVALID':
    case 'DIGEST_INVALID':
      return new RequestFailure(error.code, { message: error.message, cause: error })
    case 'DENIED':
      return new RequestFailure('DENIED', { message: error.message, cause: error })
    case 'STORE_BUSY':
      return new RequestFailure('TOOMANYREQUESTS', {
        status: 503,
        message: 'the registry is busy',
        headers: { 'retry-after': retryAfter },
        cause: error,
      })
    // Another registry, whose content is cached, does not do its part.
    case 'TOOMANYREQUESTS':
      return new RequestFailure('TOOMANYREQUESTS', {
        message: error.message,
        headers: { 'retry-after': '30' },
        cause: error,
      })
    case 'NETWORK':
    case 'HOST_UNKNOWN':
    case 'CONNECTION_REFUSED':
    case 'TLS_UNTRUSTED':
    case 'TLS_EXPECTED':
    case 'REGISTRY_FAILED':
    case 'REGISTRY_INVALID':
    case 'UNAUTHORIZED':
    case 'BLOB_CORRUPT':
      return new RequestFailure('UNSUPPORTED', { status: 502, message: `upstream: ${error.message}`, cause: error })
    case 'BLOB_UNKNOWN':
      return new RequestFailure('BLOB_UNKNOWN', { cause: error })
    case 'STORE_UNUSABLE':
      return new RequestFailure('UNSUPPORTED', {
        status: 503,
        message: 'the storage of the registry does not answer',
        headers: { 'retry-after': retryAfter },
        cause: error,
      })
    case 'DISK_FULL':
      return new RequestFailure('DENIED', { status: 507, message: 'the registry has no space left', cause: error })
    default:
      return new RequestFailure('UNSUPPORTED', { status: 500, message: 'internal error', cause: error })
  }
}

/** The answer that tells of a failure. */
export function failureResponse(failure: RequestFailure): Response {
  const { code, message, detail } = failure
  const envelope: RegistryErrorEnvelope = {
    errors: [{ code, message, ...(detail === undefined ? {} : { detail }) }],
  }
  return new Response(JSON.stringify(envelope), {
    status: failure.status,
    headers: { 'content-type': 'application/json', ...failure.headers },
  })
}
