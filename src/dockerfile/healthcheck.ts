import { ArgumentError } from './arguments.ts'
import type { InstructionNode } from './ast.ts'
import { quoteGo } from './characters.ts'
import { parseNanoseconds } from './duration.ts'
import { parseFlags } from './flags.ts'
import type { HealthcheckInstruction } from './instruction.ts'

type Healthcheck = Pick<
  HealthcheckInstruction,
  'test' | 'interval' | 'timeout' | 'startPeriod' | 'startInterval' | 'retries'
>

/** What HEALTHCHECK says, of a node with at least one argument. Throws `ArgumentError`, `FlagError` or `CairnError`. */
export function interpretHealthcheck(node: InstructionNode): Healthcheck {
  const [written = '', ...args] = node.args
  const type = written.toUpperCase()
  if (type === 'NONE') {
    if (args.length > 0) throw new ArgumentError('HEALTHCHECK NONE takes no arguments')
    return { test: ['NONE'] }
  }
  const flags = parseFlags(node.flags, {
    ...({ interval: 'text', timeout: 'text', retries: 'text' } as const),
    ...({ 'start-period': 'text', 'start-interval': 'text' } as const),
  })
  if (type !== 'CMD') throw new ArgumentError(`Unknown type ${quoteGo(type)} in HEALTHCHECK (try CMD)`)
  if (args.length === 0) throw new ArgumentError('Missing command after HEALTHCHECK CMD')
  const interval = durationFlag('interval', flags.interval)
  const timeout = durationFlag('timeout', flags.timeout)
  const startPeriod = durationFlag('start-period', flags['start-period'])
  const startInterval = durationFlag('start-interval', flags['start-interval'])
  const retries = retriesFlag(flags.retries)
  return {
    test: node.json ? ['CMD', ...args] : ['CMD-SHELL', args.join(' ')],
    ...(interval === undefined ? {} : { interval }),
    ...(timeout === undefined ? {} : { timeout }),
    ...(startPeriod === undefined ? {} : { startPeriod }),
    ...(startInterval === undefined ? {} : { startInterval }),
    ...(retries === undefined ? {} : { retries }),
  }
}

/** Nanoseconds; 0 stands for docker's default. */
function durationFlag(name: string, text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  const duration = parseNanoseconds(text)
  if (duration !== 0 && duration < 1_000_000) {
    throw new ArgumentError(`Interval ${quoteGo(name)} cannot be less than 1ms`)
  }
  return duration
}

function retriesFlag(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  const failure = (reason: string): ArgumentError =>
    new ArgumentError(`strconv.ParseInt: parsing ${quoteGo(text)}: ${reason}`)
  if (!/^[+-]?\d+$/.test(text)) throw failure('invalid syntax')
  const retries = Number(text)
  if (retries > 0x7fff_ffff || retries < -0x8000_0000) throw failure('value out of range')
  if (retries < 0) throw new ArgumentError(`--retries cannot be negative (${retries})`)
  return retries
}
