import { SystemCallError } from '../linux/errno.ts'
import { tryListDirectory } from '../linux/directories.ts'
import { readLink } from '../linux/names.ts'
import { readTextFile } from '../linux/text-file.ts'
import { networkFiles } from './place.ts'
import type { PortProtocol } from './network.ts'

/** A port that is listened at, and the socket that does. */
interface HeldPort {
  readonly port: number
  readonly inode: string
}

const listening = '0A'

/** Ports of the network namespace that is worked for that programs listen at, proc_net_tcp.rst. */
export function heldPorts(protocol: PortProtocol): HeldPort[] {
  return ['', '6'].flatMap((version) => {
    const [, ...rows] = (readTextFile(`${networkFiles()}/${protocol}${version}`) ?? '').trim().split('\n')
    return rows.flatMap((row) => {
      const [, local = '', , state, , , , , , inode = ''] = row.trim().split(/\s+/)
      if (protocol === 'tcp' && state !== listening) return []
      return [{ port: Number.parseInt(local.slice(local.lastIndexOf(':') + 1), 16), inode }]
    })
  })
}

/** The program that listens at a port: `nginx (process 812)`; undefined where nobody may know. */
export function holderOfPort(protocol: PortProtocol, port: number): string | undefined {
  const sockets = new Set(heldPorts(protocol).flatMap((held) => (held.port === port ? [`socket:[${held.inode}]`] : [])))
  if (sockets.size === 0) return undefined
  for (const { name: pid } of tryListDirectory('/proc')) {
    if (!/^\d+$/.test(pid) || !descriptorsOf(pid).some((target) => sockets.has(target))) continue
    return `${readTextFile(`/proc/${pid}/comm`)?.trim() ?? ''} (process ${pid})`
  }
  return undefined
}

function descriptorsOf(pid: string): string[] {
  try {
    return tryListDirectory(`/proc/${pid}/fd`).flatMap(({ name }) => tryReadLink(`/proc/${pid}/fd/${name}`) ?? [])
  } catch (error) {
    if (error instanceof SystemCallError) return []
    throw error
  }
}

function tryReadLink(path: string): string | undefined {
  try {
    return readLink(path)
  } catch (error) {
    if (error instanceof SystemCallError) return undefined
    throw error
  }
}
