import { CairnError } from './error.ts'

/**
 * The exit status a command ends with after `error`: the error's own where it carries one (a container's status),
 * 125 for a command line docker would refuse, 130 after Ctrl-C, else 1.
 */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof CairnError)) return 1
  if (error.exitCode !== undefined) return error.exitCode
  switch (error.kind) {
    case 'usage':
      return 125
    case 'canceled':
      return 130
    default:
      return 1
  }
}
