import { usageError } from '../errors/error.ts'

/** The end of the year 9999, in seconds since 1970. */
const lastSecond = 253_402_300_799

/**
 * SOURCE_DATE_EPOCH as whole seconds; empty counts as not given, and `context` as what `contextTime` gives. So does `git`,
 * which fails where that is nothing. Throws USAGE for anything else but a whole number, and for years that RFC 3339 has no
 * digits for.
 */
export function parseEpoch(text: string | undefined, contextTime?: () => number | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  if (text === 'context' && contextTime !== undefined) return contextTime()
  if (text === 'git' && contextTime !== undefined) {
    const time = contextTime()
    if (time !== undefined) return time
    throw usageError('SOURCE_DATE_EPOCH=git needs a context in a git repository with a commit', {
      hint: 'Commit first, or give seconds since 1970.',
    })
  }
  if (!/^\d{1,15}$/.test(text) || Number(text) > lastSecond)
    throw usageError(`invalid SOURCE_DATE_EPOCH: ${JSON.stringify(text)}`, {
      hint: 'Give seconds since 1970, for example SOURCE_DATE_EPOCH=$(git log -1 --format=%ct).',
    })
  return Number(text)
}

/** Seconds since 1970 as RFC 3339 without a fraction, as Go writes a whole second. */
export function formatEpoch(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
}
