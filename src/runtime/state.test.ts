import { afterEach, expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Children } from '../../test/fixtures/children.ts'
import { ContainerBench, eventually, outcomeOf, processesWith } from '../../test/fixtures/container-bench.ts'
import { ownIdentity } from '../linux/processes.ts'
import { detectRuntime } from './runtime.ts'
import { ownStateDirectory, reapAbandoned } from './state.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

const root = join(import.meta.dir, '../..')
const children = new Children()
afterEach(() => children[Symbol.dispose]())

/** A Cairn process of its own that runs `sleep SECONDS` in a container, with a shell to guard it or without. */
function startCairn(box: ContainerBench, runtime: string, seconds: string) {
  const script = `${box.directory}/cairn.ts`
  writeFileSync(
    script,
    `
    import { ContainerBench } from '${root}/test/fixtures/container-bench.ts'
    import { run } from '${root}/src/runtime/run.ts'
    import { detectRuntime } from '${root}/src/runtime/runtime.ts'
    import { containerSpec } from '${root}/src/runtime/spec.ts'
    const spec = containerSpec({
      rootfs: ${JSON.stringify(box.rootfs)}, args: ['sh', '-c', 'trap "" TERM; sleep ${seconds} & sleep ${seconds}'],
      env: ['PATH=/bin'], cwd: '/', hostname: 'box', network: 'none',
    })
    const bundle = ${JSON.stringify(`${box.directory}/bundle`)}
    run({ id: 'guarded', spec, bundle, stateDirectory: ${JSON.stringify(box.stateDirectory)}, runtime: detectRuntime(${JSON.stringify(runtime)}) })
    `,
  )
  mkdirSync(`${box.directory}/bundle`, { recursive: true })
  return children.add(Bun.spawn([process.execPath, script], { stdin: 'ignore', stdout: 'ignore', stderr: 'inherit' }))
}

test.each(['crun', 'runc'] as const)('a container of %s ends when the Cairn process is killed', async (runtime) => {
  using box = new ContainerBench()
  const seconds = `312${process.pid}`
  const cairn = startCairn(box, runtime, seconds)
  expect(await eventually(() => processesWith(`sleep\0${seconds}`).length === 2)).toBe(true)
  cairn.kill('SIGKILL')
  await cairn.exited
  expect(await eventually(() => processesWith(seconds).length === 0, 3000)).toBe(true)
  expect(await eventually(() => processesWith(box.directory).length === 0, 3000)).toBe(true)
  reapAbandoned(box.stateDirectory)
  expect(box.states()).toEqual([])
})

test('a container that was just starting when the Cairn process was killed ends too', async () => {
  for (const delay of [30, 60, 90, 120]) {
    using box = new ContainerBench()
    const seconds = `313${process.pid}${delay}`
    const cairn = startCairn(box, 'crun', seconds)
    await Bun.sleep(delay)
    cairn.kill('SIGKILL')
    await cairn.exited
    await Bun.sleep(50)
    expect(await eventually(() => processesWith(`sleep\0${seconds}`).length === 0, 4000)).toBe(true)
    expect(await eventually(() => processesWith(`${box.directory}/`).length === 0, 4000)).toBe(true)
  }
})

test('`reapAbandoned()` kills what a dead process left running, and nothing of a living one', async () => {
  using box = new ContainerBench(detectRuntime('crun'))
  const living = box.start(['sleep', '100'])
  const outcome = outcomeOf(living)
  expect(await living.kill('SIGCONT')).toBe(true)

  // As if the guard had been killed too: its state moves under the name of a process that is no more.
  using other = new ContainerBench(detectRuntime('crun'))
  const orphan = other.start(['sleep', '100'])
  const orphanOutcome = outcomeOf(orphan)
  expect(await orphan.kill('SIGCONT')).toBe(true)
  const own = ownStateDirectory(other.stateDirectory)
  const { pid, startTime } = ownIdentity()
  const dead = own.replace(`-${pid}-${startTime}`, `-${pid}-${startTime + 1}`)
  const { renameSync } = await import('node:fs')
  renameSync(own, dead)

  expect(reapAbandoned(box.stateDirectory)).toEqual({ killed: [] })
  expect(reapAbandoned(other.stateDirectory)).toEqual({ killed: [orphan.id] })
  expect((await orphanOutcome).status).toBe(137)
  expect(existsSync(dead)).toBe(false)
  expect(await living.kill('SIGKILL')).toBe(true)
  expect((await outcome).status).toBe(137)
})

test('`reapAbandoned()` leaves a process alone that only has the number of a container’s', async () => {
  using box = new ContainerBench()
  const innocent = children.add(Bun.spawn(['sleep', '30']))
  const { pid, startTime } = ownIdentity()
  const owner = ownStateDirectory(box.stateDirectory).replace(`-${pid}-${startTime}`, `-${pid}-${startTime + 1}`)
  mkdirSync(`${owner}/crun/old`, { recursive: true })
  writeFileSync(`${owner}/crun/old/status`, JSON.stringify({ pid: innocent.pid, 'process-start-time': 1 }))
  mkdirSync(`${owner}/crun/half`, { recursive: true })
  writeFileSync(`${owner}/crun/half/status`, '{"pid": 1')
  expect(reapAbandoned(box.stateDirectory)).toEqual({ killed: [] })
  expect(readdirSync(box.stateDirectory)).toHaveLength(1)
  expect(innocent.exitCode).toBe(null)
  innocent.kill()
  await innocent.exited
})

test('`reapAbandoned()` does nothing where nothing ever ran', () => {
  expect(reapAbandoned('/no/such/directory')).toEqual({ killed: [] })
})
