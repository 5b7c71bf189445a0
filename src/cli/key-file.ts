import { CairnError } from '../errors/error.ts'
import { tryStat } from '../linux/file-status.ts'
import { readTextFile } from '../linux/text-file.ts'

/** Bytes; a key has some hundred. */
const largestKey = 64 * 1024

/** The value of `--key`. Throws USAGE where it was not given. */
export function requireKey(path: string | undefined): string {
  if (path !== undefined && path !== '') return path
  throw new CairnError('USAGE', '--key is required', { hint: '`cairn image generate-key-pair` makes keys.' })
}

/** The text of a key file. Throws FILE_UNKNOWN, KEY_INVALID for what is too large. */
export function readKeyFile(path: string): string {
  const size = tryStat(path)?.size ?? 0
  const text = size > largestKey ? '' : readTextFile(path)
  if (text === undefined) throw new CairnError('FILE_UNKNOWN', `there is no key ${path}`)
  if (text === '') throw new CairnError('KEY_INVALID', `${path} is no key in PEM form`)
  return text
}
