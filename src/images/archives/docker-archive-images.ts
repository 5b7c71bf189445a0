import type { ContentLimits } from '../../content/limits.ts'
import { CairnError } from '../../errors/error.ts'
import { largestDocument } from '../../oci/json-document.ts'
import { collect } from '../../streams/source.ts'
import type { ArchiveFiles } from './archive-files.ts'
import { type DockerArchiveImage, dockerManifestPath, memberOf, parseDockerManifest } from './docker-archive.ts'
import { legacyImages, legacyNamesPath } from './legacy-archive.ts'

/** True for an archive that {@link dockerArchiveImages} reads. */
export function isDockerArchive(files: ArchiveFiles): boolean {
  return files.find(dockerManifestPath) !== undefined || files.find(legacyNamesPath) !== undefined
}

/**
 * The images of a docker-archive: those that `manifest.json` lists, in archives without one those of `repositories`.
 * Throws ARCHIVE_INVALID; `name` is the archive in errors.
 */
export async function dockerArchiveImages(
  files: ArchiveFiles,
  limits: ContentLimits,
  name: string,
): Promise<readonly DockerArchiveImage[]> {
  const list = files.find(dockerManifestPath)
  if (list === undefined && files.find(legacyNamesPath) !== undefined) return await legacyImages(files, limits, name)
  if (list === undefined) throw new CairnError('ARCHIVE_INVALID', `${name} has no ${dockerManifestPath}`)
  const entries = parseDockerManifest(await collect(list.read(), largestDocument, `${name}: ${dockerManifestPath}`))
  return entries.map(({ Config: where, RepoTags: names, Layers: layers }) => ({
    where,
    names: names ?? [],
    layers,
    config: async () => await collect(memberOf(files, where, name).read(), largestDocument, `${name}: ${where}`),
  }))
}

/** Throws ARCHIVE_INVALID unless a layer is listed for each diff ID of the config. */
export function checkLayerCount(image: DockerArchiveImage, diffIds: readonly string[], name: string): void {
  const { where, layers } = image
  if (diffIds.length === layers.length) return
  throw new CairnError(
    'ARCHIVE_INVALID',
    `${name} gives ${where} ${layers.length} layers, but that has ${diffIds.length} diff IDs`,
  )
}
