// Compares cairn with docker on one machine in one run; see README.md beside this file.
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { dirname, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { measurePeak, measureTime, median, output } from './measurement.ts'
import { BenchRegistry } from './registry.ts'
import { Cairn, Docker, type Tool } from './tools.ts'
import { type Phase, type Workload, workloads } from './workloads.ts'

const usage = `npm run bench -- [--only NAME[,NAME]] [--runs N] [--base IMAGE] [--dir DIR] [--json FILE] [--alone]

  --only   workloads to run: small, steps, stages, run, application, wide, large, exchange (all)
  --runs   runs of each tool for every phase (5 to 15, as the phase needs)
  --base   image with a shell that docker has; cairn gets its copy (busybox)
  --dir    where the files and cairn's store go (beside docker's data)
  --json   file that takes every figure
  --alone  measure cairn without docker; --base is then an archive for cairn load`

interface Figures {
  readonly milliseconds: number[]
  /** Peak resident sets of the processes that the command started, MiB. A daemon's are not in it. */
  readonly peakMebibytes: number
}

interface Result {
  readonly workload: string
  readonly phase: string
  readonly bar: number
  readonly figures: Readonly<Record<string, Figures>>
}

const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    runs: { type: 'string' },
    base: { type: 'string', default: 'busybox' },
    dir: { type: 'string' },
    json: { type: 'string' },
    alone: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

if (options.help) console.log(usage)
else process.exitCode = await main()

async function main(): Promise<number> {
  const binary = resolve(process.env['CAIRN'] ?? `${import.meta.dir}/../dist/cairn`)
  if (!(await Bun.file(binary).exists())) return fail(`${binary} is missing: run npm run build first`)
  const dataRoot = options.alone ? undefined : await dockerDataRoot()
  if (!options.alone && dataRoot === undefined)
    return fail(
      `no docker to compare with: no daemon answers at ${process.env['DOCKER_HOST'] ?? 'the default socket'}.\n` +
        'Start one, set DOCKER_HOST, or give --alone to measure cairn only.',
    )
  const directory = await mkdtemp(`${options.dir ?? (await besideOf(dataRoot))}/cairn-bench-`)
  try {
    return await compare(binary, directory, dataRoot)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function compare(binary: string, directory: string, dataRoot: string | undefined): Promise<number> {
  const cairn = new Cairn(binary, `${directory}/store`)
  const tools: Tool[] = [cairn]
  const base = options.alone ? 'busybox' : options.base
  if (dataRoot === undefined) await cairn.prepare(options.base)
  else {
    const archive = `${directory}/base.tar`
    await output({ argv: ['docker', 'save', '-o', archive, base] })
    await cairn.prepare(archive)
    tools.unshift(new Docker(base))
  }
  console.log(await surroundings(binary, directory, dataRoot))
  const registry = new BenchRegistry(binary, `${directory}/registry`)
  try {
    return await compareAll(tools, workloads(directory, base, registry), directory)
  } finally {
    await registry.stop()
  }
}

async function compareAll(tools: readonly Tool[], all: readonly Workload[], directory: string): Promise<number> {
  const wanted = options.only?.split(',')
  const results: Result[] = []
  for (const workload of all) {
    if (wanted !== undefined && !wanted.includes(workload.name)) continue
    await workload.prepare()
    for (const tool of tools) await tool.forget()
    for (const phase of workload.phases) {
      const result = await compareOn(workload, phase, tools, directory)
      results.push(result)
      console.log(row(result))
    }
    for (const tool of tools) await tool.forget()
  }
  if (options.json !== undefined) await Bun.write(options.json, `${JSON.stringify(results, undefined, 2)}\n`)
  const missed = results.filter((result) => (ratioOf(result) ?? 0) > result.bar)
  console.log(missed.length === 0 ? '\nEvery bar is met.' : `\n${missed.length} of ${results.length} miss their bar.`)
  return missed.length === 0 ? 0 : 1
}

/** Warm-up, then the tools in turn, so that what else the machine does meets all of them. */
async function compareOn(workload: Workload, phase: Phase, tools: readonly Tool[], directory: string): Promise<Result> {
  const figures: Record<string, Figures> = {}
  const runs = options.runs === undefined ? phase.runs : Number(options.runs)
  for (let run = -1; run < runs; run++) {
    const shapes = new Map<string, string>()
    await phase.change?.(run)
    for (const tool of tools) {
      if (phase.forgetful === true) await tool.forget()
      await phase.before?.(tool)
      // What one tool left to be written must not be written while the next one is measured.
      await output({ argv: ['sync', '-f', directory] })
      const command = phase.command(tool)
      if (run < 0) figures[tool.name] = { milliseconds: [], peakMebibytes: await measurePeak(command) }
      else figures[tool.name]?.milliseconds.push(await measureTime(command))
      if (phase.image !== undefined) shapes.set(tool.name, await tool.describe(phase.image))
    }
    if (new Set(shapes.values()).size > 1)
      throw new Error(`${workload.title}, ${phase.name}: different images: ${JSON.stringify([...shapes])}`)
  }
  return { workload: workload.title, phase: phase.name, bar: phase.bar, figures }
}

function ratioOf({ figures: { docker, cairn } }: Result): number | undefined {
  if (docker === undefined || cairn === undefined) return undefined
  return median(cairn.milliseconds) / median(docker.milliseconds)
}

/** A line of the table in README.md. */
function row(result: Result): string {
  const cells = [`${result.workload}: ${result.phase}`]
  for (const name of ['docker', 'cairn']) {
    const figures = result.figures[name]
    if (figures === undefined) cells.push('', '')
    else {
      const { milliseconds, peakMebibytes } = figures
      cells.push(`${seconds(median(milliseconds))} (${seconds(Math.min(...milliseconds))})`, peakMebibytes.toFixed(0))
    }
  }
  const ratio = ratioOf(result)
  const { bar } = result
  cells.push(ratio === undefined ? '' : ratio.toFixed(2), `${bar}`)
  if (ratio !== undefined) cells.push(ratio > bar ? 'missed' : 'met')
  return `| ${cells.join(' | ')} |`
}

function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(3)
}

/** What the figures depend on, and the head of the table. */
async function surroundings(binary: string, directory: string, dataRoot: string | undefined): Promise<string> {
  const cairn = (await output({ argv: [binary, '--version'] })).trim()
  const docker =
    dataRoot === undefined
      ? 'no docker'
      : `docker ${(await output({ argv: ['docker', 'info', '--format', '{{.ServerVersion}}, {{.Driver}}'] })).trim()}`
  const where = dataRoot === undefined ? 'cairn' : (await sameDevice(directory, dataRoot)) ? 'both' : 'DIFFERENT ONES'
  return [
    `${cairn}; ${docker}; ${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}; file system of ${where}: ${await fileSystem(directory)}`,
    '',
    '| workload | docker s: median (min) | MiB | cairn s: median (min) | MiB | ratio | bar | |',
    '|---|--:|--:|--:|--:|--:|--:|---|',
  ].join('\n')
}

/** Type of the file system; says when it is an ext4 without a journal, which makes figures with many files useless. */
async function fileSystem(directory: string): Promise<string> {
  const [source = '', type = ''] = (await output({ argv: ['findmnt', '-nfo', 'SOURCE,FSTYPE', '-T', directory] }))
    .trim()
    .split(/\s+/)
  if (type !== 'ext4') return type
  const device = source.slice(source.lastIndexOf('/') + 1)
  const journals = await Array.fromAsync(new Bun.Glob(`${device}-*`).scan({ cwd: '/proc/fs/jbd2', onlyFiles: false }))
  return journals.length > 0 ? type : `${type} WITHOUT A JOURNAL, see README.md`
}

async function dockerDataRoot(): Promise<string | undefined> {
  if (Bun.which('docker') === null) return undefined
  try {
    return (await output({ argv: ['docker', 'info', '--format', '{{.DockerRootDir}}'] })).trim() || undefined
  } catch {
    return undefined
  }
}

/** The directory that holds docker's data where it is of this machine, else the one for temporary files. */
async function besideOf(dataRoot: string | undefined): Promise<string> {
  if (dataRoot === undefined) return tmpdir()
  const parent = dirname(dataRoot)
  return (await sameDevice(parent, dataRoot)) ? parent : tmpdir()
}

async function sameDevice(directory: string, dataRoot: string): Promise<boolean> {
  try {
    const [own, other] = [await stat(directory), await stat(dataRoot)]
    return own.dev === other.dev
  } catch {
    return false
  }
}

function fail(message: string): number {
  console.error(message)
  return 2
}
