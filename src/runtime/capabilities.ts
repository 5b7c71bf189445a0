import { CairnError } from '../errors/error.ts'
import { readTextFile } from '../linux/text-file.ts'

/** The capabilities a container has unless it is told otherwise: docker's fourteen. */
export const defaultCapabilities: readonly string[] = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FSETID',
  'CAP_FOWNER',
  'CAP_MKNOD',
  'CAP_NET_RAW',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETFCAP',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_SYS_CHROOT',
  'CAP_KILL',
  'CAP_AUDIT_WRITE',
]

/** Every capability of Linux 5.9 and later, in the order of their numbers (linux/capability.h). */
export const allCapabilities: readonly string[] = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
]

/** What `--cap-add` and `--cap-drop` ask for. */
export interface CapabilityChanges {
  readonly add?: readonly string[]
  readonly drop?: readonly string[]
  /** `--privileged`: everything, whatever is dropped. */
  readonly privileged?: boolean
}

/**
 * The capabilities of a container, in docker's words: names in any case with or without `CAP_`, `ALL` on either side.
 * `add ALL` gives all but what is dropped, `drop ALL` only what is added. Throws USAGE for a name Linux does not have.
 *
 * @param held - nobody can give what he has not got, so `ALL` and privileged mean all of these; a capability asked for
 *   by name is left for the runtime to refuse
 */
export function containerCapabilities(
  changes: CapabilityChanges = {},
  held: readonly string[] = allCapabilities,
): string[] {
  const add = (changes.add ?? []).map(normalizeCapability)
  const drop = (changes.drop ?? []).map(normalizeCapability)
  if (changes.privileged === true) return [...held]
  const dropped = new Set(drop)
  let base: readonly string[]
  if (add.includes('ALL')) base = held.filter((name) => !dropped.has(name))
  else if (dropped.has('ALL')) base = []
  else base = defaultCapabilities.filter((name) => !dropped.has(name))
  return [...new Set([...base, ...add.filter((name) => name !== 'ALL')])]
}

function normalizeCapability(given: string): string {
  const upper = given.trim().toUpperCase()
  if (upper === 'ALL' || upper === 'CAP_ALL') return 'ALL'
  const name = upper.startsWith('CAP_') ? upper : `CAP_${upper}`
  if (!allCapabilities.includes(name))
    throw new CairnError('USAGE', `unknown capability: ${JSON.stringify(name)}`, {
      hint: 'Names are those of capabilities(7), for example NET_ADMIN or CAP_NET_ADMIN.',
    })
  return name
}

/**
 * The bounding set of this process: what it can give to a container. Capabilities without a name here are left out.
 *
 * @param status - text of proc_pid_status(5)
 */
export function heldCapabilities(status = readTextFile('/proc/self/status') ?? ''): string[] {
  const mask = /^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1]
  if (mask === undefined) return [...allCapabilities]
  const bits = BigInt(`0x${mask}`)
  return allCapabilities.filter((_, number) => ((bits >> BigInt(number)) & 1n) === 1n)
}
