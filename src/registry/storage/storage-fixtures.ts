import { type Digest, type DigestAlgorithm, digestOf } from '../../oci/digest.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import type {
  ManifestReference,
  PushedManifest,
  PutOptions,
  RegistryStorage,
  UploadWriter,
} from './registry-storage.ts'

/** Begins an upload and takes hold of it. */
export async function begin(
  storage: RegistryStorage,
  repository: string,
  algorithm: DigestAlgorithm = 'sha256',
): Promise<UploadWriter> {
  const { id } = await storage.beginUpload(repository, { algorithm, owner: undefined })
  return await reopen(storage, repository, id)
}

/** Takes hold of an upload that has to be there. */
export async function reopen(storage: RegistryStorage, repository: string, id: string): Promise<UploadWriter> {
  const writer = await storage.openUpload(repository, id)
  if (writer === undefined) throw new Error(`upload ${id} is gone`)
  return writer
}

/** Pushes a blob in one piece. */
export async function push(storage: RegistryStorage, repository: string, text: string): Promise<Digest> {
  const writer = await begin(storage, repository)
  await writer.write(textBytes(text))
  if (!(await writer.commit(digestOf(text)))) throw new Error('not stored')
  return digestOf(text)
}

/** Pushes a config and a layer, both holding `text`, and the manifest that names them. */
export async function pushImage(
  storage: RegistryStorage,
  repository: string,
  text: string,
  tags: readonly string[] = [],
): Promise<PushedManifest> {
  const parts = [`config of ${text}`, `layer of ${text}`]
  const digests = await Promise.all(parts.map((part) => push(storage, repository, part)))
  const manifest = testManifest(
    text,
    digests.map((digest, index) => reference('blob', digest, parts[index]?.length ?? 0)),
  )
  const result = await put(storage, repository, manifest, { tags, missing: 'refuse' })
  if (result.outcome !== 'stored') throw new Error(JSON.stringify(result))
  return manifest
}

/** Stores a manifest, with every option at its most lenient. */
export function put(
  storage: RegistryStorage,
  repository: string,
  manifest: PushedManifest,
  options: Partial<PutOptions> = {},
) {
  return storage.putManifest(repository, manifest, { tags: [], missing: 'accept', existingTags: 'move', ...options })
}

/** A manifest of no known form: storages do not look into it. */
export function testManifest(
  text: string,
  references: readonly ManifestReference[] = [],
  { subject, artifactType }: { subject?: Digest; artifactType?: string } = {},
): PushedManifest {
  const bytes = textBytes(JSON.stringify({ text, references, subject }))
  const digest = digestOf(bytes)
  const descriptor = { mediaType: mediaTypes.ociManifest, digest, size: bytes.length }
  return {
    digest,
    mediaType: mediaTypes.ociManifest,
    size: bytes.length,
    bytes,
    references,
    subject,
    descriptor: artifactType === undefined ? descriptor : { ...descriptor, artifactType },
  }
}

/** Something that a manifest names. */
export function reference(kind: ManifestReference['kind'], digest: Digest, size: number): ManifestReference {
  return { kind, digest, size, isOptional: false }
}

/** UTF-8. */
export function textBytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text)
}

/** The text of a blob, or undefined where the repository has none such. */
export async function readBlob(
  storage: RegistryStorage,
  repository: string,
  digest: Digest,
): Promise<string | undefined> {
  const content = await (await storage.findBlob(repository, digest))?.read()
  if (content === undefined) return undefined
  return await (content.kind === 'body' ? new Response(content.body) : await fetch(content.url)).text()
}
