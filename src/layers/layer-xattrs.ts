import { getXattr, listXattrs } from '../linux/xattrs.ts'
import { isOverlayXattr } from './whiteouts.ts'

/** Extended attributes by their names. */
export type Xattrs = ReadonlyMap<string, Uint8Array>

const none: Xattrs = new Map()

/**
 * The attributes of `path` that belong in a layer, sorted: file capabilities, integrity hashes and what users set.
 * Labels of this machine (security.selinux), overlayfs's own and other trusted ones do not. Throws SystemCallError.
 */
export function layerXattrs(path: string): Xattrs {
  return valuesOf(path, listXattrs(path), belongsInLayer)
}

/** The attributes of a file in an overlay's upper directory: those of {@link layerXattrs}, and overlayfs's own. */
export function upperXattrs(path: string): { readonly kept: Xattrs; readonly overlay: Xattrs } {
  const names = listXattrs(path)
  return { kept: valuesOf(path, names, belongsInLayer), overlay: valuesOf(path, names, isOverlayXattr) }
}

/** True for an attribute that {@link layerXattrs} gives. */
export function belongsInLayer(name: string): boolean {
  if (name === 'security.capability' || name === 'security.ima') return true
  return name.startsWith('user.') && !isOverlayXattr(name)
}

/** True for the value that marks an opaque directory. */
export function isOpaqueValue(value: Uint8Array | undefined): boolean {
  return value?.length === 1 && value[0] === 0x79
}

function valuesOf(path: string, names: readonly string[], isWanted: (name: string) => boolean): Xattrs {
  const wanted = names.filter(isWanted).sort()
  if (wanted.length === 0) return none
  const xattrs = new Map<string, Uint8Array>()
  for (const name of wanted) {
    const value = getXattr(path, name)
    if (value !== undefined) xattrs.set(name, value)
  }
  return xattrs
}
