import type { SecretSource } from '../build/build-secrets.ts'
import { splitCsv } from '../dockerfile/csv.ts'
import { CairnError } from '../errors/error.ts'
import { tryStat } from '../linux/file-status.ts'

/**
 * Values of `--secret`: `id=NAME[,src=FILE|env=VARIABLE]`; without a source, the variable NAME where it is set, else
 * the file NAME. Throws USAGE, FILE_UNKNOWN.
 */
export function parseSecrets(
  given: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  cwd: string,
): Map<string, SecretSource> {
  const secrets = new Map<string, SecretSource>()
  for (const text of given) {
    const fields = new Map(splitCsv(text).map((field) => pair(field)))
    const unknown = [...fields.keys()].find((key) => !['id', 'src', 'source', 'env', 'type'].includes(key))
    if (unknown !== undefined) throw usage(`unexpected key '${unknown}' in '${text}'`)
    const type = fields.get('type')
    if (type !== undefined && type !== 'file' && type !== 'env')
      throw usage(`unsupported secret type ${JSON.stringify(type)}`)
    const id = fields.get('id')
    if (id === undefined || id === '') throw usage(`secret missing 'id': ${JSON.stringify(text)}`)
    secrets.set(id, secretSource(id, type, fields.get('src') ?? fields.get('source'), fields.get('env'), env, cwd))
  }
  return secrets
}

function secretSource(
  id: string,
  type: string | undefined,
  src: string | undefined,
  variable: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  cwd: string,
): SecretSource {
  const name =
    variable ??
    (type === 'env' ? (src ?? id) : src === undefined && env[id] !== undefined && type !== 'file' ? id : undefined)
  if (name !== undefined) {
    const value = env[name]
    if (value === undefined) throw usage(`secret ${id}: the environment variable ${name} is not set`)
    return { from: 'env', value }
  }
  const file = src ?? id
  const path = file.startsWith('/') ? file : `${cwd}/${file}`
  if (tryStat(path)?.type !== 'file') throw new CairnError('FILE_UNKNOWN', `secret ${id}: ${path} is not a file`)
  return { from: 'file', path }
}

function pair(field: string): [string, string] {
  const equals = field.indexOf('=')
  if (equals < 0) throw usage(`invalid field '${field}' must be a key=value pair`)
  return [field.slice(0, equals).toLowerCase(), field.slice(equals + 1)]
}

function usage(message: string): CairnError {
  return new CairnError('USAGE', message, { exitCode: 1 })
}
