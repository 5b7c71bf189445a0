import { CairnError } from '../../errors/error.ts'
import { isJsonObject } from '../../oci/descriptor.ts'
import { parseJsonDocument } from '../../oci/json-document.ts'
import { listRepositories } from './catalog.ts'
import type { RegistryClient, RegistryConnection } from './connection.ts'
import { answerError, serverText } from './registry-answer.ts'

/** A repository that a search found. */
export interface FoundRepository {
  readonly name: string
  readonly description: string
  readonly stars: number
  readonly isOfficial: boolean
}

const largestAnswer = 4 * 1024 * 1024
const hubIndex = 'index.docker.io'

/**
 * Repositories of a registry that have to do with `term`, at most `limit`: by docker's search (v1) where the registry
 * has it, as Docker Hub does, else those of its catalog whose name has the term in it. Throws NOT_SUPPORTED where it has
 * neither, and as RegistryConnection.send().
 */
export async function searchRegistry(
  client: RegistryClient,
  host: string,
  term: string,
  limit: number,
): Promise<readonly FoundRepository[]> {
  const isHub = host === 'docker.io'
  const endpoint = client.hosts.hostEndpoint(isHub ? hubIndex : host)
  const connection = client.connection(endpoint)
  const query = new URLSearchParams({ q: term, n: String(limit) })
  const answer = await connection.send({
    method: 'GET',
    target: `/v1/search?${query.toString()}`,
    scopes: [],
    name: host,
  })
  if (answer.status === 200) return parseResults(await answer.bytes(largestAnswer), host).slice(0, limit)
  if (isHub) throw await answerError(answer, { what: `search on ${host}`, name: host, isPush: false })
  await answer.discard()
  return await searchCatalog(connection, host, term, limit)
}

function parseResults(bytes: Uint8Array, host: string): readonly FoundRepository[] {
  const { value } = parseJsonDocument(bytes, { name: 'search result', code: 'REGISTRY_INVALID' }, largestAnswer)
  const { results } = value
  if (!Array.isArray(results)) throw new CairnError('REGISTRY_INVALID', `${host} gives a search result without results`)
  return results.filter(isJsonObject).flatMap((one) => {
    const { name, description, star_count: stars, is_official: isOfficial } = one
    if (typeof name !== 'string') return []
    return {
      name: serverText(name),
      description: typeof description === 'string' ? serverText(description) : '',
      stars: typeof stars === 'number' ? stars : 0,
      isOfficial: isOfficial === true,
    }
  })
}

async function searchCatalog(
  connection: RegistryConnection,
  host: string,
  term: string,
  limit: number,
): Promise<readonly FoundRepository[]> {
  const found: FoundRepository[] = []
  for await (const name of listRepositories(connection, host)) {
    if (!name.includes(term)) continue
    found.push({ name: serverText(`${host}/${name}`), description: '', stars: 0, isOfficial: false })
    if (found.length === limit) break
  }
  return found
}
