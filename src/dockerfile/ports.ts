import { CairnError } from '../errors/error.ts'
import { quoteGo } from './characters.ts'

/** One word of EXPOSE as it was written. */
export interface WrittenPort {
  readonly word: string
  /** `tcp` where none was given; in the case it was written in. */
  readonly protocol: string
  /** There is an address or a host port. */
  readonly mapped: boolean
}

/**
 * The ports that the words of EXPOSE name after expansion: `80/tcp`, in the order given, ranges expanded. A word is
 * `port` or `first-last`, each with `/tcp`, `/udp` or `/sctp`. An address and a host port before it are checked and
 * dropped. `onPort` is called with each word before its numbers are looked at. Throws DOCKERFILE_INVALID.
 */
export function parsePorts(words: readonly string[], onPort: (port: WrittenPort) => void = () => {}): string[] {
  const ports: string[] = []
  for (const word of words) {
    const { address, hostPort, containerPort } = splitParts(word)
    const { protocol, range } = splitProtocol(word, containerPort)
    onPort({ word, protocol, mapped: address !== '' || hostPort !== '' })
    checkAddress(address)
    const { first, last } = parseRange(range) ?? refuse(`invalid containerPort: ${range}`)
    if (hostPort !== '') checkHostPort(hostPort, range, last - first)
    for (let port = first; port <= last; port++) ports.push(`${port}/${protocol.toLowerCase()}`)
  }
  return ports
}

function splitParts(word: string): { address: string; hostPort: string; containerPort: string } {
  const parts = word.split(':')
  const containerPort = parts.pop() ?? ''
  const hostPort = parts.pop() ?? ''
  return { address: parts.join(':'), hostPort, containerPort }
}

function splitProtocol(word: string, text: string): { protocol: string; range: string } {
  const slash = text.indexOf('/')
  const range = slash < 0 ? text : text.slice(0, slash)
  const protocol = slash < 0 ? '' : text.slice(slash + 1)
  if (range === '') refuse(`invalid port: ${quoteGo(word)}: no port specified`)
  if (!/^(tcp|udp|sctp|)$/i.test(protocol)) refuse(`invalid port: ${quoteGo(word)}: invalid proto: ${protocol}`)
  return { protocol: protocol === '' ? 'tcp' : protocol, range }
}

function checkAddress(text: string): void {
  if (text === '') return
  const address = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text
  if (!isIpv4(address) && !isIpv6(address)) refuse(`invalid IP address: ${address}`)
}

function isIpv4(text: string): boolean {
  const parts = text.split('.')
  return parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)
}

function isIpv6(text: string): boolean {
  if (!/^[0-9a-f:.]+$/i.test(text) || !text.includes(':')) return false
  return URL.canParse(`http://[${text}]/`)
}

function checkHostPort(hostPort: string, containerPort: string, span: number): void {
  const host = parseRange(hostPort) ?? refuse(`invalid hostPort: ${hostPort}`)
  // One container port may be given a range to choose a host port from.
  if (span !== host.last - host.first && span !== 0) {
    refuse(`invalid ranges specified for container and host Ports: ${containerPort} and ${hostPort}`)
  }
}

function parseRange(text: string): { first: number; last: number } | undefined {
  const dash = text.indexOf('-')
  const first = parsePort(dash < 0 ? text : text.slice(0, dash))
  const last = dash < 0 ? first : parsePort(text.slice(dash + 1))
  return first === undefined || last === undefined || last < first ? undefined : { first, last }
}

function parsePort(text: string): number | undefined {
  if (!/^\+?\d+$/.test(text)) return undefined
  const port = Number(text)
  return port <= 65535 ? port : undefined
}

function refuse(message: string): never {
  throw new CairnError('DOCKERFILE_INVALID', message)
}
