import { parseArgs } from 'node:util'
import { runContainerFaults } from './container-faults.ts'
import { type FaultOptions, runFaults } from './faults.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kills: { type: 'string' },
    seed: { type: 'string' },
    workers: { type: 'string', default: '4' },
    cairn: { type: 'string' },
    parent: { type: 'string' },
    verbose: { type: 'boolean', short: 'v' },
  },
})
const [subject = 'store'] = positionals
const seed = values.seed === undefined ? Math.floor(Math.random() * 1_000_000) : Number(values.seed)
console.log(`seed ${seed}`)
const began = performance.now()
const options: FaultOptions = {
  seed,
  kills: Number(values.kills ?? (subject === 'store' ? 200 : 100)),
  workers: Number(values.workers),
  ...(values.cairn === undefined ? {} : { cairn: values.cairn.split(' ') }),
  ...(values.parent === undefined ? {} : { parent: values.parent }),
  ...(values.verbose === true ? { log: console.log } : {}),
}
const problems = subject === 'containers' ? await killContainers() : await killStore()
for (const problem of problems) console.log(`- ${problem}`)
process.exit(problems.length === 0 ? 0 : 1)

async function killStore(): Promise<readonly string[]> {
  const { commands, kills, images, sizes, problems: found } = await runFaults(options)
  console.log(
    `${kills} kills of ${commands} commands in ${seconds()} s; ` +
      `${images} images run; du ${sizes[0]}, system df ${sizes[1]}; ${found.length} problems`,
  )
  return found
}

async function killContainers(): Promise<readonly string[]> {
  const { commands, kills, attendantKills, looks, problems: found } = await runContainerFaults(options)
  const others = Object.entries(attendantKills).map(([kind, count]) => `, ${count} of a ${kind}`)
  console.log(
    `${kills} kills of ${commands} commands${others.join('')} in ${seconds()} s; ${looks} looks; ${found.length} problems`,
  )
  return found
}

function seconds(): number {
  return Math.round((performance.now() - began) / 1000)
}
