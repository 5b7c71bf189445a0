import { acquireLease } from '../../../content/leases.ts'
import type { Store } from '../../../content/store.ts'
import { removeFile } from '../../../linux/names.ts'
import { damagedRecords } from '../../../records/build-records.ts'
import { defaultLimits } from '../../../remote/access.ts'
import { checkMirror, listMirrors, removeMirror } from '../../../remote/git-mirror.ts'
import type { StoreProblem } from './problem.ts'

/** Tags of the registry that lead nowhere, and uploads whose bytes are gone. To be called in a transaction. */
export function checkRegistry(store: Store): StoreProblem[] {
  const tags = store.database.all<{ repository: string; tag: string }>(
    `SELECT repository, tag FROM registry_tags AS t WHERE NOT EXISTS
       (SELECT 1 FROM registry_manifests AS m WHERE m.repository = t.repository AND m.digest = t.digest)`,
  )
  return tags.map(({ repository, tag }): StoreProblem => ({
    area: 'registry',
    subject: `${repository}:${tag}`,
    problem: 'the manifest that this tag of the registry leads to is in no record',
    remedy: 'Push it again. Repairing forgets the tag.',
    repair: () =>
      void store.database.run('DELETE FROM registry_tags WHERE repository = ? AND tag = ?', repository, tag),
  }))
}

/** Records of builds that cannot be read: `quick` looks at how they begin and end, else at every line. */
export async function checkRecords(store: Store, quick: boolean, signal: AbortSignal): Promise<StoreProblem[]> {
  const damaged = await damagedRecords(store, quick, signal)
  return damaged.map(({ path, problem }) => ({
    area: 'build records',
    subject: path.slice(store.root.length + 1),
    problem: `${problem}: what the build did cannot be told in full`,
    remedy: 'Repairing removes it. No image needs it.',
    repair: () => removeFile(path),
  }))
}

/** Copies of git repositories that lost objects. Those that a build uses meanwhile are left out, all where git is missing. */
export async function checkMirrors(
  store: Store,
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<StoreProblem[]> {
  const problems: StoreProblem[] = []
  if (store.isReadOnly) return problems
  using lease = acquireLease(store)
  const access = { store, lease, signal, env, secret: () => undefined, limits: defaultLimits }
  for (const { id } of listMirrors(store)) {
    const fault = await checkMirror(id, access)
    if (fault === undefined) continue
    problems.push({
      area: 'build cache',
      subject: `cache/git/${id}`,
      problem: `this copy of a git repository is damaged (${fault}): builds from it fail`,
      remedy: 'Repairing removes it, so that it is fetched again.',
      repair: () => void removeMirror(store, id),
    })
  }
  return problems
}
