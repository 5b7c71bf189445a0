import type { StopOptions } from '../../engine/containers/stop-container.ts'
import { CairnError } from '../../errors/error.ts'
import type { FlagDefinitions, FlagValues } from '../flags.ts'

/** How `stop` and `restart` end a container. */
export const stopFlags = {
  signal: { type: 'string', short: 's', summary: 'Signal to send to the container' },
  timeout: { type: 'int', short: 't', summary: 'Seconds to wait before killing the container' },
  time: {
    type: 'int',
    hidden: true,
    deprecated: 'use --timeout instead',
    summary: 'Seconds to wait before killing the container',
  },
} as const satisfies FlagDefinitions

/** What those flags say. Throws USAGE. */
export function stopOptions({ signal, timeout, time }: FlagValues<typeof stopFlags>): StopOptions {
  if (timeout !== undefined && time !== undefined)
    throw new CairnError('USAGE', 'conflicting options: cannot specify both --timeout and --time')
  const seconds = timeout ?? time
  return {
    ...(signal === undefined || signal === '' ? {} : { stopSignal: signal }),
    timeout: seconds,
  }
}
