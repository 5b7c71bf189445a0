import { CairnError } from '../errors/error.ts'
import { inInitialUserNamespace } from '../linux/user-namespace.ts'

/** image-spec layer.md §whiteouts: how a layer says that something of the layers below is gone. */

const prefix = '.wh.'
/** Names that only AUFS gave a meaning to begin like this; all but the opaque marker are ignored. */
const metaPrefix = '.wh..wh.'

/** The name whose presence in a directory hides all that the layers below have in it. */
export const opaqueMarker = '.wh..wh..opq'

/** The attribute by which overlayfs marks an opaque directory, another one in a user namespace; its value is `y`. */
export function opaqueXattr(): 'trusted.overlay.opaque' | 'user.overlay.opaque' {
  return inInitialUserNamespace() ? 'trusted.overlay.opaque' : 'user.overlay.opaque'
}

/** The name that hides `name` of the layers below. */
export function whiteoutName(name: string): string {
  return prefix + name
}

export type WhiteoutName =
  | { readonly kind: 'whiteout'; readonly target: string }
  | { readonly kind: 'opaque' }
  | { readonly kind: 'ignored' }
  | { readonly kind: 'invalid' }

/** What a name in a layer says, or undefined for one without the whiteout prefix. */
export function parseWhiteout(name: string): WhiteoutName | undefined {
  if (!name.startsWith(prefix)) return undefined
  if (name === opaqueMarker) return { kind: 'opaque' }
  if (name.startsWith(metaPrefix)) return { kind: 'ignored' }
  const target = name.slice(prefix.length)
  if (target === '' || target === '.' || target === '..') return { kind: 'invalid' }
  return { kind: 'whiteout', target }
}

/** True for the attributes overlayfs keeps its state in: they never enter a layer and are never taken from one. */
export function isOverlayXattr(name: string): boolean {
  return name.startsWith('trusted.overlay.') || name.startsWith('user.overlay.')
}

/** True for the device that overlayfs takes for a whiteout. */
export function isWhiteoutDevice(entry: {
  readonly type: string
  readonly devMajor: number
  readonly devMinor: number
}): boolean {
  return entry.type === 'character-device' && entry.devMajor === 0 && entry.devMinor === 0
}

/**
 * Where a cleaned path has a component with the whiteout prefix: nowhere, as its last one, or in or under a name that
 * only AUFS gave a meaning to. Throws LAYER_UNSAFE for what stands below a whiteout and for a whiteout of no name.
 */
export function markerIn(path: string): 'none' | 'last' | 'ignored' {
  if (!path.includes('.wh.')) return 'none'
  const kinds = path.split('/').map((component) => parseWhiteout(component)?.kind)
  if (kinds.includes('ignored')) return 'ignored'
  if (kinds.includes('invalid')) throw new CairnError('LAYER_UNSAFE', 'it is a whiteout of no name')
  const first = kinds.findIndex((kind) => kind !== undefined)
  if (first < 0) return 'none'
  if (first < kinds.length - 1) throw new CairnError('LAYER_UNSAFE', 'it stands below a whiteout')
  return 'last'
}
