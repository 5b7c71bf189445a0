import { SystemCallError } from './errno.ts'
import { readLink } from './names.ts'

/** Identity of a namespace that a process is in; undefined where it is gone or nobody may know. */
export function namespaceOf(pid: number | 'self', type: 'user' | 'net'): string | undefined {
  try {
    return readLink(`/proc/${pid}/ns/${type}`)
  } catch (error) {
    if (error instanceof SystemCallError) return undefined
    throw error
  }
}
