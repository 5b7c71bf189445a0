import { CairnError } from '../../errors/error.ts'
import { preferredEntry } from '../../images/records/put-image.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { isDigest } from '../../oci/digest.ts'
import { formatPlatform, type Platform } from '../../oci/platform.ts'
import { familiarName, familiarString, parseReference, pinned, type Reference } from '../../oci/reference.ts'
import type { RegistryClient } from '../../registry/client/connection.ts'
import { Repository } from '../../registry/client/repository.ts'
import { firstOf, type ResolvedRemote, resolveRemote } from '../../registry/client/resolve.ts'
import { type ByteSource, verified } from '../../streams/source.ts'

/** `docker://` before a name is taken for nothing. */
export function remoteReference(text: string): Reference {
  return parseReference(text.replace(/^docker:\/\//, ''))
}

/** The repository of a name, at the registry itself. */
export function remoteRepository(
  reference: Reference,
  client: RegistryClient,
  rights: { readonly isPush?: boolean; readonly isDelete?: boolean } = {},
): Repository {
  return new Repository(client, client.hosts.endpointFor(reference), { name: familiarName(reference), ...rights })
}

/**
 * What a name in a registry leads to, by HEAD; with `platform` the image for that. Throws IMAGE_PLATFORM, and as
 * resolveRemote().
 */
export async function describeRemote(
  text: string,
  client: RegistryClient,
  platform?: Platform,
): Promise<ResolvedRemote & { readonly descriptor: Descriptor }> {
  const reference = pinned(remoteReference(text))
  const resolved = await resolveRemote(client, reference)
  if (platform === undefined) return resolved
  const { repositories, descriptor } = resolved
  const { document } = await firstOf(repositories, (repository) => repository.document(descriptor.digest))
  if (document.type === 'manifest') return resolved
  const found = preferredEntry(document.value.manifests, platform)
  if (found !== undefined) return { repositories, descriptor: found }
  throw new CairnError(
    'IMAGE_PLATFORM',
    `${familiarString(reference)} does not provide the platform ${formatPlatform(platform)}`,
  )
}

/** Which part of an image is read. */
export type RemotePart = 'manifest' | 'config' | 'blob'

/**
 * The bytes of a manifest, of an image's config, or of a blob by its digest, as the registry has them; they are verified
 * as they pass. Throws USAGE, MANIFEST_INVALID for the config of an index, and as {@link describeRemote}.
 */
export async function readRemote(
  text: string,
  part: RemotePart,
  client: RegistryClient,
  platform?: Platform,
): Promise<ByteSource> {
  if (part === 'blob') return await readBlob(remoteReference(text), client)
  const { repositories, descriptor } = await describeRemote(text, client, platform)
  const { document } = await firstOf(repositories, (repository) => repository.document(descriptor.digest))
  if (part === 'manifest') return once(document.raw)
  if (document.type === 'index')
    throw new CairnError('MANIFEST_INVALID', `${text} is an index, which has no config`, {
      hint: 'Choose an image with --platform.',
    })
  const { config } = document.value
  const { body } = await firstOf(repositories, (repository) => repository.openBlob(config))
  return verified(body, config)
}

async function readBlob(reference: Reference, client: RegistryClient): Promise<ByteSource> {
  const { digest } = reference
  if (digest === undefined || !isDigest(digest))
    throw new CairnError('USAGE', `${familiarString(reference)}: a blob is named by its digest: NAME@sha256:…`)
  const repository = remoteRepository(reference, client)
  const size = await repository.blobSize(digest)
  if (size === undefined) throw new CairnError('BLOB_UNKNOWN', `blob ${digest} not found in ${repository.name}`)
  const { body } = await repository.openBlob({ digest, size })
  return verified(body, { digest, size })
}

async function* once(bytes: Uint8Array): ByteSource {
  yield bytes
}
