import type { Store } from '../../content/store.ts'
import { usageError } from '../../errors/error.ts'
import type { CopiedBlob, ImageTarget } from '../../images/image-target.ts'
import { removeFile } from '../../linux/names.ts'
import type { Digest } from '../../oci/digest.ts'
import { largestDocument } from '../../oci/json-document.ts'
import { familiarName, type Reference } from '../../oci/reference.ts'
import { openFileSink } from '../../linux/file-sink.ts'
import { collect } from '../../streams/source.ts'
import { fileContent } from './blob-content.ts'
import type { RegistryClient } from './connection.ts'
import { announceReferrer } from './referrers.ts'
import { Repository } from './repository.ts'
import { uploadBlob } from './upload.ts'

/**
 * A repository as a place for an image: manifests get their tag when all else is there. Throws USAGE for a reference with
 * a digest.
 */
export function openRegistryTarget(store: Store, client: RegistryClient, reference: Reference): ImageTarget {
  const { tag } = reference
  if (tag === undefined)
    throw usageError(`docker://${familiarName(reference)}: a digest cannot be written to`, {
      hint: 'The digest follows from the image; name it by a tag.',
    })
  const name = familiarName(reference)
  const repository = new Repository(client, client.hosts.endpointFor(reference), { name, isPush: true })
  const documents = new Map<Digest, Uint8Array>()
  const isDocument = ({ role }: CopiedBlob): boolean => role === 'manifest' || role === 'index'
  return {
    holdsIndexes: true,
    holdsReferrers: true,
    has: async (blob) => !isDocument(blob) && (await repository.hasBlob(blob.descriptor.digest)),
    put: async (blob, bytes) => {
      const { descriptor } = blob
      const { digest, mediaType } = descriptor
      if (isDocument(blob)) {
        const raw = await collect(bytes, largestDocument, digest)
        documents.set(digest, raw)
        await repository.putDocument(digest, raw, mediaType)
        return
      }
      // A file can be sent again from where a connection broke, which a stream cannot.
      const path = store.session.temporaryPath('upload')
      try {
        using file = openFileSink(path)
        for await (const piece of bytes) file.write(piece)
        file.commit()
        const { signal, firstPause } = client.options
        const pause = firstPause === undefined ? {} : { firstPause }
        await uploadBlob(fileContent(path, descriptor), { store, repository, signal, key: digest, ...pause })
      } finally {
        removeFile(path)
      }
    },
    commit: async ({ root, referrers = [] }) => {
      const raw = documents.get(root.digest)
      if (raw === undefined) throw new Error('an image was copied without its manifest')
      await repository.putDocument(tag, raw, root.mediaType)
      for (const { subject, descriptor } of referrers) await announceReferrer(repository, subject, descriptor)
    },
    [Symbol.dispose]: () => {},
  }
}
