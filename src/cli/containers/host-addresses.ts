import type { ExtraHost } from '../../build/graph.ts'
import { type CairnError, usageError } from '../../errors/error.ts'

/**
 * A value of `build --add-host`: `HOST:ADDRESS` or `HOST=ADDRESS`, several addresses with commas between them, IPv6 in
 * brackets or not. Steps share the host's network, where `host-gateway` is 127.0.0.1. Throws USAGE (status 1) in buildx's
 * words.
 */
export function parseExtraHost(text: string): ExtraHost[] {
  const [, name, given] = /^([^=]+)=(.+)$/.exec(text) ?? /^([^:]+):(.+)$/.exec(text) ?? []
  if (name === undefined || given === undefined) throw invalid(text)
  if (given === 'host-gateway') return [{ name, address: '127.0.0.1' }]
  return given.split(',').map((part) => {
    const address = part.replace(/^\[(.+)\]$/, '$1')
    if (!isAddress(address)) throw invalid(text)
    return { name, address }
  })
}

function invalid(text: string): CairnError {
  return usageError(`invalid host ${text}`, { hint: 'Write it as host:ip or host:host-gateway.' })
}

/** True for an IPv4 or IPv6 address. */
export function isAddress(text: string): boolean {
  if (/^\d{1,3}(?:\.\d{1,3}){3}$/.test(text)) return text.split('.').every((part) => Number(part) <= 255)
  return text.includes(':') && URL.canParse(`http://[${text}]/`)
}
