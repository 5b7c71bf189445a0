import { CairnError } from '../errors/error.ts'
import { redactUrl } from '../errors/redact.ts'

/** The name a file of this URL gets: the last element of its path, decoded. */
export function fileNameOf(text: string): string {
  const path = decodedPath(parseHttpUrl(text).pathname)
  const name = path.replace(/\/+$/, '').split('/').at(-1) ?? ''
  if (name === '' || name === '.') return '__unnamed__'
  // oxlint-disable-next-line no-control-regex -- such a name is no name
  return name === '..' || /[\u0000-\u001f\u007f-\u009f]/.test(name) ? 'download' : name
}

function decodedPath(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

/** Throws REFERENCE_INVALID for what is no URL of a server. */
export function parseHttpUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url !== undefined && (url.protocol === 'http:' || url.protocol === 'https:')) return url
  throw new CairnError('REFERENCE_INVALID', `invalid URL: ${redactUrl(text)}`)
}
