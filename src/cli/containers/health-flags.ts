import { CairnError } from '../../errors/error.ts'
import type { Healthcheck } from '../../oci/config.ts'
import type { FlagDefinitions, FlagValues } from '../flags.ts'

/** How a container's health is looked at. */
export const healthFlags = {
  'health-cmd': { type: 'string', summary: 'Command to run to check health' },
  'health-interval': {
    type: 'duration',
    default: 0,
    summary: 'Time between running the check (ms|s|m|h) (default 0s)',
  },
  'health-retries': { type: 'int', default: 0, summary: 'Consecutive failures needed to report unhealthy' },
  'health-start-interval': {
    type: 'duration',
    default: 0,
    summary: 'Time between running the check during the start period (ms|s|m|h) (default 0s)',
  },
  'health-start-period': {
    type: 'duration',
    default: 0,
    summary:
      'Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)',
  },
  'health-timeout': {
    type: 'duration',
    default: 0,
    summary: 'Maximum time to allow one check to run (ms|s|m|h) (default 0s)',
  },
  'no-healthcheck': { type: 'bool', summary: 'Disable any container-specified HEALTHCHECK' },
} as const satisfies FlagDefinitions

const nanoseconds = 1e6

/** The check asked for, undefined where nothing is. Throws USAGE, in docker's words. */
export function parseHealthcheck(flags: FlagValues<typeof healthFlags>): Healthcheck | undefined {
  const command = flags['health-cmd']
  const times = {
    Interval: ['interval', flags['health-interval']],
    Timeout: ['timeout', flags['health-timeout']],
    StartPeriod: ['start-period', flags['health-start-period']],
    StartInterval: ['start-interval', flags['health-start-interval']],
  } as const
  const retries = flags['health-retries']
  const isAsked = (command ?? '') !== '' || retries !== 0 || Object.values(times).some(([, time]) => time !== 0)
  if (flags['no-healthcheck']) {
    if (isAsked) throw new CairnError('USAGE', '--no-healthcheck conflicts with --health-* options')
    return { Test: ['NONE'] }
  }
  if (!isAsked) return undefined
  if (retries < 0) throw new CairnError('USAGE', '--health-retries cannot be negative')
  for (const [field, [flag, time]] of Object.entries(times)) {
    if (time < 0) throw new CairnError('USAGE', `--health-${flag} cannot be negative`)
    if (time > 0 && time < 1) throw new CairnError('CONFIG_INVALID', `${field} in Healthcheck cannot be less than 1ms`)
  }
  return {
    ...(command === undefined || command === '' ? {} : { Test: ['CMD-SHELL', command] }),
    ...Object.fromEntries(
      Object.entries(times)
        .filter(([, [, time]]) => time !== 0)
        .map(([field, [, time]]) => [field, Math.round(time * nanoseconds)]),
    ),
    ...(retries === 0 ? {} : { Retries: retries }),
  }
}
