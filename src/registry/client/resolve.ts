import { CairnError, isCairnError } from '../../errors/error.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { familiarName, type Reference } from '../../oci/reference.ts'
import type { RegistryClient } from './connection.ts'
import { Repository } from './repository.ts'

/** What a name leads to, and where. */
export interface ResolvedRemote {
  /** Where parts of the image may be had: first who knew the name. */
  readonly repositories: readonly [Repository, ...Repository[]]
  readonly descriptor: Descriptor
}

/**
 * Asks mirrors and the registry, in their order, for what a name means; by HEAD, which registries do not count. Throws
 * what the last of them fails with, as {@link Repository.document}.
 */
export async function resolveRemote(client: RegistryClient, reference: Reference): Promise<ResolvedRemote> {
  const wanted = reference.digest ?? reference.tag ?? 'latest'
  const all = client
    .endpointsFor(reference)
    .map((endpoint) => new Repository(client, endpoint, { name: familiarName(reference) }))
  for (const [index, repository] of all.entries()) {
    try {
      // Where HEAD finds nothing, GET says why.
      const descriptor = (await repository.describe(wanted)) ?? (await repository.document(wanted)).descriptor
      if (reference.digest !== undefined && descriptor.digest !== reference.digest)
        throw new CairnError(
          'BLOB_CORRUPT',
          `${repository.endpoint.host} has ${descriptor.digest} for ${reference.digest}`,
        )
      return { repositories: [repository, ...all.filter((other) => other !== repository)], descriptor }
    } catch (error) {
      if (index === all.length - 1 || isCairnError(error, 'CANCELED')) throw error
    }
  }
  throw new Error('a registry has no endpoint')
}

/** What the first of several repositories gives that does not fail; else the failure of the last. */
export async function firstOf<Result>(
  repositories: readonly Repository[],
  ask: (repository: Repository) => Promise<Result>,
): Promise<Result> {
  for (const [index, repository] of repositories.entries()) {
    try {
      return await ask(repository)
    } catch (error) {
      if (index === repositories.length - 1 || isCairnError(error, 'CANCELED')) throw error
    }
  }
  throw new Error('there is no repository to ask')
}
