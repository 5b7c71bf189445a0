import { parseReference, withoutTag } from '../../oci/reference.ts'
import { listRepositories } from '../../registry/client/catalog.ts'
import { compareTags, nameFilter, type NameFilterOptions } from '../name-filter.ts'
import { type RegistryAccess, registryClient } from './registry-access.ts'
import { remoteReference, remoteRepository } from '../build/remote-documents.ts'

/** How tags are ordered; as the registry gives them, without holding them, for the empty text. */
export type TagOrder = '' | 'name' | '-name' | 'version' | '-version'

/** Repositories of a registry, by its catalog. Throws as nameFilter() and listRepositories(). */
export async function* listRemoteRepositories(
  registry: string,
  access: RegistryAccess,
  options: NameFilterOptions,
): AsyncGenerator<string> {
  const isWanted = nameFilter(options)
  const host = parseReference(`${registry.replace(/^docker:\/\//, '').replace(/\/+$/, '')}/name`).domain
  const client = registryClient(access)
  for await (const name of listRepositories(client.connection(client.hosts.hostEndpoint(host)), host))
    if (isWanted(name)) yield name
}

/** Tags of a repository. Throws as nameFilter() and Repository.tags(). */
export async function* listRemoteTags(
  name: string,
  access: RegistryAccess,
  options: NameFilterOptions & { readonly order: TagOrder },
): AsyncGenerator<string> {
  const isWanted = nameFilter(options)
  const reference = withoutTag(remoteReference(name))
  const repository = remoteRepository(reference, registryClient(access))
  const { order } = options
  const held: string[] = []
  for await (const tag of repository.tags()) {
    if (!isWanted(tag)) continue
    if (order === '') yield tag
    else held.push(tag)
  }
  const isReversed = order.startsWith('-')
  if (order.endsWith('version')) yield* held.sort((a, b) => compareTags(a, b, isReversed))
  else yield* isReversed ? held.sort().reverse() : held.sort()
}
