import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { tryStat } from '../../linux/file-status.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { Digester, digestOf } from '../../oci/digest.ts'
import { serializeManifest } from '../../oci/manifest.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { fileContent } from '../../registry/client/blob-content.ts'
import { uploadBlob } from '../../registry/client/upload.ts'
import { type RegistryAccess, registryClient } from './registry-access.ts'
import { describeRemote, remoteReference, remoteRepository } from '../build/remote-documents.ts'

/** A file to attach, and what it is. */
export interface AttachedFile {
  readonly path: string
  readonly mediaType: string
}

export interface AttachOptions {
  readonly access: RegistryAccess
  readonly artifactType: string
  readonly annotations: Readonly<Record<string, string>>
}

/** An artifact at a registry. */
export interface AttachedArtifact {
  readonly subject: Descriptor
  readonly artifact: Descriptor
}

const emptyDocument = new TextEncoder().encode('{}')

/**
 * Puts files into a registry as an artifact that refers to an image (image-spec manifest.md §guidelines for artifact
 * usage); without files an artifact of annotations alone. The same files and annotations give the same digest. Throws
 * FILE_UNKNOWN, and as describeRemote() and uploadBlob().
 */
export async function attachFiles(
  store: Store,
  name: string,
  files: readonly AttachedFile[],
  { access, artifactType, annotations }: AttachOptions,
): Promise<AttachedArtifact> {
  const client = registryClient(access)
  const { descriptor } = await describeRemote(name, client)
  const subject = { mediaType: descriptor.mediaType, digest: descriptor.digest, size: descriptor.size }
  const repository = remoteRepository(remoteReference(name), client, { isPush: true })
  const empty = { mediaType: mediaTypes.ociEmpty, digest: digestOf(emptyDocument), size: emptyDocument.length }
  if (!(await repository.hasBlob(empty.digest)))
    await repository.finishUpload(await repository.beginUpload(), empty.digest, emptyDocument)
  const layers: Descriptor[] = []
  for (const { path, mediaType } of files) {
    const known = await identify(path)
    const title = path.slice(path.lastIndexOf('/') + 1)
    if (!(await repository.hasBlob(known.digest)))
      await uploadBlob(fileContent(path, known), { store, repository, key: known.digest, signal: access.signal })
    layers.push({ mediaType, ...known, annotations: { 'org.opencontainers.image.title': title } })
  }
  const raw = serializeManifest({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType,
    config: empty,
    layers: layers.length === 0 ? [empty] : layers,
    subject,
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  })
  const artifact = {
    mediaType: mediaTypes.ociManifest,
    digest: digestOf(raw),
    size: raw.length,
    artifactType,
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  }
  await repository.putDocument(artifact.digest, raw, mediaTypes.ociManifest)
  return { subject, artifact }
}

async function identify(path: string): Promise<Pick<Descriptor, 'digest' | 'size'>> {
  if (tryStat(path)?.type !== 'file') throw new CairnError('FILE_UNKNOWN', `${path}: there is no such file`)
  const digester = new Digester()
  for await (const bytes of Bun.file(path).stream()) digester.update(bytes)
  return { size: digester.size, digest: digester.digest() }
}
