import { CairnError } from '../../errors/error.ts'
import { type RegistryErrorEntry, registryErrors } from '../protocol.ts'
import { isJsonObject } from '../../oci/descriptor.ts'
import type { HttpAnswer } from './http-exchange.ts'

/** What was asked, for errors. */
export interface Asked {
  /** `manifest for localhost:5000/app:1`, `blob sha256:…`. */
  readonly what: string
  /** The repository as users write it. */
  readonly name: string
  readonly isPush: boolean
}

const longestErrorBody = 64 * 1024
/** Seconds: what asks for more means never. */
const longestRetry = 1e9

/** The errors a registry gives for its answer; none where the body is no envelope. Reads the body. */
async function errorEntries(answer: HttpAnswer): Promise<readonly RegistryErrorEntry[]> {
  try {
    const text = new TextDecoder().decode(await answer.bytes(longestErrorBody))
    const value: unknown = JSON.parse(text)
    const errors = isJsonObject(value) ? value['errors'] : undefined
    if (!Array.isArray(errors)) return []
    return errors
      .filter(isJsonObject)
      .filter(({ code }) => typeof code === 'string')
      .slice(0, 10)
      .map(({ code, message }) => ({
        code: serverText(String(code)),
        ...(typeof message === 'string' ? { message: serverText(message) } : {}),
      }))
  } catch {
    return []
  }
}

/** The error that an answer stands for: what happened in docker's words, and what to do. Reads the body. */
export async function answerError(answer: HttpAnswer, asked: Asked): Promise<CairnError> {
  const { status, headers, url } = answer
  const entries = status >= 400 ? await errorEntries(answer) : []
  answer.cancel()
  const [first] = entries
  const said = first === undefined ? '' : `: ${describe(first)}`
  switch (first?.code) {
    case 'NAME_UNKNOWN':
      return new CairnError('NAME_UNKNOWN', `repository ${asked.name} not found${said}`, {
        hint: asked.isPush ? 'This registry wants repositories to be made before.' : 'Check the name.',
      })
    case 'MANIFEST_UNKNOWN':
      return new CairnError('MANIFEST_UNKNOWN', `${asked.what} not found${said}`)
    case 'BLOB_UNKNOWN':
      return new CairnError('BLOB_UNKNOWN', `${asked.what} not found in ${asked.name}${said}`)
    case 'BLOB_UPLOAD_UNKNOWN':
    case 'BLOB_UPLOAD_INVALID':
      return new CairnError('REGISTRY_INVALID', `${asked.what}: ${url.host} does not know the upload any more${said}`)
    case 'DIGEST_INVALID':
    case 'SIZE_INVALID':
      return new CairnError('BLOB_CORRUPT', `${asked.what} did not arrive at ${url.host} as it is${said}`)
    case 'TOOMANYREQUESTS':
      return rateLimited(asked, headers, said)
    case 'DENIED':
      return denied(asked, said)
    case 'UNAUTHORIZED':
      return unauthorized(asked, said)
    default:
  }
  if (status === 401) return unauthorized(asked, said)
  if (status === 403) return denied(asked, said)
  if (status === 404) return new CairnError('MANIFEST_UNKNOWN', `${asked.what} not found${said}`)
  if (status === 429) return rateLimited(asked, headers, said)
  const what = `${asked.what}: ${url.host} answers with status ${status}${said}`
  if (status >= 500 || status === 408) return new CairnError('REGISTRY_FAILED', what, { hint: 'Try again later.' })
  return new CairnError('REGISTRY_INVALID', what)
}

function unauthorized({ name, isPush }: Asked, said: string): CairnError {
  const verb = isPush ? 'push' : 'pull'
  return new CairnError('UNAUTHORIZED', `${verb} access denied for ${name}${said || ': authentication required'}`, {
    hint: `Log in with \`cairn login ${hostOf(name)}\`; the repository may also not exist.`,
  })
}

function denied({ name, isPush }: Asked, said: string): CairnError {
  const verb = isPush ? 'push' : 'pull'
  return new CairnError(
    'DENIED',
    `${verb} access denied for ${name}, repository does not exist or may require authorization${said}`,
    { hint: `Log in as a user who may with \`cairn login ${hostOf(name)}\`.` },
  )
}

function rateLimited({ name }: Asked, headers: Headers, said: string): CairnError {
  const wait = retryAfter(headers) ?? 0
  const when = wait === 0 ? '' : `, to be tried again in ${Math.ceil(wait / 1000)} s`
  return new CairnError('TOOMANYREQUESTS', `too many requests for ${name}${limitOf(headers)}${when}${said}`, {
    hint: `Wait, or log in with \`cairn login ${hostOf(name)}\`: those who did are mostly allowed more.`,
  })
}

/** What Docker Hub says of its limit: `RateLimit-Limit: 100;w=21600`, the window in seconds. */
function limitOf(headers: Headers): string {
  const match = /^(\d{1,9})\s*;\s*w=(\d{1,9})$/.exec(headers.get('ratelimit-limit')?.trim() ?? '')
  if (match === null) return ''
  const seconds = Number(match[2])
  const window =
    seconds % 3600 === 0 ? `${seconds / 3600} h` : seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`
  return ` (${match[1]} in ${window})`
}

/** Milliseconds that the header Retry-After asks to wait: seconds, or a date (RFC 9110 §10.2.3). */
export function retryAfter(headers: Headers): number | undefined {
  const text = headers.get('retry-after')?.trim()
  if (text === undefined || text === '') return undefined
  if (/^\d+$/.test(text)) return Math.min(Number(text), longestRetry) * 1000
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now())
}

function hostOf(name: string): string {
  const first = name.split('/')[0] ?? ''
  return /[.:]|^localhost$/.test(first) ? first : ''
}

function describe({ code, message }: RegistryErrorEntry): string {
  if (message !== undefined && message !== '') return message
  return Object.hasOwn(registryErrors, code) ? registryErrors[code as keyof typeof registryErrors].message : code
}

/** A server's text may not move the cursor, nor fill the screen. */
export function serverText(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+/g, ' ').slice(0, 500)
}

/** {@link serverText} as a message quotes it. */
export function quoted(text: string): string {
  return JSON.stringify(serverText(text.slice(0, 200)))
}
