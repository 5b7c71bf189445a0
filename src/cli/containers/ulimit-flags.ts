import type { CairnError } from '../../errors/error.ts'
import type { RuntimeLimit } from '../../oci/runtime-spec.ts'
import { invalidArgument } from '../flag-argument.ts'

/** Values of `--ulimit`, of one name the last. Throws USAGE in docker's words. */
export function parseUlimits(given: readonly string[]): RuntimeLimit[] {
  return [...new Map(given.map(parseUlimit).map((limit) => [limit.type, limit] as const)).values()]
}

const limitNames = new Set(
  `core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack`.split(' '),
)

/** `nofile=1024` or `nofile=1024:2048`; -1 is unlimited. */
function parseUlimit(text: string): RuntimeLimit {
  const wrong = (reason: string): CairnError => invalidArgument(text, '--ulimit', reason)
  const equals = text.indexOf('=')
  if (equals < 0) throw wrong(`invalid ulimit argument: ${text}`)
  const type = text.slice(0, equals)
  if (!limitNames.has(type)) throw wrong(`invalid ulimit type: ${type}`)
  const values = text.slice(equals + 1).split(':')
  if (values.length > 2)
    throw wrong(`too many limit value arguments - ${text.slice(equals + 1)}, can only have up to two, \`soft[:hard]\``)
  const [soft, hard] = values.map((value) => {
    if (/^-1$|^\d{1,15}$/.test(value)) return Number(value)
    throw wrong(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`)
  })
  const limit = { type, soft: soft ?? 0, hard: hard ?? soft ?? 0 }
  if (limit.hard !== -1 && (limit.soft === -1 || limit.soft > limit.hard))
    throw wrong(`ulimit soft limit must be less than or equal to hard limit: ${limit.soft} > ${limit.hard}`)
  return limit
}
