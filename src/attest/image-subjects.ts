import type { Tree } from '../layers/tree.ts'
import { Digester, type Digest, digestHex } from '../oci/digest.ts'
import { formatPlatform, type Platform } from '../oci/platform.ts'
import { familiarName, type Reference } from '../oci/reference.ts'
import { packageUrl } from '../sbom/purl.ts'
import { digestSet, type StatementSubject } from './statement.ts'

/** An image as a package URL: `pkg:docker/debian@12?platform=linux%2Famd64`, BuildKit's util/purl. */
export function dockerPurl(reference: Reference, platform: Platform | undefined): string {
  const parts = familiarName(reference).split('/')
  const qualifiers = {
    digest: reference.digest,
    platform: platform === undefined ? undefined : formatPlatform(platform),
  }
  const version = reference.tag ?? (reference.digest === undefined ? 'latest' : '')
  return packageUrl({ type: 'docker', namespace: parts.slice(0, -1), name: parts.at(-1) ?? '', version, qualifiers })
}

/** An image as the subject of statements, once for each of its names. */
export function imageSubjects(
  names: readonly Reference[],
  digest: Digest,
  platform: Platform | undefined,
): readonly StatementSubject[] {
  if (names.length === 0) return [{ name: '_', digest: digestSet(digest) }]
  return names.map((name) => ({ name: dockerPurl(name, platform), digest: digestSet(digest) }))
}

/** All regular files of a tree as subjects: what a build gives that writes files. */
export function fileSubjects(tree: Tree): readonly StatementSubject[] {
  const subjects: StatementSubject[] = []
  const pending = ['']
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop())
    for (const name of tree.list(directory === '' ? '/' : directory)) {
      const path = `${directory}/${name}`
      const type = tree.lookup(path)?.type
      if (type === 'directory') pending.push(path)
      if (type !== 'file') continue
      const digester = new Digester()
      for (const piece of tree.read(path)) digester.update(piece)
      subjects.push({ name: path.slice(1), digest: { sha256: digestHex(digester.digest()) } })
    }
  return subjects.sort((left, right) => (left.name < right.name ? -1 : 1))
}
