import type { ContainerRequest } from '../../containers/settings.ts'
import { invalidArgument } from '../flag-argument.ts'
import { isAddress } from './host-addresses.ts'

/** The flags of `run` and `create` about name servers. */
interface DnsFlagValues {
  readonly dns: readonly string[]
  readonly 'dns-search': readonly string[]
  readonly 'dns-option': readonly string[]
}

/** What the container's resolv.conf is to say. Throws USAGE, in docker's words. */
export function parseDns(flags: DnsFlagValues): ContainerRequest['dns'] {
  const { dns: servers, 'dns-option': options } = flags
  for (const server of servers)
    if (!isAddress(server)) throw invalidArgument(server, '--dns', `IP address is not correctly formatted: ${server}`)
  const search = flags['dns-search'].map(searchDomain)
  return {
    ...(servers.length === 0 ? {} : { servers }),
    ...(search.length === 0 ? {} : { search }),
    ...(options.length === 0 ? {} : { options }),
  }
}

const domain = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\.?$/i

/** `.` stands for none. */
function searchDomain(text: string): string {
  const name = text.trim()
  if (name === '.' || (/[a-z]/i.test(name) && domain.test(name))) return name
  throw invalidArgument(text, '--dns-search', `${text} is not a valid domain`)
}
