import { CairnError } from '../../errors/error.ts'
import { resolvePath } from './resolve-path.ts'
import type { Tree } from '../tree.ts'

/** Something that a layer takes for granted of the layers below it. */
export type LayerDemand =
  /** Members stand in a directory the layer has no entry for. */
  | { readonly kind: 'directory'; readonly path: string; readonly member: string }
  /** A member is a hard link to a file the layer does not have. */
  | { readonly kind: 'file'; readonly path: string; readonly member: string; readonly linkname: string }

/**
 * Refuses a layer whose members would stand below a symlink of the layers below that leads to no directory of the image
 * (LAYER_UNSAFE), or are hard links to what is no file there (TAR_INVALID). `name` is the layer in errors. Readers of
 * images differ in what they make of such members, and careless ones leave the image's root.
 */
export function checkDemands(name: string, demands: readonly LayerDemand[], below: Tree): void {
  for (const demand of demands) {
    const found = below.lookup(demand.path)
    if (demand.kind === 'directory') {
      if (found?.type === 'symlink' && !leadsToDirectory(below, demand.path))
        throw new CairnError(
          'LAYER_UNSAFE',
          `${name}, ${JSON.stringify(demand.member)}: it stands below the symlink ${demand.path.slice(1)}, ` +
            `which leads to ${found.linkname}, no directory of the image`,
        )
    } else if (found?.type !== 'file' && found?.type !== 'symlink')
      throw new CairnError(
        'TAR_INVALID',
        `${name}, ${JSON.stringify(demand.member)}: it is a hard link to ${demand.linkname}, which is no file of the image`,
      )
  }
}

function leadsToDirectory(tree: Tree, path: string): boolean {
  try {
    return tree.lookup(resolvePath(tree, path, { followLast: true }))?.type === 'directory'
  } catch {
    return false
  }
}
