import { CairnError } from '../../errors/error.ts'
import { largestDocument, parseJsonDocument } from '../../oci/json-document.ts'
import { registryPaths } from '../protocol.ts'
import type { RegistryConnection } from './connection.ts'
import type { HttpAnswer } from './http-exchange.ts'
import { pagesOf } from './pages.ts'
import { answerError, quoted } from './registry-answer.ts'

const pageSize = 1000

/**
 * The repositories of a registry by its catalog, page by page as they are asked for. Throws NOT_SUPPORTED where it has none,
 * and as RegistryConnection.send().
 */
export async function* listRepositories(connection: RegistryConnection, host: string): AsyncGenerator<string> {
  const ask = (target: string): Promise<HttpAnswer> =>
    connection.send({ method: 'GET', target, scopes: ['registry:catalog:*'], name: host })
  for await (const answer of pagesOf(`${registryPaths.catalog}?n=${pageSize}`, `catalog of ${host}`, ask)) {
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
    for (const name of Array.isArray(repositories) ? repositories : []) {
      // What no request could name may be meant for the terminal.
      if (typeof name !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(name))
        throw new CairnError('REGISTRY_INVALID', `${host} lists ${quoted(String(name))}, which is no repository`)
      yield name
    }
  }
}
