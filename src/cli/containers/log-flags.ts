import type { LogSetting } from '../../containers/container.ts'
import { CairnError } from '../../errors/error.ts'
import { parseBool } from '../flags.ts'
import { keyValues } from '../key-values.ts'
import { parseByteSize, parseDecimalSize } from '../units.ts'
import { compileTemplate } from '../go-template/go-template.ts'

const commonOptions = ['max-size', 'max-file', 'compress', 'mode', 'max-buffer-size']

/** What each driver takes; docker's. */
const knownOptions: Readonly<Record<'json-file' | 'local', ReadonlySet<string>>> = {
  'json-file': new Set([...commonOptions, 'labels', 'labels-regex', 'env', 'env-regex', 'tag']),
  local: new Set(commonOptions),
}

/** docker's driver `local` keeps five files of 20 MB. */
const localDefaults = { maxSize: 20_000_000, maxFiles: 5 }

/** `--log-driver` and `--log-opt`. Throws USAGE and CONFIG_INVALID in docker's words, NOT_SUPPORTED. */
export function parseLogging(given: string | undefined, words: readonly string[]): LogSetting | undefined {
  if (given === undefined && words.length === 0) return undefined
  const driver = given === undefined || given === '' ? 'json-file' : given
  if (driver === 'none') {
    if (words.length > 0) throw new CairnError('USAGE', 'invalid logging opts for driver none')
    return { driver: 'none', options: {} }
  }
  if (driver !== 'json-file' && driver !== 'local')
    throw new CairnError(
      'NOT_SUPPORTED',
      `error looking up logging plugin ${driver}: plugin ${JSON.stringify(driver)} not found`,
      { hint: 'Drivers are "json-file", "local" and "none".' },
    )
  const options = Object.fromEntries(keyValues(words, 'log option'))
  for (const name of Object.keys(options))
    if (!knownOptions[driver].has(name))
      throw new CairnError(
        'CONFIG_INVALID',
        driver === 'local'
          ? `unknown log opt '${name}' for log driver local`
          : `unknown log opt '${name}' for json-file log driver`,
      )
  checkMode(options)
  try {
    checkDetails(options)
    const { maxSize, maxFiles } = readSizes(driver, options)
    return {
      driver,
      options,
      ...(maxSize === undefined ? {} : { maxSize }),
      ...(maxFiles === 1 ? {} : { maxFiles }),
    }
  } catch (error) {
    if (error instanceof CairnError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new CairnError('CONFIG_INVALID', `failed to initialize logging driver: ${reason}`)
  }
}

type LogOptions = Readonly<Record<string, string>>

function checkMode({ mode = '', 'max-buffer-size': buffer }: LogOptions): void {
  if (mode !== '' && mode !== 'blocking' && mode !== 'non-blocking')
    throw new CairnError('CONFIG_INVALID', `logger: logging mode not supported: ${mode}`)
  if (buffer === undefined) return
  if (mode !== 'non-blocking')
    throw new CairnError('CONFIG_INVALID', "logger: max-buffer-size option is only supported with 'mode=non-blocking'")
  try {
    parseByteSize(buffer)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new CairnError('CONFIG_INVALID', `error parsing option max-buffer-size: ${reason}`)
  }
}

/** Throws an Error with docker's text. */
function checkDetails({ tag, 'labels-regex': labels, 'env-regex': env }: LogOptions): void {
  if (tag !== undefined) compileTemplate(tag)
  for (const pattern of [labels, env])
    if (pattern !== undefined)
      try {
        void new RegExp(pattern, 'u')
      } catch {
        throw new Error(`error parsing regexp: \`${pattern}\``)
      }
}

/** Throws an Error with docker's text; NOT_SUPPORTED for files of json-file that are to be compressed. */
function readSizes(
  driver: 'json-file' | 'local',
  { 'max-size': size, 'max-file': files, compress }: LogOptions,
): { readonly maxSize: number | undefined; readonly maxFiles: number } {
  const defaults = driver === 'local' ? localDefaults : { maxSize: undefined, maxFiles: 1 }
  const maxSize = size === undefined ? defaults.maxSize : parseDecimalSize(size)
  if (maxSize === 0) throw new Error('max-size must be a positive number')
  const maxFiles = files === undefined ? defaults.maxFiles : parseCount(files)
  if (maxFiles < 1) throw new Error('max-file cannot be less than 1')
  const isCompressed = compress === undefined ? driver === 'local' && files !== '1' : parseBool(compress)
  if (driver === 'local' && isCompressed && maxFiles === 1)
    throw new Error('compression cannot be enabled when max file count is 1')
  if (driver === 'json-file' && isCompressed) {
    if (maxFiles < 2 || maxSize === undefined)
      throw new Error('compress cannot be true when max-file is less than 2 or max-size is not set')
    throw new CairnError('NOT_SUPPORTED', '--log-opt compress=true is not supported')
  }
  return { maxSize, maxFiles }
}

function parseCount(text: string): number {
  if (!/^[+-]?\d+$/.test(text)) throw new Error(`strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`)
  return Number(text)
}
