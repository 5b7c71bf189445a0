import { CairnError } from '../errors/error.ts'

/** Numbers of signal(7), the same on x86_64 and aarch64. */
export const signalNumbers = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGSTKFLT: 16,
  SIGCHLD: 17,
  SIGCONT: 18,
  SIGSTOP: 19,
  SIGTSTP: 20,
  SIGTTIN: 21,
  SIGTTOU: 22,
  SIGURG: 23,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGVTALRM: 26,
  SIGPROF: 27,
  SIGWINCH: 28,
  SIGIO: 29,
  SIGPWR: 30,
  SIGSYS: 31,
} as const

export type SignalName = keyof typeof signalNumbers

const firstRealTime = 34
const lastRealTime = 64

/**
 * The number of a signal as docker's commands take it: `SIGTERM`, `term`, `15`, `RTMIN+3`, `SIGRTMAX-1`. Throws USAGE.
 */
export function parseSignal(text: string): number {
  const upper = text.trim().toUpperCase()
  const name = upper.startsWith('SIG') ? upper : `SIG${upper}`
  const known = (signalNumbers as Readonly<Record<string, number>>)[name]
  if (known !== undefined) return known
  const plain = /^\d+$/.test(upper) ? Number(upper) : undefined
  const realTime = /^SIGRT(MIN|MAX)(?:([+-])(\d+))?$/.exec(name)
  const number = plain ?? (realTime === null ? 0 : realTimeNumber(realTime))
  if (number < 1 || number > lastRealTime) throw new CairnError('USAGE', `invalid signal: ${text}`)
  return number
}

function realTimeNumber([, end, sign, offset]: RegExpExecArray): number {
  const distance = Number(offset ?? 0) * (sign === '-' ? -1 : 1)
  const number = (end === 'MIN' ? firstRealTime : lastRealTime) + distance
  return number >= firstRealTime ? number : 0
}
