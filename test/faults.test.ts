import { expect, test } from 'bun:test'
import { runFaults } from './faults/faults.ts'

test('processes that are killed while others go on leave a store that is whole (`npm run faults` does it longer)', async () => {
  const report = await runFaults({ seed: 1, kills: 12 })
  expect(report.problems).toEqual([])
  expect(report.kills).toBe(12)
}, 120_000)
