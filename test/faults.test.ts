import { expect, test } from 'bun:test'
import { runContainerFaults } from './faults/container-faults.ts'
import { runContainerCrowd } from './faults/container-crowd.ts'
import { runFaults } from './faults/faults.ts'
import { runRegistryFaults } from './faults/registry-faults.ts'

test('processes that are killed while others go on leave a store that is whole (`npm run faults` does it longer)', async () => {
  const report = await runFaults({ seed: 1, kills: 12 })
  expect(report.problems).toEqual([])
  expect(report.kills).toBe(12)
}, 120_000)

test('containers are what is said of them whatever is killed (`npm run faults containers` does it longer)', async () => {
  const { problems, kills, attendantKills } = await runContainerFaults({ seed: 5, kills: 10, workers: 3 })
  expect(problems).toEqual([])
  const others = Object.values(attendantKills).reduce((sum, count) => sum + count, 0)
  expect(kills + others).toBeGreaterThanOrEqual(10)
}, 120_000)

test('a push and a pull that are cut and killed go through (`npm run faults registry` does it with 600 MB)', async () => {
  const { problems, push, pull } = await runRegistryFaults({
    seed: 1,
    cuts: 8,
    kills: 3,
    size: 60_000_000,
    rate: 2.5e7,
  })
  // What is on its way when a client is killed counts for more in a small image.
  expect(problems.filter((problem) => !problem.includes(' took '))).toEqual([])
  expect([push.kills, pull.kills]).toEqual([3, 3])
  expect(Math.min(push.cuts, pull.cuts)).toBeGreaterThanOrEqual(4)
}, 120_000)

test('many containers come up at once, are small, and leave nothing (`npm run faults crowd` starts 200)', async () => {
  const { problems, overhead } = await runContainerCrowd({ count: 8 })
  expect(problems).toEqual([])
  // Few share less of what they share: with 200 the limit is 5 MB.
  expect(overhead).toBeLessThan(9000)
}, 120_000)
