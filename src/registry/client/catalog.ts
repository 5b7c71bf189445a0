import { CairnError } from '../../errors/error.ts'
import { largestDocument, parseJsonDocument } from '../../oci/json-document.ts'
import { registryPaths } from '../protocol.ts'
import type { RegistryConnection } from './connection.ts'
import type { HttpAnswer } from './http-exchange.ts'
import { answerError } from './registry-answer.ts'
import { nextPage } from './repository.ts'

const pageSize = 1000
const mostPages = 100_000

/**
 * The repositories of a registry by its catalog, page by page as they are asked for. Throws NOT_SUPPORTED where it has none,
 * and as RegistryConnection.send().
 */
export async function* listRepositories(connection: RegistryConnection, host: string): AsyncGenerator<string> {
  let target: string | URL | undefined = `${registryPaths.catalog}?n=${pageSize}`
  for (let pages = 0; target !== undefined; pages++) {
    const answer: HttpAnswer = await connection.send({
      method: 'GET',
      target,
      scopes: ['registry:catalog:*'],
      name: host,
    })
    if (answer.status === 404 || answer.status === 405) {
      answer.cancel()
      throw new CairnError('NOT_SUPPORTED', `${host} has no catalog of its repositories`, {
        hint: 'Many public registries show it to nobody. Name the repositories.',
      })
    }
    if (answer.status !== 200)
      throw await answerError(answer, { what: `catalog of ${host}`, name: host, isPush: false })
    const { value } = parseJsonDocument(await answer.bytes(largestDocument), {
      name: 'catalog',
      code: 'REGISTRY_INVALID',
    })
    const { repositories } = value
    if (Array.isArray(repositories)) for (const name of repositories) if (typeof name === 'string') yield name
    target = nextPage(answer)
    if (pages > mostPages) throw new CairnError('LIMIT_EXCEEDED', `the catalog of ${host} does not end`)
  }
}
