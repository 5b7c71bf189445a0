import { CairnError } from '../../errors/error.ts'
import { errno, isErrno } from '../../linux/errno.ts'
import { readTextFile } from '../../linux/text-file.ts'
import { invalidArgument } from '../flag-argument.ts'

type Environment = Readonly<Record<string, string | undefined>>

/**
 * The variables that `--env-file` and `--env` set, those of the files first. A key alone takes the value it has here;
 * where it has none, `--env` takes the image's variable away (the key stays alone) and a file's line means nothing.
 * Throws USAGE, FILE_UNKNOWN.
 */
export function parseEnvFlags(files: readonly string[], given: readonly string[], env: Environment): string[] {
  const variables = files.flatMap((path) => readEnvFile(path, env))
  for (const text of given) {
    if (text === '' || text.startsWith('='))
      throw invalidArgument(text, '-e, --env', `invalid environment variable: ${text}`)
    variables.push(text.includes('=') ? text : (withValue(text, env) ?? text))
  }
  return variables
}

function withValue(key: string, env: Environment): string | undefined {
  const value = env[key]
  return value === undefined ? undefined : `${key}=${value}`
}

function readEnvFile(path: string, env: Environment): string[] {
  return readKeyValueFile(path, (key) => withValue(key, env))
}

/** The labels in a file; a key alone means nothing, as docker has it. Throws FILE_UNKNOWN, CONFIG_INVALID. */
export function readLabelFile(path: string): string[] {
  return readKeyValueFile(path, () => undefined)
}

/**
 * A file of `KEY=value` lines, taken as they are: no quotes, no expansion, `#` only at the start of a line.
 *
 * @param lone - gives what a key alone stands for, if anything
 */
function readKeyValueFile(path: string, lone: (key: string) => string | undefined): string[] {
  const wrong = (reason: string): CairnError => new CairnError('USAGE', `invalid env file (${path}): ${reason}`)
  const pairs: string[] = []
  for (const [index, raw] of textOf(path, wrong).split('\n').entries()) {
    if (raw.includes('\uFFFD')) throw wrong(`invalid utf8 bytes at line ${index + 1}`)
    const line = raw.replace(/\r$/, '').trimStart()
    if (line === '' || line.startsWith('#')) continue
    const equals = line.indexOf('=')
    const key = equals < 0 ? line : line.slice(0, equals)
    if (key === '') throw wrong(`no variable name on line '${line}'`)
    if (/\s/.test(key)) throw wrong(`variable '${key}' contains whitespaces`)
    const pair = equals < 0 ? lone(key) : line
    if (pair !== undefined) pairs.push(pair)
  }
  return pairs
}

function textOf(path: string, wrong: (reason: string) => CairnError): string {
  let text: string | undefined
  try {
    text = readTextFile(path)
  } catch (error) {
    if (isErrno(error, errno.EISDIR)) throw wrong(`read ${path}: is a directory`)
    throw error
  }
  if (text === undefined) throw new CairnError('FILE_UNKNOWN', `open ${path}: no such file or directory`)
  return text.replace(/^\uFEFF/, '')
}
