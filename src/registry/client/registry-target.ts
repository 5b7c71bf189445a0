import type { Store } from '../../content/store.ts'
import { usageError } from '../../errors/error.ts'
import type { CopiedBlob, CopiedImage, ImageTarget } from '../../images/image-target.ts'
import { removeFile } from '../../linux/names.ts'
import type { Digest } from '../../oci/digest.ts'
import { largestDocument } from '../../oci/json-document.ts'
import { familiarName, type Reference } from '../../oci/reference.ts'
import { openFileSink } from '../../linux/file-sink.ts'
import { type ByteSource, collect } from '../../streams/source.ts'
import { fileContent } from './blob-content.ts'
import type { RegistryClient } from './connection.ts'
import { announceReferrer } from './referrers.ts'
import { Repository } from './repository.ts'
import { TaskSlots } from './task-slots.ts'
import { uploadBlob } from './upload.ts'

/**
 * A repository as a place for an image: blobs are sent several at once, manifests when these are there, the tag last.
 * Throws USAGE for a reference with a digest.
 */
export function openRegistryTarget(store: Store, client: RegistryClient, reference: Reference): ImageTarget {
  const { tag } = reference
  if (tag === undefined)
    throw usageError(`docker://${familiarName(reference)}: a digest cannot be written to`, {
      hint: 'The digest follows from the image; name it by a tag.',
    })
  const name = familiarName(reference)
  const repository = new Repository(client, client.hosts.endpointFor(reference), { name, isPush: true })
  return new RegistryTarget(store, client, repository, tag)
}

/** Blobs that are sent at once. */
const concurrentUploads = 4

class RegistryTarget implements ImageTarget {
  readonly holdsIndexes = true
  readonly holdsReferrers = true
  readonly #store: Store
  readonly #client: RegistryClient
  readonly #repository: Repository
  readonly #tag: string
  readonly #documents = new Map<Digest, Uint8Array>()
  readonly #slots = new TaskSlots(concurrentUploads)
  #uploads: Promise<void>[] = []

  constructor(store: Store, client: RegistryClient, repository: Repository, tag: string) {
    this.#store = store
    this.#client = client
    this.#repository = repository
    this.#tag = tag
  }

  async has(blob: CopiedBlob): Promise<boolean> {
    return !isDocument(blob) && (await this.#repository.hasBlob(blob.descriptor.digest))
  }

  async put(blob: CopiedBlob, bytes: ByteSource): Promise<void> {
    const { digest, mediaType } = blob.descriptor
    if (isDocument(blob)) {
      const raw = await collect(bytes, largestDocument, digest)
      this.#documents.set(digest, raw)
      await this.#sent()
      await this.#repository.putDocument(digest, raw, mediaType)
      return
    }
    // A file can be sent again from where a connection broke, which a stream cannot; and what is wrong is not sent.
    const path = this.#store.session.temporaryPath('upload')
    try {
      using file = openFileSink(path)
      for await (const piece of bytes) file.write(piece)
      file.commit()
    } catch (error) {
      removeFile(path)
      throw error
    }
    this.#begin(this.#slots.run(() => this.#send(blob, path)).finally(() => removeFile(path)))
  }

  putFile(blob: CopiedBlob, path: string): void {
    this.#begin(this.#slots.run(() => this.#send(blob, path)))
  }

  async commit({ root, referrers = [] }: CopiedImage): Promise<void> {
    const raw = this.#documents.get(root.digest)
    if (raw === undefined) throw new Error('an image was copied without its manifest')
    await this.#sent()
    await this.#repository.putDocument(this.#tag, raw, root.mediaType)
    for (const { subject, descriptor } of referrers) await announceReferrer(this.#repository, subject, descriptor)
  }

  [Symbol.dispose](): void {}

  async #send({ descriptor }: CopiedBlob, path: string): Promise<void> {
    const { signal, firstPause } = this.#client.options
    const pause = firstPause === undefined ? {} : { firstPause }
    const place = { store: this.#store, repository: this.#repository, key: descriptor.digest }
    await uploadBlob(fileContent(path, descriptor), { ...place, signal, ...pause })
  }

  #begin(upload: Promise<void>): void {
    // It fails where it is waited for.
    upload.catch(() => {})
    this.#uploads.push(upload)
  }

  /** Waits for what was begun, also where one fails. */
  async #sent(): Promise<void> {
    const results = await Promise.allSettled(this.#uploads)
    this.#uploads = []
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }
}

function isDocument({ role }: CopiedBlob): boolean {
  return role === 'manifest' || role === 'index'
}
