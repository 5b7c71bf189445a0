import { readdir, readFile } from 'node:fs/promises'

/** A command to measure. */
export interface Command {
  readonly argv: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/**
 * Runs a command to its end and gives the milliseconds from before its start to its end. Throws with what it wrote to
 * stderr when it fails.
 */
export async function measureTime({ argv, env }: Command): Promise<number> {
  const started = performance.now()
  const child = Bun.spawn([...argv], {
    env: { ...process.env, ...env },
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
  })
  const stderr = new Response(child.stderr).text()
  const code = await child.exited
  const milliseconds = performance.now() - started
  if (code !== 0) throw new Error(`${argv.join(' ')} exited with ${code}\n${(await stderr).slice(-2000)}`)
  return milliseconds
}

/**
 * Runs a command to its end and gives the peak resident sets of it and of the processes below it, added up, in MiB.
 * They are looked at every few milliseconds, which costs time: not for a run that is timed.
 *
 * getrusage(2) cannot tell: a process starts with the peak of the one that it was forked from.
 */
export async function measurePeak({ argv, env }: Command): Promise<number> {
  const child = Bun.spawn([...argv], {
    env: { ...process.env, ...env },
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'ignore',
  })
  const peaks = new Map<number, number>()
  const running = { ended: false }
  const code = child.exited.finally(() => (running.ended = true))
  while (!running.ended) {
    await collectPeaks(child.pid, peaks)
    await Bun.sleep(2)
  }
  if ((await code) !== 0) throw new Error(`${argv.join(' ')} exited with ${await code}`)
  return peaks.values().reduce((sum, kibibytes) => sum + kibibytes, 0) / 1024
}

async function collectPeaks(pid: number, peaks: Map<number, number>): Promise<void> {
  try {
    const peak = /^VmHWM:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]
    if (peak !== undefined) peaks.set(pid, Number(peak))
    for (const thread of await readdir(`/proc/${pid}/task`)) {
      const children = await readFile(`/proc/${pid}/task/${thread}/children`, 'utf8')
      for (const child of children.split(' ')) if (child !== '') await collectPeaks(Number(child), peaks)
    }
  } catch {
    // The process or one of its threads has just ended.
  }
}

/** Runs a command and gives its standard output. Throws with what it wrote to stderr when it fails. */
export async function output({ argv, env }: Command): Promise<string> {
  const child = Bun.spawn([...argv], {
    env: { ...process.env, ...env },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  if (code !== 0) throw new Error(`${argv.join(' ')} exited with ${code}\n${stderr.slice(-2000)}`)
  return stdout
}

/** The middle value, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle]
  if (upper === undefined) throw new RangeError('no values')
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2
}
