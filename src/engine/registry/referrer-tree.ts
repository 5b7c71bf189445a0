import type { Descriptor } from '../../oci/descriptor.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Platform } from '../../oci/platform.ts'
import { listReferrers } from '../../registry/client/referrers.ts'
import type { Repository } from '../../registry/client/repository.ts'
import { type RegistryAccess, registryClient } from './registry-access.ts'
import { describeRemote, remoteReference, remoteRepository } from '../build/remote-documents.ts'

/** A manifest that refers to another, and how far from the image it is: 0 for one that refers to the image itself. */
export interface FoundReferrer {
  readonly descriptor: Descriptor
  readonly subject: Digest
  readonly depth: number
}

export interface ReferrerOptions {
  readonly access: RegistryAccess
  readonly artifactType?: string | undefined
  /** Also what refers to referrers, so many times. */
  readonly deepest: number
  readonly platform?: Platform | undefined
}

const mostReferrers = 10_000

/** What refers to an image of a registry, each before what refers to it. Throws as describeRemote() and listReferrers(). */
export async function* referrersOf(name: string, options: ReferrerOptions): AsyncGenerator<FoundReferrer, Digest> {
  const client = registryClient(options.access)
  const { descriptor } = await describeRemote(name, client, options.platform)
  const repository = remoteRepository(remoteReference(name), client)
  yield* walk(repository, descriptor.digest, 0, options, new Set([descriptor.digest]))
  return descriptor.digest
}

async function* walk(
  repository: Repository,
  subject: Digest,
  depth: number,
  options: ReferrerOptions,
  seen: Set<Digest>,
): AsyncGenerator<FoundReferrer> {
  for await (const descriptor of listReferrers(repository, subject, options.artifactType)) {
    if (seen.has(descriptor.digest) || seen.size > mostReferrers) continue
    seen.add(descriptor.digest)
    yield { descriptor, subject, depth }
    if (depth < options.deepest) yield* walk(repository, descriptor.digest, depth + 1, options, seen)
  }
}
