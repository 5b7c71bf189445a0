import { CairnError } from '../errors/error.ts'

const numbers: Readonly<Record<string, number>> = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ILL: 4,
  TRAP: 5,
  ABRT: 6,
  IOT: 6,
  BUS: 7,
  FPE: 8,
  KILL: 9,
  USR1: 10,
  SEGV: 11,
  USR2: 12,
  PIPE: 13,
  ALRM: 14,
  TERM: 15,
  STKFLT: 16,
  CHLD: 17,
  CLD: 17,
  CONT: 18,
  STOP: 19,
  TSTP: 20,
  TTIN: 21,
  TTOU: 22,
  URG: 23,
  XCPU: 24,
  XFSZ: 25,
  VTALRM: 26,
  PROF: 27,
  WINCH: 28,
  IO: 29,
  POLL: 29,
  PWR: 30,
  SYS: 31,
}

const firstRealtime = 34
const lastRealtime = 64

/**
 * The number of a signal given as Dockerfiles and `docker stop --signal` take it: a name with or without `SIG` in any
 * case, `RTMIN+n`, `RTMAX-n`, or a number. Throws DOCKERFILE_INVALID.
 */
export function parseSignal(text: string): number {
  if (/^[+-]?\d+$/.test(text)) {
    const number = Number(text)
    if (number < 1 || number > lastRealtime) throw invalid(text)
    return number
  }
  const name = text.toUpperCase().replace(/^SIG/, '')
  const number = Object.hasOwn(numbers, name) ? numbers[name] : realtime(name)
  if (number === undefined) throw invalid(text)
  return number
}

/** Throws DOCKERFILE_INVALID unless `text` is a signal, see {@link parseSignal}. */
export function checkSignal(text: string): void {
  parseSignal(text)
}

function realtime(name: string): number | undefined {
  const match = /^RT(?:MIN(?:\+([1-9]\d?))?|MAX(?:-([1-9]\d?))?)$/.exec(name)
  if (match === null) return undefined
  const offset = Number(match[1] ?? match[2] ?? 0)
  if (name.startsWith('RTMIN')) return offset <= 15 ? firstRealtime + offset : undefined
  return offset <= 14 ? lastRealtime - offset : undefined
}

function invalid(text: string): CairnError {
  return new CairnError('DOCKERFILE_INVALID', `invalid signal: ${text}`)
}
