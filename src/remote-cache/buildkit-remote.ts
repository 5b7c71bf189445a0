import type { ResolvedRemote } from '../build/context/remote-files.ts'
import type { RemoteSource } from '../build/ops/remote-source.ts'
import { digestOf } from '../oci/digest.ts'
import { goJson } from '../oci/go-json.ts'

/** What BuildKit (source/http, source/git) knows a remote source by, by what it was resolved to. */
export function buildkitRemoteKey(source: RemoteSource, resolved: ResolvedRemote): string | undefined {
  if (source.kind === 'http' && resolved.kind === 'http') return fileKey(source.name, resolved)
  if (source.kind !== 'git' || resolved.kind !== 'git') return undefined
  const { reference, keepGitDir } = source
  const { commit, object, ref } = resolved.revision
  const subdir = reference.subdir ?? ''
  // With the directory of git the tag itself counts, and what it is called.
  const parts = [
    keepGitDir ? `${object}.git#${ref ?? commit}` : commit,
    subdir === '' ? '' : `:${subdir}`,
    reference.submodules === false ? '(skip-submodules)' : '',
    reference.mtime === 'commit' ? '(mtime=commit)' : '',
  ]
  return parts.join('')
}

function fileKey(name: string, { digest, lastModified }: Extract<ResolvedRemote, { kind: 'http' }>): string {
  const fields: readonly [string, unknown][] = [
    ['Filename', name],
    ['Perm', 0],
    ['UID', 0],
    ['GID', 0],
    ['Checksum', digest],
    ['LastModTime', lastModified === undefined ? undefined : new Date(lastModified * 1000).toUTCString()],
  ]
  return digestOf(goJson(new Map(fields)))
}
