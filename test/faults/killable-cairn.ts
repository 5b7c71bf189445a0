import { readdirSync, readFileSync } from 'node:fs'
import { withHostCgroups } from '../../src/runtime/cgroups.ts'
import { cairnProgram } from '../fixtures/suite.ts'

export interface Outcome {
  readonly status: number
  readonly out: string
  readonly err: string
}

export interface KillableOptions {
  /** The program and its first arguments; that of the tests if absent. */
  readonly cairn?: readonly string[] | undefined
  readonly home: string
  readonly root: string
}

/** A command that runs. */
export interface KillableCommand {
  readonly pid: number
  readonly isRunning: () => boolean
  readonly end: Promise<Outcome>
}

/** Starts commands of Cairn that may be killed at any moment. */
export function startCairn(
  argv: readonly string[],
  { cairn = cairnProgram, home, root }: KillableOptions,
): KillableCommand {
  const child = withHostCgroups(() =>
    Bun.spawn([...cairn, ...argv], {
      env: { PATH: process.env['PATH'], HOME: home, CAIRN_ROOT: root },
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
    }),
  )
  const end = (async (): Promise<Outcome> => {
    // A container that outlives its command would hold the pipes open, so the exit counts.
    const [out, err] = [child.stdout.text(), child.stderr.text()]
    const status = await child.exited
    const late = Bun.sleep(3000).then(() => '')
    return { status, out: await Promise.race([out, late]), err: await Promise.race([err, late]) }
  })()
  return { pid: child.pid, isRunning: () => child.exitCode === null && child.signalCode === null, end }
}

/** Pids of all that a process has started, and what those have. */
export function descendants(pid: number): number[] {
  const children = new Map<number, number[]>()
  for (const name of namesIn('/proc')) {
    const parent = /^\d+$/.test(name) ? parentOf(name) : undefined
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)])
  }
  const found: number[] = []
  const waiting = [pid]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const own = children.get(next) ?? []
    found.push(...own)
    waiting.push(...own)
  }
  return found
}

function parentOf(pid: string): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    return undefined
  }
}

export function killProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}

/** Names in a directory; none where it is not there. */
export function namesIn(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}
