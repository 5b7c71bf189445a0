import { parseArgs } from 'node:util'
import { runContainerFaults } from './container-faults.ts'
import { runContainerCrowd } from './container-crowd.ts'
import { type FaultOptions, runFaults } from './faults.ts'
import { runRegistryFaults, type Transfer } from './registry-faults.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kills: { type: 'string' },
    seed: { type: 'string' },
    workers: { type: 'string', default: '4' },
    containers: { type: 'string', default: '200' },
    batch: { type: 'string', default: '10' },
    cuts: { type: 'string', default: '50' },
    megabytes: { type: 'string', default: '600' },
    megabits: { type: 'string', default: '400' },
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
  kills: Number(values.kills ?? { store: 200, registry: 10 }[subject] ?? 100),
  workers: Number(values.workers),
  ...(values.cairn === undefined ? {} : { cairn: values.cairn.split(' ') }),
  ...(values.parent === undefined ? {} : { parent: values.parent }),
  ...(values.verbose === true ? { log: console.log } : {}),
}
const subjects = { store: killStore, containers: killContainers, crowd: startCrowd, registry: disturbTransfers }
const problems = await subjects[subject in subjects ? (subject as keyof typeof subjects) : 'store']()
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

async function startCrowd(): Promise<readonly string[]> {
  const { cairn, parent } = options
  const {
    count,
    started,
    removed,
    memory,
    overhead,
    problems: found,
  } = await runContainerCrowd({
    count: Number(values.containers),
    batch: Number(values.batch),
    ...(cairn === undefined ? {} : { cairn }),
    ...(parent === undefined ? {} : { parent }),
  })
  const row = (name: string, value: string): void => console.log(`${name.padEnd(28)}${value.padStart(12)}`)
  row('containers', String(count))
  row('start, for each', `${Math.round(started / count)} ms`)
  row('rm -f, for each', `${Math.round(removed / count)} ms`)
  for (const [kind, size] of Object.entries(memory)) row(`memory of ${kind}`, `${Math.round(size)} kB`)
  row('memory besides the container', `${Math.round(overhead)} kB`)
  console.log(`${found.length} problems`)
  return found
}

async function disturbTransfers(): Promise<readonly string[]> {
  const {
    size,
    push,
    pull,
    problems: found,
  } = await runRegistryFaults({
    ...options,
    cuts: Number(values.cuts),
    size: Number(values.megabytes) * 1e6,
    rate: (Number(values.megabits) * 1e6) / 8,
  })
  const told = ({ cuts, kills, bytes }: Transfer): string =>
    `${bytes} bytes (${((bytes / size - 1) * 100).toFixed(2)}% more) over ${cuts} cuts and ${kills} kills`
  console.log(`blobs of ${size} bytes; push ${told(push)}; pull ${told(pull)}; ${found.length} problems`)
  return found
}

function seconds(): number {
  return Math.round((performance.now() - began) / 1000)
}
