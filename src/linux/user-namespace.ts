import { readTextFile } from './text-file.ts'

/** user_namespaces(7): ids that a namespace gives to those of the one around it. */
export interface IdRange {
  /** First id inside. */
  readonly inside: number
  /** First id outside. */
  readonly outside: number
  readonly length: number
}

let isInitial: boolean | undefined

/** True where this process has all ids of the machine: it is in no user namespace but the first. */
export function inInitialUserNamespace(): boolean {
  return (isInitial ??= /^\s*0\s+0\s+4294967295\s*$/.test(readTextFile('/proc/self/uid_map') ?? '0 0 4294967295'))
}

/** The ids of the user namespace that a process is in, this one if absent. */
export function readIdMap(kind: 'uid' | 'gid', pid: number | 'self' = 'self'): readonly IdRange[] {
  return (readTextFile(`/proc/${pid}/${kind}_map`) ?? '')
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .map(([inside = 0, outside = 0, length = 0]) => ({ inside, outside, length }))
}
