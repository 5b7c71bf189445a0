import { withLease } from '../../../content/leased-work.ts'
import { layerNode } from '../../../content/graph.ts'
import { listLayerForms } from '../../../content/layer-records.ts'
import type { Store } from '../../../content/store.ts'
import { isCairnError } from '../../../errors/error.ts'
import { compareTrees, type FileDifference } from '../../../layers/trees/compare-trees.ts'
import { overlayTree, stackTree, tarTree } from '../../../layers/trees/layer-tree.ts'
import type { Digest } from '../../../oci/digest.ts'
import { type FoundBlob, forgetLayer } from './check-content.ts'
import { removeSnapshot } from './check-directories.ts'
import type { ImageParts } from './image-parts.ts'
import type { StoreProblem } from './problem.ts'

/**
 * Reads every blob and compares it with its digest. Tells of damaged ones that no image needs; those of images are noted
 * in `parts`. What other processes remove meanwhile is passed over.
 */
export async function checkBlobs(
  store: Store,
  blobs: readonly FoundBlob[],
  parts: ImageParts,
  signal: AbortSignal,
): Promise<StoreProblem[]> {
  const problems: StoreProblem[] = []
  for (const { digest } of blobs) {
    signal.throwIfAborted()
    if (parts.isFaulty(digest) || (await isWhole(store, digest))) continue
    parts.addFault(digest, 'is damaged')
    problems.push(...damaged(store, digest, parts))
  }
  return problems
}

async function isWhole({ blobs }: Store, digest: Digest): Promise<boolean> {
  // What went meanwhile is no problem.
  return (await blobs.isWhole(digest)) || !blobs.has(digest)
}

/** What is to be done about a damaged blob besides healing the images that have it. */
function damaged(store: Store, digest: Digest, parts: ImageParts): StoreProblem[] {
  const isLayer = store.database.one('SELECT 1 FROM layers WHERE digest = ?', digest) !== undefined
  if (parts.users.has(digest) && !isLayer) return []
  const isFetched = store.database.one('SELECT 1 FROM fetched_files WHERE digest = ?', digest) !== undefined
  return [
    {
      area: isLayer || isFetched ? 'build cache' : 'content',
      subject: digest,
      problem: 'this blob is damaged, so that builds must not use it',
      remedy: 'Repairing forgets the results of builds that do, so that their steps run again.',
      repair: () => {
        store.database.run('DELETE FROM fetched_files WHERE digest = ?', digest)
        forgetLayer(store, digest)
      },
    },
  ]
}

/**
 * Compares the directory of each unpacked layer with the layer: containers and builds see the directory. Layers that have
 * hard links to files below them are passed over.
 */
export async function checkSnapshots(store: Store, parts: ImageParts, signal: AbortSignal): Promise<StoreProblem[]> {
  const rows = store.database.all<{ id: string; diffId: Digest }>(
    "SELECT id, diff_id AS diffId FROM snapshots WHERE state = 'committed'",
  )
  const problems: StoreProblem[] = []
  for (const { id, diffId } of rows) {
    signal.throwIfAborted()
    const difference = await withLease(store, async (lease) => {
      lease.protect(layerNode(diffId))
      await Bun.sleep(0)
      return firstDifference(store, id, diffId, parts)
    })
    if (difference === undefined) continue
    problems.push({
      area: 'layers',
      subject: diffId,
      problem: `${difference.path} of its directory (snapshots/${id}) is not what the layer says (${difference.aspects.join(', ') || difference.change})`,
      remedy: 'Repairing removes the directory unless a container runs; it is unpacked again when it is needed.',
      repair: () => {
        const running = store.database.one(
          "SELECT 1 FROM containers WHERE state IN ('running', 'paused') OR session IS NOT NULL",
        )
        if (running === undefined) removeSnapshot(store, id)
      },
    })
  }
  return problems
}

function firstDifference(store: Store, id: string, diffId: Digest, parts: ImageParts): FileDifference | undefined {
  const form = listLayerForms(store, diffId)[0]
  if (form?.compression !== 'none' || parts.isFaulty(form.digest)) return undefined
  try {
    const layer = tarTree(store.blobs.path(form.digest), { limits: store.limits.tar })
    const files = overlayTree(store.path('snapshots', id, 'fs'))
    for (const difference of compareTrees(stackTree([layer]), stackTree([files]), { times: false })) {
      const { change, aspects } = difference
      const isContent = aspects.some((aspect) => aspect === 'content' || aspect === 'type' || aspect === 'target')
      if (change !== 'changed' || isContent) return difference
    }
  } catch (error) {
    // The directory or the layer went meanwhile, or the layer is of no use by itself.
    if (!isCairnError(error)) throw error
  }
  return undefined
}
