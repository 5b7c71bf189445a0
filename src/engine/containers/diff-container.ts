import { containerFiles } from '../../containers/container-files.ts'
import { resolveContainer } from '../../containers/container-records.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import { acquireLease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { overlayTree } from '../../layers/trees/layer-tree.ts'
import type { LayerTree, Tree, TreeEntry } from '../../layers/tree.ts'

/** A path that a container added (A), changed (C) or deleted (D). */
export interface ContainerChange {
  readonly kind: 'A' | 'C' | 'D'
  readonly path: string
}

/** What a container changed in the files of its image, by path. Throws CONTAINER_UNKNOWN. */
export async function diffContainer(store: Store, name: string): Promise<ContainerChange[]> {
  recoverContainers(store)
  const container = resolveContainer(store, name)
  using lease = acquireLease(store)
  const files = await containerFiles(store, lease, container)
  return [...changesIn(overlayTree(files.upper), await files.imageTree(), '')].toSorted((a, b) =>
    a.path < b.path ? -1 : 1,
  )
}

/** `directory` without a slash at its end. */
function* changesIn(upper: LayerTree, image: Tree, directory: string): Generator<ContainerChange> {
  const names = upper.list(directory || '/')
  const gone = new Set(upper.whiteouts(directory || '/'))
  for (const name of gone)
    if (image.lookup(`${directory}/${name}`) !== undefined) yield { kind: 'D', path: `${directory}/${name}` }
  for (const name of names) {
    const path = `${directory}/${name}`
    const now = upper.lookup(path)
    const before = image.lookup(path)
    if (now === undefined) continue
    const below = now.type === 'directory' ? [...changesIn(upper, image, path)] : []
    if (before === undefined) yield { kind: 'A', path }
    else if (now.type !== 'directory' || below.length > 0 || !isSameDirectory(before, now)) yield { kind: 'C', path }
    yield* below
  }
  for (const name of image.list(directory || '/'))
    if (directory !== '' && !gone.has(name) && !names.includes(name) && upper.hides(`${directory}/${name}`))
      yield { kind: 'D', path: `${directory}/${name}` }
}

/** A directory that was only gone through is in the upper one too. */
function isSameDirectory(before: TreeEntry, now: TreeEntry): boolean {
  return (
    before.type === 'directory' &&
    before.mode === now.mode &&
    before.uid === now.uid &&
    before.gid === now.gid &&
    before.mtimeSeconds === now.mtimeSeconds
  )
}
