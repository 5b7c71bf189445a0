import { decompress } from '../../compression/decompress.ts'
import { CairnError } from '../../errors/error.ts'
import { type FileSink, openFileSink } from '../../linux/file-sink.ts'
import { digestHex } from '../../oci/digest.ts'
import { serializeIndex } from '../../oci/image-index.ts'
import { layoutBlobPath, layoutMarker, layoutPaths } from '../../oci/layout.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { familiarString, parseReference, type Reference, withDefaultTag } from '../../oci/reference.ts'
import type { ByteSource } from '../../streams/source.ts'
import { TarWriter } from '../../tar/writer.ts'
import { nameAnnotations } from './archive-content.ts'
import { archiveMember } from './archive-member.ts'
import { dockerManifestPath, serializeDockerManifest } from './docker-archive.ts'
import type { FileLocation } from '../image-location.ts'
import type { CopiedBlob, CopiedImage, ImageTarget } from '../image-target.ts'
import { withEntry, withReferrers } from '../layouts/layout-target.ts'

/** An archive with an OCI layout; the file is there whole or as it was. */
export function openLayoutArchiveTarget({ path, name }: FileLocation): ImageTarget {
  const archive = new ArchiveFileWriter(path)
  const directories = new Set<string>()
  const addDirectory = (directory: string): void => {
    if (!directories.has(directory)) archive.addDirectory(directory)
    directories.add(directory)
  }
  return {
    holdsIndexes: true,
    holdsReferrers: true,
    has: () => false,
    put: async ({ descriptor }, bytes) => {
      const member = layoutBlobPath(descriptor.digest)
      addDirectory(layoutPaths.blobs)
      addDirectory(member.slice(0, member.lastIndexOf('/')))
      await archive.addFile(member, descriptor.size, bytes)
    },
    commit: async (image) => {
      await archive.addFile(
        layoutPaths.index,
        ...wholly(serializeIndex(withReferrers(archiveIndex(image, name), image))),
      )
      await archive.addFile(layoutPaths.marker, ...wholly(new TextEncoder().encode(layoutMarker)))
      archive.commit()
    },
    [Symbol.dispose]: () => archive[Symbol.dispose](),
  }
}

/** The name asked for, else those the image has where it comes from, as `save` writes them. */
function archiveIndex({ root, references }: CopiedImage, name: string | undefined) {
  const index = { schemaVersion: 2 as const, mediaType: mediaTypes.ociIndex, manifests: [] }
  if (name !== undefined || references.length === 0) return withEntry(index, root, name)
  return { ...index, manifests: references.map((one) => ({ ...root, annotations: nameAnnotations(root, one) })) }
}

/**
 * A docker-archive of one image, its layers not compressed, as every reader of the form takes them. A digest of the
 * manifest does not outlive that; the image ID and the diff IDs do.
 */
export function openDockerArchiveTarget({ path, name }: FileLocation): ImageTarget {
  const names = name === undefined ? undefined : [archiveName(name)]
  const archive = new ArchiveFileWriter(path)
  const layerPaths = new Set<string>()
  return {
    holdsIndexes: false,
    holdsReferrers: false,
    has: ({ role }) => role === 'manifest',
    put: async ({ descriptor, role, layer }, bytes) => {
      if (role === 'config') return await archive.addFile(configPath(descriptor), descriptor.size, bytes)
      if (layer === undefined)
        throw new CairnError('NOT_SUPPORTED', `a docker-archive cannot hold ${descriptor.mediaType}`, {
          hint: 'Copy it to oci: or oci-archive:.',
        })
      const member = layerPath(layer)
      // Two blobs may hold one layer, compressed in different ways.
      if (layerPaths.has(member)) return await drain(bytes)
      layerPaths.add(member)
      await archive.addFile(member, layer.unpackedSize, layer.compression === 'none' ? bytes : decompress(bytes))
    },
    commit: async ({ manifests: [image], blobs, references }) => {
      if (image?.config === undefined)
        throw new CairnError(
          'NOT_SUPPORTED',
          'a docker-archive holds images only, and this is an artifact of another kind',
        )
      const layers = new Map(blobs.map(({ descriptor, layer }) => [descriptor.digest, layer]))
      const manifest = serializeDockerManifest([
        {
          Config: configPath(image.manifest.config),
          RepoTags: tagsOf(names ?? references),
          Layers: image.manifest.layers.flatMap(({ digest }) => {
            const layer = layers.get(digest)
            return layer === undefined ? [] : [layerPath(layer)]
          }),
        },
      ])
      await archive.addFile(dockerManifestPath, ...wholly(manifest))
      archive.commit()
    },
    [Symbol.dispose]: () => archive[Symbol.dispose](),
  }
}

/** A tar that is written to a file, which is there whole or not at all. */
class ArchiveFileWriter implements Disposable {
  readonly #sink: FileSink
  readonly #tar: TarWriter

  constructor(path: string) {
    this.#sink = openFileSink(path)
    this.#tar = new TarWriter((bytes) => this.#sink.write(bytes))
  }

  addDirectory(path: string): void {
    this.#tar.add(archiveMember('directory', path, 0))
  }

  async addFile(path: string, size: number, bytes: ByteSource | Iterable<Uint8Array>): Promise<void> {
    this.#tar.add(archiveMember('file', path, size))
    for await (const piece of bytes) this.#tar.write(piece)
  }

  commit(): void {
    this.#tar.finish()
    this.#sink.commit()
  }

  [Symbol.dispose](): void {
    this.#sink[Symbol.dispose]()
  }
}

function wholly(bytes: Uint8Array): [size: number, bytes: readonly Uint8Array[]] {
  return [bytes.length, [bytes]]
}

function configPath({ digest }: CopiedBlob['descriptor']): string {
  return `${digestHex(digest)}.json`
}

function layerPath({ diffId }: NonNullable<CopiedBlob['layer']>): string {
  return `${digestHex(diffId)}.tar`
}

function archiveName(text: string): Reference {
  const reference = parseReference(text)
  if (reference.digest !== undefined)
    throw new CairnError('REFERENCE_INVALID', `${text}: an image cannot be given a digest as its name`)
  return withDefaultTag(reference)
}

function tagsOf(references: readonly Reference[]): readonly string[] | null {
  return references.length === 0 ? null : references.map(familiarString)
}

async function drain(bytes: ByteSource): Promise<void> {
  for await (const _ of bytes);
}
