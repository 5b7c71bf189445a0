import { RequestFailure } from './request-failure.ts'

/** What a client asks of a list: distribution-spec §listing-tags. */
export interface PageRequest {
  /** At most this many; undefined where the client does not say. */
  readonly count: number | undefined
  readonly last: string | undefined
}

/** Reads `n` and `last`. Throws UNSUPPORTED with 400 for an `n` that is no count. */
export function parsePage(query: URLSearchParams): PageRequest {
  const n = query.get('n')
  const last = query.get('last') ?? undefined
  if (n === null || n === '') return { count: undefined, last }
  if (!/^\d{1,15}$/.test(n))
    throw new RequestFailure('UNSUPPORTED', {
      status: 400,
      message: `n is not a count: ${JSON.stringify(n.slice(0, 40))}`,
    })
  return { count: Number(n), last }
}

/** A page of names: up to what is asked for and never more than `cap`, and the header that leads to the next one. */
export async function listPage(
  path: string,
  { count, last }: PageRequest,
  cap: number,
  list: (page: { after: string | undefined; limit: number }) => Promise<readonly string[]>,
): Promise<{ readonly names: readonly string[]; readonly headers: Readonly<Record<string, string>> }> {
  const limit = Math.min(count ?? cap, cap)
  if (limit === 0) return { names: [], headers: {} }
  const found = await list({ after: last, limit: limit + 1 })
  const names = found.slice(0, limit)
  const end = names.at(-1)
  if (found.length <= limit || end === undefined) return { names, headers: {} }
  return { names, headers: nextLink(path, { n: String(limit), last: end }) }
}

/** The header `Link` to the next page: RFC 5988. */
export function nextLink(path: string, query: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return { link: `<${path}?${new URLSearchParams(query).toString()}>; rel="next"` }
}
