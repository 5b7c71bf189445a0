import { CairnError } from '../errors/error.ts'
import { csvPairs } from './csv.ts'
import { parseGoBool } from './go-bool.ts'
import { withSuggestion } from './suggest.ts'

/** A device asked for by `RUN --device`. */
export interface RunDevice {
  /** A CDI name (`vendor.example/class=name`) or a class. */
  readonly name: string
  readonly required: boolean
}

/** Reads a value of `RUN --device`: `[name=]NAME[,required[=true]]`. Throws DOCKERFILE_INVALID. */
export function parseDevice(text: string): RunDevice {
  let name = ''
  let required = false
  const pairs = csvPairs(text, (message) => invalid(`failed to parse csv devices: ${message}`))
  for (const { field, key: written, value } of pairs) {
    const key = written.toLowerCase()
    if (key === 'required') {
      const parsed = value === undefined ? true : parseGoBool(value)
      if (parsed === undefined) throw invalid(`invalid value for ${key}: ${value}`)
      required = parsed
    } else if (key === 'name' && value !== undefined) {
      if (name !== '') throw invalid(`device name already set to ${name}`)
      name = value
    } else if (name === '') {
      name = field
    } else if (value === undefined) {
      throw invalid(`invalid field '${field}' must be a key=value pair`)
    } else {
      throw invalid(withSuggestion(`unexpected key '${key}' in '${field}'`, key, ['name', 'required'], true))
    }
  }
  return { name, required }
}

function invalid(message: string): CairnError {
  return new CairnError('DOCKERFILE_INVALID', message)
}
