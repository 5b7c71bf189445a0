import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { BuildBench } from './fixtures/build-bench.ts'
import { pipeHolder } from './fixtures/pipe-holder.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

let bench: BuildBench
beforeAll(async () => {
  bench = await BuildBench.open()
})
afterAll(() => bench[Symbol.dispose]())

/** Processes of this machine whose command line is `command`. */
function running(command: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1') === `${command}\0`
      } catch {
        return false
      }
    })
}

describe.if(process.arch === 'x64')('a RUN step that holds the lock of its output', () => {
  test('is ended by Ctrl-C all the same', async () => {
    const name = `/hold-${process.pid}`
    bench.file('hold', pipeHolder(), 0o755)
    bench.file('Dockerfile', `FROM busybox\nCOPY hold ${name}\nRUN ["${name}"]\n`)
    const child = bench.spawn(['build', '--progress=plain', bench.context])
    try {
      while (running(name).length < 3) await Bun.sleep(20)
      // Time for the lock to go from hand to hand, and for the reader to ask for it.
      await Bun.sleep(700)
      child.kill('SIGINT')
      const ended = await Promise.race([child.exited, Bun.sleep(15_000)])
      expect(ended).toBe(130)
      expect(running(name)).toEqual([])
    } finally {
      // Only the end of the step lets go of a reader that waits for it.
      for (const pid of running(name)) process.kill(pid, 'SIGKILL')
      child.kill('SIGKILL')
      await child.exited
    }
  })
})

test('output that is not read as fast as it is written makes the step wait, and all of it arrives', async () => {
  bench.file('Dockerfile', 'FROM busybox\nRUN yes 0123456789012345678901234567890 | head -c 20000000; echo; echo END\n')
  const { status, err } = await bench.cairn(['build', '--progress=plain', '--no-cache', bench.context])
  expect(status).toBe(0)
  expect(err.match(/0123456789012345678901234567890$/gm)?.length).toBe(625_000)
  expect(err).toContain('END')
})
