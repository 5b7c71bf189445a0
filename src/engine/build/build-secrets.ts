import { secretBytes, type SecretSource } from '../../build/build-secrets.ts'
import { csvPairs } from '../../dockerfile/csv.ts'
import { CairnError, usageError } from '../../errors/error.ts'
import { tryStat } from '../../linux/file-status.ts'

/**
 * Values of `--secret`: `id=NAME[,src=FILE|env=VARIABLE][,type=file|env][,cache=key]`; without a source, the variable
 * NAME where it is set, else the file NAME. Throws USAGE (status 1) and FILE_UNKNOWN in buildx's words.
 */
export function parseSecrets(
  given: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  cwd: string,
): Map<string, SecretSource> {
  const secrets = new Map<string, SecretSource>()
  for (const text of given) {
    if (text === '') continue
    const { id, file, variable, isKeyed } = parseSecret(text, env)
    const source = secretSource(file, variable, env, cwd)
    secrets.set(id, isKeyed ? { from: 'memory', value: secretBytes(source) } : source)
  }
  return secrets
}

interface SecretFlag {
  readonly id: string
  readonly file: string
  readonly variable: string
  /** A change of the value runs the steps that mount it again. */
  readonly isKeyed: boolean
}

function parseSecret(text: string, env: Readonly<Record<string, string | undefined>>): SecretFlag {
  let [id, file, variable, type, isKeyed] = ['', '', '', '', false]
  const pairs = csvPairs(text, (message) => usageError(`failed to parse csv secret: ${message}`))
  for (const { field, key: written, value } of pairs) {
    if (value === undefined) throw usageError(`invalid field '${field}' must be a key=value pair`)
    const key = written.toLowerCase()
    if (key === 'type') {
      if (value !== 'file' && value !== 'env') throw usageError(`unsupported secret type ${JSON.stringify(value)}`)
      type = value
    } else if (key === 'id') id = value
    else if (key === 'source' || key === 'src') file = value
    else if (key === 'env') variable = value
    else if (key === 'cache') {
      if (value !== 'key') throw usageError(`invalid field '${field}': a secret can only have cache=key`)
      isKeyed = true
    } else throw usageError(`unexpected key '${key}' in '${field}'`)
  }
  if (type === 'env' && variable === '') [variable, file] = [file, '']
  if (id === '') throw usageError('secret missing ID')
  if (variable === '' && file === '') {
    if (env[id] === undefined) file = id
    else variable = id
  }
  return { id, file, variable, isKeyed }
}

/** As with buildx, a variable that is not set is an empty secret, and one that is named goes before a file. */
function secretSource(
  file: string,
  variable: string,
  env: Readonly<Record<string, string | undefined>>,
  cwd: string,
): SecretSource {
  const path = file === '' || file.startsWith('/') ? file : `${cwd}/${file}`
  if (path !== '') {
    const type = tryStat(path)?.type
    if (type === undefined)
      throw new CairnError('FILE_UNKNOWN', `failed to stat ${file}: stat ${file}: no such file or directory`)
    if (type === 'directory') throw new CairnError('FILE_UNKNOWN', `read ${file}: is a directory`)
  }
  return variable === '' ? { from: 'file', path } : { from: 'env', value: env[variable] ?? '' }
}
