import type { Container, RestartRecord } from './container.ts'

/** Waits before a container is started again, in milliseconds: the first, and the longest. */
const firstDelay = 100
const longestDelay = 60_000
/** One that ran this long, in milliseconds, is started again as if for the first time. */
const goodRun = 10_000

/**
 * What is to be done about a container that has ended: its record with the time it is due, or undefined where it stays
 * as it is. docker's rules: 100 ms the first time, doubled with each time up to a minute, from the beginning after ten
 * seconds of running.
 *
 * @param now - milliseconds since 1970
 */
export function planRestart(
  { settings, restart, startedAt }: Pick<Container, 'settings' | 'restart' | 'startedAt'>,
  exitCode: number,
  now: number,
): (RestartRecord & { readonly dueAt: number }) | undefined {
  const { name, maximumRetries } = settings.restart ?? { name: 'no', maximumRetries: 0 }
  const { count = 0, delay: before = 0, isStopped = false } = restart ?? {}
  if (name === 'no' || isStopped) return undefined
  if (name === 'on-failure' && (exitCode === 0 || (maximumRetries > 0 && count >= maximumRetries))) return undefined
  const wasGood = now - (startedAt ?? now) >= goodRun
  const delay = wasGood || before === 0 ? firstDelay : Math.min(before * 2, longestDelay)
  return { count: count + 1, delay, dueAt: now + delay }
}
