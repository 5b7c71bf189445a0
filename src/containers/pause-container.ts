import type { Store } from '../content/store.ts'
import { listDirectory } from '../linux/directories.ts'
import { errno, isErrno } from '../linux/errno.ts'
import { tryStat } from '../linux/file-status.ts'
import { processStatus, signalProcess } from '../linux/processes.ts'
import { signalNumbers } from '../linux/signals.ts'
import type { Container } from './container.ts'
import { findInit } from './init-process.ts'

/**
 * Lets the processes of a container go on whose Cairn process was killed while it held them: this shell waits on a pipe
 * that only that process has open, and is told when it has nothing to do.
 */
const guard = String.raw`
read -r line && exit
ls -l /proc/[0-9]*/ns/pid 2>/dev/null |
  sed -n "s#.* /proc/\([0-9]*\)/ns/pid -> pid:\[$1\]\$#\1#p" | xargs -r kill -CONT
`

/**
 * Holds all processes of a container, if it runs, until the result is disposed of: its files do not change meanwhile.
 * They are stopped by SIGSTOP, which those that wait for them may see, and go on also when this process is killed.
 */
export function pauseContainer(store: Store, container: Container): Disposable {
  const init = findInit(store, container.id)
  const space = init === undefined ? undefined : pidNamespace(init.pid)
  const guarded = space === undefined ? undefined : startGuard(space)
  const stopped = new Map<number, number>()
  const send = (pid: number, startTime: number, signal: number): void => void signalProcess({ pid, startTime }, signal)
  // One that was not stopped yet may have started others in the meantime.
  for (let found = space !== undefined; found;) {
    found = false
    for (const pid of processesOf(space)) {
      const startTime = processStatus(pid)?.startTime
      if (startTime === undefined || stopped.get(pid) === startTime) continue
      send(pid, startTime, signalNumbers.SIGSTOP)
      stopped.set(pid, startTime)
      found = true
    }
  }
  return {
    [Symbol.dispose]: () => {
      for (const [pid, startTime] of stopped) send(pid, startTime, signalNumbers.SIGCONT)
      void guarded?.stdin.write('done\n')
      void guarded?.stdin.end()
    },
  }
}

function startGuard(space: number | bigint) {
  const started = Bun.spawn(['/bin/sh', '-c', guard, 'sh', String(space)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    detached: true,
  })
  started.unref()
  return started
}

/** Numbers of the processes that a container has in its PID namespace; none where it does not run. */
export function processesInNamespace(store: Store, id: string): number[] {
  const init = findInit(store, id)
  return init === undefined ? [] : processesOf(pidNamespace(init.pid))
}

/** Numbers of the processes in the PID namespace with this inode. */
function processesOf(space: number | bigint | undefined): number[] {
  return listDirectory('/proc')
    .map(({ name }) => name)
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pidNamespace(pid) === space)
}

/** Inode of a process's PID namespace; undefined where it is gone, or another user's and so none of a container's. */
function pidNamespace(pid: number): number | bigint | undefined {
  try {
    return tryStat(`/proc/${pid}/ns/pid`)?.inode
  } catch (error) {
    if (isErrno(error, errno.EACCES, errno.EPERM)) return undefined
    throw error
  }
}
