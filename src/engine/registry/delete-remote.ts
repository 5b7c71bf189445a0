import { CairnError } from '../../errors/error.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import { serializeManifest } from '../../oci/manifest.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { familiarString, pinned } from '../../oci/reference.ts'
import { listReferrers } from '../../registry/client/referrers.ts'
import type { Repository } from '../../registry/client/repository.ts'
import { type RegistryAccess, registryClient } from './registry-access.ts'
import { remoteReference, remoteRepository } from '../build/remote-documents.ts'

export interface DeleteRemoteOptions {
  readonly access: RegistryAccess
  /** Tells what would be deleted and deletes nothing. */
  readonly isDryRun: boolean
  /** Of a digest: also deletes what refers to it. */
  readonly withReferrers: boolean
}

/** A thing that was deleted, or would be. */
export interface DeletedRemote {
  readonly name: string
  readonly digest: Digest
}

const deepest = 8
const emptyDocument = new TextEncoder().encode('{}')

/**
 * Deletes a tag, and no other that leads to the same image; by a digest the manifest with all its tags. Where a registry
 * cannot delete a tag, the tag is moved to a manifest of its own, and that is deleted. Tells of each thing before it goes. Throws
 * MANIFEST_UNKNOWN, NOT_SUPPORTED where a registry allows no deletion, and as Repository.document().
 */
export async function* deleteRemote(text: string, options: DeleteRemoteOptions): AsyncGenerator<DeletedRemote> {
  const reference = pinned(remoteReference(text))
  const repository = remoteRepository(reference, registryClient(options.access), { isPush: true, isDelete: true })
  const wanted = reference.digest ?? reference.tag ?? ''
  const found = await repository.describe(wanted)
  if (found === undefined)
    throw new CairnError('MANIFEST_UNKNOWN', `manifest for ${familiarString(reference)} not found`)
  if (reference.digest !== undefined && options.withReferrers)
    yield* deleteReferrers(repository, reference.digest, options, 0)
  yield { name: familiarString(reference), digest: found.digest }
  if (options.isDryRun) return
  if (await repository.deleteDocument(wanted)) return
  if (reference.digest !== undefined) throw noDeletion(repository)
  await replaceAndDelete(repository, wanted)
}

async function* deleteReferrers(
  repository: Repository,
  digest: Digest,
  options: DeleteRemoteOptions,
  depth: number,
): AsyncGenerator<DeletedRemote> {
  if (depth > deepest)
    throw new CairnError('MANIFEST_INVALID', `referrers of referrers are followed ${deepest} deep and no further`)
  const referrers: Digest[] = []
  for await (const referrer of listReferrers(repository, digest)) referrers.push(referrer.digest)
  for (const referrer of referrers) {
    yield* deleteReferrers(repository, referrer, options, depth + 1)
    yield { name: `${repository.name}@${referrer}`, digest: referrer }
    if (!options.isDryRun && !(await repository.deleteDocument(referrer))) throw noDeletion(repository)
  }
}

/** Has the tag lead to a manifest that nothing else leads to, and deletes that. */
async function replaceAndDelete(repository: Repository, tag: string): Promise<void> {
  const empty = { mediaType: mediaTypes.ociEmpty, digest: digestOf(emptyDocument), size: emptyDocument.length }
  if (!(await repository.hasBlob(empty.digest)))
    await repository.finishUpload(await repository.beginUpload(), empty.digest, emptyDocument)
  const raw = serializeManifest({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType: 'application/vnd.cairn.deleted',
    config: empty,
    layers: [empty],
    annotations: { 'cairn.deleted': crypto.randomUUID() },
  })
  await repository.putDocument(tag, raw, mediaTypes.ociManifest)
  if (!(await repository.deleteDocument(digestOf(raw)))) throw noDeletion(repository)
}

function noDeletion(repository: Repository): CairnError {
  return new CairnError('NOT_SUPPORTED', `${repository.endpoint.host} does not allow to delete manifests`, {
    hint: 'docker-registry has to be told: REGISTRY_STORAGE_DELETE_ENABLED=true.',
  })
}
