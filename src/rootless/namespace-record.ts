import { tryListDirectory } from '../linux/directories.ts'
import { tryStat } from '../linux/file-status.ts'
import { removeFile, rename } from '../linux/names.ts'
import { isRunning, type ProcessIdentity } from '../linux/processes.ts'
import { readTextFile, writeTextFile } from '../linux/text-file.ts'
import { namespaceOf } from '../linux/namespaces.ts'

/** The user namespace of a store without root, as it is written down for later commands. */
export interface NamespaceRecord {
  /** A process that does nothing but keep the namespace, and the network namespace that belongs to it. */
  readonly keeper: ProcessIdentity
  /** The boot and the pid namespace in which numbers of processes mean something. */
  readonly scope: string
  /** Identities of the two namespaces. */
  readonly user: string
  readonly net: string
  /** Why there is only one id in it; absent where the ranges of its user are. */
  readonly single?: string
  /** Connects the network namespace with the network of the machine. */
  readonly connection?: ProcessIdentity
}

/** Where a store keeps what belongs to its namespace. */
export function namespaceDirectory(root: string): string {
  return `${root}/rootless`
}

function recordFile(root: string): string {
  return `${namespaceDirectory(root)}/namespace.json`
}

/** What is written down and of this boot; undefined where nothing is. */
export function readNamespaceRecord(root: string): NamespaceRecord | undefined {
  const text = readTextFile(recordFile(root))
  if (text === undefined) return undefined
  try {
    const record = JSON.parse(text) as NamespaceRecord
    return record.scope === processScope() ? record : undefined
  } catch {
    // Half written when the machine went down.
    return undefined
  }
}

export function writeNamespaceRecord(root: string, record: NamespaceRecord): void {
  const file = recordFile(root)
  writeTextFile(`${file}.new`, JSON.stringify(record))
  rename(`${file}.new`, file)
}

export function removeNamespaceRecord(root: string): void {
  removeFile(recordFile(root))
}

/** True while the keeper is there and in the namespace that is written down. */
export function isKept({ keeper, user }: NamespaceRecord): boolean {
  return isRunning(keeper) && namespaceOf(keeper.pid, 'user') === user
}

/** A process that is still in the namespace, best one that is in its network namespace too. */
export function findSurvivor({ user, net }: Pick<NamespaceRecord, 'user' | 'net'>): number | undefined {
  const inside = tryListDirectory('/proc')
    .map(({ name }) => Number(name))
    .filter((pid) => Number.isInteger(pid) && namespaceOf(pid, 'user') === user)
  return inside.find((pid) => namespaceOf(pid, 'net') === net) ?? inside[0]
}

/** The boot of the machine and the pid namespace of this process: where its numbers of processes mean something. */
export function processScope(): string {
  const boot = readTextFile('/proc/sys/kernel/random/boot_id')?.trim() ?? ''
  return `${boot}/${tryStat('/proc/self/ns/pid')?.inode ?? 0}`
}
