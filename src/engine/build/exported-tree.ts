import { fileSubjects } from '../../attest/image-subjects.ts'
import { statementOf } from '../../attest/statement.ts'
import { stackTree } from '../../layers/trees/layer-tree.ts'
import type { Tree } from '../../layers/tree.ts'
import { platformOf } from '../../oci/config.ts'
import { formatPlatform } from '../../oci/platform.ts'
import { withFiles } from '../../outputs/added-files.ts'
import type { UnformedImage } from '../../outputs/form-image.ts'
import type { FilesOutput } from '../../outputs/output.ts'
import { platformTree } from '../../outputs/platform-tree.ts'
import type { ExportedAttestations, ExportOptions } from './export-build.ts'

/**
 * The files that an output of files gets: those of all platforms with their attestations, a directory for each platform
 * or one over the other.
 */
export async function exportedTree(
  images: readonly UnformedImage[],
  { isSplit = images.length > 1, attestationPrefix }: FilesOutput,
  { snapshots, epoch, attestations }: Pick<ExportOptions, 'snapshots' | 'epoch' | 'attestations'>,
): Promise<Tree> {
  const stacks = await Promise.all(
    images.map(async ({ diffIds }) => await snapshots.layerTrees(diffIds.map((diffId) => ({ diffId })))),
  )
  const names = images.map(({ config }) => formatPlatform(platformOf(config)).replaceAll('/', '_'))
  const trees = stacks.map((layers) => stackTree(layers))
  const named = images.length > 1 && !isSplit ? names : undefined
  const files = await Promise.all(
    trees.map((tree, index) => attestationFiles(attestations, tree, index, attestationPrefix, named?.[index])),
  )
  const time = epoch ?? 0
  if (!isSplit) return withFiles(stackTree(stacks.flat()), new Map(files.flatMap((own) => [...own])), time)
  return platformTree(
    new Map(
      trees.map((tree, index) => [
        names[index] ?? '',
        withFiles(tree, files[index] ?? new Map<string, Uint8Array>(), time),
      ]),
    ),
  )
}

/** The attestations of one platform's files, by name; with `platform` in it where several lie side by side. */
async function attestationFiles(
  attestations: ExportedAttestations | undefined,
  tree: Tree,
  index: number,
  prefix: string,
  platform: string | undefined,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const predicates = (await attestations?.predicates(index, undefined)) ?? []
  const wanted = predicates.filter(({ inlineOnly }) => !inlineOnly)
  if (wanted.length === 0) return new Map()
  const subjects = fileSubjects(tree)
  return new Map(
    wanted.map((predicate) => {
      const name = platform === undefined ? predicate.filename : withPlatform(predicate.filename, platform)
      const text = JSON.stringify(statementOf(predicate, subjects), undefined, 2)
      return [`${prefix}${name}`, new TextEncoder().encode(text)]
    }),
  )
}

/** `provenance.linux_amd64.json` for `provenance.json`. */
function withPlatform(filename: string, platform: string): string {
  const dot = filename.lastIndexOf('.')
  return dot < 0 ? `${filename}.${platform}` : `${filename.slice(0, dot)}.${platform}${filename.slice(dot)}`
}
