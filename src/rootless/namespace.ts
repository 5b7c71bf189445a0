import { CairnError } from '../errors/error.ts'
import { tryStat } from '../linux/file-status.ts'
import { close, open, openFlags, tryLock } from '../linux/files.ts'
import { makeDirectories } from '../linux/names.ts'
import { keepAcrossExec, replaceProgram } from '../linux/replace-program.ts'
import { namespaceOf } from '../linux/namespaces.ts'
import { inInitialUserNamespace } from '../linux/user-namespace.ts'
import { endKeepers, keepNamespace, makeNamespace, requireProgram } from './make-namespace.ts'
import {
  findSurvivor,
  isKept,
  namespaceDirectory,
  type NamespaceRecord,
  readNamespaceRecord,
  removeNamespaceRecord,
  writeNamespaceRecord,
} from './namespace-record.ts'

/**
 * How Cairn works without root. A store has one user namespace, in which its user is root, as long as a command or a container is
 * there; a command of an ordinary user goes on in it before it does anything. A process that sleeps keeps the namespace for later
 * commands, which must be in the same one to reach what runs there. The last that leaves ends it.
 *
 * Every command in the namespace holds the file `lock` shared; whoever makes the namespace holds `start.lock` alone.
 */

/** Tells a process that it is in the namespace: the descriptor of its lock, or nothing where it was started in there. */
const marker = '_CAIRN_ROOTLESS'

/** True where this process works for a user without root, in the user namespace of the store. */
export function isRootless(): boolean {
  return process.env[marker] !== undefined && !inInitialUserNamespace()
}

/** What a process that is started in the namespace needs to know: variables of its environment. */
export function rootlessEnvironment(): Readonly<Record<string, string>> {
  return isRootless() ? { [marker]: '' } : {}
}

/**
 * Goes on as `command` in the user namespace of the store at `root`, which is made where it is not there. Returns where that
 * cannot be, with the reason: the command may still do what needs no namespace.
 *
 * @param command - the program and its arguments
 */
export function enterNamespace(
  root: string,
  command: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): CairnError {
  try {
    const directory = namespaceDirectory(root)
    const owner = tryStat(root)?.uid
    if (owner !== undefined && owner !== process.geteuid?.())
      return new CairnError('NOT_ROOT', `the store ${root} belongs to another user`)
    makeDirectories(directory, 0o700)
    const nsenter = requireProgram('nsenter', 'util-linux')
    const { record, lock } = lockNamespace(root)
    try {
      keepAcrossExec(lock, true)
      const words = ['--user', '--preserve-credentials', '--target', String(record.keeper.pid), '--', ...command]
      return replaceProgram(nsenter, [nsenter, ...words], { ...env, CAIRN_ROOT: root, [marker]: String(lock) })
    } finally {
      close(lock)
    }
  } catch (error) {
    if (error instanceof CairnError) return error
    throw error
  }
}

/** The namespace, and the lock that keeps others from ending it. */
function lockNamespace(root: string): { readonly record: NamespaceRecord; readonly lock: number } {
  const directory = namespaceDirectory(root)
  const starting = lockFile(`${directory}/start.lock`, 'exclusive')
  try {
    const lock = lockFile(`${directory}/lock`, 'shared')
    try {
      return { record: currentNamespace(root), lock }
    } catch (error) {
      close(lock)
      throw error
    }
  } finally {
    close(starting)
  }
}

/** To be called with both locks held. */
function currentNamespace(root: string): NamespaceRecord {
  const found = readNamespaceRecord(root)
  if (found !== undefined && isKept(found)) return found
  const survivor = found === undefined ? undefined : findSurvivor(found)
  const record = found === undefined || survivor === undefined ? makeNamespace() : keepNamespace(found, survivor)
  writeNamespaceRecord(root, record)
  return record
}

const patience = 30_000
const pause = 2

function lockFile(path: string, kind: 'shared' | 'exclusive'): number {
  const fd = open(path, openFlags.O_RDWR | openFlags.O_CREAT, 0o600)
  const deadline = performance.now() + patience
  while (!tryLock(fd, kind, path)) {
    if (performance.now() > deadline) {
      close(fd)
      throw new CairnError('STORE_BUSY', `another cairn process holds ${path} and does not come to its end`)
    }
    Bun.sleepSync(pause)
  }
  return fd
}

/** This process's part in the namespace of a store. */
export interface NamespaceStay {
  /** Ends the namespace if no other command is in it and `isNeeded` says that no container is. */
  readonly leave: (isNeeded: () => boolean) => void
}

let stayRoot: string | undefined

/** To be called first by a command that is in the namespace of the store at `root`. */
export function beginStay(root: string): NamespaceStay {
  const directory = namespaceDirectory(root)
  const inherited = process.env[marker] ?? ''
  const lock = /^\d+$/.test(inherited) ? Number(inherited) : lockFile(`${directory}/lock`, 'shared')
  keepAcrossExec(lock, false)
  // What is started from here has no part in this lock.
  process.env[marker] = ''
  stayRoot = root
  return {
    leave(isNeeded) {
      const record = readNamespaceRecord(root)
      if (record === undefined || !tryLock(lock, 'exclusive') || isNeeded()) return
      removeNamespaceRecord(root)
      endKeepers(record)
    },
  }
}

/** The namespace that this process is in, as it is written down; one that has lost its keeper gets another. */
export function ownNamespace(): NamespaceRecord & { readonly root: string } {
  if (stayRoot === undefined) throw new Error('this process is in no namespace of a store')
  const root = stayRoot
  const found = readNamespaceRecord(root)
  if (found !== undefined && isKept(found)) return { ...found, root }
  return changeNamespace(() => {
    const user = namespaceOf('self', 'user') ?? ''
    const earlier = readNamespaceRecord(root)
    if (earlier !== undefined && isKept(earlier)) return { ...earlier, root }
    const known = earlier?.user === user ? earlier : { user, net: '' }
    const record = keepNamespace(known, findSurvivor(known) ?? process.pid)
    writeNamespaceRecord(root, record)
    return { ...record, root }
  })
}

let isChanging = false

/** Calls `change` while no other process changes what is written down of the namespace. */
export function changeNamespace<Result>(change: () => Result): Result {
  if (isChanging || stayRoot === undefined) return change()
  const starting = lockFile(`${namespaceDirectory(stayRoot)}/start.lock`, 'exclusive')
  isChanging = true
  try {
    return change()
  } finally {
    isChanging = false
    close(starting)
  }
}
