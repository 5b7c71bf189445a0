import { parseArgs } from 'node:util'
import { runFaults } from './faults.ts'

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '200' },
    seed: { type: 'string' },
    workers: { type: 'string', default: '4' },
    cairn: { type: 'string' },
    parent: { type: 'string' },
    verbose: { type: 'boolean', short: 'v' },
  },
})
const seed = values.seed === undefined ? Math.floor(Math.random() * 1_000_000) : Number(values.seed)
console.log(`seed ${seed}`)
const began = performance.now()
const report = await runFaults({
  seed,
  kills: Number(values.kills),
  workers: Number(values.workers),
  ...(values.cairn === undefined ? {} : { cairn: values.cairn.split(' ') }),
  ...(values.parent === undefined ? {} : { parent: values.parent }),
  ...(values.verbose === true ? { log: console.log } : {}),
})
const { commands, kills, images, sizes, problems } = report
console.log(
  `${kills} kills of ${commands} commands in ${Math.round((performance.now() - began) / 1000)} s; ` +
    `${images} images run; du ${sizes[0]}, system df ${sizes[1]}; ${problems.length} problems`,
)
for (const problem of problems) console.log(`- ${problem}`)
process.exit(problems.length === 0 ? 0 : 1)
