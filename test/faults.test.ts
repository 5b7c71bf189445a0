import { expect, test } from 'bun:test'
import { runContainerFaults } from './faults/container-faults.ts'
import { runContainerCrowd } from './faults/container-crowd.ts'
import { runFaults } from './faults/faults.ts'

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

test('many containers come up at once, are small, and leave nothing (`npm run faults crowd` starts 200)', async () => {
  const { problems, overhead } = await runContainerCrowd({ count: 8 })
  expect(problems).toEqual([])
  // Few share less of what they share: with 200 the limit is 5 MB.
  expect(overhead).toBeLessThan(9000)
}, 120_000)
