import { usageError } from '../../errors/error.ts'
import { parseReference } from '../../oci/reference.ts'
import { type FoundRepository, searchRegistry as search } from '../../registry/client/search.ts'
import { booleanFilter, checkFilters, type Filters } from '../filters.ts'
import { type RegistryAccess, registryClient } from './registry-access.ts'

const mostResults = 100
const defaultResults = 25

/**
 * Repositories that have to do with `text`, which is `[REGISTRY/]TERM`; Docker Hub's by default. Throws USAGE for filters
 * and limits, and as searchRegistry() of the registry client.
 */
export async function searchRegistry(
  text: string,
  options: { readonly access: RegistryAccess; readonly filters: Filters; readonly limit: number },
): Promise<readonly FoundRepository[]> {
  const { access, filters } = options
  // As docker has it.
  const limit = options.limit === 0 ? defaultResults : options.limit
  checkFilters(filters, ['is-official', 'is-automated', 'stars'])
  if (limit < 1 || limit > mostResults) throw usageError(`Limit ${limit} is outside the range of [1, ${mostResults}]`)
  const isOfficial = booleanFilter(filters, 'is-official')
  // Docker Hub has no automated builds any more.
  if (booleanFilter(filters, 'is-automated') === true) return []
  const least = Math.max(0, ...(filters.get('stars') ?? []).map(starsOf))
  const { host, term } = splitTerm(text)
  const found = await search(registryClient(access), host, term, limit)
  return found.filter((one) => one.stars >= least && (isOfficial === undefined || one.isOfficial === isOfficial))
}

function starsOf(value: string): number {
  if (/^\d{1,9}$/.test(value)) return Number(value)
  throw usageError(`invalid filter 'stars=${value}'`)
}

/** As docker reads it: what stands before the first slash is a registry where it looks like a host. */
function splitTerm(text: string): { readonly host: string; readonly term: string } {
  const slash = text.indexOf('/')
  const first = text.slice(0, slash)
  if (slash < 0 || !/[.:]|^localhost$/.test(first)) return { host: 'docker.io', term: text.replace(/^library\//, '') }
  return { host: parseReference(`${first}/name`).domain, term: text.slice(slash + 1) }
}
