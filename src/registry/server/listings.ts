import type { Digest } from '../../oci/digest.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { registryHeaders, registryPaths } from '../protocol.ts'
import { type Exchange, jsonResponse } from './exchange.ts'
import { listPage, nextLink, parsePage } from './paging.ts'
import { RequestFailure } from './request-failure.ts'

/** Most names in one answer, whatever the client asks for. */
const mostTags = 10_000
const mostRepositories = 1_000
/** Bytes of descriptors in one answer: clients take no index beyond 4 MiB. */
const referrersBytes = 3_500_000

/** end-8: tags in the order of their bytes. */
export async function listTags({ storage, query }: Exchange, name: string): Promise<Response> {
  const page = parsePage(query)
  if (!(await storage.hasRepository(name))) throw new RequestFailure('NAME_UNKNOWN', { detail: { name } })
  const { names, headers } = await listPage(registryPaths.tags(name), page, mostTags, (one) =>
    storage.listTags(name, one),
  )
  return jsonResponse({ name, tags: names }, headers)
}

/** docker's catalog: the repositories that the client may pull from. */
export async function listRepositories({ storage, query, mayPull }: Exchange): Promise<Response> {
  const { names, headers } = await listPage(registryPaths.catalog, parsePage(query), mostRepositories, async (page) => {
    const allowed: string[] = []
    for (let after = page.after; allowed.length < page.limit;) {
      // A client that asks for one at a time may have to be told of the last of very many.
      const limit = Math.max(page.limit, mostRepositories)
      const names = await storage.listRepositories({ after, limit })
      allowed.push(...names.filter((name) => mayPull(name)))
      if (names.length < limit) break
      after = names.at(-1)
      // Other requests go on meanwhile.
      await Bun.sleep(0)
    }
    return allowed.slice(0, page.limit)
  })
  return jsonResponse({ repositories: names }, headers)
}

/** end-12: what has the manifest `subject` as its subject, whether or not that is there. */
export async function listReferrers({ storage, query }: Exchange, name: string, subject: Digest): Promise<Response> {
  const artifactType = query.get('artifactType') ?? undefined
  const after = query.get('last') ?? undefined
  const { descriptors, hasMore } = await storage.listReferrers(name, subject, {
    artifactType,
    after,
    bytes: referrersBytes,
  })
  const filter = artifactType === undefined ? {} : { artifactType }
  const last = descriptors.at(-1)?.digest
  return jsonResponse(
    { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: descriptors },
    {
      'content-type': mediaTypes.ociIndex,
      ...(artifactType === undefined ? {} : { [registryHeaders.filtersApplied]: 'artifactType' }),
      ...(hasMore && last !== undefined ? nextLink(registryPaths.referrers(name, subject), { ...filter, last }) : {}),
    },
  )
}
