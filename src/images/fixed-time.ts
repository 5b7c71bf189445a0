/**
 * The time of everything that builds make without a real time of its own, seconds since 1970: 1980-01-01, the earliest
 * that a zip archive can hold. An image made by then has a time that says nothing of its age.
 */
export const fixedTime = 315_532_800

/**
 * The time to show and sort by: `created` of a config or history entry (RFC 3339), or, where that is a time as
 * reproducible builds write it, `arrivedAt`, when it came into this store, in milliseconds since 1970.
 */
export function shownTime(created: string | undefined, arrivedAt: number): string | undefined {
  if (created === undefined || !(Date.parse(created) <= fixedTime * 1000)) return created
  return new Date(arrivedAt).toISOString()
}
