import { CairnError } from '../../errors/error.ts'
import { parseAddress } from '../../networks/addresses.ts'
import type { PortProtocol, PortSetting } from '../../networks/network.ts'

/**
 * The ports that `--publish` asks for: `[[ADDRESS:][HOST[-HOST]]:]PORT[-PORT][/PROTOCOL]`, or the same in fields,
 * `published=8080,target=80`. Throws USAGE in docker's words, NOT_SUPPORTED for SCTP.
 */
export function parsePorts(given: readonly string[]): readonly PortSetting[] {
  return given.flatMap((text) => parsePort(/^[a-z_]+=/.test(text) ? shortOf(text) : text))
}

interface Range {
  readonly first: number
  readonly last: number
}

function parsePort(text: string): PortSetting[] {
  const [, rest = '', protocolText = 'tcp'] = /^(.*?)(?:\/([^/]*))?$/s.exec(text) ?? []
  const protocol = parseProtocol(protocolText)
  const parts = /^(?:(?:(\[[^\]]*\]|[^[\]]*):)?([^:]*):)?([^:]*)$/.exec(rest)
  if (parts === null) throw new CairnError('USAGE', `invalid hostPort: ${rest.split(':')[0] ?? ''}`)
  const [, address = '', hostText = '', containerText = ''] = parts
  if (containerText === '') throw new CairnError('USAGE', `no port specified: ${text}<empty>`)
  const hostAddress = parseHostAddress(address)
  const inside = parseRange(containerText, 'containerPort')
  const outside = hostText === '' ? undefined : parseRange(hostText, 'hostPort')
  const count = inside.last - inside.first
  if (outside !== undefined && count > 0 && outside.last - outside.first !== count)
    throw new CairnError(
      'USAGE',
      `invalid ranges specified for container and host Ports: ${containerText} and ${hostText}`,
    )
  return Array.from({ length: count + 1 }, (_, index): PortSetting => {
    const port = inside.first + index
    if (outside === undefined) return { protocol, port, hostAddress }
    const first = outside.first + index
    return { protocol, port, hostAddress, hostPorts: [first, count > 0 ? first : outside.last] }
  })
}

function parseProtocol(text: string): PortProtocol {
  const name = text.toLowerCase()
  if (name === 'tcp' || name === 'udp') return name
  if (name === 'sctp') throw new CairnError('NOT_SUPPORTED', 'ports of sctp cannot be published')
  throw new CairnError('USAGE', `invalid proto: ${text}`)
}

function parseHostAddress(text: string): string {
  if (text === '') return ''
  const plain = text.replace(/^\[(.*)\]$/, '$1')
  if (parseAddress(plain) === undefined) throw new CairnError('USAGE', `invalid IP address: ${plain}`)
  return plain
}

const highest = 65_535

function parseRange(text: string, what: string): Range {
  const ends = text.split('-')
  const numbers = ends.map(Number)
  const [first = 0, last = first] = numbers
  const isPort = (end: string): boolean => /^\d{1,5}$/.test(end) && Number(end) <= highest
  if (ends.length > 2 || !ends.every(isPort) || last < first) throw new CairnError('USAGE', `invalid ${what}: ${text}`)
  return { first, last }
}

const fields = new Set(['target', 'published', 'protocol', 'mode'])

function shortOf(text: string): string {
  const values = new Map<string, string>()
  for (const field of text.split(',')) {
    const equals = field.indexOf('=')
    const key = field.slice(0, equals)
    if (equals < 0)
      throw new CairnError('USAGE', `invalid publish opts format (should be name=value but got '${field}')`)
    if (!fields.has(key)) throw new CairnError('USAGE', `invalid publish option: ${key}`)
    values.set(key, field.slice(equals + 1))
  }
  if (!values.has('target')) throw new CairnError('USAGE', `no port specified: ${text}<empty>`)
  const published = values.has('published') ? `${values.get('published') ?? ''}:` : ''
  return `${published}${values.get('target') ?? ''}/${values.get('protocol') ?? 'tcp'}`
}
