import { containerFiles } from '../../containers/container-files.ts'
import { recordContainerEvent } from '../../containers/container-events.ts'
import { resolveContainer } from '../../containers/container-records.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import { acquireLease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { packTree } from '../../layers/pack/pack-tree.ts'
import type { TarSink } from '../../tar/writer.ts'

/**
 * Writes the root file system of a container as a tar, without what is mounted into it: names sorted, so the same files
 * give the same bytes. Nothing is unpacked for it. Throws CONTAINER_UNKNOWN, CONTAINER_AMBIGUOUS, FILE_CHANGED where the
 * container writes a file while it is read.
 */
export async function exportContainer(store: Store, name: string, sink: TarSink): Promise<void> {
  recoverContainers(store)
  const container = resolveContainer(store, name)
  using lease = acquireLease(store)
  const files = await containerFiles(store, lease, container)
  packTree(await files.tree(), '/', sink)
  recordContainerEvent(store, 'export', container)
}
