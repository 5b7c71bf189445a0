import { CairnError } from '../../errors/error.ts'
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

/** A file of `KEY=value` lines, taken as they are: no quotes, no expansion, `#` only at the start of a line. */
function readEnvFile(path: string, env: Environment): string[] {
  const text = readTextFile(path)
  if (text === undefined) throw new CairnError('FILE_UNKNOWN', `open ${path}: no such file or directory`)
  const wrong = (reason: string): CairnError =>
    new CairnError('CONFIG_INVALID', `invalid env file (${path}): ${reason}`)
  const variables: string[] = []
  for (const raw of text.replace(/^\uFEFF/, '').split('\n')) {
    const line = raw.replace(/\r$/, '').trimStart()
    if (line === '' || line.startsWith('#')) continue
    const equals = line.indexOf('=')
    const key = equals < 0 ? line : line.slice(0, equals)
    if (key === '') throw wrong(`no variable name on line '${line}'`)
    if (/\s/.test(key)) throw wrong(`variable '${key}' contains whitespaces`)
    const variable = equals < 0 ? withValue(key, env) : line
    if (variable !== undefined) variables.push(variable)
  }
  return variables
}
