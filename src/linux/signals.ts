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

/** All that a process can catch and a container may be told; not those of job control and of the process's own faults. */
const relayed: readonly SignalName[] = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGTERM',
  'SIGUSR1',
  'SIGUSR2',
  'SIGALRM',
  'SIGCONT',
]

/** Calls `relay` with each signal for a container that reaches this process, until the result is called. */
export function relaySignals(relay: (name: SignalName) => void): () => void {
  const handlers = relayed.map((name) => {
    const handler = (): void => relay(name)
    process.on(name, handler)
    return [name, handler] as const
  })
  return () => {
    for (const [name, handler] of handlers) process.off(name, handler)
  }
}

/** Other names, of moby's table. */
const aliases: Readonly<Record<string, number>> = { SIGIOT: 6, SIGCLD: 17, SIGPOLL: 29 }

const firstRealTime = 34
const lastRealTime = 64

/**
 * The number of a signal as Dockerfiles and docker's commands take it (moby/sys/signal): a name with or without `SIG` in
 * any case, `RTMIN+n`, `RTMAX-n`, or a number. Undefined for anything else.
 */
export function signalNumber(text: string): number | undefined {
  if (/^[+-]?\d+$/.test(text)) {
    const number = Number(text)
    return number < 1 || number > lastRealTime ? undefined : number
  }
  const name = `SIG${text.toUpperCase().replace(/^SIG/, '')}`
  const known: Readonly<Record<string, number>> = { ...signalNumbers, ...aliases }
  return Object.hasOwn(known, name) ? known[name] : realTimeNumber(name)
}

/** As {@link signalNumber}, of a command line. Throws USAGE. */
export function parseSignal(text: string): number {
  const number = signalNumber(text)
  if (number === undefined) throw new CairnError('USAGE', `invalid signal: ${text}`)
  return number
}

function realTimeNumber(name: string): number | undefined {
  const match = /^SIGRT(?:MIN(?:\+([1-9]\d?))?|MAX(?:-([1-9]\d?))?)$/.exec(name)
  if (match === null) return undefined
  const offset = Number(match[1] ?? match[2] ?? 0)
  if (name.startsWith('SIGRTMIN')) return offset <= 15 ? firstRealTime + offset : undefined
  return offset <= 14 ? lastRealTime - offset : undefined
}
