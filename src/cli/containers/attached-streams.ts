import { usageError } from '../../errors/error.ts'
import { invalidArgument } from '../flag-argument.ts'

/** The streams of a container that a command may be attached to. */
export type StreamName = 'stdin' | 'stdout' | 'stderr'

/** What `-a`, `-i` and `-d` ask for. */
export interface AttachFlags {
  readonly attach: readonly string[]
  readonly interactive: boolean
  readonly detach?: boolean
}

/**
 * The streams that the command is attached to: those of `-a`, else all of them, input only with `-i`; none with `-d`.
 * Throws USAGE.
 */
export function attachedStreams({ attach, interactive, detach = false }: AttachFlags): readonly StreamName[] {
  const all = ['stdin', 'stdout', 'stderr'] as const
  const wanted = new Set(attach.map((name) => name.toLowerCase()))
  for (const name of wanted)
    if (!all.some((one) => one === name))
      throw invalidArgument(name, '-a, --attach', 'valid streams are STDIN, STDOUT and STDERR')
  if (detach && wanted.size > 0) throw usageError('conflicting options: cannot specify both --attach and --detach')
  if (detach) return []
  return all.filter((name) => (wanted.size === 0 || wanted.has(name)) && (name !== 'stdin' || interactive))
}
