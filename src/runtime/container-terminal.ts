import { CairnError } from '../errors/error.ts'
import { listDirectory } from '../linux/directories.ts'
import { close, makeBlocking } from '../linux/files.ts'
import { readLink } from '../linux/names.ts'
import { duplicateDescriptor, processStatus } from '../linux/processes.ts'
import { type TerminalSize, isTerminal, rememberTerminal, setTerminalSize, terminalSize } from '../linux/terminal.ts'

/** The terminal of this process while a container has it. */
export interface OwnTerminal {
  /** Follows the terminal's size from now on; `runtimePid` is the runtime's process. */
  readonly follow: (runtimePid: number) => void
  /** Sets the terminal's modes back and follows no more. */
  readonly release: () => void
}

/**
 * Lends out the terminal at file descriptor 0. The runtime makes it raw and sets it back itself, but not when it is
 * killed, and this process may end first.
 */
export function lendTerminal(): OwnTerminal {
  const restore = rememberTerminal(0)
  process.on('exit', restore)
  let onResize: (() => void) | undefined
  return {
    follow: (runtimePid) => {
      onResize = () => void resizeContainer(runtimePid, terminalSize(0))
      process.on('SIGWINCH', onResize)
    },
    release: () => {
      if (onResize !== undefined) process.off('SIGWINCH', onResize)
      process.off('exit', restore)
      restore()
    },
  }
}

/** True where {@link lendTerminal} has a terminal to lend. */
export function hasTerminal(): boolean {
  return isTerminal(0)
}

/**
 * Leaves what runs on the pseudo-terminals of this process to itself: somebody else holds their other ends from now on and
 * reads what is shown, so that it neither hangs nor is hung up on when this process ends.
 */
export function abandonTerminal(): void {
  const master = openMaster(process.pid)
  if (master === undefined) return
  try {
    makeBlocking(master)
    const streams = { stdin: master, stdout: 'ignore', stderr: 'ignore' } as const
    Bun.spawn(['cat'], { ...streams, cwd: '/', env: { PATH: '/usr/bin:/bin' }, detached: true }).unref()
  } finally {
    close(master)
  }
}

const attempts = 50
const attemptInterval = 10

/**
 * Sets the size of a container's terminal by the end of it that the runtime holds: crun before 1.9 does not do so on
 * SIGWINCH. Waits half a second for a runtime that has not opened it yet. Does nothing where there is none.
 */
export async function resizeContainer(runtimePid: number, size: TerminalSize): Promise<void> {
  for (let attempt = 0; attempt < attempts && processStatus(runtimePid) !== undefined; attempt++) {
    try {
      const fd = openMaster(runtimePid)
      if (fd !== undefined) {
        setTerminalSize(fd, size)
        close(fd)
        return
      }
    } catch (error) {
      // A file that it has just closed is looked for again; one that lets nobody look resizes by itself.
      if (!(error instanceof CairnError)) throw error
      if (error.code !== 'FILE_UNKNOWN') return
    }
    await Bun.sleep(attemptInterval)
  }
}

/** The pseudo-terminal's own end among the open files of a process, as a descriptor of ours. */
function openMaster(pid: number): number | undefined {
  const directory = `/proc/${pid}/fd`
  for (const { name } of listDirectory(directory))
    if (readLink(`${directory}/${name}`).endsWith('/ptmx')) return duplicateDescriptor(pid, Number(name))
  return undefined
}
